"""A cohort in a folder, made by ``ecgzoo data import`` and read as the data set ``folder``.

``signals.npy`` holds the samples, and grows at its end; ``info.json`` says how many of its records count, and names the
folder with the columns, ``table-*/``, with the sha256 of each. One column holds a digest of each record, so changed
signals are refused. While records are added, ``journal.jsonl`` says what was read so far. All of it becomes part of
the cohort when ``info.json`` is replaced; until then the cohort stays as it was.
"""

import contextlib
import hashlib
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ecgzoo.data.cohort import Cohort
from ecgzoo.data.prepare import CHANGES, Layout
from ecgzoo.data.store import (
    HEADER_BYTES,
    file_state,
    npy_header,
    npy_rows,
    remember_verified,
    store_key,
    verified_state,
    warn_of_others,
    write_table,
)
from ecgzoo.errors import DataError, SignalError, WriteError, did_you_mean
from ecgzoo.files import open_regular, read_bytes, read_json, write_json
from ecgzoo.signal import resolve_leads

TASK = "labels"
DIGEST_BYTES = 16
_FORMAT = "ecgzoo folder 1"
_JOURNAL_BYTES = 1 << 34
_AT_ONCE = 64  # records that are hashed at a time
_COLUMNS: dict[str, Any] = {
    "record_ids": np.int64,
    "patients": np.int64,
    "folds": np.int16,
    "lengths": np.int64,
    "changes": np.uint8,
    "labelled": np.uint8,
    "digests": (np.uint8, (DIGEST_BYTES,)),
}


class Read(NamedTuple):
    """A record that was read.

    Attributes:
        record: its id, as the table has it.
        length: samples.
        digest: of its samples, in hexadecimal.
        changes: a sum of the numbers in `ecgzoo.data.prepare.CHANGES`.
    """

    record: str
    length: int
    digest: str
    changes: int


@dataclass(frozen=True, eq=False)
class Info:
    """What ``info.json`` holds.

    Attributes:
        name: of the cohort.
        layout: of the records.
        classes: in alphabetical order.
        rows: how many records count.
        table: the folder with the columns.
        sha256: of each column's file.
    """

    name: str
    layout: Layout
    classes: tuple[str, ...]
    rows: int
    table: str
    sha256: dict[str, str]


def load_folder(root: Path | None, task: str = TASK) -> Cohort:
    """The cohort that ``ecgzoo data import`` wrote into the folder `root`.

    Records without labels are in folds of their own, which ``Cohort.notes`` names; give those as ``unlabelled_folds``.

    Args:
        root: the folder.
        task: ``"labels"``, the only one.

    Raises:
        DataError: the folder holds no such cohort, or it is damaged.
    """
    if task != TASK:
        raise DataError(f"folder has no task {task!r}. {did_you_mean(task, [TASK])}")
    if root is None or not Path(root).is_dir():
        raise DataError(f"{root}: no such folder; make one with ecgzoo data import DIR --table TABLE -o {root}")
    root = Path(root)
    info = read_info(root)
    if info is None:
        state = (
            "its import has not ended: run the command again"
            if (root / "journal.jsonl").exists()
            else (f"no cohort is there; make one with ecgzoo data import DIR --table TABLE -o {root}")
        )
        raise DataError(f"{root}: {state}")
    columns = read_columns(root, info)
    signals = read_signals(root, info, columns["digests"])
    order = np.argsort(columns["record_ids"])
    lengths, folds, labelled = (columns[name][order] for name in ("lengths", "folds", "labelled"))
    without = np.unique(folds[labelled == 0])
    return Cohort(
        name=f"folder/{info.name}",
        task=task,
        classes=info.classes,
        leads=info.layout.leads,
        rate_hz=info.layout.rate_hz,
        store=signals,
        positions=order,
        labels=columns["labels"][order],
        folds=folds,
        patients=columns["patients"][order],
        record_ids=columns["record_ids"][order],
        lengths=None if (lengths == info.layout.samples).all() else lengths,
        fingerprint=store_key("folder", *(f"{name} {digest}" for name, digest in sorted(info.sha256.items()))),
        notes=(
            *(
                f"The {(folds == fold).sum()} records of fold {fold} have no labels; give it as unlabelled fold."
                for fold in without
            ),
            *(f"Records {CHANGES[change]}: {count}." for change, count in counted(columns["changes"]).items()),
        ),
    )


def counted(changes: np.ndarray) -> dict[int, int]:
    """How many records have each of the `changes` of `CHANGES` that occur."""
    return {change: count for change in CHANGES if (count := int((changes & change > 0).sum()))}


def read_info(root: Path) -> Info | None:
    """The content of ``info.json``; None if there is none.

    Raises:
        DataError: it is damaged, or of another version.
    """
    path = root / "info.json"
    if not path.exists():
        return None
    try:
        found = read_json(path)
        if found["format"] != _FORMAT:
            raise ValueError(f"its format is {found['format']!r}, expected {_FORMAT!r}")
        info = Info(
            name=found["name"],
            layout=layout_of(found["layout"]),
            classes=tuple(found["classes"]),
            rows=found["rows"],
            table=found["table"],
            sha256=dict(found["sha256"]),
        )
        names = (info.name, *info.classes, info.table, *info.sha256, *info.sha256.values())
        if not all(isinstance(name, str) for name in names) or not re.fullmatch(r"table-\w+", info.table):
            raise ValueError("a name is no text, or no name")
        if not isinstance(info.rows, int) or info.rows < 1 or not info.classes:
            raise ValueError("it has no records or no classes")
        if info.sha256.keys() != {*_COLUMNS, "labels"}:
            raise ValueError(f"it has digests of {', '.join(info.sha256) or 'nothing'}")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, SignalError) as error:
        raise DataError(f"{path}: is damaged ({error}). Import the records into another folder.") from error
    return info


def layout_of(values: Mapping[str, Any]) -> Layout:
    """The layout that ``asdict`` made `values` of.

    Raises:
        ValueError: they are not of this kind.
    """
    rate_hz, samples, shortest = values["rate_hz"], values["samples"], values["shortest"]
    numbers = all(isinstance(value, int) and value > 0 for value in (samples, shortest))
    if not isinstance(rate_hz, (int, float)) or not 0 < rate_hz < 1e6 or not numbers:
        raise ValueError("no layout of records")
    return Layout(resolve_leads(list(values["leads"])), float(rate_hz), samples, shortest)


def read_columns(root: Path, info: Info) -> dict[str, np.ndarray]:
    """The columns of a cohort, by name, in the order of its signals.

    Raises:
        DataError: a file is missing or not what was written.
    """
    kinds = {name: np.dtype(kind) for name, kind in _COLUMNS.items()}
    kinds["labels"] = np.dtype((np.uint8, (len(info.classes),)))
    columns: dict[str, np.ndarray] = {}
    for name, kind in kinds.items():
        path = root / info.table / f"{name}.npy"
        try:
            content = read_bytes(path)
            if hashlib.sha256(content).hexdigest() != info.sha256[name]:
                raise ValueError("it is not what was written")
            if npy_rows(name, kind, content[:HEADER_BYTES], len(content)) != info.rows:
                raise ValueError("it has another number of records than info.json")
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: is damaged ({error}). Import the records into another folder.") from error
        columns[name] = np.frombuffer(content, kind.base, offset=HEADER_BYTES).reshape(info.rows, *kind.shape)
    return columns


def read_signals(root: Path, info: Info, digests: np.ndarray) -> np.ndarray:
    """The signals ``[rows, leads, samples]``, a read-only memory map, verified if their file has changed.

    Raises:
        DataError: they are missing or not what was written.
    """
    path = root / "signals.npy"
    try:
        warn_of_others(root)
        state = file_state(path)
        with open_regular(path):  # no pipe
            signals = _mapped(path, info.layout, info.rows)
        if verified_state(root) != state:
            changed = next((row for row, found in enumerate(_digests(signals)) if found != bytes(digests[row])), None)
            if changed is not None:
                raise ValueError(f"record {changed} is not what was written")
            remember_verified(root, state)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is damaged ({error}). Import the records into another folder.") from error
    return signals


def digest_of(samples: bytes) -> bytes:
    """A digest of a record's row in the store."""
    return hashlib.sha256(samples).digest()[:DIGEST_BYTES]


def _mapped(path: Path, layout: Layout, rows: int) -> np.ndarray:
    shape = (rows, len(layout.leads), layout.samples)
    size = path.stat().st_size
    if size < HEADER_BYTES + 2 * math.prod(shape):
        raise ValueError(f"{size} bytes do not hold {rows} records")
    return np.memmap(path, np.dtype("<i2"), "r", HEADER_BYTES, shape)


def _digests(signals: np.ndarray) -> Iterator[bytes]:
    for start in range(0, len(signals), _AT_ONCE):
        for row in np.asarray(signals[start : start + _AT_ONCE]):
            yield digest_of(row.tobytes())


class Writer:
    """Adds records to the cohort in a folder, or starts one.

    What was added is kept for a later `Writer`; it becomes part of the cohort in `finish`. Samples that were not
    written completely, because the process was killed or the disk was full, are dropped by the next one.

    Args:
        root: the folder; it is made if it is not there.
        layout: of the records; that of the cohort that is there, if there is one.

    Attributes:
        info: of the cohort that is there; None if there is none.
        columns: of that cohort.
        read: what earlier, unfinished imports have read, by the record's id, in order; `add` adds to it.

    Raises:
        DataError: the folder holds records of another layout, or it is damaged.
        WriteError: it cannot be written.
    """

    def __init__(self, root: Path, layout: Layout) -> None:
        self.root, self.layout = root, layout
        self.info = read_info(root)
        journal = root / "journal.jsonl"
        self.columns = {} if self.info is None else read_columns(root, self.info)
        if self.info is not None and self.info.layout != layout:
            raise _other_layout(root, self.info.layout)
        if self.info is not None:
            read_signals(root, self.info, self.columns["digests"])
        self.read: dict[str, Read] = {}
        try:
            root.mkdir(parents=True, exist_ok=True)
            self._journal: BinaryIO = open(journal, "a+b", buffering=0)  # noqa: SIM115 # `close` closes it
            self._signals: BinaryIO = open(root / "signals.npy", "a+b", buffering=0)  # noqa: SIM115 # as above
            self._continue(0 if self.info is None else self.info.rows)
        except OSError as error:
            raise _unwritable(root, error) from error

    def _continue(self, before: int) -> None:
        """Take up what the journal says, as far as the samples are there."""
        self._journal.seek(0)
        lines = self._journal.read(_JOURNAL_BYTES).split(b"\n")
        accepted = good = 0
        layout = _begun(lines[0], before) if len(lines) > 1 else None
        if layout is not None:
            if layout != self.layout:
                raise _other_layout(self.root, layout)
            good = len(lines[0]) + 1
            size = os.fstat(self._signals.fileno()).st_size
            there = (size - HEADER_BYTES) // self._row_bytes if size > HEADER_BYTES else 0
            signals = _mapped(self.root / "signals.npy", self.layout, there) if there else np.zeros((0, 1, 1))
            for line in lines[1:-1]:
                read, row = _journalled(line), before + accepted
                if read is None or row >= there or digest_of(signals[row].tobytes()).hex() != read.digest:
                    break  # the samples did not reach the disk
                accepted += 1
                self.read[read.record] = read
                good += len(line) + 1
            del signals
        self._journal.truncate(good)
        self._rows = before + accepted
        if not good:
            _write(self._journal, json.dumps({"before": before, "layout": asdict(self.layout)}).encode() + b"\n")
        self._signals.truncate(HEADER_BYTES + self._rows * self._row_bytes)

    @property
    def _row_bytes(self) -> int:
        return 2 * len(self.layout.leads) * self.layout.samples

    def add(self, some: list[tuple[Read, bytes]]) -> None:
        """Add records, each with the samples of its row, padded to the layout.

        Raises:
            WriteError: the disk is full, for example; what was added before stays.
        """
        try:
            _write(self._signals, b"".join(samples for _, samples in some))
            _write(self._journal, b"".join(json.dumps(read._asdict()).encode() + b"\n" for read, _ in some))
        except OSError as error:
            raise _unwritable(self.root, error) from error
        self._rows += len(some)
        self.read |= {read.record: read for read, _ in some}

    def finish(self, name: str, classes: tuple[str, ...], columns: Mapping[str, np.ndarray]) -> Info:
        """Make all records that were added part of the cohort.

        Args:
            name: of the cohort.
            classes: in alphabetical order.
            columns: of all records, those before and those that were added, in this order.

        Raises:
            WriteError: the disk is full, for example; the cohort is what it was.
        """
        table = f"table-{uuid.uuid4().hex[:8]}"
        try:
            os.fsync(self._signals.fileno())
            (self.root / table).mkdir(mode=0o755)
            write_table(self.root / table, columns)
            sha256 = {}
            for column in columns:
                with open(self.root / table / f"{column}.npy", "rb") as file:
                    os.fsync(file.fileno())
                    sha256[column] = hashlib.sha256(file.read()).hexdigest()
            info = Info(name, self.layout, classes, self._rows, table, sha256)
            write_json(self.root / "info.json", {"format": _FORMAT, **asdict(info)})
        except OSError as error:
            shutil.rmtree(self.root / table, ignore_errors=True)
            raise _unwritable(self.root, error) from error
        # from here on it is done; the rest is for other readers of npy, and to tidy up
        with contextlib.suppress(OSError):
            with open(self.root / "signals.npy", "r+b") as file:
                file.write(npy_header(np.dtype(("<i2", (len(self.layout.leads), self.layout.samples))), self._rows))
            remember_verified(self.root, file_state(self.root / "signals.npy"))
            for other in self.root.glob("table-*"):
                if other.name != table:
                    shutil.rmtree(other)
            (self.root / "journal.jsonl").unlink()
        return info

    def close(self) -> None:
        """Close the files."""
        self._journal.close()
        self._signals.close()


def _begun(line: bytes, before: int) -> Layout | None:
    """The layout in the first line of a journal; None if it is not of an import behind `before` records."""
    with contextlib.suppress(ValueError, KeyError, TypeError, SignalError):
        found = json.loads(line)
        if found["before"] == before:
            return layout_of(found["layout"])
    return None


def _journalled(line: bytes) -> Read | None:
    """The record in a line of a journal; None if the line was not written completely."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = json.loads(line)
        return Read(str(found["record"]), int(found["length"]), str(found["digest"]), int(found["changes"]))
    return None


def _write(file: BinaryIO, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[file.write(rest) :]


def check_free(root: Path) -> None:
    """Check that `root` is a new folder, an empty one or one with a cohort.

    Raises:
        DataError: it is a file, or holds something else.
    """
    ours = ("info.json", "journal.jsonl", ".lock")
    if root.exists() and not root.is_dir():
        raise DataError(f"{root}: is not a folder; choose another --output")
    if root.exists() and not any((root / name).exists() for name in ours) and any(root.iterdir()):
        raise DataError(f"{root}: holds other files; choose another --output")


def _other_layout(root: Path, layout: Layout) -> DataError:
    seconds, shortest = layout.samples / layout.rate_hz, layout.shortest / layout.rate_hz
    return DataError(
        f"{root}: holds records with leads {','.join(layout.leads)} at {layout.rate_hz:g} Hz, from {shortest:g} to "
        f"{seconds:g} s; import with the same leads, rate and seconds, or choose another --output"
    )


def _unwritable(root: Path, error: OSError) -> WriteError:
    if isinstance(error, WriteError):
        return error
    return WriteError(error.errno or 0, error.strerror or str(error), str(error.filename or root))
