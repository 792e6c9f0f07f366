"""Record: one recording in millivolts with named leads and a rate."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ecgzoo.errors import SignalError
from ecgzoo.signal.leads import known_lead, resolve_leads

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ecgzoo.model import EcgModel

# Einthoven and Goldberger: each derived lead as weights of (I, II).
_DERIVED = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}

BLOCK_SAMPLES = 1 << 18  # that are resampled at a time
SLOWEST_HZ, FASTEST_HZ = 10, 100_000  # no ECG has been recorded beyond
LARGEST_RISE = 20  # of the rate by resampling: what lies between the samples is not known, and takes memory


@dataclass(frozen=True, eq=False)
class Record:
    """One recording.

    Attributes:
        signal: float32 millivolts ``[leads, samples]``; NaN marks an invalid sample, as in WFDB.
        leads: one name per row; known leads are brought to the spelling of ``LEADS_12``, others stay as they are.
        rate_hz: samples a second.
        source: where it came from; every message names it.
        notes: repairs and oddities so far, one sentence each.

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
            SignalError: a lead is unknown, or neither there nor derivable.
        """
        names = resolve_leads(leads)
        derived = [name for name in names if derive and name in _DERIVED and name not in self.leads]
        missing = [name for name in names if name not in self.leads and name not in derived]
        missing += [name for name in ("I", "II") if derived and name not in self.leads and name not in missing]
        if missing:
            raise SignalError(
                f"{self.source}: no lead {', '.join(missing)}; it has {', '.join(self.leads)}. Choose among those"
                + ("" if derive else ", or derive=True for III, aVR, aVL and aVF from I and II")
                + ". If a channel is that lead under another name, say so with dataclasses.replace(record, leads=...)."
            )
        rows = [self._derived(name) if name in derived else self._row(name) for name in names]
        notes = (f"{', '.join(derived)} derived from I and II.",) if derived else ()
        return replace(self, signal=np.stack(rows), leads=names, notes=self.notes + notes)

    def resample(self, rate_hz: float) -> "Record":
        """The record at `rate_hz` samples a second, behind the anti-alias filter of ``scipy.signal.resample_poly``.

        The ratio of the rates is taken as the nearest fraction with a denominator of 10,000 at most; where that is
        exact, as for whole numbers of Hz, the duration stays the same to within one sample.

        Raises:
            SignalError: the rate is out of range or more than 20 times the record's, or NaN samples are left that the
                filter would spread.
        """
        from scipy.signal import resample_poly

        if not SLOWEST_HZ <= rate_hz <= min(FASTEST_HZ, LARGEST_RISE * self.rate_hz):
            raise SignalError(
                f"{self.source}: expected a rate of {SLOWEST_HZ} to {FASTEST_HZ} Hz, and at most {LARGEST_RISE} times "
                f"the record's {self.rate_hz:g} Hz, got {rate_hz}. Record at a higher rate, or take another model."
            )
        if rate_hz == self.rate_hz:
            return self
        if np.isnan(self.signal).any():
            raise SignalError(f"{self.source}: NaN samples cannot be resampled. Call interpolate_invalid() first.")
        up, down = self._ratio(rate_hz)
        samples = self.signal.shape[1]
        # Without the line between first and last sample, a baseline offset does not ring at the ends.
        first = self.signal[:, :1].astype(np.float64)
        slope = (self.signal[:, -1:] - first) / max(samples - 1, 1)
        out = np.empty((len(self.signal), self.samples_at(rate_hz)), np.float32)
        # In blocks that overlap by the reach of resample_poly's filter: a day's recording takes no day's memory.
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
        """How many samples `resample` gives at `rate_hz`."""
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
        """Leads whose valid samples all have one value."""
        low, high = np.fmin.reduce(self.signal, axis=1), np.fmax.reduce(self.signal, axis=1)
        return tuple(name for name, flat in zip(self.leads, low == high, strict=True) if flat)

    def einthoven_error_mv(self) -> float:
        """Largest breach, in millivolts, of the identities that tie III, aVR, aVL and aVF to I and II.

        Recorders round each lead by itself, so an intact record shows up to twice its resolution; a swapped or
        corrupt one shows the size of a QRS complex. Invalid samples do not count.

        Raises:
            SignalError: one of the six limb leads is missing.
        """
        limb = self.select(6)
        breaches = np.stack([limb._row(name) - limb._derived(name) for name in _DERIVED])
        return float(np.fmax.reduce(np.abs(breaches), axis=None, initial=0.0))

    def problems(self, einthoven_tolerance_mv: float = 0.05, largest_mv: float = 20.0) -> list[str]:
        """What looks wrong, one sentence each; an empty list for a sound record.

        Args:
            einthoven_tolerance_mv: breach of the limb-lead identities that is put down to rounding and filters.
            largest_mv: amplitude beyond which the units, not the heart, are suspected.
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
        """What is wrong with the relations of the six limb leads, in a sentence; None if nothing, or if one is missing.

        Leads that were mislabelled or corrupted one by one break them. Electrodes swapped on the patient do not.

        Args:
            tolerance_mv: what rounding and noise may amount to, in mV.
        """
        if not all(name in self.leads for name in ("I", "II", *_DERIVED)):
            return None
        breach = self.einthoven_error_mv()
        return (
            f"Limb leads break Einthoven's law by {breach:.3g} mV: swapped or corrupt."
            if breach > tolerance_mv
            else None
        )

    def plot(
        self,
        path: str | Path | None = None,
        *,
        model: "EcgModel | None" = None,
        explain: str | None = None,
        start_s: float = 0.0,
    ) -> "Figure":
        """The record on ECG paper, 25 mm/s and 10 mm/mV in its true size: a matplotlib figure.

        Twelve leads stand as three rows of four and a rhythm strip, others as strips of 10 s, a minute at most. Windows
        that signal quality leaves out are grey. Each trace is centred on its lead's median.

        Args:
            path: where to write it as well; ends with ``.png``, ``.svg`` or ``.pdf``.
            model: its findings and the quality of its windows stand below.
            explain: one of the model's classes; what speaks for it is shaded (`ecgzoo.explain`).
            start_s: where the stretch that is drawn begins, in seconds.

        Raises:
            EcgZooError: another ending, a class that the model has not, or a record that it cannot read.
        """
        from ecgzoo.show import plot

        return plot(self, path, model=model, explain=explain, start_s=start_s)

    def _row(self, name: str) -> np.ndarray:
        row: np.ndarray = self.signal[self.leads.index(name)]
        return row

    def _derived(self, name: str) -> np.ndarray:
        of_i, of_ii = _DERIVED[name]
        row: np.ndarray = of_i * self._row("I") + of_ii * self._row("II")
        return row
