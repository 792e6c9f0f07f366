"""Record: one recording in millivolts with named leads and a rate."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from ecgzoo.errors import SignalError
from ecgzoo.signal.leads import known_lead, resolve_leads

# Einthoven and Goldberger: each derived lead as weights of (I, II).
_DERIVED = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}

BLOCK_SAMPLES = 1 << 18  # samples that are resampled at a time
SLOWEST_HZ, FASTEST_HZ = 10, 100_000  # ECG recorders are within this range
LARGEST_RISE = 20  # of the rate by resampling; more would add no information and need much memory


@dataclass(frozen=True, eq=False)
class Record:
    """One recording.

    Attributes:
        signal: float32 millivolts ``[leads, samples]``; NaN marks an invalid sample, as in WFDB.
        leads: one name per row; known leads get the spelling of ``LEADS_12``, others are not changed.
        rate_hz: samples per second.
        source: where the recording came from; every message names it.
        notes: repairs and problems so far, one sentence each.

    Raises:
        SignalError: shape, dtype, names or rate break this contract, or a sample is infinite.
    """

    signal: np.ndarray
    leads: tuple[str, ...]
    rate_hz: float
    source: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "leads", tuple(known_lead(name) or name for name in self.leads))
        if self.signal.ndim != 2 or self.signal.shape[0] != len(self.leads) or self.signal.size == 0:
            raise SignalError(
                f"{self.source}: expected a signal [leads, samples] with a row for each of {len(self.leads)} names "
                f"({', '.join(self.leads)}), got shape {self.signal.shape}."
            )
        if self.signal.dtype != np.float32:
            raise SignalError(
                f"{self.source}: expected float32 millivolts, got {self.signal.dtype}. "
                "Scale to millivolts, then .astype(np.float32)."
            )
        repeated = sorted(name for name, count in Counter(self.leads).items() if count > 1)
        if repeated:
            raise SignalError(f"{self.source}: lead {', '.join(repeated)} occurs twice. Rename or drop one of them.")
        if not SLOWEST_HZ <= self.rate_hz <= FASTEST_HZ:
            raise SignalError(f"{self.source}: expected a rate of {SLOWEST_HZ} to {FASTEST_HZ} Hz, got {self.rate_hz}.")
        if np.isinf(self.signal).any():
            raise SignalError(f"{self.source}: holds infinite samples. Mark invalid samples as NaN.")

    def select(self, leads: int | str | Sequence[str], derive: bool = False) -> "Record":
        """The record with these leads, by name, in this order.

        Args:
            leads: as for ``resolve_leads``.
            derive: compute missing III, aVR, aVL and aVF from I and II; a note says so.

        Raises:
            SignalError: a lead is unknown, or is missing and cannot be derived.
        """
        names = resolve_leads(leads)
        derived = [name for name in names if derive and name in _DERIVED and name not in self.leads]
        missing = [name for name in names if name not in self.leads and name not in derived]
        missing += [name for name in ("I", "II") if derived and name not in self.leads and name not in missing]
        if missing:
            raise SignalError(
                f"{self.source}: no lead {', '.join(missing)}; it has {', '.join(self.leads)}. Choose some of these"
                + ("" if derive else ", or derive=True for III, aVR, aVL and aVF from I and II")
                + ". If a channel is that lead under another name, rename it: dataclasses.replace(record, leads=...)."
            )
        rows = [self._derived(name) if name in derived else self._row(name) for name in names]
        notes = (f"{', '.join(derived)} derived from I and II.",) if derived else ()
        return replace(self, signal=np.stack(rows), leads=names, notes=self.notes + notes)

    def resample(self, rate_hz: float) -> "Record":
        """The record at `rate_hz` samples per second, with the anti-alias filter of ``scipy.signal.resample_poly``.

        The ratio of the rates is rounded to the nearest fraction with a denominator of at most 10,000. If it is exact,
        as for whole numbers of Hz, the duration stays the same to within one sample.

        Raises:
            SignalError: the rate is out of range or more than 20 times the record's, or NaN samples are left that the
                filter would spread.
        """
        from scipy.signal import resample_poly

        if not SLOWEST_HZ <= rate_hz <= min(FASTEST_HZ, LARGEST_RISE * self.rate_hz):
            raise SignalError(
                f"{self.source}: expected a rate of {SLOWEST_HZ} to {FASTEST_HZ} Hz, and at most {LARGEST_RISE} times "
                f"the record's {self.rate_hz:g} Hz, got {rate_hz}. Record at a higher rate, or use another model."
            )
        if rate_hz == self.rate_hz:
            return self
        if np.isnan(self.signal).any():
            raise SignalError(f"{self.source}: NaN samples cannot be resampled. Call interpolate_invalid() first.")
        up, down = self._ratio(rate_hz)
        samples = self.signal.shape[1]
        # Subtract the line between first and last sample, so that a baseline offset does not ring at the ends.
        first = self.signal[:, :1].astype(np.float64)
        slope = (self.signal[:, -1:] - first) / max(samples - 1, 1)
        out = np.empty((len(self.signal), self.samples_at(rate_hz)), np.float32)
        # In blocks that overlap by the length of resample_poly's filter, to limit memory for a day's recording.
        reach = down * (10 * max(up, down) // (up * down) + 2)
        block = down * max(1, BLOCK_SAMPLES // down)
        for start in range(0, samples, block):
            low, high = max(0, start - reach), min(samples, start + block + reach)
            line = first + slope * np.arange(low, high)
            part = resample_poly(self.signal[:, low:high] - line, up, down, axis=1)
            begin, end = start * up // down, min(out.shape[1], (start + block) * up // down)
            line = first + slope * (np.arange(begin, end) * (down / up))
            out[:, begin:end] = part[:, begin - low * up // down : end - low * up // down] + line
        return replace(self, signal=out, rate_hz=rate_hz)

    def samples_at(self, rate_hz: float) -> int:
        """The number of samples that `resample` gives at `rate_hz`."""
        samples: int = self.signal.shape[1]
        up, down = self._ratio(rate_hz)
        return -(-samples * up // down)

    def _ratio(self, rate_hz: float) -> tuple[int, int]:
        ratio = Fraction(rate_hz / self.rate_hz).limit_denominator(10_000)
        return ratio.numerator, ratio.denominator

    def interpolate_invalid(self) -> "Record":
        """The record with NaN samples replaced by linear interpolation within their lead; a note counts them.

        Raises:
            SignalError: a lead has no valid sample.
        """
        if not np.isnan(self.signal).any():
            return self
        signal, notes = self.signal.copy(), []
        for name, row in zip(self.leads, signal, strict=True):
            invalid = np.isnan(row)
            if invalid.all():
                raise SignalError(f"{self.source}: lead {name} has no valid sample. Select other leads.")
            if invalid.any():
                row[invalid] = np.interp(np.flatnonzero(invalid), np.flatnonzero(~invalid), row[~invalid])
                notes.append(f"Lead {name}: {invalid.sum()} invalid samples interpolated.")
        return replace(self, signal=signal, notes=self.notes + tuple(notes))

    def flat_leads(self) -> tuple[str, ...]:
        """Leads whose valid samples all have the same value."""
        low, high = np.fmin.reduce(self.signal, axis=1), np.fmax.reduce(self.signal, axis=1)
        return tuple(name for name, flat in zip(self.leads, low == high, strict=True) if flat)

    def einthoven_error_mv(self) -> float:
        """Largest error, in millivolts, of the identities that give III, aVR, aVL and aVF from I and II.

        Recorders round each lead separately, so the error of an intact record is up to twice its resolution. The error
        of swapped or corrupt leads is as large as a QRS complex. Invalid samples are ignored.

        Raises:
            SignalError: one of the six limb leads is missing.
        """
        limb = self.select(6)
        breaches = np.stack([limb._row(name) - limb._derived(name) for name in _DERIVED])
        return float(np.fmax.reduce(np.abs(breaches), axis=None, initial=0.0))

    def problems(self, einthoven_tolerance_mv: float = 0.05, largest_mv: float = 20.0) -> list[str]:
        """What looks wrong, one sentence each; an empty list for a record without problems.

        Args:
            einthoven_tolerance_mv: error of the limb-lead identities that rounding and filters may cause.
            largest_mv: above this amplitude, the units are probably wrong.
        """
        found = []
        for name, count in zip(self.leads, np.isnan(self.signal).sum(axis=1), strict=True):
            if count:
                found.append(f"Lead {name}: {count} invalid samples (NaN).")
        if flat := self.flat_leads():
            found.append(f"Flat: {', '.join(flat)}.")
        peak = float(np.fmax.reduce(np.abs(self.signal), axis=None, initial=0.0))
        if peak > largest_mv:
            found.append(f"Amplitudes up to {peak:.4g} mV: wrong units, or artefacts.")
        if 0 < peak < 0.01:
            found.append(f"Amplitudes of at most {peak:.2g} mV: wrong units?")
        if broken := self.einthoven_problem(einthoven_tolerance_mv):
            found.append(broken)
        return found

    def einthoven_problem(self, tolerance_mv: float = 0.05) -> str | None:
        """A sentence if the six limb leads break Einthoven's law; None if they do not, or if one of them is missing.

        Mislabelled or corrupted leads break it. Electrodes that were swapped on the patient do not.

        Args:
            tolerance_mv: error that rounding and noise may cause, in mV.
        """
        if not all(name in self.leads for name in ("I", "II", *_DERIVED)):
            return None
        breach = self.einthoven_error_mv()
        return (
            f"Limb leads break Einthoven's law by {breach:.3g} mV: swapped or corrupt."
            if breach > tolerance_mv
            else None
        )

    def _row(self, name: str) -> np.ndarray:
        row: np.ndarray = self.signal[self.leads.index(name)]
        return row

    def _derived(self, name: str) -> np.ndarray:
        of_i, of_ii = _DERIVED[name]
        row: np.ndarray = of_i * self._row("I") + of_ii * self._row("II")
        return row
