"""Tables of recordings, as CSV or Parquet: the file, patient, fold and labels of each record."""

import ast
import csv
import hashlib
import io
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from ecgzoo.data.cohort import LAST_FOLD, made_fold
from ecgzoo.errors import DataError
from ecgzoo.files import open_regular

COLUMNS = ("path", "patient", "fold", "labels", "id")
WITHOUT_LABELS = 11  # the fold of patients without labels, if a table gives no folds
_REQUIRED = ("path", "patient")
_WHOLE = re.compile(r"(-?\d{1,18})(?:\.0+)?")
_ROUNDED = re.compile(r"-?\d(?:\.\d+)?e\+\d+", re.IGNORECASE)  # 1.23457E+11, as spreadsheets write 123456789012
_MISSING = {"na", "n/a", "<na>", "nan", "none", "null"}  # what programs write for a missing value, in lower case
# between 'A' 'B', as numpy writes a list; Python would read one text, AB
_NO_COMMA = re.compile(r"""[^\[,(\s]['"]\s*['"][^\],)\s]""")


class Row(NamedTuple):
    """A record of a table.

    Attributes:
        path: its file, as the table names it.
        record: its id; the path if the table has no ids.
        patient: its patient's id.
        fold: None if the table does not say.
        labels: names of classes; None if the record has no labels, which is not the same as none of the classes.
        number: of its line or row, from 1, for messages.
    """

    path: str
    record: str
    patient: str
    fold: int | None
    labels: tuple[str, ...] | None
    number: int


def read_table(path: Path, columns: Mapping[str, str]) -> list[Row]:
    """The rows of a table, in order.

    Labels are a list of names: in CSV ``AFIB;SR``, or as Python and JSON write lists; in Parquet also a list of texts.
    An empty cell means that the record has no labels, ``[]`` that it has none of the classes. Ids that are numbers are
    the same if they are the same number, such as ``07`` and ``7``. Ids and labels are the same if Unicode's form NFC of
    them is: ``ü`` may be one character or, as in names of files on macOS, a ``u`` and its dots.

    Args:
        path: ``.csv``, ``.tsv`` or ``.parquet``.
        columns: the table's names of some of `COLUMNS`; the others have their own names. Only path and patient must be
            there. The columns that are named here must be there, too.

    Raises:
        DataError: the table cannot be read, a column is missing or has nearly the name of one, or a cell cannot be
            understood; it names the row.
    """
    if unknown := [name for name in columns if name not in COLUMNS]:
        raise DataError(f"there is no column {unknown[0]!r} to name; there are {', '.join(COLUMNS)}")
    named = {name: columns.get(name, name) for name in COLUMNS}
    required = [name for name in COLUMNS if name in columns or name in _REQUIRED]
    if path.suffix == ".parquet":
        cells = _read_parquet(path, named, required)
    elif path.suffix in (".csv", ".tsv"):
        cells = _read_csv(path, named, required)
    else:
        raise DataError(f"{path}: expected a name that ends with .csv, .tsv or .parquet")
    rows: list[Row] = []
    seen: dict[int, int] = {}
    for number, row in cells:
        try:
            found = _row(row, number)
        except ValueError as error:
            raise DataError(f"{path}: row {number}: {error}") from error
        if (before := seen.setdefault(whole_number(found.record), number)) != number:
            raise DataError(f"{path}: rows {before} and {number} are of the same record, {found.record}; keep one")
        rows.append(found)
    if not rows:
        raise DataError(f"{path}: has no rows")
    return rows


def check_files(table: Path, rows: Iterable[Row], folder: Path) -> None:
    """Check that all files are there.

    Raises:
        DataError: some are not.
    """
    missing = [row for row in rows if not _is_there(os.path.join(folder, row.path))]
    if missing:
        raise DataError(
            f"{table}: {len(missing)} files are not there, the first is {folder / missing[0].path} of row "
            f"{missing[0].number}; restore them or leave out their rows"
        )


def place(table: Path, rows: Iterable[Row], known: Mapping[int, int]) -> dict[str, int]:
    """The fold of each record, by its id.

    All records of a patient are in one fold: the one that the cohort has (`known`) or that the table gives; else one
    that is made from the patient's id (`made_fold`), or `WITHOUT_LABELS` if none of the patient's records has labels.

    Args:
        table: for messages.
        rows: of the table.
        known: folds of patients, by `whole_number` of their ids.

    Raises:
        DataError: a patient is in two folds, or two ids differ only in capitals or blanks.
    """
    rows, folds = list(rows), dict(known)
    plain: dict[str, str] = {}
    for row in rows:
        if (alike := plain.setdefault("".join(row.patient.casefold().split()), row.patient)) != row.patient:
            raise DataError(
                f"{table}: row {row.number}: the patients {alike!r} and {row.patient!r} differ only in capitals or "
                "blanks, and may be in different folds; write one name, or others if they are two patients"
            )
    patients = [whole_number(row.patient) for row in rows]
    labelled = {patient for row, patient in zip(rows, patients, strict=True) if row.labels is not None}
    for row, patient in zip(rows, patients, strict=True):
        if row.fold is None:
            continue
        if (other := folds.setdefault(patient, row.fold)) != row.fold:
            raise DataError(
                f"{table}: row {row.number}: patient {row.patient} is in folds {other} and {row.fold}; put all records "
                "of a patient in one fold"
            )
    for row, patient in zip(rows, patients, strict=True):
        folds.setdefault(patient, made_fold(row.patient) if patient in labelled else WITHOUT_LABELS)
    return {row.record: folds[patient] for row, patient in zip(rows, patients, strict=True)}


def whole_number(text: str) -> int:
    """The int64 by which a cohort knows a patient or a record: the number that `text` is, or 63 bits of its sha256."""
    if match := _WHOLE.fullmatch(text):
        return int(match[1])
    return int.from_bytes(hashlib.sha256(text.encode(errors="surrogatepass")).digest()[:8], "big") >> 1


def composed(text: str) -> str:
    """Unicode's form NFC of a name, in which texts that look the same because they are the same are equal."""
    return unicodedata.normalize("NFC", text)


def _row(cells: Mapping[str, Any], number: int) -> Row:
    path, patient = _text(cells["path"]), _id("patient", cells["patient"])
    if not path or not patient:
        raise ValueError(f"no {'patient' if path else 'path'}")
    fold = _text(cells.get("fold"))
    match = _WHOLE.fullmatch(fold)
    if fold and not (match and 0 <= int(match[1]) <= LAST_FOLD):
        raise ValueError(f"fold {fold!r}, expected a number from 0 to {LAST_FOLD}")
    labels = _labels(cells.get("labels"))
    return Row(path, _id("id", cells.get("id")) or path, patient, int(match[1]) if match else None, labels, number)


def _text(cell: Any) -> str:
    if cell is None or cell != cell:  # NaN
        return ""
    match = _WHOLE.fullmatch(text := str(cell).strip())
    return match[1] if match else text  # numbers that were read as floats


def _id(name: str, cell: Any) -> str:
    text = _text(cell)
    if text.casefold() in _MISSING:
        raise ValueError(f"{name} {text!r} stands for a missing value in many programs; write another")
    if _ROUNDED.fullmatch(text):
        raise ValueError(f"{name} {text!r} is a rounded number, and others may round to it; write all digits, as text")
    return str(int(text)) if _WHOLE.fullmatch(text) else composed(text)


def _labels(cell: Any) -> tuple[str, ...] | None:
    if not _text(cell):
        return None
    names: Any = cell
    if isinstance(cell, str):
        text = cell.strip()
        if text.casefold() in _MISSING:
            raise ValueError(
                f"labels {text!r} are a missing value in many programs; leave the cell empty, or write ['{text}'] if a "
                "class has this name"
            )
        if text[:1] in ("[", "{", "("):
            try:
                names = None if _NO_COMMA.search(text) else ast.literal_eval(text)
            except (ValueError, SyntaxError, MemoryError, RecursionError):
                names = None
        else:
            names = [name for name in text.split(";") if name.strip()] or None  # none of the classes is []
            if missing := next((name.strip() for name in names or () if name.strip().casefold() in _MISSING), None):
                raise ValueError(
                    f"labels {text[:80]!r} name {missing!r}, a missing value in many programs; leave it out, or write "
                    f"a list such as ['{missing}', 'A'] if a class has this name"
                )
            if separator := next((one for one in ",|" if one in text), None):
                raise ValueError(
                    f"labels {text[:80]!r} have {separator!r} in a name; write {text[:80].replace(separator, ';')}, or "
                    "['A, B'] if a class has such a name"
                )
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise ValueError(f"labels {str(cell)[:80]!r} are no list; write AFIB;SR or ['AFIB', 'SR']")
    return tuple(composed(name.strip()) for name in names)


def _is_there(path: str) -> bool:  # no Path, which would take longer than the question
    return os.path.exists(path) or os.path.exists(f"{path}.hea")


def _read_csv(path: Path, named: Mapping[str, str], required: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    try:
        with open_regular(path) as content, io.TextIOWrapper(content, encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ",")
            there = _there(path, named, required, list(reader.fieldnames or ()))
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(f"{path}: row {reader.line_num} does not have {len(reader.fieldnames or ())} cells")
                yield reader.line_num, {name: row[column] for name, column in there.items()}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _read_parquet(path: Path, named: Mapping[str, str], required: list[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    if find_spec("pyarrow") is None:
        raise DataError(f"{path}: Parquet needs pyarrow; pip install 'ecgzoo[parquet]', or give a .csv")
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            there = _there(path, named, required, table.schema_arrow.names)
            number = 0
            for batch in table.iter_batches(columns=list(there.values())):
                for row in batch.to_pylist():
                    number += 1
                    yield number, {name: row[column] for name, column in there.items()}
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read as Parquet ({error})") from error


def _there(path: Path, named: Mapping[str, str], required: list[str], found: list[str]) -> dict[str, str]:
    for column in named.values():
        if found.count(column) > 1:
            raise DataError(f"{path}: has {found.count(column)} columns {column!r}; rename all but one")
    for name in required:
        if named[name] not in found:
            raise DataError(
                f"{path}: has no column {named[name]!r}, it has {', '.join(found[:30])}; name the column with "
                f"--columns {name}=COLUMN"
            )
    used = set(named.values())
    for name in (name for name, column in named.items() if column not in found):
        if near := next((column for column in found if column not in used and _means(column, name)), None):
            raise DataError(
                f"{path}: has a column {near!r} and no column {name!r}; write --columns {name}={near}, or rename the "
                "column if it is something else"
            )
    return {name: column for name, column in named.items() if column in found}


def _means(column: str, name: str) -> bool:
    """Whether a column's name is `name` but for capitals, blanks and a plural; strat_fold is a fold, too."""
    plain = column.strip().casefold().removesuffix("s")
    return plain == name.removesuffix("s") or (name == "fold" and plain.endswith("fold"))
