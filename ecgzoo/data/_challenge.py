"""Data sets of WFDB records with the diagnoses in comments, such as those of the PhysioNet/CinC Challenges.

The sets name no patients, so each recording counts as a patient, and folds are made from the names of the recordings
(`ecgzoo.data.cohort.made_fold`).
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecgzoo.data.cohort import Cohort, made_fold
from ecgzoo.data.prepare import CHANGES, Layout, prepare
from ecgzoo.data.store import open_store, store_key, tree_digest, write_signals, write_table
from ecgzoo.errors import DataError, SignalError
from ecgzoo.files import read_bytes
from ecgzoo.signal.readers.wfdb import HEADER_BYTES, read_wfdb

_NAMES = {  # the names that are numbers to this base, fit into int64, and are not the same number as another name
    10: (re.compile(r"[1-9][0-9]{0,11}"), "digits, such as 17"),
    36: (re.compile(r"[A-Za-z][A-Za-z0-9]{0,11}"), "letters and digits, such as A0001"),
}
_SEXES = {"male": 0, "m": 0, "female": 1, "f": 1}
_NAMED = 10  # in a note


def dx_codes(comments: Sequence[str]) -> tuple[str, ...]:
    """The codes of the comment ``Dx``, separated by commas, as the challenges write them."""
    lists = [rest for name, _, rest in (line.partition(":") for line in comments) if name.strip().casefold() == "dx"]
    return tuple(code.strip() for code in lists[0].split(",") if code.strip()) if lists else ()


@dataclass(frozen=True)
class Challenge:
    """What is special about one of the data sets.

    Attributes:
        name: as registered.
        task: its only task.
        layout: of its store; records from `shortest` to `samples`, longer ones are cropped.
        diagnoses: for each class, its plain name and the codes that count as it; if they are SNOMED CT concepts, the
            first is written into cards.
        strict: whether another code is an error; otherwise it is not a label of the task.
        where: what to download, for messages.
        license: of the recordings, an SPDX identifier.
        codes_of: the codes of a recording, from the comments of its header.
        base: of the numbers that the names of the records are.
    """

    name: str
    task: str
    layout: Layout
    diagnoses: Mapping[str, tuple[str, tuple[str, ...]]]
    strict: bool
    where: str
    license: str = "CC-BY-4.0"
    codes_of: Callable[[Sequence[str]], tuple[str, ...]] = dx_codes
    base: int = 36

    @property
    def classes(self) -> tuple[str, ...]:
        """In alphabetical order."""
        return tuple(sorted(self.diagnoses))

    @property
    def codes(self) -> dict[str, str]:
        """The class of each code."""
        return {code: name for name, (_, codes) in self.diagnoses.items() for code in codes}


@dataclass(frozen=True)
class _Header:
    path: Path
    record_id: int
    sex: int
    age: float
    codes: tuple[str, ...]


def load(challenge: Challenge, root: Path | None, task: str) -> Cohort:
    """The cohort of the records below `root`, which may be any folder of the data set.

    The first call reads the records into a store (see ``ecgzoo.data.store``); later calls map it into memory. Records
    that cannot be used, and records without a label of the task, are left out; ``Cohort.notes`` counts them.

    Raises:
        DataError: the task is unknown, there are no records, two have the same name, or a header names a code that the
            data set does not have.
    """
    if task != challenge.task:
        raise DataError(f"{challenge.name} has no task {task!r}. Did you mean {challenge.task}?")
    if root is None or not Path(root).is_dir():
        raise DataError(f"{root}: no such folder. {challenge.name} is read from files. {challenge.where}")
    root = Path(root)
    layout, classes = challenge.layout, challenge.classes
    try:
        key = store_key(
            f"{challenge.name} with units", repr(layout), repr(sorted(challenge.codes.items())), tree_digest(root)
        )
    except OSError as error:
        raise DataError(f"{root}: cannot be read ({error}). {challenge.where}") from error
    kind = np.dtype(
        [
            ("signals", np.int16, (len(layout.leads), layout.samples)),
            ("record_ids", np.int64),
            ("lengths", np.int64),
            ("units", np.uint8),
            ("sexes", np.int8),
            ("ages", np.float32),
            ("classes", np.uint8, (len(classes),)),
        ]
    )
    store = open_store(key, lambda folder: _build(folder, root, challenge, kind), kind)
    read, labelled = store.table["lengths"] > 0, store.table["classes"].any(axis=1)
    kept = np.flatnonzero(read & labelled)
    if not len(kept):
        raise DataError(f"{root}: none of {len(read)} records has a label of task {task}. {challenge.where}")
    without = int((read & ~labelled).sum())
    ids = store.table["record_ids"][kept]
    info: dict[str, dict[str, Any]] = {
        name: {"name": plain, **({"snomed": codes[0]} if codes[0].isdecimal() else {})}
        for name, (plain, codes) in challenge.diagnoses.items()
    }
    return Cohort(
        name=challenge.name,
        task=task,
        classes=classes,
        leads=layout.leads,
        rate_hz=layout.rate_hz,
        store=store.signals,
        positions=kept,
        labels=store.table["classes"][kept],
        folds=np.array([made_fold(np.base_repr(number, challenge.base)) for number in ids.tolist()], np.int16),
        patients=ids,
        record_ids=ids,
        lengths=store.table["lengths"][kept],
        unit_uv=store.table["units"][kept],
        fingerprint=store_key(task, store.digest),
        sexes=store.table["sexes"][kept],
        ages=store.table["ages"][kept],
        class_info=info,
        license=challenge.license,
        notes=(
            "The data set names no patients: each recording counts as one. Folds are made from the recordings' names.",
            *store.notes,
            *([f"Records left out because they have no label of task {task}: {without}."] if without else []),
        ),
    )


def _build(folder: Path, root: Path, challenge: Challenge, kind: np.dtype) -> list[str]:
    """Fill the store with all records; one that cannot be used has the length 0. Return notes."""
    headers = _headers(root, challenge)
    layout, classes, class_of = challenge.layout, challenge.classes, challenge.codes
    lengths: list[int] = []
    units: list[int] = []
    changed: dict[int, list[str]] = {change: [] for change in CHANGES}
    refused: dict[str, str] = {}

    def signals() -> Iterator[np.ndarray]:
        from rich.console import Console
        from rich.progress import track

        console = Console(stderr=True)
        for header in track(headers, f"Reading {challenge.name}", console=console, disable=not console.is_terminal):
            row, length, unit_uv = np.zeros((len(layout.leads), layout.samples), np.int16), 0, 1
            try:
                prepared = prepare(read_wfdb(header.path), layout)
                length, unit_uv = prepared.samples.shape[1], prepared.unit_uv
                row[:, :length] = prepared.samples
                for change, names in changed.items():
                    names += [header.path.stem] if prepared.changes & change else []
            except (DataError, SignalError) as error:
                refused[header.path.stem] = str(error)
            lengths.append(length)
            units.append(unit_uv)
            yield row

    write_signals(folder, signals(), (len(headers), len(layout.leads), layout.samples))
    columns: dict[str, list[Any]] = {
        "record_ids": [header.record_id for header in headers],
        "lengths": lengths,
        "units": units,
        "sexes": [header.sex for header in headers],
        "ages": [header.age for header in headers],
        "classes": [[name in {class_of.get(code) for code in header.codes} for name in classes] for header in headers],
    }
    write_table(folder, {name: np.array(column, kind[name].base) for name, column in columns.items()})
    notes = [f"Records {CHANGES[change]}: {_some(names)}." for change, names in changed.items() if names]
    if refused:
        first = next(iter(refused.values()))
        notes.append(f"Records left out because they cannot be used: {_some(list(refused))}. The first: {first}")
    return notes


def _some(names: list[str]) -> str:
    return f"{len(names)}, namely {', '.join(names[:_NAMED])}{', …' if len(names) > _NAMED else ''}"


def _headers(root: Path, challenge: Challenge) -> list[_Header]:
    """All headers below `root`, sorted by record id."""
    found: dict[int, _Header] = {}
    for folder, folders, names in os.walk(root, followlinks=True):  # as `tree_digest` does, to which a loop is an error
        folders.sort()
        for path in (Path(folder, name) for name in sorted(names) if name.endswith(".hea")):
            header = _read_header(path, challenge)
            if other := found.get(header.record_id):
                raise DataError(f"{path}: {other.path} has the same name. Keep one of them below {root}.")
            found[header.record_id] = header
    if not found:
        raise DataError(f"{root}: no WFDB headers (.hea) are there. {challenge.where}")
    return [found[number] for number in sorted(found)]


def _read_header(path: Path, challenge: Challenge) -> _Header:
    """Age, sex and codes from the comments; what is missing or no number is unknown."""
    pattern, expected = _NAMES[challenge.base]
    if not pattern.fullmatch(path.stem):
        raise DataError(f"{path}: expected a name of {expected}. {challenge.where}")
    try:
        text = read_bytes(path, HEADER_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}). {challenge.where}") from error
    comments = [line.lstrip("# ").rstrip() for line in text.splitlines() if line.startswith("#")]
    said: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in comments):
        said.setdefault(name.strip(" <>").casefold(), value.strip())
    codes = challenge.codes_of(comments)
    unknown = [code for code in codes if code not in challenge.codes]
    if unknown and (challenge.strict or not all(code.isdecimal() for code in unknown)):
        raise DataError(f"{path}: {challenge.name} has no diagnosis {unknown[0]!r}. {challenge.where}")
    age = said.get("age", "")
    return _Header(
        path=path,
        record_id=int(path.stem, challenge.base),
        sex=_SEXES.get(said.get("sex", "").casefold(), -1),
        age=float(age) if re.fullmatch(r"\d{1,3}(\.\d{1,3})?", age) else float("nan"),
        codes=codes,
    )
