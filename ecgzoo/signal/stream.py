"""Windows of a signal that arrives in pieces: repaired, resampled and cut, the same whatever the pieces are."""

import math
from dataclasses import dataclass

import numpy as np

from ecgzoo.signal.resample import Resampler, rate_after, ratio_of

CONTEXT_S = 10.0
"""A window's quality is judged by this much of the signal, up to the window's end: a record of the length that the
limits of `ecgzoo.signal.quality` were read off. Nothing later is known when it is live."""


@dataclass(frozen=True, eq=False)
class Window:
    """What a model looks at, and what its quality is judged by.

    Attributes:
        start: its first sample, at the model's rate.
        signal: float32 millivolts ``[leads, window]`` at the model's rate.
        around: float32 millivolts ``[leads, n]`` as recorded, NaN included: `CONTEXT_S` up to the window's end.
        begins_s: seconds of `around` before the window.
        missing: how many samples of the window, as recorded, are NaN in some lead.
    """

    start: int
    signal: np.ndarray
    around: np.ndarray
    begins_s: float
    missing: int


class Windows:
    """Cuts windows; memory is bounded by a few of them and the longest piece.

    They begin every stride, and the last ends where the signal ends, as those of `window_starts`.

    Attributes:
        pushed: how many samples were pushed.
    """

    def __init__(self, leads: int, rate_hz: float, new_rate_hz: float, window: int, stride: int) -> None:
        """Of `leads` at `rate_hz`; `window` and `stride` are samples at `new_rate_hz`."""
        self._resampler = Resampler(*ratio_of(rate_hz, new_rate_hz))
        new_rate_hz = rate_after(rate_hz, new_rate_hz)
        self.rate_hz, self.new_rate_hz, self.window, self.stride = rate_hz, new_rate_hz, window, stride
        self._repair = Repair(leads, round(0.05 * window / new_rate_hz * rate_hz))
        self._context = round(max(CONTEXT_S, window / new_rate_hz) * rate_hz)
        self._waiting: list[np.ndarray] = []
        self.pushed = 0
        self._next = 0  # start of the next window
        self._raw = np.zeros((leads, 0), np.float32)
        self._raw_first = 0
        self._signal = np.zeros((leads, 0), np.float32)
        self._signal_first = 0

    def push(self, samples: np.ndarray) -> list[Window]:
        """The windows that are complete with the next `samples`, float32 millivolts ``[leads, n]``, NaN where invalid.

        They may be views of what is held, to be used before the next call.
        """
        self.pushed += samples.shape[1]
        self._waiting.append(samples.copy())  # the caller may fill the same array again
        if self.pushed < self._resampler.needed(self._next + self.window):
            return []  # a filter's start costs more than the few samples of a packet
        self._take()
        return self._complete()

    def close(self) -> list[Window]:
        """The windows that are complete because the signal ends, one that ends with it among them."""
        self._take()
        rest = [self._resampler.push(self._repair.close()), self._resampler.close()]
        self._signal = np.concatenate([self._signal, *rest], axis=1)
        found = self._complete()
        total = self._signal_first + self._signal.shape[1]
        if total >= self.window and total - self.window > self._next - self.stride:
            found.append(self._cut(total - self.window))
        return found

    def _take(self) -> None:
        if not self._waiting:
            return
        new = np.concatenate(self._waiting, axis=1)
        self._waiting = []
        # what no window needs any more; the last one of all may begin a sample after the one before the next
        before = max(0, self._next - self.stride)
        first = max(0, self._recorded(before + self.window) - self._context - 1)
        keep = max(0, first - self._raw_first)
        self._raw, self._raw_first = np.concatenate([self._raw[:, keep:], new], axis=1), self._raw_first + keep
        keep = before - self._signal_first
        resampled = self._resampler.push(self._repair.push(new))
        self._signal = np.concatenate([self._signal[:, keep:], resampled], axis=1)
        self._signal_first = before

    def _recorded(self, sample: int) -> int:
        return round(sample / self.new_rate_hz * self.rate_hz)

    def _complete(self) -> list[Window]:
        found = []
        while self._next + self.window <= self._signal_first + self._signal.shape[1]:
            found.append(self._cut(self._next))
            self._next += self.stride
        return found

    def _cut(self, start: int) -> Window:
        end = min(self._recorded(start + self.window), self.pushed)
        first = max(0, end - self._context)
        around = self._raw[:, first - self._raw_first : end - self._raw_first]
        own = around[:, max(0, self._recorded(start) - first) :]
        signal = self._signal[:, start - self._signal_first : start - self._signal_first + self.window]
        begins_s = max(0.0, start / self.new_rate_hz - first / self.rate_hz)
        return Window(start, signal, around, begins_s, int(np.isnan(own).any(axis=0).sum()))


class Repair:
    """Fills invalid samples within a bounded delay: `longest` in a row by a straight line, more by the last valid.

    `Windows` takes a twentieth of a window for `longest`. A window with more is unreadable, whatever it is filled with.
    """

    def __init__(self, leads: int, longest: int) -> None:
        self.longest = longest
        self._held = np.zeros((leads, 0), np.float32)  # from the first sample whose value is not known yet
        self._last = np.full(leads, math.nan, np.float32)
        self._long = np.zeros(leads, bool)  # what is held begins within a long run

    def push(self, samples: np.ndarray) -> np.ndarray:
        """The samples whose values are known with the next `samples`, float32 ``[leads, n]``."""
        return self._filled(samples, ended=False)

    def close(self) -> np.ndarray:
        """The rest."""
        return self._filled(np.zeros((len(self._held), 0), np.float32), ended=True)

    def _filled(self, samples: np.ndarray, ended: bool) -> np.ndarray:
        whole = np.concatenate([self._held, samples], axis=1)
        known = length = whole.shape[1]
        filled, long_runs = whole.copy(), []
        for lead, row in enumerate(filled):
            invalid = np.isnan(row)
            if not invalid.any():
                long_runs.append(np.zeros((0, 2), np.int64))
                continue
            runs = np.flatnonzero(np.diff(invalid, prepend=False, append=False)).reshape(-1, 2)
            long = runs[:, 1] - runs[:, 0] > self.longest
            long[0] |= self._long[lead] and runs[0, 0] == 0
            if runs[-1, 1] == length and not long[-1] and not ended:
                known = min(known, int(runs[-1, 0]))
            places = np.flatnonzero(~invalid)
            values = row[places]
            if not math.isnan(self._last[lead]):
                places, values = np.append(-1, places), np.append(self._last[lead], values)
            row[invalid] = np.interp(np.flatnonzero(invalid), places, values) if len(places) else 0
            for begin, end in runs[long]:
                before = row[begin - 1] if begin else self._last[lead]
                row[begin:end] = 0 if math.isnan(before) else before
            long_runs.append(runs[long])
        for lead, runs in enumerate(long_runs):
            self._long[lead] = bool(((runs[:, 0] < known) & (runs[:, 1] >= known)).any()) or (
                known == 0 and self._long[lead]
            )
            if known and not (math.isnan(self._last[lead]) and np.isnan(whole[lead]).all()):
                self._last[lead] = filled[lead, known - 1]
        self._held = whole[:, known:]
        repaired: np.ndarray = filled[:, :known]
        return repaired
