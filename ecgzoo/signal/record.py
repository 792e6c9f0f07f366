"""Record: one recording in millivolts with named leads and a rate."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgzoo.errors import MissingLeadError, SignalError, printable
from ecgzoo.signal.leads import LEAD_SETS, canonical_lead, channel_to_rename, known_lead, resolve_leads
from ecgzoo.signal.resample import Resampler, ratio_of
from ecgzoo.signal.units import require_voltage

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from ecgzoo.model import EcgModel

# Einthoven and Goldberger: each derived lead as weights of (I, II).
_DERIVED = {"III": (-1.0, 1.0), "aVR": (-0.5, -0.5), "aVL": (1.0, -0.5), "aVF": (-0.5, 1.0)}

_LIMB_LEADS = {"I": (1.0, 0.0), "II": (0.0, 1.0), **_DERIVED}

BLOCK_SAMPLES = 1 << 18  # samples that are resampled at a time
SLOWEST_HZ, FASTEST_HZ = 10, 100_000  # no ECG has been recorded beyond
RATE = f"a rate of {SLOWEST_HZ} to {FASTEST_HZ} Hz"
LARGEST_RISE = 20  # of the rate by resampling: what lies between the samples is not known, and takes memory


@dataclass(frozen=True, eq=False)
class Record:
    """One recording.

    Attributes:
        signal: float32 millivolts ``[leads, samples]``; NaN marks an invalid sample, as in WFDB, and so does a mask.
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
        object.__setattr__(self, "signal", as_numbers(self.signal, self.source))
        object.__setattr__(self, "rate_hz", as_number(self.rate_hz, RATE, self.source))
        names = _names_of(self.leads, self.source)
        object.__setattr__(self, "leads", tuple(known_lead(name) or name for name in names))
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
        if len(set(self.leads)) < len(self.leads):
            repeated = sorted(name for name, count in Counter(self.leads).items() if count > 1)
            raise SignalError(f"{self.source}: lead {', '.join(repeated)} occurs twice. Rename or drop one of them.")
        if not SLOWEST_HZ <= self.rate_hz <= FASTEST_HZ:
            raise SignalError(f"{self.source}: expected {RATE}, got {self.rate_hz}.")
        if np.isinf(self.signal).any():
            raise SignalError(f"{self.source}: holds infinite samples. Mark invalid samples as NaN.")

    def __repr__(self) -> str:
        # without the samples, which would fill a notebook
        seconds = self.signal.shape[1] / self.rate_hz
        return printable(f"Record({self.source}: leads {', '.join(self.leads)}, {self.rate_hz:g} Hz, {seconds:g} s)")

    @classmethod
    def from_array(
        cls,
        signal: Any,
        *,
        leads: int | str | Sequence[str],
        rate_hz: float,
        units: str = "mV",
        source: str = "array",
    ) -> "Record":
        """A recording from an array.

        Args:
            signal: numbers ``[leads, samples]``, or ``[samples]`` of a single lead, of any float or integer dtype; NaN,
                or the mask of a masked array, marks an invalid sample.
            leads: a name for each row, in their order: a sequence, one string (``"I,II"``), or a number for the named
                set of `resolve_leads`. Names that are none of the twelve leads stay as they are.
            rate_hz: samples per second.
            units: of the numbers: ``mV``, ``uV``, ``nV`` or ``V``.
            source: what messages call it.

        Raises:
            SignalError: the array has another shape (``[samples, leads]``: pass its transpose) or is not of numbers, or
                what `Record` refuses.
        """
        values = as_numbers(signal, source)
        if isinstance(leads, int) or (isinstance(leads, str) and leads.strip().isdecimal()):
            leads = resolve_leads(leads)
        names = _names_of([name.strip() for name in leads.split(",")] if isinstance(leads, str) else leads, source)
        scale = require_voltage(units, source)
        if values.ndim == 1 and len(names) == 1:
            values = values[None]
        if values.ndim == 2 and values.shape[0] != len(names) == values.shape[1]:
            raise SignalError(
                f"{source}: expected [leads, samples], got {list(values.shape)} for {len(names)} leads, which is "
                "[samples, leads]; transpose it (signal.T)."
            )
        if values.ndim != 2 or values.shape[0] != len(names):
            raise SignalError(
                f"{source}: expected [leads, samples] with a row for each of {len(names)} leads "
                f"({', '.join(names[:20])}), got {list(values.shape)}; pass leads= with one name a row (on the command "
                "line --leads)."
            )
        millivolts = np.empty(values.shape, np.float32)
        with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and is refused
            np.divide(values, scale, out=millivolts, dtype=np.float64, casting="unsafe")
        return cls(millivolts, names, rate_hz, source)

    def to_frame(self) -> "pandas.DataFrame":
        """A pandas table: a column of float32 millivolts per lead, the index ``time_s`` in seconds from the start.

        ``record.to_frame().to_csv(path)`` writes a file that `read_record` reads with ``units="mV"``.
        """
        import pandas

        seconds = pandas.Index(np.arange(self.signal.shape[1]) / self.rate_hz, name="time_s")
        return pandas.DataFrame(self.signal.T, index=seconds, columns=list(self.leads))

    def rename(self, names: Mapping[str, str]) -> "Record":
        """The record with other names for some channels: ``record.rename({"ECG": "I"})``.

        Args:
            names: the lead that each of these channels is, by the channel's present name.

        Raises:
            SignalError: no channel has the old name, the new one is none of the twelve leads, two would be the same, or
                one channel is given two.
        """
        if not (isinstance(names, Mapping) and all(isinstance(name, str) for pair in names.items() for name in pair)):
            raise SignalError(f'{self.source}: expected leads by channel, such as {{"ECG": "I"}}, got {names!r}.')
        unknown = [name for name in names if (known_lead(name) or name) not in self.leads]
        if unknown:
            raise SignalError(
                f"{self.source}: no channel {', '.join(unknown)} to rename; it has {', '.join(self.leads)}."
            )
        new = {known_lead(old) or old: canonical_lead(lead) for old, lead in names.items()}
        if len(new) < len(names):
            raise SignalError(f"{self.source}: one channel is named twice among {', '.join(names)}. Rename it once.")
        return replace(self, leads=tuple(new.get(name, name) for name in self.leads))

    def derive(self, leads: int | str | Sequence[str] = 6) -> "Record":
        """The record with those of `leads` added that it has not and that follow from two limb leads that it has.

        Any two of I, II, III, aVR, aVL and aVF give the other four (Einthoven, Goldberger); the first two of that order
        are taken, and a note says which. Leads that do not follow are not added. Nothing that was recorded is changed.

        Args:
            leads: as for `resolve_leads`; the six limb leads if not given.

        Raises:
            SignalError: a lead is unknown.
        """
        recorded = self._limb_leads()[:2]
        wanted = [name for name in resolve_leads(leads) if name in _LIMB_LEADS and name not in self.leads]
        if len(recorded) < 2 or not wanted:
            return self
        rows = [self._derived(name, recorded) for name in wanted]
        note = f"{', '.join(wanted)} derived from {' and '.join(recorded)}."
        return replace(
            self, signal=np.vstack([self.signal, *rows]), leads=(*self.leads, *wanted), notes=(*self.notes, note)
        )

    def select(self, leads: int | str | Sequence[str], derive: bool = False) -> "Record":
        """The record with these leads, by name, in this order.

        Args:
            leads: as for ``resolve_leads``.
            derive: compute missing limb leads from two others, as `derive` does; a note says so.

        Raises:
            MissingLeadError: a lead is neither there nor derivable.
            SignalError: a lead is unknown.
        """
        names = resolve_leads(leads)
        if names == self.leads:
            return self
        record = self.derive(names) if derive else self
        missing = tuple(name for name in names if name not in record.leads)
        if missing:
            # of a derived lead, what it would take
            limb = [name for name in missing if derive and name in _LIMB_LEADS]
            needs = f" {', '.join(limb)} would follow from two of {', '.join(LEAD_SETS[6])}." if limb else ""
            channel = channel_to_rename(self.leads)
            raise MissingLeadError(
                f"{self.source}: no lead {', '.join(missing)}; it has {', '.join(self.leads)}.{needs}",
                "Choose among those, with a model of them (ecgzoo.list_pretrained())"
                + ("" if derive else ", or derive=True for limb leads that follow from two others")
                + (f", or record.rename({{{channel!r}: {missing[0]!r}}}) if that channel is it" if channel else "")
                + ".",
                missing,
                self.leads,
            )
        rows = [record._row(name) for name in names]
        return replace(record, signal=np.stack(rows), leads=names)

    def resample(self, rate_hz: float) -> "Record":
        """The record at `rate_hz` samples per second, after an anti-alias filter (`ecgzoo.signal.resample`).

        The ratio of the rates is rounded to the nearest fraction with a denominator of at most 10,000. If it is exact,
        as for whole numbers of Hz, the duration stays the same to within one sample.

        Raises:
            SignalError: the rate is out of range or more than 20 times the record's, or NaN samples are left that the
                filter would spread.
        """
        rate_hz = as_number(rate_hz, RATE, self.source)
        if not SLOWEST_HZ <= rate_hz <= min(FASTEST_HZ, LARGEST_RISE * self.rate_hz):
            raise SignalError(
                f"{self.source}: expected {RATE}, and at most {LARGEST_RISE} times "
                f"the record's {self.rate_hz:g} Hz, got {rate_hz}. Record at a higher rate, or use another model."
            )
        if rate_hz == self.rate_hz:
            return self
        if np.isnan(self.signal).any():
            raise SignalError(f"{self.source}: NaN samples cannot be resampled. Call interpolate_invalid() first.")
        resampler = Resampler(*ratio_of(self.rate_hz, rate_hz))
        samples, made = self.signal.shape[1], 0
        out = np.empty((len(self.signal), self.samples_at(rate_hz)), np.float32)
        for start in range(0, samples, BLOCK_SAMPLES):  # a day's recording takes no day's memory
            part = resampler.push(self.signal[:, start : start + BLOCK_SAMPLES])
            out[:, made : made + part.shape[1]] = part
            made += part.shape[1]
        if made < out.shape[1]:
            out[:, made:] = resampler.close()
        return replace(self, signal=out, rate_hz=rate_hz)

    def samples_at(self, rate_hz: float) -> int:
        """The number of samples that `resample` gives at `rate_hz`."""
        samples: int = self.signal.shape[1]
        up, down = ratio_of(self.rate_hz, rate_hz)
        return -(-samples * up // down)

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
        """Largest error, in millivolts, of the identities by which two limb leads give the others that were recorded.

        Recorders round each lead separately, so the error of an intact record is up to twice its resolution. The error
        of swapped or corrupt leads is as large as a QRS complex. Invalid samples are ignored.

        Raises:
            SignalError: fewer than three of the six limb leads are there.
        """
        recorded = self._limb_leads()
        if len(recorded) < 3:
            raise SignalError(
                f"{self.source}: expected three of {', '.join(_LIMB_LEADS)}, got {', '.join(self.leads)}; Einthoven's "
                "law says nothing of fewer."
            )
        breaches = np.stack([self._row(name) - self._derived(name, recorded[:2]) for name in recorded[2:]])
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
        """A sentence if the limb leads break Einthoven's law; None if they do not, or if there are fewer than three.

        Mislabelled or corrupted leads break it. Electrodes that were swapped on the patient do not.

        Args:
            tolerance_mv: error that rounding and noise may cause, in mV.
        """
        if len(self._limb_leads()) < 3 or (breach := self.einthoven_error_mv()) <= tolerance_mv:
            return None
        return f"Limb leads break Einthoven's law by {breach:.3g} mV: swapped or corrupt."

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
            EcgZooError: another ending, a class that the model does not have, or a record that it cannot read.
        """
        from ecgzoo.show import plot

        return plot(self, path, model=model, explain=explain, start_s=start_s)

    def _limb_leads(self) -> list[str]:
        return [name for name in _LIMB_LEADS if name in self.leads]

    def _row(self, name: str) -> np.ndarray:
        row: np.ndarray = self.signal[self.leads.index(name)]
        return row

    def _derived(self, name: str, recorded: Sequence[str]) -> np.ndarray:
        """Limb lead `name` from two others."""
        weights = _weights(name, tuple(recorded))
        row: np.ndarray = weights[0] * self._row(recorded[0]) + weights[1] * self._row(recorded[1])
        return row


def as_numbers(signal: Any, source: str) -> np.ndarray:
    """`signal` as an array of floats or integers; masked samples are NaN.

    Args:
        signal: an array, a tensor or lists.
        source: what messages call it.

    Raises:
        SignalError: it holds something else, such as text, or rows of different lengths.
    """
    if hasattr(signal, "detach"):  # a tensor, which may have gradients or be on a GPU
        signal = signal.detach().cpu()
    masked = isinstance(signal, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in signal)
    try:
        values = np.ma.asarray(signal) if masked else np.asanyarray(signal)
    except (TypeError, ValueError) as error:
        raise SignalError(f"{source}: expected an array of floats or integers, got none ({error}).") from error
    if values.dtype.kind not in "fiu":
        raise SignalError(f"{source}: expected an array of floats or integers, got {values.dtype}.")
    if isinstance(values, np.ma.MaskedArray):
        mask, values = values.mask, np.array(values, np.promote_types(values.dtype, np.float32))
        values[mask] = np.nan
    return np.asarray(values)


def _names_of(leads: Any, source: str) -> tuple[str, ...]:
    """`leads` as a tuple of names.

    Raises:
        SignalError: it is no sequence of names, or one is empty.
    """
    names = tuple(leads) if isinstance(leads, Iterable) else ()
    if not names or not all(isinstance(name, str) and name.strip() for name in names):
        raise SignalError(f"{source}: expected a name for each lead, got {leads!r}; pass such as leads=('I', 'II').")
    return names


def as_number(value: Any, what: str, source: str) -> float:
    """`value` as a float.

    Args:
        value: a number, or its text.
        what: what messages say was expected.
        source: what messages call it.

    Raises:
        SignalError: it is not a number.
    """
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise SignalError(f"{source}: expected {what}, got {value!r}.") from error


@lru_cache(maxsize=64)
def _weights(name: str, recorded: tuple[str, ...]) -> list[float]:
    """Limb lead `name` as a sum of two others."""
    weights: list[float] = np.linalg.solve(
        np.array([_LIMB_LEADS[lead] for lead in recorded]).T, _LIMB_LEADS[name]
    ).tolist()
    return weights
