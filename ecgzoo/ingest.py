"""Import recordings that a table names into a cohort: several processes, and an import that was stopped goes on."""

import csv
import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from ecgzoo.data.folder import DIGEST_BYTES, Read, Writer, check_free, counted, digest_of
from ecgzoo.data.prepare import Layout, prepare
from ecgzoo.data.table import WITHOUT_LABELS, Row, check_files, composed, place, read_table, whole_number
from ecgzoo.errors import DataError, EcgZooError, EcgZooWarning, MissingLeadError, printable
from ecgzoo.files import write_text
from ecgzoo.run_folder import RunFolder
from ecgzoo.signal import Record
from ecgzoo.workers import in_order

FILES_AT_ONCE = 64  # a task of a process
LEFT_OUT = "left-out.csv"
_LEFT_OUT_COLUMNS = ("path", "reason")

ReadFile = Callable[[Path], Record]
OnMissing = Literal["error", "skip"]


@dataclass(frozen=True)
class Import:
    """What an import did.

    Attributes:
        records: how many records the cohort has now.
        before: how many of them it had before.
        classes: of the cohort, and how many of its records have each.
        folds: the number of records by fold.
        made_folds: how many of the new records are in a fold that was made from the patient's id.
        without_labels: folds whose records have no labels.
        changes: how many of the new records have each of `ecgzoo.data.prepare.CHANGES`.
        left_out: path and reason of each record of the table that is not in the cohort.
    """

    records: int
    before: int
    classes: Mapping[str, int]
    folds: Mapping[int, int]
    made_folds: int
    without_labels: tuple[int, ...]
    changes: Mapping[int, int]
    left_out: Sequence[tuple[str, str]]


def import_records(
    folder: Path,
    table: Path,
    output: Path,
    *,
    read: ReadFile,
    columns: Mapping[str, str] | None = None,
    layout: Layout | None = None,
    classes: Sequence[str] = (),
    name: str | None = None,
    missing_leads: OnMissing = "error",
    workers: int = 1,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Import:
    """Add the records of `table` to the cohort in `output`, which is made if it is not there.

    A record that `output` holds is not read again. A recording that cannot be used is left out, and so is one with the
    samples of another. After an error, or if the process is killed, the same call goes on where it stopped; the cohort
    has the new records when the call has returned, and until then it is what it was.

    Args:
        folder: the paths of the table begin there.
        table: see `read_table`.
        output: a new folder, or that of an earlier import.
        read: reads a file; processes import it by its name.
        columns: see `read_table`.
        layout: of the records; that of the cohort in `output` must be the same.
        classes: all classes; those of the table if there are none. A cohort keeps those that it was made with.
        name: of the cohort; the name of `output` if it is not given.
        missing_leads: whether a recording without one of the leads is an error or left out.
        workers: processes; with 1, this one.
        advance: called with the number of records that are done, and of all.

    Raises:
        DataError: the table, its labels or its folds contradict each other or the cohort, no record could be used, or
            the list of what was left out is damaged.
        MissingLeadError: a recording lacks a lead, and `missing_leads` is ``error``.
        RecipeError: another import uses `output`.
        WriteError: `output` cannot be written.
    """
    layout = layout or Layout()
    rows = read_table(table, columns or {})
    check_files(table, rows, folder)
    check_free(output)
    lock = RunFolder(output)
    lock.lock()
    try:
        writer = Writer(output, layout, _reading(read, folder))
        try:
            job = _Job(folder, table, rows, read, layout, missing_leads, workers, advance)
            return _import(job, writer, classes, name)
        finally:
            writer.close()
    finally:
        lock.unlock()


def _reading(read: ReadFile, folder: Path) -> str:
    """Where recordings come from, and what the function that reads them is given, such as flags."""
    if not isinstance(read, partial):
        return str(folder.resolve())
    given = [*map(repr, read.args), *(f"{name}={value!r}" for name, value in read.keywords.items())]
    return f"{folder.resolve()} with {', '.join(given)}"


@dataclass(frozen=True)
class _Job:
    folder: Path
    table: Path
    rows: list[Row]
    read: ReadFile
    layout: Layout
    missing_leads: OnMissing
    workers: int
    advance: Callable[[int, int], None]


def _import(job: _Job, writer: Writer, wanted: Sequence[str], name: str | None) -> Import:
    before = writer.columns
    held = {int(number): row for row, number in enumerate(before.get("record_ids", ()))}
    known = dict(zip(map(int, before.get("patients", ())), map(int, before.get("folds", ())), strict=True))
    folds = place(job.table, job.rows, known)
    classes = _classes(job, writer, wanted)
    new: list[Row] = []
    for row in job.rows:
        place_there = held.get(whole_number(row.record))
        if place_there is None:
            new.append(row)
        else:
            _check_same(job.table, row, before, place_there, writer.info.classes if writer.info else ())
    left_out = _in_folds_with_labels(job, new, folds, before)
    usable = {row.record: row for row in new if row.record not in left_out}
    if unknown := len(writer.read.keys() - usable.keys()):
        raise DataError(
            f"{job.table}: {unknown} records that an import into {writer.root} has begun with are not in this table; "
            "finish it with the table that it had, or choose another --output"
        )
    for record, earlier in writer.read.items():
        if earlier.path != usable[record].path:
            raise DataError(
                f"{job.table}: row {usable[record].number}: record {record} is {usable[record].path}, and the import "
                f"that was stopped has read it from {earlier.path}; finish it with the table that it had, or choose "
                "another --output"
            )
    left_out |= _read_all(job, usable, writer)
    accepted = [usable[record] for record in writer.read]  # in the order of their samples
    total = len(held) + len(accepted)
    if not total:
        first = next(row for row in job.rows if row.record in left_out)
        reason = left_out[first.record]
        raise DataError(f"{job.table}: no record can be used, the first, {first.path}, because: {reason}")
    _write_left_out(job, writer.root, left_out)
    added = _columns(accepted, folds, classes, writer.read)
    whole = {key: np.concatenate([before[key], values]) if before else values for key, values in added.items()}
    writer.finish(name or (writer.info.name if writer.info else writer.root.resolve().name), classes, whole)
    return Import(
        records=total,
        before=len(held),
        classes=dict(zip(classes, map(int, whole["labels"].sum(axis=0, dtype=np.int64)), strict=True)),
        folds=dict(sorted(Counter(whole["folds"].tolist()).items())),
        made_folds=_made_folds(job.rows, accepted, known, folds),
        changes=counted(added["changes"]),
        without_labels=tuple(sorted({int(fold) for fold in whole["folds"][whole["labelled"] == 0]})),
        left_out=[(row.path, left_out[row.record]) for row in new if row.record in left_out],
    )


def _classes(job: _Job, writer: Writer, wanted: Sequence[str]) -> tuple[str, ...]:
    """All classes, sorted; labels and flags must not name others than those of a cohort that is there."""
    named = {label: row for row in reversed(job.rows) for label in row.labels or ()}
    there = writer.info.classes if writer.info else None
    wanted = [composed(name) for name in wanted]
    if there is not None and wanted and sorted(set(wanted)) != list(there):
        raise DataError(f"{writer.root}: has the classes {', '.join(there)}; leave out --classes, or name the same")
    classes = there or tuple(sorted(set(wanted) or set(named)))
    for label in sorted(named.keys() - set(classes)):
        raise DataError(
            f"{job.table}: row {named[label].number}: {label!r} is none of the classes {', '.join(classes)}; correct "
            f"it, or {'import into another --output' if there else 'name all classes with --classes'}"
        )
    plain = {name: " ".join(name.casefold().split()) for name in classes}
    folded = {alike: name for name, alike in plain.items()}
    if twice := next((name for name, alike in plain.items() if folded[alike] != name), None):
        raise DataError(
            f"{job.table}: the classes {twice!r} and {folded[plain[twice]]!r} differ only in capitals or blanks; write "
            "one name"
        )
    if not all(classes):
        raise DataError(f"the name of a class is empty in {', '.join(map(repr, classes))}; write --classes A,B,C")
    if not classes:
        raise DataError(
            f"{job.table}: no record has labels; name the classes, those of a teacher, with --classes A,B,C"
        )
    return classes


def _made_folds(
    rows: Sequence[Row], accepted: Sequence[Row], known: Mapping[int, int], folds: Mapping[str, int]
) -> int:
    given = known.keys() | {whole_number(row.patient) for row in rows if row.fold is not None}
    made = (row for row in accepted if whole_number(row.patient) not in given)
    return sum(folds[row.record] != WITHOUT_LABELS for row in made)


def _check_same(
    table: Path, row: Row, there: Mapping[str, np.ndarray], place_there: int, classes: Sequence[str]
) -> None:
    """Refuse a row that says something else than the cohort does of the same record."""
    labels = {name for name, one in zip(classes, there["labels"][place_there], strict=True) if one}
    mine = None if row.labels is None else set(row.labels)
    differs = None
    if int(there["patients"][place_there]) != whole_number(row.patient):
        differs = "another patient"
    elif mine != (labels if there["labelled"][place_there] else None):
        differs = "other labels"
    if differs:
        raise DataError(
            f"{table}: row {row.number}: record {row.record} is in the cohort with {differs}; leave it out, or import "
            "into another --output"
        )


def _in_folds_with_labels(
    job: _Job, new: Sequence[Row], folds: Mapping[str, int], before: Mapping[str, np.ndarray]
) -> dict[str, str]:
    """Reasons to leave out records without labels from folds with labels, where they would count as negative."""
    there, labelled = before.get("folds", np.zeros(0)), before.get("labelled", np.zeros(0))
    without = set(there[labelled == 0].tolist())
    for row in new:
        if row.labels is not None and folds[row.record] in without:
            raise DataError(
                f"{job.table}: row {row.number}: patient {row.patient} is in fold {folds[row.record]}, whose records "
                "in the cohort have no labels; leave out the labels, put a patient who is not in the cohort in another "
                "fold, or import all records into another --output"
            )
    with_labels = set(there[labelled == 1].tolist()) | {folds[row.record] for row in new if row.labels is not None}
    return {
        row.record: f"no labels, but its fold, {folds[row.record]}, has records with labels"
        for row in new
        if row.labels is None and folds[row.record] in with_labels
    }


class _Refused(NamedTuple):
    """Why a recording cannot be used; of a missing lead, also what is said, the leads and the channels."""

    reason: str
    missing: tuple[str, tuple[str, ...], tuple[str, ...]] | None = None


_Answer = tuple[Read, bytes] | _Refused  # or the record, and its row in the store


def _read_all(job: _Job, rows: Mapping[str, Row], writer: Writer) -> dict[str, str]:
    """Read all `rows` that were not read, and add them in their order; the reasons why some are left out."""
    there = zip(*(writer.columns.get(name, ()) for name in ("record_ids", "digests", "patients")), strict=True)
    samples_of = {
        bytes(digest).hex(): (f"record {number} of the cohort", int(patient)) for number, digest, patient in there
    }
    samples_of |= {
        read.digest: (rows[record].path, whole_number(rows[record].patient)) for record, read in writer.read.items()
    }
    waiting = [row for record, row in rows.items() if record not in writer.read]
    done, refused = len(rows) - len(waiting), {}
    job.advance(done, len(rows))
    tasks = [waiting[start : start + FILES_AT_ONCE] for start in range(0, len(waiting), FILES_AT_ONCE)]
    for task, answers in zip(tasks, _answers(job, tasks), strict=True):
        added: list[tuple[Read, bytes]] = []
        for row, answer in zip(task, answers, strict=True):
            if isinstance(answer, _Refused):
                if answer.missing and job.missing_leads == "error":
                    writer.add(added)
                    problem, leads, channels = answer.missing
                    problem = f"{problem} To leave out such recordings, pass --missing-leads skip."
                    raise MissingLeadError(problem, missing=leads, channels=channels)
                refused[row.record] = answer.reason
                continue
            digest = answer[0].digest
            if digest in samples_of:
                name, patient = samples_of[digest]
                other = ", which is said to be of another patient: check both"  # their records may be in two folds
                refused[row.record] = f"has the same samples as {name}" + other * (patient != whole_number(row.patient))
            else:
                samples_of[digest] = row.path, whole_number(row.patient)
                added.append(answer)
        writer.add(added)
        done += len(task)
        job.advance(done, len(rows))
    return refused


def _answers(job: _Job, tasks: Sequence[Sequence[Row]]) -> Iterator[list[_Answer]]:
    """What was read of each task's files, in order."""
    reader = partial(_Reader, job.folder, job.read, job.layout)
    if job.workers == 1:
        return map(reader(), tasks)
    again = "run the same command again, with fewer workers: what was read is not read again"
    return in_order(job.workers, reader, tasks, if_ended=again)


@dataclass(frozen=True)
class _Reader:
    folder: Path
    read: ReadFile
    layout: Layout

    def __call__(self, rows: Sequence[Row]) -> list[_Answer]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", EcgZooWarning)
            return [self._answer(row) for row in rows]

    def _answer(self, row: Row) -> _Answer:
        path = self.folder / row.path
        try:
            samples, unit_uv, changes = prepare(self.read(path), self.layout)
        except MissingLeadError as error:
            return _Refused(str(error), (error.problem, error.missing, error.channels))
        except EcgZooError as error:
            return _Refused(str(error))
        except Exception as error:  # others wrote the file, and maybe its reader
            return _Refused(printable(f"{path}: {type(error).__name__}: {error}"))
        length = samples.shape[1]
        content = np.pad(samples.astype("<i2", copy=False), ((0, 0), (0, self.layout.samples - length))).tobytes()
        return Read(row.record, row.path, length, digest_of(content).hex(), unit_uv, changes), content


def _columns(
    rows: Sequence[Row], folds: Mapping[str, int], classes: Sequence[str], read: Mapping[str, Read]
) -> dict[str, np.ndarray]:
    """The columns of new records, in the order of their samples."""
    number = {name: column for column, name in enumerate(classes)}
    labels = np.zeros((len(rows), len(classes)), np.uint8)
    for one, row in zip(labels, rows, strict=True):
        one[[number[name] for name in row.labels or ()]] = 1
    digests = b"".join(bytes.fromhex(read[row.record].digest) for row in rows)
    return {
        "record_ids": np.array([whole_number(row.record) for row in rows], np.int64),
        "patients": np.array([whole_number(row.patient) for row in rows], np.int64),
        "folds": np.array([folds[row.record] for row in rows], np.int16),
        "lengths": np.array([read[row.record].length for row in rows], np.int64),
        "units": np.array([read[row.record].unit_uv for row in rows], np.uint8),
        "changes": np.array([read[row.record].changes for row in rows], np.uint8),
        "labelled": np.array([row.labels is not None for row in rows], np.uint8),
        "digests": np.frombuffer(digests, np.uint8).reshape(len(rows), DIGEST_BYTES),
        "labels": labels,
    }


def _write_left_out(job: _Job, root: Path, left_out: Mapping[str, str]) -> None:
    """List what is not in the cohort: of this table, and of earlier ones what this one does not name."""
    path = root / LEFT_OUT
    lines = [(printable(row.path), left_out[row.record]) for row in job.rows if row.record in left_out]
    if path.exists():
        named = {printable(row.path) for row in job.rows}
        try:
            with open(path, encoding="utf-8-sig", newline="") as file:
                head, *earlier = [(name, reason) for name, reason in csv.reader(file)]
            if head != _LEFT_OUT_COLUMNS:
                raise ValueError(f"its columns are {', '.join(head)}")
        except (OSError, ValueError, csv.Error) as error:
            raise DataError(
                f"{path}: is not the list that was written ({error}), and may have been saved by another program; "
                "restore or delete it, and run the same command again"
            ) from error
        lines = [line for line in earlier if line[0] not in named] + lines
    if not lines:
        path.unlink(missing_ok=True)
        return
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([_LEFT_OUT_COLUMNS, *lines])
    write_text(path, text.getvalue())
