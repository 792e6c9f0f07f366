"""Signal quality: which windows of a recording can be read, and why the others cannot.

Each check computes one measure of a window (`ecgzoo.signal.measures`) and turns it into a score, as defined in
`CHECKS`: 1 for clean recordings, `USABLE` at the limit, 0 equally far beyond the limit. The index of a window is its
lowest score, and its reasons are the checks with a score below `USABLE`. Beats are compared only by shape, not by their
distances, so no rhythm counts as a defect.

Limits were chosen on PTB-XL's folds 1 to 8, leads I and II, windows of 5 s; "p0.5" is the 0.5th percentile there.
``benchmarks/quality.py`` measures what they refuse.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

import numpy as np

from ecgzoo.errors import SignalError
from ecgzoo.signal.measures import Stretches, median_with_signal
from ecgzoo.signal.windows import window_starts

USABLE = 0.5
"""Windows with a lower index are not used in a prediction."""

LOWEST_RATE_HZ = 50.0  # a QRS complex has frequencies up to 20 Hz, which needs 40 Hz and a margin for the filter
LOWEST_BPM, HIGHEST_BPM = 30, 220  # rarer than a wrong sampling rate, which makes a heart slow or fast
SHORTEST_S = 2.0  # of a recording; a shorter window is measured on the two seconds around it
BLOCK_S = 60.0  # beats are compared within a minute, because electrodes and bodies move; this also limits memory
STRETCHES_AT_ONCE = 1 << 17  # samples that are measured together, so that what is computed stays in the cache
TYPICAL_MV = 0.66  # height in 5-20 Hz: the median
_MISTAKEN = {  # by ratio; the file may state any unit
    1e6: "nanovolts given as millivolts",
    1e3: "microvolts given as millivolts, or millivolts as volts",
    1e-3: "volts given as millivolts, or millivolts as microvolts",
}

# Whether a lead is inverted: logistic regression without intercept on `Stretches.beat_parts`, fitted on PTB-XL's folds
# 1 to 7, each beat as it is and inverted. A note is written below _INVERTED, chosen on fold 8: there for 0.8 %
# (I) and 1.2 % (II) of the upright leads, and for 96 and 93 % of the inverted ones.
_UPRIGHT = {"I": (2.8, -6.6, 7.8, -5.8, 1.6), "II": (4.3, -7.2, 4.5, -8.1, 3.0)}  # P, Q, R, S, T
_INVERTED = -1.5


@dataclass(frozen=True)
class Check:
    """How a measure becomes a score and, below `USABLE`, a reason.

    Attributes:
        measure: its name in `Stretches.measures`.
        limit: the measure that scores `USABLE`.
        usual: the measure that scores 1; better measures score 1 too.
        reason: makes a sentence from the measure.
        log: whether the score is linear in the logarithm of the measure.
        rank: if a window fails checks of several ranks, only those of the lowest rank are its reasons, because they
            cause the others.
    """

    measure: str
    limit: float
    usual: float
    reason: Callable[[float], str]
    log: bool = False
    rank: int = 2

    def score(self, measure: np.ndarray) -> np.ndarray:
        """Scores from 0 to 1 of measures of any shape."""
        limit, usual = self.limit, self.usual
        if self.log:
            measure, limit, usual = np.log(np.maximum(measure, 1e-12)), math.log(limit), math.log(usual)
        scores: np.ndarray = np.clip(USABLE + (1 - USABLE) * (measure - limit) / (usual - limit), 0, 1)
        return scores


def _wrong_size(height_mv: float) -> str:
    """How much too large or too small a height is for an ECG, and the unit that would explain it."""
    ratio = max(height_mv, 1e-12) / TYPICAL_MV
    known = min(_MISTAKEN, key=lambda times: abs(math.log(ratio / times)))
    guess = f": {_MISTAKEN[known]}? Then write the right unit into the header, or pass it as units= (--units)"
    guess = guess if 0.1 < ratio / known < 10 else ""
    times = float(f"{known if guess else ratio:.2g}")
    return f"about {max(times, 1 / times):.7g} times too {'large' if ratio > 1 else 'small'}{guess}"


CHECKS = {
    # share of the samples that are NaN or infinite; 5 % of 5 s can hide a whole beat
    "missing": Check("missing", 0.05, 0.0, lambda v: f"{v:.0%} of the samples are missing", rank=0),
    # share in stretches of 0.2 s and more without change; p99.9 is 0.04, the largest 0.08
    "flat": Check("flat", 0.10, 0.04, lambda v: f"flat for {v:.0%} of the time: electrode off?", rank=0),
    # height in 5-20 Hz, mV: p0.1 is 0.12 and the lowest 0.065; p99.9 is 2.1 and the highest 2.7
    "small": Check("height", 0.03, 0.12, _wrong_size, log=True, rank=1),
    "large": Check("height", 12.0, 3.0, _wrong_size, log=True, rank=1),
    # share in stretches of 20 ms and more at the recording's highest or lowest value; p99.9 is 0, the largest 0.014
    "clipped": Check("clipped", 0.01, 0.0, lambda v: f"clipped: {v:.1%} of the time at the end of the range"),
    # height of single samples relative to the height in 5-20 Hz, of the window or of the minute if lower; p99 is 1.2,
    # p99.9 is 1.8, and 3.4 for paced hearts
    "impulsive": Check("impulsive", 2.2, 1.1, lambda v: f"impulses: single samples {v:.1f} times as high as beats"),
    # range of the mean over 0.6 s, mV; p99 is 0.6, p99.9 1.4, the largest 3.5
    "wander": Check("wander", 2.0, 0.6, lambda v: f"the baseline moves by {v:.1f} mV: wander or steps"),
    # peak of a sine of 50 or 60 Hz relative to the height in 5-20 Hz; not measured below a rate of 110 Hz. PTB-XL at
    # 100 Hz has none: the limit is hum as high as the beats, from trough to peak; resampling to 100 Hz halves it
    "mains": Check("mains", 0.5, 0.1, lambda v: f"mains hum {2 * v:.1f} times as high as the beats"),
    # kurtosis in 5-20 Hz (Li, Mark, Clifford 2008): 1.5 for a sine, 3 for noise; the median is 13. p0.5 is 3.3, but p5
    # is 3.5 for left bundle branch blocks (I) and 2.7 for flutter (II), so the limit is below noise; `alike` refuses it
    "peaked": Check("peaked", 2.6, 13.0, lambda v: f"no complexes stand out (kurtosis {v:.1f})", log=True),
    # mean similarity of its beats to others (after Orphanidou et al. 2015): 0.49 for white noise, whose p99.9 is 0.61;
    # p0.5 is 0.73, and 0.69 for fibrillation; the median is 0.98. Without beats it is 0
    "alike": Check("alike", 0.68, 0.98, lambda v: f"no beats that repeat (correlation {v:.2f})"),
}


@dataclass(frozen=True, eq=False)
class Quality:
    """The result of `assess`.

    Attributes:
        starts_s: float64 seconds ``[W]``, the starts of the windows.
        index: float64 ``[W]``, 0 to 1; below `USABLE` a window should not be used.
        reasons: ``[W]``, why a window is not usable, in plain words; empty for a usable one.
        scores: by check, float64 ``[leads, W]``; empty if the samples were not examined.
        unreadable: why the whole recording should get no prediction; None if it is readable.
        notes: about the whole recording: units, an inverted lead, a bad lead. The signal is not changed.
        beats_s: float64 seconds, ascending: the beats in usable windows, from the lead with the best index.
        heart_rate_bpm: 60 divided by the median distance of neighbouring beats in seconds; None with fewer than three
            beats, or if unreadable.
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
        """Which windows may be read, bool ``[W]``."""
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
    """Assess the quality of windows of a recording. Beats are compared with those in the same minute.

    Any samples give a finite `Quality`, also NaN, infinite, constant or missing samples. The index of a window is that
    of its worst lead; with four or more leads, the worst quarter of the leads (rounded down) is ignored.

    Args:
        signal_mv: millivolts ``[leads, samples]`` as recorded: not filtered, resampled or interpolated.
        rate_hz: samples per second.
        window_s: seconds of a window.
        starts_s: starts of the windows, in any order; by default every half window.
        leads: a name for each row, used in reasons; I and II are also checked for inversion.

    Raises:
        SignalError: `signal_mv` is not two-dimensional, `leads` do not match it, or rate or window is not above 0.
    """
    if signal_mv.ndim != 2:
        raise SignalError(f"Expected a signal [leads, samples], got {signal_mv.shape}.")
    starts = None if starts_s is None else np.asarray(starts_s)[None]
    return assess_many(signal_mv[None], rate_hz, window_s=window_s, starts_s=starts, leads=leads)[0]


def assess_many(
    signals_mv: np.ndarray,
    rate_hz: float,
    *,
    window_s: float,
    starts_s: np.ndarray | None = None,
    leads: Sequence[str] = (),
) -> list[Quality]:
    """What `assess` says of each of several recordings of one length, faster than one by one.

    Args:
        signals_mv: millivolts ``[B, leads, samples]``.
        rate_hz: as for `assess`.
        window_s: as for `assess`.
        starts_s: ``[B, W]``, starts of the windows of each; by default every half window.
        leads: as for `assess`.

    Raises:
        SignalError: as for `assess`.
    """
    if signals_mv.ndim != 3 or len(leads or signals_mv[0]) != signals_mv.shape[1]:
        raise SignalError(
            f"Expected [leads, samples] and a name for each lead, got {signals_mv.shape[1:]} and {leads}."
        )
    if not (0 < rate_hz < math.inf and 0 < window_s < math.inf):
        raise SignalError(f"Expected a rate and a window above 0, got {rate_hz} Hz and {window_s} s.")
    several, samples, window = len(signals_mv), signals_mv.shape[2], max(1, round(window_s * rate_hz))
    if starts_s is None:
        fits = samples >= window
        every = window_starts(samples, window, max(1, window // 2), "signal", rate_hz) / rate_hz if fits else ()
        starts_s = np.tile(every, (several, 1))
    starts_s = np.nan_to_num(np.asarray(starts_s, np.float64))
    if problem := _unfit(signals_mv.shape[1:], rate_hz, starts_s.shape[1]):
        none = np.zeros(starts_s.shape[1])
        return [
            Quality(starts, none, ((problem,),) * len(none), {}, problem, (), np.zeros(0), None) for starts in starts_s
        ]

    seen = min(max(window, math.ceil(SHORTEST_S * rate_hz)), samples)  # samples that are measured for a window
    first = np.round(np.clip(starts_s, 0, samples / rate_hz) * rate_hz).astype(np.int64) - (seen - window) // 2
    first = np.clip(first, 0, samples - seen)
    names = tuple(leads) or ("",) * signals_mv.shape[1]
    found = _measure(signals_mv, rate_hz, first, seen, names)
    scores = {name: check.score(found.measures[check.measure]) for name, check in CHECKS.items()}
    by_lead = np.min(list(scores.values()), axis=0)
    index = np.sort(by_lead, axis=1)[:, len(names) // 4]
    best, usable = by_lead.mean(2).argmax(1), index >= USABLE
    heights = found.measures["height"]
    usual, height = np.median(by_lead, axis=2), median_with_signal(heights, heights)
    seconds = (np.ptp(starts_s, axis=1) + window_s).tolist()
    qualities = []
    for one in range(several):
        starts = starts_s[one]
        reasons = _reasons(found, scores, one, usable[one])
        unreadable = _unreadable(reasons, seconds[one])
        beats_s = found.beats[one][best[one]] / rate_hz
        good = np.zeros(len(beats_s), bool)
        for start in starts[usable[one]]:
            good[beats_s.searchsorted(start) : beats_s.searchsorted(start + window_s)] = True
        gaps = (beats_s[1:] - beats_s[:-1])[good[1:] & good[:-1]]
        heart_rate_bpm = 60 / median(gaps.tolist()) if len(gaps) >= 2 and not unreadable else None
        notes = tuple(
            _said(name, note)
            for name, *of_lead in zip(names, usual[one], height[one], found.upright[one], strict=True)
            for note in _notes(*of_lead)
        )
        if heart_rate_bpm is not None and not LOWEST_BPM <= heart_rate_bpm <= HIGHEST_BPM:
            notes += (f"a heart rate of {heart_rate_bpm:.0f} a minute is rare: is the sampling rate right?",)
        own = {name: score[one] for name, score in scores.items()}
        qualities.append(Quality(starts, index[one], reasons, own, unreadable, notes, beats_s[good], heart_rate_bpm))
    return qualities


@dataclass(frozen=True)
class _Measured:
    """Of several recordings: measures ``[B, leads, W]`` by name, beats in samples, and how upright a lead is.

    `beats` has an array for each lead of each recording. `upright` ``[B, leads]`` is 0 if undecided, NaN if unknown.
    """

    names: tuple[str, ...]
    measures: dict[str, np.ndarray]
    beats: list[list[np.ndarray]]
    upright: np.ndarray


def _said(name: str, what: str) -> str:
    return f"lead {name}: {what}" if name else what


def _unfit(shape: tuple[int, ...], rate_hz: float, windows: int) -> str | None:
    """Why a recording is unreadable, before its samples are examined; None if it may be readable."""
    if rate_hz < LOWEST_RATE_HZ:
        return f"{rate_hz:g} Hz is too low: a heartbeat needs {LOWEST_RATE_HZ:g} Hz"
    if shape[1] < SHORTEST_S * rate_hz or not windows:
        return f"too short: {shape[1] / rate_hz:.3g} s, {windows} windows"
    return None if shape[0] else "no lead"


def _measure(signals: np.ndarray, rate_hz: float, first: np.ndarray, seen: int, names: tuple[str, ...]) -> _Measured:
    """Measure the windows that begin at `first` ``[B, W]`` minute by minute."""
    several, leads, samples = signals.shape
    edges = np.linspace(0, samples, max(1, round(samples / rate_hz / BLOCK_S)) + 1).astype(np.int64)
    measures: dict[str, np.ndarray] = {}
    beats: list[list[list[np.ndarray]]] = [[[np.zeros(0, np.int64)] for _ in names] for _ in signals]
    upright: list[list[list[float]]] = [[[] for _ in names] for _ in signals]
    for low, high in pairwise(edges.tolist()):
        here = (first >= low) & (first < high)
        chosen = np.flatnonzero(here.any(1))
        at_once = max(1, STRETCHES_AT_ONCE // (leads * (min(high + seen, samples) - low)))
        for begin in range(0, len(chosen), at_once):
            some = chosen[begin : begin + at_once]
            minutes = Stretches(signals[some, :, low : high + seen].reshape(len(some) * leads, -1), rate_hz)
            of, window = np.nonzero(here[some])
            lead = np.arange(leads)[:, None]
            rows, starts = (of * leads + lead).ravel(), np.tile(first[some[of], window] - low, leads)
            place = np.tile(some[of], leads), np.repeat(lead, len(of)), np.tile(window, leads)
            windows_at_once = max(1, (1 << 20) // seen)  # limits the memory for windows that overlap much
            for start in range(0, len(rows), windows_at_once):
                part = slice(start, start + windows_at_once)
                for measure, values in minutes.measures(rows[part], starts[part], seen).items():
                    into = measures.setdefault(measure, np.zeros((several, leads, first.shape[1])))
                    into[tuple(at[part] for at in place)] = values
            for row, count in enumerate(minutes.count.tolist()):
                own = minutes.beats[row, :count]
                beats[some[row // leads]][row % leads].append(low + own[own < high - low])
            known = (minutes.count > 2) & (minutes.usual_likeness() >= CHECKS["alike"].limit)
            known &= np.tile([name in _UPRIGHT for name in names], len(some))
            if known.any():
                of_known = np.flatnonzero(known)
                for row, parts in zip(of_known.tolist(), minutes.beat_parts(of_known), strict=True):
                    upright[some[row // leads]][row % leads].append(float(parts @ _UPRIGHT[names[row % leads]]))
    return _Measured(
        names,
        measures,
        [[np.concatenate(minutes) for minutes in of_leads] for of_leads in beats],
        np.array([[median(values) if values else math.nan for values in of_leads] for of_leads in upright]),
    )


def _reasons(
    found: _Measured, scores: dict[str, np.ndarray], one: int, usable: np.ndarray
) -> tuple[tuple[str, ...], ...]:
    """For each window of recording `one`, the sentences of the failed checks with the lowest rank."""
    reasons: list[tuple[str, ...]] = [()] * len(usable)
    for w in np.flatnonzero(~usable).tolist():
        said: list[str] = []
        for row, lead in enumerate(found.names):
            failed = [check for name, check in CHECKS.items() if scores[name][one, row, w] < USABLE]
            rank = min((check.rank for check in failed), default=0)
            said += [
                _said(lead, c.reason(float(found.measures[c.measure][one, row, w]))) for c in failed if c.rank == rank
            ]
        reasons[w] = tuple(said)
    return tuple(reasons)


def _unreadable(reasons: Sequence[tuple[str, ...]], seconds: float) -> str | None:
    """Why too few windows are usable: less than half, or for long recordings less than half a minute or than 10 %."""
    bad, windows = [said for said in reasons if said], len(reasons)
    if windows - len(bad) >= max(min(windows / 2, windows * 30 / seconds), windows / 10):
        return None
    return f"{len(bad)} of {windows} windows cannot be read, the first of them: {'; '.join(bad[0])}"


def _notes(index: float, height_mv: float, upright: float) -> list[str]:
    """Notes about a whole lead, by the medians of its index and its height."""
    notes = []
    if index < USABLE:
        notes.append("most of it cannot be read")
    if 0 < height_mv < CHECKS["small"].limit or height_mv > CHECKS["large"].limit:
        notes.append(_wrong_size(height_mv))
    if upright < _INVERTED:
        notes.append("likely inverted, judged by its P wave, QRS complex and T wave; not corrected")
    return notes
