"""Signal quality: which windows of a recording can be read at all, and why not the others.

Each check turns a window into one measure (`_Minute`) and the measure into a score by its row of `CHECKS`: 1
where clean recordings are, `USABLE` at the limit, 0 as far beyond it. A window's index is its lowest score, its reasons
are the scores below `USABLE`. Nothing here looks at rhythm: beats are compared by shape, whatever their distances.

Limits were read off PTB-XL's folds 1 to 8 (leads I and II, windows of 5 s): "p0.5" is what one window in 200 is below.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from ecgzoo.errors import SignalError
from ecgzoo.signal.windows import window_starts

USABLE = 0.5
"""Windows whose index is below take no part in a prediction."""

LOWEST_RATE_HZ = 50.0  # a QRS complex reaches to 20 Hz; 40 would do, less a margin for the filter
SHORTEST_S = 2.0  # of a recording; windows below are judged by the two seconds around them
MAINS_HZ = (50.0, 60.0)
TYPICAL_MV = 0.66  # height of a QRS complex in 5-20 Hz: the median
_UNITS = (
    (1e6, "nanovolts given as millivolts?"),
    (1e3, "microvolts given as millivolts?"),
    (1e-3, "volts given as millivolts?"),
)
_BLOCK_S = 60.0  # beats are compared with those of the same minute: electrodes and bodies move, memory is bounded
_BAND_HZ = (5.0, 20.0)
_PIECE_S = 2.0  # holds a beat at 30 a minute
_NARROW_HZ = 80.0  # below, a QRS complex is a peak of one sample itself
_COMPARED = 20  # other beats that each is compared with

# Which way up a lead is: logistic regression without intercept on signed roots of five mean voltages of the average
# beat (seconds around its peak, in units of the beat's height), fitted on PTB-XL's folds 1 to 7, each beat as it is
# and inverted. The note comes beyond `_INVERTED`, chosen on fold 8: 0.8 % (I) and 1.2 % (II) of what is upright, 96 and 93 % of what is not.
_PARTS_S = {"P": (-0.20, -0.08), "Q": (-0.08, -0.03), "R": (-0.02, 0.03), "S": (0.04, 0.09), "T": (0.16, 0.36)}
_UPRIGHT = {"I": (2.8, -6.6, 7.8, -5.8, 1.6), "II": (4.3, -7.2, 4.5, -8.1, 3.0)}
_INVERTED = -1.5


@dataclass(frozen=True)
class Check:
    """How a measure becomes a score and, below `USABLE`, a reason.

    Attributes:
        limit: the measure that scores `USABLE`.
        usual: the measure that scores 1; beyond it too.
        reason: the measure's sentence.
        log: whether the line from one to the other is drawn over the measure's logarithm.
    """

    limit: float
    usual: float
    reason: Callable[[float], str]
    log: bool = False

    def score(self, measure: np.ndarray) -> np.ndarray:
        """Scores from 0 to 1 of measures of any shape."""
        limit, usual = self.limit, self.usual
        if self.log:
            measure, limit, usual = np.log(np.maximum(measure, 1e-12)), math.log(limit), math.log(usual)
        scores: np.ndarray = np.clip(USABLE + (1 - USABLE) * (measure - limit) / (usual - limit), 0, 1)
        return scores


def _wrong_size(height_mv: float) -> str:
    ratio = max(height_mv, 1e-12) / TYPICAL_MV
    for known, guess in _UNITS:
        if known / 30 < ratio < known * 30:
            return f"about {known:g} times too {'large' if known > 1 else 'small'}: {guess}"
    return f"about {ratio:.1g} times too {'large' if ratio > 1 else 'small'} for an ECG in millivolts"


CHECKS = {
    # share of the samples that are NaN or infinite; 5 % of 5 s can hide a whole beat
    "missing": Check(0.05, 0.0, lambda v: f"{v:.0%} of the samples are missing"),
    # share in stretches of 0.2 s and more without change; p99.9 is 0.04, the largest 0.08
    "flat": Check(0.10, 0.04, lambda v: f"flat for {v:.0%} of the time: electrode off?"),
    # height in 5-20 Hz, mV: p0.1 is 0.12 and the lowest 0.065; p99.9 is 2.1 and the highest 2.7
    "small": Check(0.03, 0.12, _wrong_size, log=True),
    "large": Check(12.0, 3.0, _wrong_size, log=True),
    # share in stretches of 20 ms and more at the recording's highest or lowest value; p99.9 is 0, the largest 0.014
    "clipped": Check(0.01, 0.0, lambda v: f"clipped: {v:.1%} of the time at the end of the range"),
    # height of what is narrower than 20 ms against the height in 5-20 Hz; p99 is 1.1, p99.9 1.7
    "impulsive": Check(1.8, 1.1, lambda v: f"impulses: peaks of one sample, {v:.1f} times as high as the beats"),
    # range of the mean over 0.6 s, mV; p99 is 0.6, p99.9 1.4. A student's answers still hold there (external.py)
    "wander": Check(2.0, 0.6, lambda v: f"the baseline moves by {v:.1f} mV: wander or steps"),
    # peak of a sine at 50 or 60 Hz against the height in 5-20 Hz; the resampling filter takes most of it
    "mains": Check(0.5, 0.1, lambda v: f"mains hum {v:.1f} times as high as the beats"),
    # kurtosis in 5-20 Hz (Li, Mark, Clifford 2008): noise has 3, p0.5 is 3.9 (I) and 3.5 (II), the median 13
    "peaked": Check(2.6, 13.0, lambda v: f"no complexes stand out (kurtosis {v:.1f})", log=True),
    # correlation of beats with other beats (after Orphanidou et al. 2015): noise has 0.5, p0.5 is 0.71, the median 0.98
    "alike": Check(0.68, 0.98, lambda v: f"no beats that repeat (correlation {v:.2f})"),
}
_FIRST = ("missing", "flat", "small", "large")  # a window with one of these is not blamed for what follows from it


@dataclass(frozen=True, eq=False)
class Quality:
    """What `assess` found.

    Attributes:
        starts_s: float64 seconds ``[W]``, where the windows begin.
        index: float64 ``[W]``, 0 to 1; below `USABLE` a window should not be used.
        reasons: ``[W]``, why a window is not usable, in plain words; empty for a usable one.
        scores: by check, float64 ``[leads, W]``.
        unreadable: why the whole recording should get no prediction; None if it may.
        notes: of the whole recording, one sentence each: units, an inverted lead. Nothing is changed or flipped.
        beats_s: float64 seconds, ascending: the beats in usable windows, of the best lead.
        heart_rate_bpm: 60 over the median distance of neighbouring beats; None below three beats, or if unreadable.
    """

    starts_s: np.ndarray
    index: np.ndarray
    reasons: tuple[tuple[str, ...], ...]
    scores: dict[str, np.ndarray]
    unreadable: str | None
    notes: tuple[str, ...]
    beats_s: np.ndarray
    heart_rate_bpm: float | None

    @property
    def usable(self) -> np.ndarray:
        """bool ``[W]``."""
        usable: np.ndarray = self.index >= USABLE
        return usable


def assess(
    signal_mv: np.ndarray,
    rate_hz: float,
    *,
    window_s: float,
    starts_s: Sequence[float] | np.ndarray | None = None,
    leads: Sequence[str] = (),
) -> Quality:
    """The quality of windows of a recording. The recording is the context: beats are compared with all of its minute.

    Whatever the samples are (NaN, infinite, constant, none), the answer is a `Quality`, and finite. A window's
    index is that of its worst lead; of four leads and more a quarter, rounded down, may be worse still.

    Args:
        signal_mv: millivolts ``[leads, samples]`` as recorded: not filtered, resampled or interpolated.
        rate_hz: samples a second.
        window_s: seconds of a window.
        starts_s: where the windows begin, in any order; by default every half window.
        leads: a name for each row, for reasons; I and II are looked at for their polarity.

    Raises:
        SignalError: `signal_mv` has no two dimensions, `leads` do not match it, or rate or window are not above 0.
    """
    if signal_mv.ndim != 2 or len(leads or signal_mv) != len(signal_mv):
        raise SignalError(f"Expected [leads, samples] and a name for each lead, got {signal_mv.shape} and {leads}.")
    if not (0 < rate_hz < math.inf and 0 < window_s < math.inf):
        raise SignalError(f"Expected a rate and a window above 0, got {rate_hz} Hz and {window_s} s.")
    samples, window = signal_mv.shape[1], max(1, round(window_s * rate_hz))
    if starts_s is None:
        fits = samples >= window
        starts_s = window_starts(samples, window, max(1, window // 2), "signal") / rate_hz if fits else ()
    starts_s = np.asarray(starts_s, np.float64)
    names = tuple(leads) or ("",) * len(signal_mv)
    if problem := _unfit(signal_mv.shape, rate_hz, len(starts_s)):
        none = np.zeros(len(starts_s))
        return Quality(starts_s, none, ((problem,),) * len(none), {}, problem, (), np.zeros(0), None)
    seen = max(window, math.ceil(SHORTEST_S * rate_hz))  # samples that a window is judged by
    starts = np.round(np.nan_to_num(starts_s) * rate_hz).astype(np.int64) - (seen - window) // 2
    seen = min(seen, samples)
    starts = np.clip(starts, 0, samples - seen)
    found = [
        _assess_lead(row, rate_hz, starts, seen, _UPRIGHT.get(name)) for name, row in zip(names, signal_mv, strict=True)
    ]
    scores = {name: np.stack([check.score(lead.measures[name]) for lead in found]) for name, check in CHECKS.items()}
    by_lead = np.stack(list(scores.values())).min(0)
    index = np.sort(by_lead, axis=0)[len(found) // 4]
    reasons = _reasons(found, names, scores, index)
    unreadable = _unreadable(reasons, scores, starts_s, window_s)
    best = found[int(by_lead.mean(1).argmax())]
    beats_s = best.beats / rate_hz
    good = np.zeros(len(beats_s), bool)
    for start in starts_s[index >= USABLE]:
        good[np.searchsorted(beats_s, start) : np.searchsorted(beats_s, start + window_s)] = True
    gaps = np.diff(beats_s)[good[1:] & good[:-1]]
    rate = 60 / float(np.median(gaps)) if len(gaps) >= 2 and not unreadable else None
    notes = []
    for name, lead in zip(names, found, strict=True):
        height = float(np.median(lead.measures["small"]))
        if not CHECKS["small"].limit <= height <= CHECKS["large"].limit:
            notes.append(f"{_of(name)}amplitudes are {_wrong_size(height)}")
        if lead.upright < _INVERTED:
            notes.append(f"{_of(name)}likely inverted: P wave, QRS complex and T wave point the other way")
    return Quality(starts_s, index, reasons, scores, unreadable, tuple(notes), beats_s[good], rate)


def _unfit(shape: tuple[int, ...], rate_hz: float, windows: int) -> str | None:
    """What makes a recording unreadable before one looks at its samples."""
    if rate_hz < LOWEST_RATE_HZ:
        return f"{rate_hz:g} samples a second are too few: heartbeats need {LOWEST_RATE_HZ:g}"
    if 0 in shape or shape[1] < SHORTEST_S * rate_hz or not windows:
        return f"{shape[1] / rate_hz:.3g} s of {shape[0]} leads with {windows} windows: too short to be read"
    return None


def _of(name: str) -> str:
    return f"lead {name}: " if name else ""


@dataclass(frozen=True)
class _Lead:
    """Measures ``[W]`` by check, beats in samples, and how upright it looks (0 is undecided, NaN unknown)."""

    measures: dict[str, np.ndarray]
    beats: np.ndarray
    upright: float


def _assess_lead(
    signal: np.ndarray, rate: float, starts: np.ndarray, seen: int, weights: tuple[float, ...] | None
) -> _Lead:
    """One lead, minute by minute."""
    edges = np.linspace(0, len(signal), max(1, round(len(signal) / rate / _BLOCK_S)) + 1).astype(np.int64)
    measures = {name: np.zeros(len(starts)) for name in CHECKS}
    beats, upright = [np.zeros(0, np.int64)], [math.nan]
    for low, high in pairwise(edges.tolist()):
        here = np.flatnonzero((starts >= low) & (starts < high))
        if not len(here):
            continue
        minute = _Minute(signal[low : high + seen], rate)
        at_once = max(1, (1 << 20) // seen)
        for some in np.split(here, range(at_once, len(here), at_once)):
            for name, values in minute.measures(starts[some] - low, seen).items():
                measures[name][some] = values
        beats.append(low + minute.beats[minute.beats < high - low])
        if weights:
            upright.append(minute.upright(weights))
    known = [value for value in upright if not math.isnan(value)]
    return _Lead(measures, np.concatenate(beats), float(np.median(known)) if known else math.nan)


class _Minute:
    """A minute or so of one lead, with its beats; ``fast`` is at the recorder's rate, all else near 100 Hz."""

    def __init__(self, signal: np.ndarray, rate: float) -> None:
        from scipy.ndimage import uniform_filter1d
        from scipy.signal import sosfiltfilt

        self.missing = ~np.isfinite(signal)
        self.fast = _filled(signal, self.missing)
        self.fast_rate, self.step = rate, max(1, int(rate // 100))
        self.rate = rate / self.step
        self.slow = uniform_filter1d(self.fast, self.step)[:: self.step]
        self.band = sosfiltfilt(_band_filter(self.rate), self.slow)
        self.peaks = _find_beats(self.band, self.rate)
        self.alike = _alike(self.band, self.peaks, self.rate)
        self.beats = self.peaks * self.step

    def measures(self, starts: np.ndarray, seen: int) -> dict[str, np.ndarray]:
        """By check, the measure of each window that begins at `starts` and has `seen` samples."""
        from scipy.ndimage import uniform_filter1d

        def share(mask: np.ndarray) -> np.ndarray:
            total = np.concatenate([[0], np.cumsum(mask)])
            part: np.ndarray = (total[starts + seen] - total[starts]) / seen
            return part

        fast, span = self.fast, float(np.ptp(self.fast))
        still = np.abs(np.diff(fast, prepend=fast[0] + 1)) <= 1e-5 * span
        at_end = np.minimum(fast - fast.min(), fast.max() - fast) <= 1e-5 * span
        at_end &= np.abs(fast) > span / 4  # not a baseline without anything below it
        least = max(2, round(0.02 * self.fast_rate))

        n, piece = seen // self.step, min(seen // self.step, round(_PIECE_S * self.rate))
        first = (starts // self.step)[:, None]
        windows = first + np.arange(n)
        offsets = np.linspace(0, n - piece, math.ceil((n - piece) / self.rate) + 1).astype(np.int64)
        pieces = self.band[(first + offsets)[..., None] + np.arange(piece)]
        height = np.median(np.ptp(pieces, axis=2), axis=1)
        power = (pieces - pieces.mean(2, keepdims=True)) ** 2
        kurtosis = (power**2).mean(2) / np.maximum(power.mean(2) ** 2, 1e-30)

        narrow = np.abs(self.slow - (np.roll(self.slow, 1) + np.roll(self.slow, -1)) / 2)
        narrow[[0, -1]] = 0
        if self.rate < _NARROW_HZ:
            narrow[:] = 0
        baseline = uniform_filter1d(self.slow, round(0.6 * self.rate))
        hum = [_sine(fast, hz / self.fast_rate, starts, seen) for hz in MAINS_HZ if self.fast_rate > 2.2 * hz]
        inside = (self.beats >= starts[:, None]) & (self.beats < starts[:, None] + seen)
        return {
            "missing": share(self.missing),
            "flat": share(_runs(still, round(0.2 * self.fast_rate))),
            "small": height,
            "large": height,
            "clipped": share(_runs(still & at_end, least)),
            "impulsive": narrow[windows].max(1) / np.maximum(height, 1e-9),
            "wander": np.ptp(baseline[windows], axis=1),
            "mains": np.max([*hum, np.zeros(len(starts))], axis=0) / np.maximum(height, 1e-9),
            "peaked": np.median(kurtosis, axis=1),
            "alike": (inside * self.alike).sum(1) / np.maximum(inside.sum(1), 1),
        }

    def upright(self, weights: tuple[float, ...]) -> float:
        """Log-odds that the lead is the right way up; NaN without three beats that repeat."""
        parts = self.beat_parts()
        return math.nan if parts is None else float(parts @ weights)

    def beat_parts(self) -> np.ndarray | None:
        """Signed roots of the average beat's mean voltages in `_PARTS_S`, in units of its height ``[5]``."""
        from scipy.ndimage import uniform_filter1d

        if len(self.peaks) < 3 or np.median(self.alike) < CHECKS["alike"].limit:
            return None
        level = self.slow - uniform_filter1d(self.slow, round(self.rate))
        size = uniform_filter1d(np.abs(self.band), 2 * int(0.035 * self.rate) + 1)
        peaks, reach = self.peaks[self.alike >= np.median(self.alike)], round(0.06 * self.rate)
        near = np.clip(peaks[:, None] + np.arange(-reach, reach + 1), 0, len(size) - 1)
        peaks = np.take_along_axis(near, size[near].argmax(1)[:, None], axis=1)  # where the complex is highest
        around = np.arange(-0.35, 0.5, 0.01)  # seconds
        beat = np.median(np.interp(peaks + around * self.rate, np.arange(len(level)), level), axis=0)
        parts = [beat[(around > start - 0.001) & (around < stop - 0.001)].mean() for start, stop in _PARTS_S.values()]
        of_height: np.ndarray = np.array(parts) / max(float(np.abs(beat).max()), 1e-12)
        return np.sign(of_height) * np.sqrt(np.abs(of_height))


def _find_beats(band: np.ndarray, rate: float) -> np.ndarray:
    """Where the slope in 5-20 Hz, over 70 ms, has a peak as high as 0.4 of what is usual in two seconds.

    Half of the two-second pieces reach what is usual, so that a few artefacts do not move it. Of two peaks within
    0.36 s (the T wave's distance: Pan and Tompkins 1985) one below 0.7 of the other is none.
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import find_peaks

    slope = uniform_filter1d(np.abs(np.gradient(band)), 2 * int(0.035 * rate) + 1)
    piece = round(_PIECE_S * rate) - 1
    usual = np.median(slope[: len(slope) // piece * piece].reshape(-1, piece).max(1))
    peaks: np.ndarray = find_peaks(slope, height=0.4 * usual, distance=round(0.25 * rate))[0]
    near, height = np.diff(peaks) < 0.36 * rate, slope[peaks]
    lower = np.zeros(len(peaks), bool)
    lower[1:] |= near & (height[1:] < 0.7 * height[:-1])
    lower[:-1] |= near & (height[:-1] < 0.7 * height[1:])
    return peaks[~lower]


@lru_cache(maxsize=8)
def _band_filter(rate_hz: float) -> np.ndarray:
    from scipy.signal import butter

    return np.asarray(butter(2, _BAND_HZ, "bandpass", fs=rate_hz, output="sos"))


def _filled(signal: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """float64 millivolts around their median, lines through what is missing."""
    filled = signal.astype(np.float64)
    if missing.all():
        return np.zeros(len(signal))
    if missing.any():
        filled[missing] = np.interp(np.flatnonzero(missing), np.flatnonzero(~missing), filled[~missing])
    filled = np.clip(filled, -1e9, 1e9)  # their fourth powers are still numbers
    return filled - np.median(filled)


def _runs(mask: np.ndarray, least: int) -> np.ndarray:
    """`mask` where it holds for `least` samples in a row."""
    edges = np.concatenate([[0], np.flatnonzero(mask[1:] != mask[:-1]) + 1, [len(mask)]])
    lengths = np.diff(edges)
    return np.repeat(mask[edges[:-1]] & (lengths >= least), lengths)


def _sine(signal: np.ndarray, frequency: float, starts: np.ndarray, seen: int) -> np.ndarray:
    """Peak of the sine of `frequency` (cycles a sample) in each window."""
    total = np.concatenate([[0], np.cumsum(signal * np.exp(-2j * np.pi * frequency * np.arange(len(signal))))])
    peak: np.ndarray = np.abs(total[starts + seen] - total[starts]) * 2 / seen
    return peak


def _alike(band: np.ndarray, peaks: np.ndarray, rate: float) -> np.ndarray:
    """How much each beat (0.4 s) is like others: the upper quartile of its correlations, shifted by up to 30 ms.

    The quartile, not an average template, lets two kinds of beats stand side by side, and clean ones among noisy.
    """
    if len(peaks) < 2:
        return np.zeros(len(peaks))
    half, lag = round(0.2 * rate), round(0.03 * rate)
    around, padded = np.arange(2 * half + 1), np.pad(band, half + lag)

    def cut(at: np.ndarray) -> np.ndarray:
        beats = padded[at[:, None] + lag + around]
        unit: np.ndarray = beats / np.maximum(np.linalg.norm(beats, axis=1, keepdims=True), 1e-12)
        return unit

    beats, others = cut(peaks), peaks[:: -(-len(peaks) // _COMPARED)]
    best = np.max([beats @ cut(others + shift).T for shift in range(-lag, lag + 1)], axis=0)
    best[peaks[:, None] == others] = -1  # itself
    best.sort(axis=1)
    upper: np.ndarray = best[:, -1 - round(0.25 * (len(others) - 1))]
    return upper


def _reasons(
    found: Sequence[_Lead], names: Sequence[str], scores: dict[str, np.ndarray], index: np.ndarray
) -> tuple[tuple[str, ...], ...]:
    """By window, the sentences of the checks that it fails; of those in `_FIRST` alone, if it fails one."""
    reasons: list[tuple[str, ...]] = [()] * len(index)
    for w in np.flatnonzero(index < USABLE).tolist():
        said: list[str] = []
        for row, (name, lead) in enumerate(zip(names, found, strict=True)):
            failed = [check for check in CHECKS if scores[check][row, w] < USABLE]
            failed = [check for check in failed if check in _FIRST] or failed
            said += [_of(name) + CHECKS[check].reason(float(lead.measures[check][w])) for check in failed]
        reasons[w] = tuple(said)
    return tuple(reasons)


def _unreadable(
    reasons: Sequence[tuple[str, ...]], scores: dict[str, np.ndarray], starts_s: np.ndarray, window_s: float
) -> str | None:
    """Half of the windows must be usable; of long recordings half a minute of them, but a tenth."""
    bad = [said for said in reasons if said]
    usable, windows = len(reasons) - len(bad), len(reasons)
    half_a_minute = windows * 30 / max(float(np.ptp(starts_s)) + window_s, 30)
    if usable >= max(min(windows / 2, half_a_minute), windows / 10):
        return None
    return f"{len(bad)} of {windows} windows cannot be read, for example: {'; '.join(bad[0])}"
