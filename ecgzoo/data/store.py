"""The cache of decoded recordings: one folder per store, memory-mapped, written whole or not at all."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgzoo.data.cohort import MICROVOLTS_PER_MILLIVOLT
from ecgzoo.errors import DataError
from ecgzoo.files import open_regular, read_json

_FORMAT = "ecgzoo store 1"  # goes into every key: a change of layout or of how records are read counts it up


@dataclass(frozen=True, eq=False)
class Store:
    """An opened store.

    Attributes:
        signals: int16 microvolts ``[N, leads, samples]``, a read-only memory map.
        table: arrays of ``N`` rows by name.
        info: what else was kept, JSON values.
    """

    signals: np.ndarray
    table: dict[str, np.ndarray]
    info: dict[str, Any]


def cache_root() -> Path:
    """The folder that holds all stores: ``ECGZOO_CACHE`` if set, else the user's cache folder."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("ECGZOO_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("ecgzoo")


def store_key(*parts: str) -> str:
    """A name for the store made from `parts`: other parts, or another version of the format, give another name."""
    return hashlib.sha256("\0".join((_FORMAT, *parts)).encode()).hexdigest()[:32]


def file_digest(path: Path) -> str:
    """sha256 of a file's content."""
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def tree_digest(folder: Path) -> str:
    """sha256 over the names, sizes and modification times of all files below `folder`; contents are not read."""
    lines = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                lines.append(f"{entry.name}/ {tree_digest(Path(entry.path))}")
            else:
                status = entry.stat()
                lines.append(f"{entry.name} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(lines)).encode(errors="surrogateescape")).hexdigest()


def to_microvolts(millivolts: np.ndarray) -> np.ndarray:
    """Millivolts to the nearest whole microvolt, int16.

    Raises:
        DataError: a sample is NaN or beyond ±32.767 mV.
    """
    microvolts = np.rint(millivolts * MICROVOLTS_PER_MILLIVOLT)
    if not (np.abs(microvolts) <= np.iinfo(np.int16).max).all():
        peak = np.abs(millivolts).max()
        raise DataError(f"expected samples within ±32.767 mV, got {peak:g} mV. Check the units, and repair NaN.")
    return microvolts.astype(np.int16)


def write_signals(folder: Path, records: Iterable[np.ndarray], shape: tuple[int, int, int]) -> None:
    """Write int16 `records`, each ``shape[1:]``, one after another into the store that is being built in `folder`."""
    with open(folder / "signals.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<i2", "fortran_order": False, "shape": shape})
        for record in records:
            file.write(record.astype("<i2", order="C", copy=False).tobytes())


def write_table(folder: Path, table: Mapping[str, np.ndarray], info: Mapping[str, Any]) -> None:
    """Write the per-record arrays and the JSON `info` into the store that is being built in `folder`."""
    for name, array in table.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    (folder / "info.json").write_text(json.dumps(dict(info), indent=1), encoding="utf-8")


def open_store(key: str, build: Callable[[Path], None]) -> Store:
    """The store `key` of the cache, built first when it is not there.

    `build` gets an empty folder and fills it with ``write_signals`` and ``write_table``. The folder takes its place
    in one rename when all is on disk, so a build that fails leaves nothing behind, and of two builds at once one wins
    and both callers read it.

    Raises:
        DataError: the cache cannot be written, or the store is damaged.
    """
    folder = cache_root() / key
    if not folder.is_dir():
        _build(folder, build)
    try:
        # mapped, so that one that announces more than it holds is refused before it takes memory
        mapped = {path.stem: _mapped(path) for path in folder.glob("*.npy")}
        info = read_json(folder / "info.json")
        if not isinstance(info, dict):
            raise ValueError("info.json is no object")
        signals = mapped.pop("signals")
        arrays = {name: np.array(array) for name, array in mapped.items()}
        if any(len(array) != len(signals) for array in arrays.values()):
            raise ValueError("arrays of different length")
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise DataError(
            f"{folder}: this store is damaged ({error}). Delete the folder; the next call builds it again."
        ) from error
    return Store(signals, arrays, info)


def _mapped(path: Path) -> np.ndarray:
    open_regular(path).close()
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _build(folder: Path, build: Callable[[Path], None]) -> None:
    unfinished = folder.with_name(f".{folder.name}-{uuid.uuid4().hex[:8]}")
    try:
        unfinished.mkdir(parents=True)
    except OSError as error:
        raise _unwritable(folder.parent, error) from error
    try:
        build(unfinished)
        for path in unfinished.iterdir():
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
        try:
            os.rename(unfinished, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first; its store holds the same
                raise
    except OSError as error:
        raise _unwritable(folder.parent, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _unwritable(root: Path, error: OSError) -> DataError:
    return DataError(
        f"{root}: the cache cannot be written ({error}). Make room there, or set ECGZOO_CACHE to another folder."
    )
