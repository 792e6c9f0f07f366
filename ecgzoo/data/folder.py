"""A cohort in a folder, made by ``ecgzoo data import`` and read as the data set ``folder``.

``signals/`` holds the samples in files of at most 1 GiB. Those that are part of the cohort are never written again:
records that are added go into further files. ``info.json`` says how many records each file has, and names the folder
with the columns, ``table-*/``, with the sha256 of each. One column holds a digest of each record, so changed signals
are refused. While records are added, ``journal.jsonl`` says what was read so far. All of it becomes part of the cohort
when ``info.json`` is replaced; until then the cohort stays as it was.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from ecgzoo.data.cohort import Cohort
from ecgzoo.data.prepare import CHANGES, Layout
from ecgzoo.data.shards import Shards
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
from ecgzoo.files import open_regular, read_bytes, read_json, write_json, writing
from ecgzoo.signal import resolve_leads

TASK = "labels"
DIGEST_BYTES = 16
_SIGNALS = "signals"
SHARD_BYTES = 1 << 30
_MOST_SHARDS = 500  # each needs a file descriptor, of which a process often has 1,024
_FORMAT = "ecgzoo folder 2"
_JOURNAL_BYTES = 1 << 34
_COLUMNS: dict[str, Any] = {
    "record_ids": np.int64,
    "patients": np.int64,
    "folds": np.int16,
    "lengths": np.int64,
    "units": np.uint8,
    "changes": np.uint8,
    "labelled": np.uint8,
    "digests": (np.uint8, (DIGEST_BYTES,)),
}


class Read(NamedTuple):
    """A record that was read.

    Attributes:
        record: its id, as the table has it.
        path: its file, as the table names it.
        length: samples.
        digest: of its samples, in hexadecimal.
        unit_uv: microvolts of one unit of its samples.
        changes: a sum of the numbers in `ecgzoo.data.prepare.CHANGES`.
    """

    record: str
    path: str
    length: int
    digest: str
    unit_uv: int
    changes: int


@dataclass(frozen=True, eq=False)
class Info:
    """What ``info.json`` holds.

    Attributes:
        name: of the cohort.
        layout: of the records.
        classes: in alphabetical order.
        shards: how many records each file of ``signals/`` has.
        table: the folder with the columns.
        sha256: of each column's file.
    """

    name: str
    layout: Layout
    classes: tuple[str, ...]
    shards: tuple[int, ...]
    table: str
    sha256: dict[str, str]

    @property
    def rows(self) -> int:
        """How many records there are."""
        return sum(self.shards)


def load_folder(root: Path | None, task: str = TASK) -> Cohort:
    """The cohort that ``ecgzoo data import`` wrote into the folder `root`.

    Records without labels are in folds of their own; give those as ``unlabelled_folds``.

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
        if (root / "journal.jsonl").exists():
            raise DataError(f"{root}: its import has not ended: run the command again")
        raise DataError(f"{root}: no cohort is there; make one with ecgzoo data import DIR --table TABLE -o {root}")
    columns = read_columns(root, info)
    signals = read_signals(root, info, columns["digests"])
    order = np.argsort(columns["record_ids"])
    lengths, units, folds, labelled = (columns[name][order] for name in ("lengths", "units", "folds", "labelled"))
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
        unit_uv=None if (units == 1).all() else units,
        labelled=None if labelled.all() else labelled == 1,
        fingerprint=store_key("folder", *(f"{name} {digest}" for name, digest in sorted(info.sha256.items()))),
        notes=tuple(f"Records {CHANGES[change]}: {count}." for change, count in counted(columns["changes"]).items()),
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
            shards=tuple(found["shards"]),
            table=found["table"],
            sha256=dict(found["sha256"]),
        )
        names = (info.name, *info.classes, info.table, *info.sha256, *info.sha256.values())
        if not all(isinstance(name, str) for name in names) or not re.fullmatch(r"table-\w+", info.table):
            raise ValueError("a name is no text, or no name")
        if not all(isinstance(rows, int) and rows > 0 for rows in info.shards) or not info.shards or not info.classes:
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


def read_signals(root: Path, info: Info, digests: np.ndarray) -> Shards:
    """The signals ``[rows, leads, samples]``; those of a file are verified if it has changed.

    Raises:
        DataError: they are missing or not what was written.
    """
    verified = verified_state(root)
    known = verified if isinstance(verified, dict) else {}
    states: dict[str, list[int]] = {}
    path, first, kind = root, 0, _kind(info.layout)
    with contextlib.ExitStack() as opened:
        try:
            warn_of_others(root)
            files = []
            for number, rows in enumerate(info.shards):
                path = _shard(root, number)
                states[path.name] = file_state(path)
                file = opened.enter_context(open_regular(path))
                if npy_rows(path.stem, kind, file.read(HEADER_BYTES), states[path.name][0]) != rows:
                    raise ValueError(f"it does not have {rows} records")
                files.append((file, rows))
            signals = Shards(files, kind.shape, HEADER_BYTES)
            for name, rows in zip(states, info.shards, strict=True):
                path = root / _SIGNALS / name
                if known.get(name) != states[name]:
                    for row in range(first, first + rows):
                        if digest_of(signals[row].data) != bytes(digests[row]):
                            raise ValueError(f"record {row - first} is not what was written")
                first += rows
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: is damaged ({error}). Import the records into another folder.") from error
    if known != states:
        remember_verified(root, states)
    return signals


def digest_of(samples: bytes | memoryview) -> bytes:
    """A digest of a record's row in the store."""
    return hashlib.sha256(samples).digest()[:DIGEST_BYTES]


def _shard(root: Path, number: int) -> Path:
    return root / _SIGNALS / f"{number:05}.npy"


def _kind(layout: Layout) -> np.dtype:
    """Of a record's row in the store."""
    return np.dtype(("<i2", (len(layout.leads), layout.samples)))


class Writer:
    """Adds records to the cohort in a folder, or starts one.

    What was added is kept for a later `Writer`; it becomes part of the cohort in `finish`. Samples that were not
    written completely, because the process was killed or the disk was full, are dropped by the next one.

    Args:
        root: the folder; it is made if it is not there.
        layout: of the records; that of the cohort that is there, if there is one.
        reading: how the recordings are read, from where and by which flags; records that an unfinished import has read
            otherwise are not taken up.

    Attributes:
        info: of the cohort that is there; None if there is none.
        columns: of that cohort.
        read: what earlier, unfinished imports have read, by the record's id, in order; `add` adds to it.

    Raises:
        DataError: the folder holds records of another layout or `reading`, or it is damaged.
        WriteError: it cannot be written.
    """

    def __init__(self, root: Path, layout: Layout, reading: str) -> None:
        self.root, self.layout, self._reading = root, layout, reading
        self.info = read_info(root)
        self.columns: dict[str, np.ndarray] = {}
        self._first = 0
        if self.info is not None:
            self.columns = read_columns(root, self.info)
            if self.info.layout != layout:
                raise _other_layout(root, self.info.layout)
            read_signals(root, self.info, self.columns["digests"])
            self._first = len(self.info.shards)
        if self._first >= _MOST_SHARDS:
            raise DataError(
                f"{root}: has {self._first} files of signals, because each import begins one; import all records at "
                "once into another --output"
            )
        self.read: dict[str, Read] = {}
        self._row = _kind(layout)
        self._per_shard = max(1, SHARD_BYTES // self._row.itemsize)
        self._shard: BinaryIO | None = None
        self._added = 0
        with writing(root):
            (root / _SIGNALS).mkdir(parents=True, exist_ok=True)
            self._journal: BinaryIO = open(root / "journal.jsonl", "a+b", buffering=0)  # noqa: SIM115 # `close` closes it
            self._continue()

    def _continue(self) -> None:
        """Take up what the journal says, as far as the samples are there."""
        begin = {
            "shards": self._first,
            "per_shard": self._per_shard,
            "reading": self._reading,
            "layout": asdict(self.layout),
        }
        self._journal.seek(0)
        lines = self._journal.read(_JOURNAL_BYTES).split(b"\n")
        good, samples, whole = 0, np.zeros(0), False
        begun = _begun(lines[0], begin) if len(lines) > 1 else None
        if begun is not None:
            layout, reading = begun
            if layout != self.layout:
                raise _other_layout(self.root, layout)
            good = len(lines[0]) + 1
            for number, line in enumerate(lines[1:-1]):
                shard, row = divmod(number, self._per_shard)
                if row == 0:
                    samples, whole = self._there(_shard(self.root, self._first + shard))
                read = _journalled(line)
                if read is None or row >= len(samples):
                    break
                if not whole and digest_of(samples[row].data).hex() != read.digest:
                    break  # the samples did not reach the disk
                self.read[read.record] = read
                self._added += 1
                good += len(line) + 1
            if reading != self._reading:
                if self._added:
                    raise DataError(
                        f"{self.root}: an import that was stopped has read recordings of {reading}, and this one reads "
                        f"those of {self._reading}; finish it as it began, or choose another --output"
                    )
                good = 0
        del samples
        self._journal.truncate(good)
        if not good:
            _write(self._journal, json.dumps(begin).encode() + b"\n")
        shards, rest = divmod(self._added, self._per_shard)
        for number in itertools.count(self._first + shards + (rest > 0)):
            if not (path := _shard(self.root, number)).exists():
                break
            path.unlink()
        if rest:
            self._begin_shard(rest)

    def _there(self, path: Path) -> tuple[np.ndarray, bool]:
        """The rows in a file of an import that was stopped, and whether all of them were on disk."""
        rows = (path.stat().st_size - HEADER_BYTES) // self._row.itemsize if path.exists() else 0
        if rows < 1:
            return np.zeros(0), False
        with open_regular(path) as file:
            whole = file.read(HEADER_BYTES) == npy_header(self._row, rows)
            return Shards([(file, rows)], self._row.shape, HEADER_BYTES).parts[0], whole

    def _begin_shard(self, rows: int) -> None:
        """Open the file for the next record, and keep this many rows that are in it."""
        path = _shard(self.root, self._first + self._added // self._per_shard)
        self._shard = open(path, "r+b" if rows else "w+b", buffering=0)  # noqa: SIM115 # `_end_shard` closes it
        self._shard.write(bytes(HEADER_BYTES))  # that of npy is written when all rows are on disk
        self._shard.truncate(HEADER_BYTES + rows * self._row.itemsize)
        self._shard.seek(0, os.SEEK_END)

    def _end_shard(self, rows: int) -> None:
        assert self._shard is not None
        os.fsync(self._shard.fileno())
        self._shard.seek(0)
        self._shard.write(npy_header(self._row, rows))
        os.fsync(self._shard.fileno())
        self._shard.close()
        self._shard = None

    def add(self, some: list[tuple[Read, bytes]]) -> None:
        """Add records, each with the samples of its row, padded to the layout.

        Raises:
            WriteError: the disk is full, for example; what was added before stays.
        """
        with writing(self.root):
            while some:
                room = self._per_shard - self._added % self._per_shard
                if self._shard is None:
                    self._begin_shard(0)
                assert self._shard is not None
                part, some = some[:room], some[room:]
                _write(self._shard, b"".join(samples for _, samples in part))
                _write(self._journal, b"".join(json.dumps(read._asdict()).encode() + b"\n" for read, _ in part))
                self._added += len(part)
                self.read |= {read.record: read for read, _ in part}
                if len(part) == room:
                    self._end_shard(self._per_shard)

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
            with writing(self.root):
                shards, rest = divmod(self._added, self._per_shard)
                if rest:
                    self._end_shard(rest)
                (self.root / table).mkdir(mode=0o755)
                write_table(self.root / table, columns)
                sha256 = {}
                for column in columns:
                    with open(self.root / table / f"{column}.npy", "rb") as file:
                        os.fsync(file.fileno())
                        sha256[column] = hashlib.sha256(file.read()).hexdigest()
                before = () if self.info is None else self.info.shards
                added = (*[self._per_shard] * shards, *[rest] * (rest > 0))
                info = Info(name, self.layout, classes, (*before, *added), table, sha256)
                write_json(self.root / "info.json", {"format": _FORMAT, **asdict(info)})
        except WriteError:
            shutil.rmtree(self.root / table, ignore_errors=True)
            raise
        # from here on it is done; the rest is to tidy up
        with contextlib.suppress(OSError):
            paths = [_shard(self.root, number) for number in range(len(info.shards))]
            remember_verified(self.root, {path.name: file_state(path) for path in paths})
            for other in self.root.glob("table-*"):
                if other.name != table:
                    shutil.rmtree(other)
            (self.root / "journal.jsonl").unlink()
        return info

    def close(self) -> None:
        """Close the files."""
        self._journal.close()
        if self._shard is not None:
            self._shard.close()


def _begun(line: bytes, begin: Mapping[str, Any]) -> tuple[Layout, str] | None:
    """Layout and reading in the first line of a journal; None if its other values are not those of `begin`."""
    with contextlib.suppress(ValueError, KeyError, TypeError, SignalError):
        found = json.loads(line)
        if all(found[name] == begin[name] for name in ("shards", "per_shard")):
            return layout_of(found["layout"]), str(found["reading"])
    return None


def _journalled(line: bytes) -> Read | None:
    """The record in a line of a journal; None if the line was not written completely."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        found = json.loads(line)
        record, path, digest = str(found["record"]), str(found["path"]), str(found["digest"])
        return Read(record, path, int(found["length"]), digest, int(found["unit_uv"]), int(found["changes"]))
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
