"""Cohort: labelled records of one rate. Every data set gives a cohort, and training and evaluation read it."""

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from ecgzoo.data.shards import Shards
from ecgzoo.errors import DataError, printable
from ecgzoo.signal.leads import LEADS_12, known_lead

MICROVOLTS_PER_MILLIVOLT = 1000.0
_RECORDS_LOOKED_AT = 50
_USUAL_SPAN_UV = (50, 20_000)  # of a lead, from its lowest to its highest sample
LAST_FOLD = 2**15 - 1  # `Cohort.folds` is int16
_LONGEST_FOLDS = 1000  # characters
_LISTED = 20  # names in a cohort's repr


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """Labelled records with the same rate. `check_cohort` checks what is described here.

    Attributes:
        name: the data set, as registered; for one of several of a kind, ``kind/name``.
        task: the label set.
        classes: the ``C`` class names, in alphabetical order.
        leads: the ``L`` lead names, in channel order and in the spelling of ``ecgzoo.signal``.
        rate_hz: samples per second.
        store: int16 microvolts ``[M, L, T]``: an array, a read-only memory map, or several (`Shards`); it may hold
            further records. A record that is shorter than ``T`` is followed by zeros.
        positions: int64 ``[N]``, the row of each record in `store`.
        labels: uint8 multi-hot ``[N, C]``; 0 in a record without labels.
        folds: int16 ``[N]``.
        patients: int64 ``[N]``; no patient and no recording is in two folds.
        record_ids: int64 ``[N]``, ascending.
        fingerprint: hash of what the cohort was made from.
        lengths: int64 ``[N]``, the samples of each record, from 1 to ``T``; None if all have ``T``. What follows a
            shorter record in the store is neither trained on nor scored.
        unit_uv: integers ``[N]``, the microvolts of one unit of `store` in each record, for records beyond ±32.767 mV;
            None if all have 1.
        labelled: bool ``[N]``, whether each record has labels; None if all have. Those without are trained on in
            unlabelled folds alone, and never scored.
        sexes: int8 ``[N]``, 0 male, 1 female, -1 unknown; None if the data set does not say.
        ages: float32 years ``[N]``, NaN where unknown; None if the data set does not say.
        class_info: for each class, its plain ``name`` and its codes in ``scp`` and ``snomed``, if known.
        aggregates: labels that mean "any of these classes", each with its classes.
        license: license of the recordings.
        simulated: true if the recordings are simulated; every card and table says so.
        notes: repairs and problems found while reading, one sentence each.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    leads: tuple[str, ...]
    rate_hz: float
    store: np.ndarray | Shards
    positions: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    patients: np.ndarray
    record_ids: np.ndarray
    fingerprint: str
    lengths: np.ndarray | None = None
    unit_uv: np.ndarray | None = None
    labelled: np.ndarray | None = None
    sexes: np.ndarray | None = None
    ages: np.ndarray | None = None
    class_info: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    aggregates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    license: str | None = None
    simulated: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)

    def __repr__(self) -> str:
        # without the arrays, which a notebook would show over pages
        leads, folds, classes = map(_listed, (self.leads, np.unique(self.folds).tolist(), self.classes))
        return printable(
            f"Cohort({self.title}: {len(self)} records, leads {leads}, {self.rate_hz:g} Hz, folds {folds}, "
            f"classes {classes})"
        )

    def signals(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """int16 ``[len(rows), L, T]`` of the records at `rows`, in memory; see `unit_uv` and `lengths`."""
        signals: np.ndarray = self.store[self.positions[rows]]
        return signals

    def units(self, rows: np.ndarray) -> np.ndarray:
        """The factors float32 ``[len(rows), 1, 1]`` that make microvolts of `signals`."""
        units = np.ones(len(rows)) if self.unit_uv is None else self.unit_uv[rows]
        return units.astype(np.float32)[:, None, None]

    def samples(self, rows: np.ndarray) -> np.ndarray:
        """The samples int64 ``[len(rows)]`` of each of the records at `rows`."""
        if self.lengths is None:
            return np.full(len(rows), self.store.shape[2])
        samples: np.ndarray = self.lengths[rows]
        return samples

    def has_labels(self, rows: np.ndarray) -> np.ndarray:
        """Whether each of the records at `rows` has labels, bool ``[len(rows)]``."""
        return np.ones(len(rows), bool) if self.labelled is None else self.labelled[rows]

    def mean_and_deviation_mv(self, rows: np.ndarray) -> tuple[float, float]:
        """One scalar mean and standard deviation in mV over all leads of the records at `rows`."""
        total = squares = 0.0
        for chunk in np.array_split(rows, max(1, len(rows) // 256)):
            values = self.signals(chunk) * self.units(chunk).astype(np.float64)
            total += values.sum()
            squares += np.square(values).sum()  # what follows a shorter record is 0, and adds nothing
        count = self.store.shape[1] * int(self.samples(rows).sum())
        mean = float(total / count)
        deviation = float(np.sqrt(squares / count - (total / count) ** 2))
        return mean / MICROVOLTS_PER_MILLIVOLT, deviation / MICROVOLTS_PER_MILLIVOLT

    @cached_property
    def records_sha256(self) -> str:
        """Hash of all that training reads except the signals: also where `fingerprint` was made without folds."""
        found = hashlib.sha256(json.dumps([self.fingerprint, self.classes, self.leads, self.rate_hz]).encode())
        for name in ("positions", "labels", "folds", "patients", "record_ids", "lengths", "unit_uv"):
            column = getattr(self, name)
            kind = np.uint8 if name == "labels" else np.int64
            found.update(b"-" if column is None else np.ascontiguousarray(column, kind).data)
        if self.labelled is not None:  # else nothing, so that runs of cohorts before this column can be resumed
            found.update(np.ascontiguousarray(self.labelled, np.int64).data)
        return found.hexdigest()

    @property
    def title(self) -> str:
        """Name and task for tables and cards, with a remark if the cohort is simulated."""
        return f"{self.name}/{self.task}" + (" (simulated)" if self.simulated else "")

    def rows(self, folds: Iterable[int]) -> np.ndarray:
        """Positions int64 ``[n]``, ascending, of the records in `folds`.

        Raises:
            DataError: a fold has no records.
        """
        wanted = sorted(set(folds))
        present = np.unique(self.folds).tolist()
        missing = [fold for fold in wanted if fold not in present]
        if missing or not wanted:
            raise DataError(
                f"{self.title}: no records in fold {', '.join(map(str, missing)) or '(none requested)'}; "
                f"this copy has folds {', '.join(map(str, present))}. Choose some of these."
            )
        return np.flatnonzero(np.isin(self.folds, wanted))

    def check_labelled(self, rows: np.ndarray) -> None:
        """Refuse `rows`, positions ``[n]``, of records without labels, which would count as negative for every class.

        Raises:
            DataError: there are such records.
        """
        without = np.unique(rows[~self.has_labels(rows)])
        if without.size:
            raise DataError(
                f"{self.title}: {without.size} records of fold {', '.join(map(str, np.unique(self.folds[without])))} "
                "have no labels; expected labels to train, validate or evaluate on. Leave the fold out, or train on it "
                "with --unlabelled-folds."
            )


def _listed(names: Sequence[object]) -> str:
    return ", ".join(map(str, names[:_LISTED])) + (f" and {more} more" if (more := len(names) - _LISTED) > 0 else "")


def made_fold(patient: str) -> int:
    """A fold from 1 to 10 for a patient of a data set without folds: the same wherever it is asked for.

    It is the remainder by 10, plus 1, of the first 8 bytes of sha256 of the patient's id, as a big-endian number.
    """
    return int.from_bytes(hashlib.sha256(patient.encode(errors="surrogatepass")).digest()[:8], "big") % 10 + 1


def parse_folds(text: str) -> tuple[int, ...]:
    """The folds that ``1-7,9`` stands for, ascending.

    Raises:
        DataError: `text` has another form, or a fold is beyond `LAST_FOLD`.
    """
    folds: set[int] = set()
    if not isinstance(text, str) or len(text) > _LONGEST_FOLDS:
        raise DataError(f"folds {str(text)[:80]!r}: expected at most {_LONGEST_FOLDS} characters, such as 1-7,9")
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,5})(?:-(\d{1,5}))?\s*", part)
        low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if not low <= high <= LAST_FOLD:
            raise DataError(f"folds {text!r}: expected numbers and ranges up to {LAST_FOLD}, such as 1-7,9")
        folds.update(range(low, high + 1))
    return tuple(sorted(folds))


def check_cohort(cohort: Cohort) -> None:
    """Refuse a cohort that breaks the contract of `Cohort`: a model trained on it could be wrong without any error.

    This is fast for a large store, because only a few records of the signals are read.

    Raises:
        DataError: the first problem, what was expected, and what to do.
    """
    if not isinstance(cohort, Cohort):
        raise DataError(f"expected an ecgzoo.Cohort, got a {type(cohort).__name__}. Build one from your records.")
    if fault := next(_faults(cohort), None):
        raise DataError(f"{cohort.name}/{cohort.task}: {fault}")


def _faults(cohort: Any) -> Iterator[str]:
    """The problems, one sentence each. A check relies on the checks before it, so only the first problem is reliable.

    The cohort is `Any` because third-party code may put anything into it.
    """
    for name in ("name", "task", "fingerprint"):
        value = getattr(cohort, name)
        if not isinstance(value, str) or not value:
            what = ", a hash of what the cohort was made from" if name == "fingerprint" else ""
            yield f"{name} is {value!r}, expected text{what}. Describe these records."
    yield from _names_at_fault(cohort)
    rate_hz, store = cohort.rate_hz, cohort.store
    if isinstance(rate_hz, bool) or not isinstance(rate_hz, (int, float)) or not 0 < rate_hz < math.inf:
        yield f"rate_hz is {rate_hz!r}, expected samples per second as a positive number. Give the rate of the store."
    if not isinstance(store, (np.ndarray, Shards)) or store.dtype != np.int16:
        found = getattr(store, "dtype", type(store).__name__)
        yield f"the store is {found}, expected int16 microvolts. Multiply millivolts by 1000, round, and convert."
    if store.ndim != 3 or 0 in store.shape:
        yield f"the store has shape {store.shape}, expected [records, leads, samples], none of them 0. Reshape it."
    if store.shape[1] != len(cohort.leads):
        yield (
            f"the store has {store.shape[1]} channels, expected one per lead, {len(cohort.leads)} for "
            f"{', '.join(cohort.leads)}. Name the leads of the store, in channel order."
        )
    yield from _columns_at_fault(cohort)
    rows = np.linspace(0, len(cohort) - 1, min(len(cohort), _RECORDS_LOOKED_AT)).astype(np.int64)
    behind = zip(cohort.positions[rows], cohort.samples(rows), strict=True)
    if any(cohort.store[position, :, samples:].any() for position, samples in behind):
        yield "a record is followed by samples that are not 0. Set what follows a shorter record in the store to 0."
    span = float(
        np.median(
            [
                np.ptp(cohort.store[cohort.positions[row], :, :samples] * unit, axis=1)
                for row, samples, unit in zip(rows, cohort.samples(rows), cohort.units(rows), strict=True)
            ]
        )
    )
    least, most = _USUAL_SPAN_UV
    if not least < span < most:
        yield (
            f"leads typically span {span:g}, which is not an ECG in microvolts: expected {least} to {most:,}. "
            "Check the gain and the unit."
        )


def _names_at_fault(cohort: Any) -> Iterator[str]:
    for field_name in ("classes", "leads"):
        names = getattr(cohort, field_name)
        if not isinstance(names, tuple) or not names or not all(isinstance(name, str) and name for name in names):
            yield f"{field_name} are {names!r}, expected a tuple of at least one name. Write ('A', 'B')."
    classes, leads = cohort.classes, cohort.leads
    if list(classes) != sorted(set(classes)):
        yield (
            f"classes {', '.join(classes)} are not sorted: expected different names in alphabetical order. "
            "Sort them, and the columns of labels with them."
        )
    for name, members in cohort.aggregates.items():
        if name in classes or not members or not set(members) <= set(classes):
            yield f"aggregate {name!r} of {members!r}, expected a new name and some of the classes. Rename it."
    for lead in leads:
        known = known_lead(lead)
        if known is None:
            yield f"lead {lead!r} is unknown, expected some of {', '.join(LEADS_12)}. Leave out other channels."
        if known != lead:
            yield f"lead {lead!r} is spelt {known!r} in ecgzoo. Rename it."
    if len(set(leads)) != len(leads):
        yield f"a lead is named twice in {', '.join(leads)}, expected different leads. Keep one channel of each."


def _columns_at_fault(cohort: Any) -> Iterator[str]:
    """Problems in the per-record arrays of a cohort whose names and store are valid."""
    positions, labels, folds, ids = cohort.positions, cohort.labels, cohort.folds, cohort.record_ids
    if not isinstance(positions, np.ndarray) or not positions.size:
        yield f"no records: positions are {positions!r}. Give a 1-D array with the row of each record in the store."
    columns = {"positions": (), "labels": (len(cohort.classes),), "folds": (), "patients": (), "record_ids": ()}
    optional = ("lengths", "unit_uv", "labelled", "sexes", "ages")
    columns |= {name: () for name in optional if getattr(cohort, name) is not None}
    for name, one in columns.items():
        column, shape = getattr(cohort, name), (len(positions), *one)
        if not isinstance(column, np.ndarray) or column.shape != shape:
            found = f"has shape {column.shape}" if isinstance(column, np.ndarray) else f"is a {type(column).__name__}"
            yield f"{name} {found}, expected an array of shape {shape}. Give one row for each record."
        if name == "labels" and column.dtype.kind == "f" and (unknown := np.isnan(column).any(axis=1)).any():
            yield (
                f"labels of {unknown.sum()} records are NaN, expected 0 or 1. Leave out records whose labels are not "
                "known, or give labelled."
            )
        if column.dtype.kind not in {"ages": "iuf", "labelled": "b"}.get(name, "iu"):
            yield f"{name} are {column.dtype}, expected {'bool' if name == 'labelled' else 'integers'}. Convert them."
    if not ((labels == 0) | (labels == 1)).all():
        yield "labels are not only 0 and 1. Give 1 where a record has the class, else 0."
    if cohort.labelled is not None and labels[~cohort.labelled].any():
        yield "a record is not labelled, but its labels are not all 0. Make it labelled, or set its labels to 0."
    if positions.min() < 0 or positions.max() >= len(cohort.store):
        yield (
            f"positions from {positions.min()} to {positions.max()} are outside the store, which has "
            f"{len(cohort.store)} records. Count its records from 0."
        )
    lengths, longest = cohort.lengths, cohort.store.shape[2]
    if lengths is not None and (lengths.min() < 1 or lengths.max() > longest):
        yield (
            f"lengths from {lengths.min()} to {lengths.max()} do not fit the store, which has {longest} samples per "
            "record. Give the samples of each record."
        )
    if cohort.unit_uv is not None and cohort.unit_uv.min() < 1:
        yield f"unit_uv from {cohort.unit_uv.min()}, expected microvolts, at least 1. Give 1 where the store has them."
    if not (ids[1:] > ids[:-1]).all():
        yield "record_ids are not ascending. Sort the records by id, each id once."
    for what, values in (("a patient", cohort.patients), ("a recording of the store", positions)):
        order = np.lexsort((folds, values))
        value, fold = values[order], folds[order]
        if (split := np.flatnonzero((value[1:] == value[:-1]) & (fold[1:] != fold[:-1]))).size:
            k = split[0]
            yield f"{what} is in two folds: {value[k]} in {fold[k]} and {fold[k + 1]}. Put all of its records in one."
    if cohort.sexes is not None and not np.isin(cohort.sexes, (-1, 0, 1)).all():
        yield "sexes are not only 0 (male), 1 (female) and -1 (unknown). Convert their codes."
    if cohort.ages is not None and ((cohort.ages < 0) | np.isinf(cohort.ages)).any():
        yield "ages are negative or infinite, expected years. Give NaN where the age is unknown."
