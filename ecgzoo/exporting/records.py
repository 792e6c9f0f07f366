"""Records: the recordings on which a file is compared with the Python model, and on which integers are calibrated."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ecgzoo.config import ModelConfig
from ecgzoo.data import Cohort, check_cohort
from ecgzoo.data.cohort import MICROVOLTS_PER_MILLIVOLT
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import DataError, EcgZooWarning, SignalError
from ecgzoo.signal import Record
from ecgzoo.signal.quality import assess
from ecgzoo.signal.resample import LOWEST_SHARE_OF_RATE
from ecgzoo.signal.windows import window_starts

SIMULATED = 40  # records to compare on if there are no others
RECORDS_AT_ONCE = 64
FEW = 30  # recordings to calibrate on: with fewer, a warning


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """Recordings with the leads and rate of a model.

    Attributes:
        title: what they are, for reports.
        signals: float32 millivolts ``[leads, T]``, one for each record.
        labels: 0 or 1, ``[N, C]`` by class of the model, or None if some have none.
        simulated: whether they are simulated hearts, which say nothing about a loss of accuracy.
    """

    title: str
    signals: Sequence[np.ndarray]
    labels: np.ndarray | None = None
    simulated: bool = False

    def __len__(self) -> int:
        return len(self.signals)

    def first(self, samples: int) -> "Records":
        """The first `samples` of every record.

        Raises:
            SignalError: a record is shorter.
        """
        if (shortest := min(signal.shape[1] for signal in self.signals)) < samples:
            raise SignalError(f"{self.title}: a record has {shortest} samples; expected at least {samples}")
        return replace(self, signals=[signal[:, :samples] for signal in self.signals])

    def batches(self) -> Iterator[tuple[list[int], np.ndarray]]:
        """Positions and signals ``[B, leads, T]`` of records of one length."""
        lengths = [signal.shape[1] for signal in self.signals]
        for length in sorted(set(lengths)):
            alike = [at for at, own in enumerate(lengths) if own == length]
            for begin in range(0, len(alike), RECORDS_AT_ONCE):
                some = alike[begin : begin + RECORDS_AT_ONCE]
                yield some, np.stack([self.signals[at] for at in some])


def from_cohort(cohort: Cohort, folds: Iterable[int], config: ModelConfig) -> Records:
    """The records of some `folds`.

    Raises:
        DataError: a fold has no records, or the cohort breaks its contract.
        SignalError: leads or rate are not the model's.
    """
    check_cohort(cohort)
    folds = sorted(set(folds))
    rows = cohort.rows(folds)
    _check_leads(cohort.title, cohort.leads, config)
    if cohort.rate_hz != config.rate_hz:
        raise _another_rate(cohort.title, cohort.rate_hz, config)
    at = [cohort.leads.index(lead) for lead in config.leads]
    padded = cohort.signals(rows)[:, at] * cohort.units(rows) / np.float32(MICROVOLTS_PER_MILLIVOLT)
    signals = [signal[:, :length] for signal, length in zip(padded, cohort.samples(rows), strict=True)]
    title = f"{cohort.title}, fold {', '.join(map(str, folds))}"
    known = cohort.classes == config.classes and cohort.has_labels(rows).all()
    labels = cohort.labels[rows] if known else None
    return _checked(Records(title=title, signals=signals, labels=labels, simulated=cohort.simulated), config)


def from_recordings(recordings: Iterable[Record], config: ModelConfig) -> Records:
    """These `recordings`, at the rate of the model; invalid samples are interpolated.

    Raises:
        DataError: there are none.
        SignalError: a recording lacks a lead of the model, has a rate too low for it, is shorter than a window, or
            cannot be read.
    """
    signals, recordings = [], list(recordings)
    for record in recordings:
        _check_leads(record.source, record.leads, config)
        if record.rate_hz < LOWEST_SHARE_OF_RATE * config.rate_hz:
            raise _another_rate(record.source, record.rate_hz, config)
        signals.append(record.select(config.leads).interpolate_invalid().resample(config.rate_hz).signal)
    if 0 < len(signals) < FEW:
        warnings.warn(
            f"calibrated on {len(signals)} recordings; the answers to others may differ by more than is measured on "
            f"these: give {FEW} or more",
            EcgZooWarning,
            stacklevel=2,
        )
    found = _checked(Records(title=f"{len(signals)} recordings", signals=signals), config)
    for record, signal in zip(recordings, signals, strict=True):
        if reason := assess(signal, config.rate_hz, window_s=config.window_s, leads=config.leads).unreadable:
            raise SignalError(f"{record.source} is unreadable: {reason}. Calibrate on other records.")
    return found


def simulated(config: ModelConfig, samples: int = 0) -> Records:
    """Simulated hearts with the leads and rate of the model, each of two windows, or `samples`, at least."""
    cohort = load_synthetic(None, "superdiagnostic", num_records=SIMULATED)
    signals = []
    for number, microvolts in enumerate(cohort.signals()):
        whole = Record(microvolts.astype(np.float32) / 1000, cohort.leads, cohort.rate_hz, f"simulated heart {number}")
        signal = whole.select(config.leads).resample(config.rate_hz).signal
        signals.append(np.tile(signal, -(-max(2 * config.window, samples) // signal.shape[1])))
    return Records(title="simulated hearts", signals=signals, simulated=True)


def _check_leads(source: str, leads: Sequence[str], config: ModelConfig) -> None:
    if missing := [lead for lead in config.leads if lead not in leads]:
        raise SignalError(
            f"{source} has leads {', '.join(leads)}; the model needs {', '.join(missing)}. Calibrate on other records."
        )


def _another_rate(source: str, rate_hz: float, config: ModelConfig) -> SignalError:
    return SignalError(
        f"{source} is at {rate_hz:g} Hz, the model at {config.rate_hz:g} Hz; calibrate on records at that rate"
    )


def _checked(records: Records, config: ModelConfig) -> Records:
    if not records.signals:
        raise DataError("no records to calibrate on; give at least one recording")
    for signal in records.signals:
        window_starts(signal.shape[1], config.window, config.stride, records.title, config.rate_hz)
    return records
