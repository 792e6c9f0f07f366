"""Cohort: labelled records of one length, what every data set gives and everything downstream reads."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ecgzoo.errors import DataError

MICROVOLTS_PER_MILLIVOLT = 1000.0
LAST_FOLD = 2**15 - 1  # `Cohort.folds` is int16
_LONGEST_FOLDS = 1000  # characters


@dataclass(frozen=True, kw_only=True, eq=False)
class Cohort:
    """Labelled records of one rate and length.

    Attributes:
        name: the data set, as registered.
        task: the label set.
        classes: class names, alphabetical, ``C`` of them.
        leads: lead names in channel order, ``L`` of them, in the spelling of ``ecgzoo.signal``.
        rate_hz: samples a second.
        store: int16 microvolts ``[M, L, T]``, possibly a read-only memory map; it may hold further records.
        positions: int64 ``[N]``, where in `store` each record is.
        labels: uint8 multi-hot ``[N, C]``.
        folds: int16 ``[N]``.
        patients: int64 ``[N]``; no patient is in two folds.
        record_ids: int64 ``[N]``, ascending.
        fingerprint: hash of what the cohort was made from.
        sexes: int8 ``[N]``, 0 male, 1 female, -1 unknown; None if the data set does not say.
        ages: float32 years ``[N]``, NaN where unknown; None if the data set does not say.
        class_info: by class, its plain ``name`` and its codes in ``scp`` and ``snomed``, as far as they are known.
        license: of the recordings.
        simulated: true when no heart was measured; every card and table says so.
        notes: repairs and oddities met while reading, one sentence each.
    """

    name: str
    task: str
    classes: tuple[str, ...]
    leads: tuple[str, ...]
    rate_hz: float
    store: np.ndarray
    positions: np.ndarray
    labels: np.ndarray
    folds: np.ndarray
    patients: np.ndarray
    record_ids: np.ndarray
    fingerprint: str
    sexes: np.ndarray | None = None
    ages: np.ndarray | None = None
    class_info: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    license: str | None = None
    simulated: bool = False
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.positions)

    def signals(self, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        """int16 microvolts ``[len(rows), L, T]`` of the records at `rows`, in memory."""
        signals: np.ndarray = self.store[self.positions[rows]]
        return signals

    def mean_and_deviation_mv(self, rows: np.ndarray) -> tuple[float, float]:
        """One scalar mean and standard deviation in mV over all leads of the records at `rows`."""
        total = squares = 0.0
        for chunk in np.array_split(rows, max(1, len(rows) // 256)):
            values = self.signals(chunk).astype(np.float64)
            total += values.sum()
            squares += np.square(values).sum()
        count = len(rows) * self.store.shape[1] * self.store.shape[2]
        mean = float(total / count)
        deviation = float(np.sqrt(squares / count - (total / count) ** 2))
        return mean / MICROVOLTS_PER_MILLIVOLT, deviation / MICROVOLTS_PER_MILLIVOLT

    @property
    def title(self) -> str:
        """Name and task for tables and cards; a simulated cohort says so."""
        return f"{self.name}/{self.task}" + (" (simulated)" if self.simulated else "")

    def rows(self, folds: Iterable[int]) -> np.ndarray:
        """Positions (int64, ascending) of the records in `folds`.

        Raises:
            DataError: a fold holds no record.
        """
        wanted = sorted(set(folds))
        present = sorted(int(fold) for fold in np.unique(self.folds))
        missing = [fold for fold in wanted if fold not in present]
        if missing or not wanted:
            raise DataError(
                f"{self.title}: no record in fold {', '.join(map(str, missing)) or '(none asked for)'}; "
                f"this copy has folds {', '.join(map(str, present))}. Choose among those."
            )
        return np.flatnonzero(np.isin(self.folds, wanted))


def parse_folds(text: str) -> tuple[int, ...]:
    """The folds that ``1-7,9`` stands for, ascending.

    Raises:
        DataError: another form, or a fold beyond `LAST_FOLD`.
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
