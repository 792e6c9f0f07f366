"""The cache of decoded recordings: one folder per store, memory-mapped, written completely or not at all, and verified.

A store is ``signals.npy``, one array per column, and ``info.json`` with the sha256 of each file. Columns are verified
whenever the store is opened. The signals, which may be gigabytes, are verified only if their file has changed since the
last time.
"""

import contextlib
import hashlib
import os
import shutil
import time
import uuid
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgzoo.data.cohort import MICROVOLTS_PER_MILLIVOLT
from ecgzoo.errors import DataError, EcgZooWarning
from ecgzoo.files import open_regular, read_json, write_json

_FORMAT = "ecgzoo store 2"  # part of every key: increase it when the layout or the way of reading records changes
_UNFINISHED = ".ecgzoo-unfinished-"
_DEAD_AFTER_S = 3600  # a build writes every few milliseconds; one that has not written for this long was killed
_OTHERS_MAY_WRITE = 0o022
HEADER_BYTES = 128


@dataclass(frozen=True, eq=False)
class Store:
    """An open store.

    Attributes:
        signals: int16 microvolts ``[N, leads, samples]``, a read-only memory map.
        table: arrays of ``N`` rows, by name.
        notes: notes of the build.
        digest: sha256 of all arrays.
    """

    signals: np.ndarray
    table: dict[str, np.ndarray]
    notes: tuple[str, ...]
    digest: str


def cache_root() -> Path:
    """The folder of all stores: ``ECGZOO_CACHE`` if set, else the user's cache folder."""
    from platformdirs import user_cache_path

    chosen = os.environ.get("ECGZOO_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("ecgzoo")


def store_key(*parts: str) -> str:
    """A name for the store made from `parts`. It changes with the parts and with the version of the format."""
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
    """Convert millivolts to whole microvolts, rounded, as int16.

    Raises:
        DataError: a sample is NaN or outside ±32.767 mV.
    """
    microvolts = np.rint(millivolts * MICROVOLTS_PER_MILLIVOLT)
    if not (np.abs(microvolts) <= np.iinfo(np.int16).max).all():
        peak = np.abs(millivolts).max()
        raise DataError(f"expected samples within ±32.767 mV, got {peak:g} mV. Check the units, and repair NaN.")
    return microvolts.astype(np.int16)


def write_signals(folder: Path, records: Iterable[np.ndarray], shape: tuple[int, int, int]) -> None:
    """Write int16 `records`, each of shape ``shape[1:]``, one by one into the store that is being built in `folder`."""
    with open(folder / "signals.npy", "wb") as file:
        file.write(npy_header(np.dtype(("<i2", shape[1:])), shape[0]))
        for record in records:
            file.write(record.astype("<i2", order="C", copy=False).tobytes())


def write_table(folder: Path, table: Mapping[str, np.ndarray]) -> None:
    """Write the per-record arrays into the store that is being built in `folder`."""
    for name, column in table.items():
        header = npy_header(np.dtype((column.dtype, column.shape[1:])), len(column))
        (folder / f"{name}.npy").write_bytes(header + column.tobytes())


def npy_header(kind: np.dtype, rows: int) -> bytes:
    """The header of an npy file with this many rows, always 128 bytes, so that it can be compared without parsing."""
    text = f"{{'descr': {kind.base.str!r}, 'fortran_order': False, 'shape': {(rows, *kind.shape)}, }}"
    return b"\x93NUMPY\x01\x00v\x00" + text.ljust(HEADER_BYTES - 11).encode() + b"\n"


def open_store(key: str, build: Callable[[Path], Iterable[str]], record: np.dtype) -> Store:
    """The store `key` of the cache, built first if it does not exist.

    `build` gets an empty folder, fills it with ``write_signals`` and ``write_table``, and returns notes. When all is on
    disk, the folder is renamed to its final name, so a build that fails leaves nothing behind. If two builds run at the
    same time, one of them is kept and both callers read it. The files of a killed build are removed by a later build.

    Args:
        key: a name from `store_key`.
        build: called if the store does not exist.
        record: structured dtype of one record: its ``signals``, and its row of each column.

    Raises:
        DataError: the cache cannot be written, or the store is damaged.
    """
    folder = cache_root() / key
    if not folder.is_dir():
        _build(folder, build)
    try:
        warn_of_others(folder)
        return _read(folder, record)
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(
            f"{folder}: this store is damaged ({error}). Delete the folder; the next call builds it again."
        ) from error


def _read(folder: Path, record: np.dtype) -> Store:
    kinds = {name: kind for name, (kind, *_) in (record.fields or {}).items()}
    info = read_json(folder / "info.json")
    if not isinstance(info, dict) or not isinstance(digests := info.get("sha256"), dict):
        raise ValueError("info.json holds no digests")
    if digests.keys() != kinds.keys() or not all(isinstance(digest, str) for digest in digests.values()):
        raise ValueError(f"info.json holds digests of {', '.join(digests) or 'nothing'}; expected {', '.join(kinds)}")
    notes = info.get("notes")
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise ValueError("info.json holds no notes")

    path = folder / "signals.npy"
    state = file_state(path)
    if verified_state(folder) != state:
        if file_digest(path) != digests["signals"]:
            raise ValueError("signals.npy is not what was built")
        remember_verified(folder, state)
    with open_regular(path) as file:
        rows = npy_rows("signals", kinds["signals"], file.read(HEADER_BYTES), state[0])
    signals = np.memmap(path, kinds["signals"].base, "r", HEADER_BYTES, (rows, *kinds["signals"].shape))
    table: dict[str, np.ndarray] = {}
    for name in kinds.keys() - {"signals"}:
        kind = kinds[name]
        with open_regular(folder / f"{name}.npy") as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != digests[name]:
            raise ValueError(f"{name}.npy is not what was built")
        if npy_rows(name, kind, content[:HEADER_BYTES], len(content)) != rows:
            raise ValueError(f"{name}.npy has another number of records than signals.npy")
        table[name] = np.frombuffer(content, kind.base, offset=HEADER_BYTES).reshape(rows, *kind.shape)
    digest = store_key(*(f"{name} {digests[name]}" for name in sorted(digests)))
    return Store(signals, table, tuple(notes), digest)


def npy_rows(name: str, kind: np.dtype, header: bytes, size: int) -> int:
    """How many rows of `kind` a file of `size` bytes holds; its size and its header must agree."""
    rows, rest = divmod(size - HEADER_BYTES, kind.itemsize)
    if rest or rows < 1 or header != npy_header(kind, rows):
        raise ValueError(f"{name}.npy, {size} bytes, is not an array of {kind.base} {list(kind.shape)} per record")
    return rows


def file_state(path: Path) -> list[int]:
    """File attributes that change when the file changes; the third one cannot be set back."""
    status = path.stat()
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def verified_state(folder: Path) -> object:
    """The state of the signals when they were last verified; None if it cannot be read."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        return read_json(folder / "verified.json")
    return None


def remember_verified(folder: Path, state: object) -> None:
    """Note in `folder` that its signals were verified in this state."""
    with contextlib.suppress(OSError):  # a read-only cache is verified each time
        write_json(folder / "verified.json", state)
        (folder / "verified.json").chmod(0o644)  # anyone who can write this file can make a changed store look verified


def warn_of_others(folder: Path) -> None:
    """Warn if other users can change the store, because they can change its digests too."""
    for path in (folder.parent, folder):
        mode = path.stat().st_mode
        if os.name == "posix" and mode & _OTHERS_MAY_WRITE:
            warnings.warn(
                f"{path}: other users can write to this cache folder (mode {mode & 0o777:o}) and change the training "
                f"data; run: chmod go-w {path}",
                EcgZooWarning,
                stacklevel=1,  # always this line, so that Python shows the warning once
            )
            return


def _build(folder: Path, build: Callable[[Path], Iterable[str]]) -> None:
    root = folder.parent
    unfinished = root / f"{_UNFINISHED}{folder.name}-{uuid.uuid4().hex[:8]}"
    try:
        root.mkdir(mode=0o755, parents=True, exist_ok=True)
        _sweep(root)
        unfinished.mkdir(mode=0o755)
    except OSError as error:
        raise _unwritable(root, error) from error
    try:
        notes = list(build(unfinished))
        digests = {path.stem: file_digest(path) for path in sorted(unfinished.glob("*.npy"))}
        write_json(unfinished / "info.json", {"notes": notes, "sha256": digests})
        for path in unfinished.iterdir():
            path.chmod(0o644)
            with open(path, "rb+") as file:
                os.fsync(file.fileno())
        remember_verified(unfinished, file_state(unfinished / "signals.npy"))
        try:
            os.rename(unfinished, folder)
        except OSError:
            if not folder.is_dir():  # otherwise another process was first, and its store is the same
                raise
    except OSError as error:
        raise _unwritable(root, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _sweep(root: Path) -> None:
    """Remove the folders of killed builds, in which nothing has changed for an hour."""
    for unfinished in root.glob(f"{_UNFINISHED}*"):
        try:
            changed = max(path.stat().st_mtime for path in (unfinished, *unfinished.iterdir()))
        except OSError:
            continue  # it is being renamed or removed
        if time.time() - changed > _DEAD_AFTER_S:
            shutil.rmtree(unfinished, ignore_errors=True)


def _unwritable(root: Path, error: OSError) -> DataError:
    return DataError(
        f"{root}: the cache cannot be written ({error}). Free some space there, or set ECGZOO_CACHE to another folder."
    )
