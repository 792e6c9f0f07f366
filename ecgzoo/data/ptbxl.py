"""PTB-XL at 100 Hz: 12 leads, 10 s, six label sets (Wagner et al. 2020, doi:10.1038/s41597-020-0495-6).

Label sets and folds follow the benchmark of Strodthoff et al. 2021 (doi:10.1109/jbhi.2020.3022989).
"""

import ast
import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ecgzoo.data.cohort import Cohort
from ecgzoo.data.store import file_digest, open_store, store_key, to_microvolts, tree_digest, write_signals, write_table
from ecgzoo.errors import DataError, SignalError, did_you_mean
from ecgzoo.files import open_regular
from ecgzoo.signal import LEADS_12, Record
from ecgzoo.signal.readers.wfdb import read_wfdb
from ecgzoo.signal.windows import duration

RATE_HZ = 100.0
SAMPLES = 1000
EINTHOVEN_TOLERANCE_UV = 3.0  # leads are rounded to 1 µV one by one, which accounts for 1.5

# Label set: the column of scp_statements.csv that says which statements belong to it, and the column with the name of
# the class (None: the statement itself is the class).
_TASKS: dict[str, tuple[str | None, str | None]] = {
    "superdiagnostic": ("diagnostic", "diagnostic_class"),
    "subdiagnostic": ("diagnostic", "diagnostic_subclass"),
    "diagnostic": ("diagnostic", None),
    "form": ("form", None),
    "rhythm": ("rhythm", None),
    "all": (None, None),
}
TASKS = tuple(_TASKS)

# what the diagnostic superclasses mean, and the SNOMED CT concept nearest to each
_SUPERCLASSES = {
    "CD": ("conduction disturbance", "44808001"),
    "HYP": ("hypertrophy", "266249003"),
    "MI": ("myocardial infarction", "164865005"),
    "NORM": ("normal ECG", "164854000"),
    "STTC": ("ST/T change", "428750005"),
}

# used if a task has all of the classes: name, meaning, SNOMED CT concept, classes
_AGGREGATE = ("AFIB_AFLT", "atrial fibrillation or flutter", "195080001", ("AFIB", "AFLT"))

_DATABASE, _STATEMENTS, _RECORDS = "ptbxl_database.csv", "scp_statements.csv", "records100"
_DATABASE_COLUMNS = ("ecg_id", "patient_id", "age", "sex", "scp_codes", "strat_fold", "filename_lr")
# what ast.literal_eval, int and float raise for a malformed cell
_UNREADABLE = (ValueError, OverflowError, SyntaxError, TypeError, AttributeError, RecursionError, MemoryError)
_OLDEST = 89  # years; PTB-XL writes 300 for older patients
_STATEMENT_COLUMNS = ("", "description", "diagnostic", "form", "rhythm", "diagnostic_class", "diagnostic_subclass")
_LAYOUT = (
    f"PTB-XL's folder holds {_DATABASE}, {_STATEMENTS} and {_RECORDS}/; "
    "download it from https://physionet.org/content/ptb-xl/1.0.3/."
)


def load_ptbxl(root: Path | None, task: str = "superdiagnostic") -> Cohort:
    """PTB-XL's 100 Hz records with the labels of one task.

    A statement counts with any likelihood. The classes are those of ``scp_statements.csv``, in alphabetical order, also
    those that no record has. Records without a label of the task are left out. An incomplete copy, with some of the
    folds or with a shorter ``ptbxl_database.csv``, is read as it is.

    The first call reads the records into a store (see ``ecgzoo.data.store``); later calls map it into memory.
    ``Cohort.notes`` counts flat leads, violations of Einthoven's law and interpolated samples.

    Args:
        root: the folder of PTB-XL, version 1.0.1 or later.
        task: one of ``TASKS``.

    Raises:
        DataError: the task is unknown, or a file or column of the data set is missing, damaged or contradictory.
    """
    if task not in _TASKS:
        raise DataError(f"PTB-XL has no task {task!r}. {did_you_mean(task, TASKS)}")
    if root is None:
        raise DataError(f"PTB-XL is read from files; give its folder. {_LAYOUT}")
    root = Path(root)
    for name in (_DATABASE, _STATEMENTS, _RECORDS):
        if not (root / name).exists() or (root / name).is_dir() != (name == _RECORDS):
            raise DataError(f"{root / name}: not found. {_LAYOUT}")
    member, class_column = _TASKS[task]
    statements, descriptions = _read_statements(root / _STATEMENTS, member, class_column)
    try:
        digests = file_digest(root / _DATABASE), file_digest(root / _STATEMENTS)
        key = store_key("ptbxl with sex and age", *digests, tree_digest(root / _RECORDS))
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error}). {_LAYOUT}") from error
    store = open_store(key, lambda folder: _build(folder, root), _record_type(len(statements)))

    classes = tuple(sorted({name for name in statements.values() if name}))
    class_of = np.zeros((len(statements), len(classes)), np.float32)
    for row, class_name in enumerate(statements.values()):
        if class_name:
            class_of[row, classes.index(class_name)] = 1
    labels = (store.table["statements"] @ class_of > 0).astype(np.uint8)
    kept = np.flatnonzero(labels.any(axis=1))
    left_out = len(labels) - len(kept)
    if not len(kept):
        raise DataError(f"{root / _DATABASE}: none of {len(labels)} records has a {task} label. Choose another task.")
    name, meaning, snomed, of = _AGGREGATE
    aggregates = {name: of} if set(of) <= set(classes) else {}
    return Cohort(
        name="ptbxl",
        task=task,
        classes=classes,
        leads=LEADS_12,
        rate_hz=RATE_HZ,
        store=store.signals,
        positions=kept,
        labels=labels[kept],
        folds=store.table["folds"][kept],
        patients=store.table["patients"][kept],
        record_ids=store.table["record_ids"][kept],
        # only of contents, so that it is the same for copies of the files elsewhere
        fingerprint=store_key(task, *digests, store.digest),
        sexes=store.table["sexes"][kept],
        ages=store.table["ages"][kept],
        class_info={
            **{name: _class_info(name, statements, descriptions) for name in classes},
            **{name: {"name": meaning, "scp": list(of), "snomed": snomed} for name in aggregates},
        },
        aggregates=aggregates,
        license="CC-BY-4.0",
        notes=(
            *store.notes,
            *(
                [f"Records left out because they have no label of task {task}: {left_out} of {len(labels)}."]
                if left_out
                else ()
            ),
        ),
    )


def _class_info(name: str, statements: dict[str, str | None], descriptions: dict[str, str]) -> dict[str, Any]:
    """A class's plain name and codes: its SCP-ECG statements, and a SNOMED CT concept if one has the same meaning."""
    plain, snomed = _SUPERCLASSES.get(name, (descriptions.get(name, name), None))
    scp = [code for code, belongs_to in statements.items() if belongs_to == name]
    return {"name": plain, "scp": scp, **({"snomed": snomed} if snomed else {})}


def _read_statements(
    path: Path, member: str | None, class_column: str | None
) -> tuple[dict[str, str | None], dict[str, str]]:
    """Every SCP-ECG statement, in the order of the file, with its class in the task; None if it has none.

    The second mapping gives the meaning of each statement.
    """
    statements: dict[str, str | None] = {}
    descriptions: dict[str, str] = {}
    for row in _read_csv(path, _STATEMENT_COLUMNS):
        code = row[""]
        descriptions[code] = row["description"]
        belongs = member is None or row[member] in ("1", "1.0")
        statements[code] = (row[class_column] if class_column else code) if belongs else None
        if statements[code] == "":
            raise DataError(f"{path}: {code} is {member} but has no {class_column}. {_LAYOUT}")
    return statements, descriptions


def _read_csv(path: Path, columns: Iterable[str]) -> Iterator[dict[str, str]]:
    try:
        with open_regular(path) as content, io.TextIOWrapper(content, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path}: no column {', '.join(map(repr, missing))}. {_LAYOUT}")
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(
                        f"{path}: line {reader.line_num} does not have {len(reader.fieldnames or ())} fields. "
                        f"Restore the file. {_LAYOUT}"
                    )
                yield row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error}). {_LAYOUT}") from error


@dataclass(frozen=True)
class _Row:
    """The columns of ptbxl_database.csv that are used, for one row."""

    record_id: int
    patient: int
    sex: int
    age: float
    fold: int
    file: str
    codes: tuple[str, ...]


def _read_database(path: Path) -> list[_Row]:
    """All rows, sorted by record id."""
    rows = []
    for cells in _read_csv(path, _DATABASE_COLUMNS):
        try:
            codes = ast.literal_eval(cells["scp_codes"])
            row = _Row(
                record_id=int(cells["ecg_id"]),
                patient=int(float(cells["patient_id"])),  # the file writes 15709.0
                sex=int(float(cells["sex"] or -1)),
                age=min(float(cells["age"] or "nan"), _OLDEST + 1),
                fold=int(cells["strat_fold"]),
                file=cells["filename_lr"],
                codes=tuple(codes.keys()),
            )
            if row.sex not in (-1, 0, 1) or row.age < 0 or not 0 < row.fold < 100:
                raise ValueError(f"sex {row.sex}, age {row.age:g} or fold {row.fold} does not occur in PTB-XL")
            if max(abs(row.record_id), abs(row.patient)) >= 2**63:
                raise ValueError("a number that is too large")
            if not all(isinstance(code, str) for code in row.codes):
                raise ValueError("a statement is not text")
            rows.append(row)
        except _UNREADABLE as error:
            raise DataError(f"{path}: row of ecg_id {cells['ecg_id']!r} cannot be read ({error}). {_LAYOUT}") from error
    rows.sort(key=lambda row: row.record_id)
    fold_of: dict[int, int] = {}
    for previous, row in zip([None, *rows], rows, strict=False):
        if previous and previous.record_id == row.record_id:
            raise DataError(f"{path}: ecg_id {row.record_id} occurs twice. {_LAYOUT}")
        if fold_of.setdefault(row.patient, row.fold) != row.fold:
            raise DataError(
                f"{path}: patient {row.patient} is in folds {fold_of[row.patient]} and {row.fold}; in PTB-XL each "
                f"patient is in one fold. Restore the file. {_LAYOUT}"
            )
        if Path(row.file).parts[:1] != (_RECORDS,) or ".." in Path(row.file).parts:
            raise DataError(f"{path}: expected filename_lr inside {_RECORDS}/, got {row.file!r}. {_LAYOUT}")
    return rows


@dataclass
class _Problems:
    """Problems of the records, collected while they are read."""

    flat: list[str] = field(default_factory=list)
    einthoven: list[str] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)

    def look_at(self, record_id: int, record: Record) -> None:
        if np.isnan(record.signal).any():
            self.invalid.append(str(record_id))
        if flat := record.flat_leads():
            self.flat.append(f"{record_id} ({', '.join(flat)})")
        # Rounded to 0.1 µV, because float32 millivolts do not represent 3 µV exactly.
        if round(1000 * record.einthoven_error_mv(), 1) > EINTHOVEN_TOLERANCE_UV:
            self.einthoven.append(str(record_id))

    def notes(self) -> list[str]:
        found = {
            "with interpolated samples": self.invalid,
            "with a flat lead, kept as it is": self.flat,
            f"that break Einthoven's law by more than {EINTHOVEN_TOLERANCE_UV:g} µV, kept as they are": self.einthoven,
        }
        return [
            f"Records {what}: {len(ids)}, namely {', '.join(ids[:10])}{', …' if len(ids) > 10 else ''}."
            for what, ids in found.items()
            if ids
        ]


def _record_type(num_statements: int) -> np.dtype:
    """What the store holds for each record."""
    return np.dtype(
        [
            ("signals", np.int16, (len(LEADS_12), SAMPLES)),
            ("record_ids", np.int64),
            ("patients", np.int64),
            ("folds", np.int16),
            ("sexes", np.int8),
            ("ages", np.float32),
            ("statements", np.uint8, (num_statements,)),
        ]
    )


def _build(folder: Path, root: Path) -> list[str]:
    """Fill the store with all records, with or without a label; return notes about their problems."""
    rows = _read_database(root / _DATABASE)
    codes = list(_read_statements(root / _STATEMENTS, None, None)[0])
    unknown = sorted({code for row in rows for code in row.codes} - set(codes))
    if unknown or not rows:
        found = f"statements {', '.join(unknown)} are not in {_STATEMENTS}" if unknown else "no records"
        raise DataError(f"{root / _DATABASE}: {found}. {_LAYOUT}")
    problems = _Problems()
    write_signals(folder, _read_signals(root, rows, problems), (len(rows), len(LEADS_12), SAMPLES))
    columns = {
        "record_ids": [row.record_id for row in rows],
        "patients": [row.patient for row in rows],
        "folds": [row.fold for row in rows],
        "sexes": [row.sex for row in rows],
        "ages": [row.age for row in rows],
        "statements": [[code in row.codes for code in codes] for row in rows],
    }
    record = _record_type(len(codes))
    write_table(folder, {name: np.array(column, record[name].base) for name, column in columns.items()})
    return problems.notes()


def _read_signals(root: Path, rows: list[_Row], problems: _Problems) -> Iterator[np.ndarray]:
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    for row in track(rows, "Reading PTB-XL", console=console, disable=not console.is_terminal):
        path = root / row.file
        try:
            record = read_wfdb(path)
            if record.rate_hz != RATE_HZ or record.signal.shape[1] != SAMPLES:
                raise DataError(
                    f"expected {duration(SAMPLES, RATE_HZ)}, got "
                    f"{duration(record.signal.shape[1], record.rate_hz)}. Fetch the record again."
                )
            record = record.select(LEADS_12)
            problems.look_at(row.record_id, record)
            yield to_microvolts(record.interpolate_invalid().signal)
        except (DataError, SignalError) as error:
            raise DataError(f"PTB-XL record {row.record_id} ({row.file}): {error}") from error
