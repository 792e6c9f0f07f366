"""A model on many files: one row per record, several processes, and a run that was stopped goes on."""

import contextlib
import csv
import hashlib
import io
import json
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from glob import has_magic, iglob
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Protocol

from ecgzoo.errors import DataError, EcgZooError, EcgZooWarning, printable
from ecgzoo.files import lock, read_bytes, write_atomic, writing
from ecgzoo.model import EcgModel
from ecgzoo.prediction import Prediction
from ecgzoo.recordings import is_recording
from ecgzoo.signal import Record
from ecgzoo.signal.readers.wfdb import HEADER_BYTES
from ecgzoo.weights import load_pretrained
from ecgzoo.weights.folder import meaning
from ecgzoo.workers import in_order

FILES_AT_ONCE = 64  # a task of a process, and what is lost at most when the run is stopped, a process
SAMPLES_AT_ONCE = 1 << 23  # that a process holds before it predicts
ROWS_AT_ONCE = 10_000  # a row group of Parquet
FORMATS = (".csv", ".jsonl", ".parquet")
_WFDB_PARTS = (".dat", ".mat", ".atr")  # the header stands for them
_OTHER = {"model": "other weights", "flags": "other flags", "folder": "files of another folder"}

Read = Callable[[Path], Record]
Row = dict[str, Any]


class Answer(NamedTuple):
    """What was said of a file: its row in a table, and as text."""

    row: Row
    text: str


def find_records(paths: Sequence[str | Path]) -> Iterator[Path]:
    """The records that `paths` mean, in order: files as they are named, and what is in folders and matches globs.

    In a folder, and among the matches of a glob, a record is each WFDB header, whatever is in it, and each other file
    that a registered reader knows by its content. Files of signals are left out where their header is a record. A
    warning counts files that no reader knows, since one may be a recording that is empty or damaged. Links to folders
    are followed.

    Raises:
        DataError: a folder or a glob holds no record.
    """
    _named_in.cache_clear()  # the files may have changed
    seen: set[Path] = set()
    unknown: list[Path] = []
    headers = {path for path in map(Path, paths) if path.suffix == ".hea"}
    for given in paths:
        found = False
        for path, named in _meant(given):
            # a shell makes of folder/* a path for each file of a record
            if named and path not in headers and path.with_suffix(".hea") in headers and _is_part(path):
                found = True
                continue
            if not (named or _is_record(path)):
                unknown += [] if path.with_suffix(".hea").exists() or _is_named(path) else [path]
                continue
            found = True
            if len(paths) > 1 or has_magic(str(given)):  # a folder and a file in it
                if path in seen:
                    continue
                seen.add(path)
            yield path
        if not found:
            raise DataError(f"{given}: no record is there; expected WFDB headers (.hea) or files of a known format")
    if unknown := list(dict.fromkeys(unknown)):
        warnings.warn(
            f"files that no reader knows are left out: {len(unknown)}, the first is {printable(unknown[0])}",
            EcgZooWarning,
            stacklevel=2,
        )


def _meant(given: str | Path) -> Iterator[tuple[Path, bool]]:
    """The files that `given` may mean, and whether it names the file itself."""
    path = Path(given)
    if path.is_dir():
        walked: set[str] = set()
        for folder, folders, names in os.walk(path, followlinks=True):
            if (place := os.path.realpath(folder)) in walked:  # a link that leads back
                folders.clear()
                continue
            walked.add(place)
            folders.sort()
            yield from ((Path(folder, name), False) for name in sorted(names))
    elif has_magic(str(given)) and not path.exists():
        for match in sorted(iglob(str(given), recursive=True)):
            yield from _meant(match) if os.path.isdir(match) else [(Path(match), False)]
    else:
        yield path, True


def _is_record(path: Path) -> bool:
    return path.suffix == ".hea" or (not _is_part(path) and is_recording(path))


def _is_part(path: Path) -> bool:
    """Whether a file belongs to the record of a WFDB header: of its own name, or of one that names the file."""
    return (path.suffix in _WFDB_PARTS and path.with_suffix(".hea").exists()) or _is_named(path)


def _is_named(path: Path) -> bool:
    """Whether a header in its folder names the file, which then is a part of that record."""
    return printable(path.name) in _named_in(path.parent)


@lru_cache(maxsize=1)
def _named_in(folder: Path) -> frozenset[str]:
    """The first word of each line of the WFDB headers in a folder: among them the names of their files."""
    names: set[str] = set()
    for header in folder.glob("*.hea"):
        with contextlib.suppress(OSError):
            text = read_bytes(header, HEADER_BYTES).decode("utf-8", errors="replace")
            names |= {line.split()[0] for line in text.splitlines() if line.split()}
    return frozenset(names)


@dataclass
class Predictor:
    """A model on files, in this process.

    Attributes:
        model: trained.
        read: reads a file; processes import it by its name.
        insist: as for `EcgModel.predict`.
        flags: how `read` reads, as text for a column of the table.
        said: the text of an error.
    """

    model: EcgModel
    read: Read
    insist: bool = False
    flags: str = ""
    said: Callable[[EcgZooError], str] = str

    @cached_property
    def identity(self) -> dict[str, str]:
        """The columns that all rows of a table have in common: weights, flags, and where relative paths begin."""
        source = self.model.weights_source
        weights = f"{source.sha256 if source else self.model.config.architecture} {meaning(self.model.config)}"
        return {
            "model": hashlib.sha256(weights.encode()).hexdigest()[:12],
            "flags": f"{self.flags} --insist".strip() if self.insist else self.flags,
            "folder": printable(os.getcwd()),
        }

    @property
    def columns(self) -> list[str]:
        """The columns of a row, in order."""
        return list(self._row(Path(), self._no_values()))

    def answers(self, paths: Iterable[Path]) -> list[Answer]:
        """One `Answer` for each file, in order, whatever is in it."""
        found: list[Answer] = []
        waiting: list[tuple[Path, Record | Exception]] = []
        samples = 0
        for path in paths:
            read = self._read(path)
            waiting.append((path, read))
            samples += read.signal.size if isinstance(read, Record) else 0
            if samples > SAMPLES_AT_ONCE:
                found += self._predicted(waiting)
                waiting, samples = [], 0
        return found + self._predicted(waiting)

    def _read(self, path: Path) -> Record | Exception:
        try:
            return self.read(path)
        except Exception as error:  # others wrote the file, and maybe its reader: it is one row, and the run goes on
            return error

    def _predicted(self, waiting: Sequence[tuple[Path, Record | Exception]]) -> list[Answer]:
        records = [record for _, record in waiting if isinstance(record, Record)]
        said = iter(self.model.predict_many(records, insist=self.insist))
        found = []
        for path, read in waiting:
            outcome = read if isinstance(read, Exception) else next(said)
            if isinstance(outcome, Prediction):
                found.append(Answer(self._row(path, outcome.to_row()), str(outcome)))
                continue
            if isinstance(outcome, EcgZooError):
                text = self.said(outcome)
            else:
                text = printable(f"{type(outcome).__name__}: {outcome}")
            text = text if printable(path) in text else f"{printable(path)}: {text}"
            found.append(Answer(self._row(path, self._no_values(), text), text))
        return found

    def _no_values(self) -> Row:
        return dict.fromkeys(Prediction("", self.model.config.labels, (), 0, (), 0.0).to_row())

    def _row(self, path: Path, values: Row, error: str | None = None) -> Row:
        del values["source"]
        return {"path": printable(path), **values, "error": error, **self.identity}


def predict_files(
    predictor: Predictor, model: str, paths: Iterable[Path], *, workers: int = 1
) -> Iterator[list[Answer]]:
    """The answers of `predictor` on `paths`, in order, as many at a time as a process took.

    Args:
        predictor: what this process uses; others make one like it.
        model: its name or folder, which other processes load as `load_pretrained` does.
        paths: files; they are taken as they are needed.
        workers: processes, each with a model and one thread; with 1, this process.

    Raises:
        DataError: a process was ended from outside.
    """
    paths = iter(paths)
    tasks = iter(lambda: list(islice(paths, FILES_AT_ONCE)), [])
    if workers == 1:
        yield from map(predictor.answers, tasks)
        return
    again = "what is in the output stays: run the same command again, with fewer workers"
    others = (predictor.read, predictor.insist, predictor.flags, predictor.said)
    yield from in_order(workers, partial(_answers_of, model, *others), tasks, if_ended=again)


def _answers_of(
    model: str, read: Read, insist: bool, flags: str, said: Callable[[EcgZooError], str]
) -> Callable[[Iterable[Path]], list[Answer]]:
    import torch

    warnings.simplefilter("ignore", EcgZooWarning)  # the parent has said it
    torch.set_num_threads(1)
    return Predictor(load_pretrained(model), read, insist, flags, said).answers


class Output(Protocol):
    """A table on disk that rows are added to, by a run that may be stopped at any time and goes on.

    Attributes:
        done: the paths that it held when it was opened.
        failed: how many of those have an error.
    """

    done: set[str]
    failed: int

    def add(self, rows: Sequence[Row]) -> None:
        """Add `rows`; they are in the file when this returns.

        Raises:
            WriteError: the disk is full, for example.
        """

    def finish(self) -> None:
        """All rows are there."""


def open_output(path: Path, columns: Sequence[str], identity: Mapping[str, str]) -> Output:
    """The table at `path`, new or with what an earlier run left, in the format that its suffix names.

    Rows of CSV and JSON lines are appended; half a line that a killed run left is cut off. Rows of Parquet, which
    cannot be appended to, are collected in ``PATH.part.jsonl``; when all are there they are written aside with those of
    an older table, in row groups, and renamed.

    Args:
        path: ``.csv``, ``.jsonl`` or ``.parquet``.
        columns: of a row, in order.
        identity: what all rows have in common; a table of other weights, flags or files is refused.

    Raises:
        DataError: another format, a table of other columns or of another `identity`, another run writes it, or pyarrow
            is missing.
        WriteError: it cannot be written.
    """
    with writing(path):
        if path.suffix == ".parquet":
            return _Parquet(path, columns, identity)
        if path.suffix in FORMATS:
            return _Lines(path, columns, identity)
    raise DataError(f"{path}: expected a name that ends with {', '.join(FORMATS)}")


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep other runs out until `file` is closed: they would add the same rows again."""
    try:
        lock(file.fileno())
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return
    except (BlockingIOError, FileNotFoundError):  # or it has just finished
        pass
    except OSError as error:
        message = f"{path} cannot be locked ({error}); do not start another run with the same output"
        warnings.warn(message, EcgZooWarning, stacklevel=2)
        return
    raise DataError(f"another run writes {path}; wait for it or choose another --output")


class _Lines:
    """CSV or JSON lines."""

    def __init__(self, path: Path, columns: Sequence[str], identity: Mapping[str, str]) -> None:
        self.path, self.columns = path, list(columns)
        self.done: set[str] = set()
        self.failed = 0
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a+b")  # noqa: SIM115 # `finish` closes it
        _lock(self._file, path)
        self._check_first_line()
        _cut_half_a_line(self._file)
        for row in self.rows():
            _check_row(path, row, self.columns, identity)
            self.done.add(row["path"])
            self.failed += bool(row["error"])
        if path.suffix == ".csv" and not path.stat().st_size:
            self._write([_csv_line(self.columns)])

    def _check_first_line(self) -> None:
        """Refuse a file that another program wrote, before anything of it is cut."""
        begin = f"{_csv_line(self.columns)}\n".encode() if self.path.suffix == ".csv" else b'{"path": '
        self._file.seek(0)
        if not begin.startswith(self._file.read(len(begin))):
            raise _other_table(self.path)

    def rows(self) -> Iterator[Row]:
        """What it holds."""
        try:
            with open(self.path, encoding="utf-8", newline="") as file:
                yield from csv.DictReader(file) if self.path.suffix == ".csv" else map(json.loads, file)
        except (ValueError, csv.Error) as error:
            raise _other_table(self.path) from error

    def add(self, rows: Sequence[Row]) -> None:
        if self.path.suffix == ".csv":
            self._write([_csv_line([row[name] for name in self.columns]) for row in rows])
        else:
            self._write([json.dumps(row, allow_nan=False) for row in rows])

    def _write(self, lines: Sequence[str]) -> None:
        with writing(self.path):
            self._file.write("".join(f"{line}\n" for line in lines).encode())
            self._file.flush()

    def finish(self) -> None:
        self._file.close()


class _Parquet:
    """Parquet, by way of JSON lines."""

    def __init__(self, path: Path, columns: Sequence[str], identity: Mapping[str, str]) -> None:
        if find_spec("pyarrow") is None:
            raise DataError(f"{path}: Parquet needs pyarrow; pip install 'ecgzoo[parquet]', or name a .csv or .jsonl")
        import pyarrow.parquet as pq

        self.path = path
        self._lines = _Lines(path.with_name(f"{path.name}.part.jsonl"), columns, identity)
        self._before: set[str] = set()
        self.failed = 0
        if path.exists():
            try:
                with pq.ParquetFile(path) as table:
                    for batch in table.iter_batches():
                        for row in batch.to_pylist():
                            _check_row(path, row, columns, identity)
                            self._before.add(row["path"])
                            self.failed += bool(row["error"])
            except (OSError, ValueError) as error:
                raise DataError(f"{path}: is no Parquet file; choose another output") from error
        self.done = self._before | self._lines.done
        self.failed += sum(bool(row["error"]) for row in self._lines.rows() if row["path"] not in self._before)
        self._grown = not path.exists() or not self._lines.done <= self._before
        self._columns = list(columns)

    def add(self, rows: Sequence[Row]) -> None:
        self._lines.add(rows)
        self._grown = True

    def finish(self) -> None:
        if self._grown:
            write_atomic(self.path, self._write)
        self._lines.finish()
        self._lines.path.unlink()

    def _write(self, temporary: Path) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        kinds = {"quality": pa.float64(), "heart_rate_bpm": pa.float64(), "windows": pa.int64()}
        kinds["windows_left_out"] = pa.int64()
        fields = [
            (name, pa.float64() if name.startswith("p_") else kinds.get(name, pa.string())) for name in self._columns
        ]
        schema = pa.schema(fields)
        new = (row for row in self._lines.rows() if row["path"] not in self._before)
        with pq.ParquetWriter(temporary, schema) as table:
            if self.path.exists():
                with pq.ParquetFile(self.path) as older:
                    for batch in older.iter_batches(ROWS_AT_ONCE):
                        table.write_batch(batch)
            for some in iter(lambda: list(islice(new, ROWS_AT_ONCE)), []):
                table.write_table(pa.Table.from_pylist(some, schema))


def _check_row(path: Path, row: Mapping[str, Any], columns: Sequence[str], identity: Mapping[str, str]) -> None:
    if not isinstance(row, dict) or list(row) != list(columns):
        raise _other_table(path)
    for name, value in identity.items():
        if row[name] != value and not (name == "folder" and os.path.isabs(row["path"])):
            raise DataError(
                f"{path}: holds predictions of {_OTHER[name]} ({row[name]!r}, not {value!r}); choose another output"
            )


def _other_table(path: Path) -> DataError:
    return DataError(f"{path}: holds another table than this command writes; choose another output")


def _cut_half_a_line(file: Any) -> None:
    """Cut a file, opened to append, behind its last line end."""
    end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - 65_536)
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0:
            file.truncate(begin + at + 1)
            break
        end = begin
    else:
        file.truncate(0)
    file.seek(0, os.SEEK_END)


def _csv_line(values: Sequence[object]) -> str:
    """One line of CSV, without a line end in it."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow("" if value is None else printable(value) for value in values)
    return line.getvalue()
