"""Resampling with a state: the same samples whatever pieces the signal comes in."""

import math
from fractions import Fraction
from functools import lru_cache

import numpy as np

LOWEST_SHARE_OF_RATE = 0.75  # of the new rate: half of it moved probabilities by .3 (benchmarks/quality.py)
FINEST = 10_000  # largest denominator of a ratio of rates
ZERO_CROSSINGS = 10  # of the filter on each side, as in scipy.signal.resample_poly


@lru_cache(maxsize=64)
def ratio_of(rate_hz: float, new_rate_hz: float) -> tuple[int, int]:
    """``(up, down)``: `new_rate_hz` over `rate_hz` as the nearest fraction with a denominator of 10,000 at most."""
    ratio = Fraction(new_rate_hz / rate_hz).limit_denominator(FINEST)
    return ratio.numerator, ratio.denominator


def rate_after(rate_hz: float, new_rate_hz: float) -> float:
    """Samples per second that a signal of `rate_hz` has when it was resampled to `new_rate_hz`.

    `ratio_of` rounds, by up to 5e-5 of it for 100.004 Hz, which is 4 s a day: positions and times follow this rate.
    """
    up, down = ratio_of(rate_hz, new_rate_hz)
    rate = rate_hz * up / down
    return new_rate_hz if math.isclose(rate, new_rate_hz, rel_tol=1e-12) else rate


class Resampler:
    """A polyphase FIR filter without phase, for a signal that comes in pieces of any length.

    The filter is that of ``scipy.signal.resample_poly`` (a sinc under a Kaiser window of 5.0), but each of its phases
    is scaled to a sum of 1, so that a constant stays what it is at any ratio. Before its first and after its last
    sample the signal is continued by its reflection in that sample, which leaves offset and slope as they are.
    """

    def __init__(self, up: int, down: int) -> None:
        """From a rate to `up` / `down` of it, in lowest terms."""
        self.up, self.down = up, down
        self._half = ZERO_CROSSINGS * max(up, down)  # of the filter, at `up` times the rate
        self._reach = -(-self._half // up)  # input samples on each side of an output sample
        self._held: np.ndarray | None = None  # float64 [leads, n], what is still needed of the input
        self._first = 0  # where that begins; below 0 in the reflection
        self._started = False
        self._leads = self._taken = self._made = 0

    def needed(self, made: int) -> int:
        """How many input samples are needed for the first `made` output samples."""
        if self.up == self.down:
            return made
        return max((max(made - 1, 0) * self.down + self._half) // self.up + 1, self._reach + 1)

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The output samples, float32 ``[leads, m]``, that are known with the next input `samples` ``[leads, n]``."""
        self._leads, self._taken = len(samples), self._taken + samples.shape[1]
        if self.up == self.down:
            return samples.astype(np.float32)
        samples = samples.astype(np.float64)
        self._held = samples if self._held is None else np.concatenate([self._held, samples], axis=1)
        if not self._started and self._taken > self._reach:
            self._held = np.concatenate([_reflected(self._held, self._reach, 0), self._held], axis=1)
            self._first, self._started = -self._reach, True
        return self._filtered(-(-(self._taken * self.up - self._half) // self.down) if self._started else 0)

    def close(self) -> np.ndarray:
        """The rest of the output: it has the input's duration to within one sample."""
        if self.up == self.down or self._held is None or not self._taken:
            return np.zeros((self._leads, 0), np.float32)
        if self._started:
            ends = [self._held, _reflected(self._held, self._reach, -1)]
            self._held = np.concatenate(ends, axis=1)
        else:
            reach = ((0, 0), (self._reach, self._reach))
            self._held = np.pad(self._held, reach, mode="reflect", reflect_type="odd")
            self._first, self._started = -self._reach, True
        return self._filtered(-(-self._taken * self.up // self.down))

    def _filtered(self, until: int) -> np.ndarray:
        """Output samples from where it stands to `until`; input that is done with is dropped."""
        from scipy.signal import upfirdn

        assert self._held is not None
        begin, until = self._made, max(until, self._made)
        if until == begin:
            return np.zeros((len(self._held), 0), np.float32)
        # upfirdn's output j is at sample j·down of the raised signal, behind a filter that begins there: so that it
        # meets our own grid, the filter is delayed by what lies between the two
        low = max(-(-(begin * self.down - self._half) // self.up), self._first)
        earliest, delay = divmod(low * self.up - self._half, self.down)
        taps = np.concatenate([np.zeros(delay), _filter(self.up, self.down)])
        high = min(((until - 1) * self.down + self._half) // self.up + 1 - self._first, self._held.shape[1])
        out = upfirdn(taps, self._held[:, low - self._first : high], self.up, self.down, axis=1)
        self._made = until
        keep = max(-(-(until * self.down - self._half) // self.up), self._first)
        keep = min(keep, self._first + self._held.shape[1] - self._reach - 1)  # which the end is reflected from
        if keep > self._first:
            self._held, self._first = self._held[:, keep - self._first :].copy(), keep
        made: np.ndarray = out[:, begin - earliest : until - earliest].astype(np.float32)
        return made


def _reflected(signal: np.ndarray, samples: int, end: int) -> np.ndarray:
    """What comes before the start (0) or after the `end` (-1) of a signal that is longer than `samples`."""
    beside = signal[:, samples:0:-1] if end == 0 else signal[:, -2 : -2 - samples : -1]
    reflected: np.ndarray = 2 * signal[:, [end]] - beside
    return reflected


@lru_cache(maxsize=8)
def _filter(up: int, down: int) -> np.ndarray:
    from scipy.signal import firwin

    half = ZERO_CROSSINGS * max(up, down)
    taps = firwin(2 * half + 1, 1 / max(up, down), window=("kaiser", 5.0))
    for phase in range(up):
        taps[phase::up] /= taps[phase::up].sum()
    taps.flags.writeable = False
    return np.asarray(taps)
