"""Measures of stretches of signal: the mathematics of the checks in `ecgzoo.signal.quality`, without their limits.

Stretches of one length are measured together, because most of the time of one would be spent in calling numpy.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

NOTHING_MV = 1e-3  # in 5-20 Hz: an electrode that is off, or samples that are missing
PIECE_S = 2.0  # contains a beat at 30 per minute
MAINS_HZ = (50.0, 60.0)
BAND_HZ = (5.0, 20.0)  # here QRS complexes are strongest relative to T waves, wander and muscle noise
COMPARED = 20  # number of beats that each beat is compared with
NARROW_HZ = 80.0  # at lower rates, a QRS complex itself is a peak of one sample
PARTS_S = {"P": (-0.20, -0.08), "Q": (-0.08, -0.03), "R": (-0.02, 0.03), "S": (0.04, 0.09), "T": (0.16, 0.36)}
"""Parts of a beat, in seconds around its highest point."""


class Stretches:
    """Stretches of one lead, about a minute at most, each measured by itself.

    They are measured near 100 Hz so that the recorder's rate does not matter.

    Attributes:
        peaks: int64 ``[N, P]``, ascending, the beats of each stretch at `rate`; -1 behind its last one.
        beats: the same, in samples of the given signals; -1 behind the last one.
        count: int64 ``[N]``, how many beats each stretch has.
        usual: ``[N]``, median height of its parts in 5-20 Hz, in mV; parts without a signal are left out.
        alike: ``[N, P]``, for each beat, see `likeness`; 0 behind the last one.
    """

    def __init__(self, signals: np.ndarray, rate_hz: float) -> None:
        """Measure millivolts ``[N, samples]``, at least two seconds; NaN and infinite samples are allowed."""
        from scipy.ndimage import uniform_filter1d
        from scipy.signal import sosfiltfilt

        self.missing = ~np.isfinite(signals)
        self.given, self.given_rate = filled(signals, self.missing), rate_hz
        self.step = max(1, int(rate_hz // 100))
        self.rate = rate_hz / self.step  # 100 to 200 Hz, or the given rate if lower
        self.slow = uniform_filter1d(self.given, self.step, axis=1)[:, :: self.step]
        self.band = sosfiltfilt(_band_filter(self.rate), self.slow)
        short = round(1.25 * self.rate)  # at 25 beats per minute most parts contain a beat; rare impulses are in few
        rows, samples = self.band.shape
        heights = np.ptp(self.band[:, : samples // short * short].reshape(rows, -1, short), axis=2)
        self.usual = median_with_signal(heights, heights)
        self.peaks, self.count = find_beats(self.band, self.rate)
        self.beats = np.where(self.peaks < 0, -1, self.peaks * self.step)
        self.alike = likeness(self.band, self.peaks, self.count, self.rate)

    def measures(self, rows: np.ndarray, starts: np.ndarray, seen: int) -> dict[str, np.ndarray]:
        """Each measure by name, float64 ``[W]``, in windows of `seen` samples: in which stretch, and from where."""
        from scipy.ndimage import uniform_filter1d

        def windows(values: np.ndarray, first: np.ndarray, length: int) -> np.ndarray:
            found: np.ndarray = sliding_window_view(values, length, axis=1)[rows, first]
            return found

        def share(mask: np.ndarray) -> np.ndarray:
            part: np.ndarray = windows(mask, starts, seen).mean(1)
            return part

        # stretches without change, and those of them at the end of the range
        given, span = self.given, np.ptp(self.given, axis=1)[:, None]
        still = np.abs(np.diff(given, prepend=given[:, :1])) <= 1e-5 * span
        at_end = np.minimum(given - given.min(1)[:, None], given.max(1)[:, None] - given) <= 1e-5 * span
        at_end &= np.abs(given) > span / 4  # not a baseline, below which there is nothing

        # height and kurtosis in 5-20 Hz, in two-second pieces, one second apart
        n, piece, first = seen // self.step, min(seen // self.step, round(PIECE_S * self.rate)), starts // self.step
        offsets = np.linspace(0, n - piece, math.ceil((n - piece) / self.rate) + 1).astype(np.int64)
        pieces = sliding_window_view(windows(self.band, first, n), piece, axis=1)[:, offsets]
        height = np.median(np.ptp(pieces, axis=2), axis=1)
        power = (pieces - pieces.mean(2, keepdims=True)) ** 2
        kurtosis = (power**2).mean(2) / np.maximum(power.mean(2) ** 2, 1e-30)

        # distance of a sample from the mean of its neighbours; range of the baseline; hum
        slow = self.slow
        narrow = np.abs(slow - (np.roll(slow, 1, axis=1) + np.roll(slow, -1, axis=1)) / 2)
        narrow[:, [0, -1] if self.rate >= NARROW_HZ else slice(None)] = 0
        baseline = uniform_filter1d(slow, round(0.6 * self.rate), axis=1)
        mains = np.array([hz / self.given_rate for hz in MAINS_HZ if self.given_rate > 2.2 * hz])
        sines = np.exp(-2j * np.pi * np.arange(seen)[:, None] * mains)
        real, imaginary = windows(given, starts, seen) @ np.stack([sines.real, sines.imag])
        hum = np.hypot(real, imaginary).max(1, initial=0) * 2 / seen  # its amplitude
        beats = self.beats[rows]
        inside = (beats >= starts[:, None]) & (beats < starts[:, None] + seen)
        return {
            "missing": share(self.missing),
            "flat": share(_runs(still, round(0.2 * self.given_rate))),
            "height": height,
            "clipped": share(_runs(still & at_end, max(2, round(0.02 * self.given_rate)))),
            "impulsive": windows(narrow, first, n).max(1) / np.maximum(np.minimum(height, self.usual[rows]), 1e-9),
            "wander": np.ptp(windows(baseline, first, n), axis=1),
            "mains": hum / np.maximum(height, 1e-9),
            "peaked": np.median(kurtosis, axis=1),
            "alike": (inside * self.alike[rows]).sum(1) / np.maximum(inside.sum(1), 1),
        }

    def usual_likeness(self) -> np.ndarray:
        """Median of `alike` in each stretch ``[N]``; infinite without beats."""
        return _medians(self.alike, self.count)

    def beat_parts(self, rows: np.ndarray) -> np.ndarray:
        """Signed square roots of the average beat's mean voltages in `PARTS_S`, relative to its height.

        Args:
            rows: int64 ``[R]``, the stretches; each must have a beat.

        Returns:
            float64 ``[R, 5]``.
        """
        from scipy.ndimage import uniform_filter1d

        slow, samples = self.slow[rows], self.slow.shape[1]
        level = slow - uniform_filter1d(slow, round(self.rate), axis=1)
        size = uniform_filter1d(np.abs(self.band[rows]), 2 * int(0.035 * self.rate) + 1, axis=1)
        usual = self.usual_likeness()[rows, None]
        taken = (self.alike[rows] >= usual) & (np.arange(self.alike.shape[1]) < self.count[rows, None])
        row, beat = np.nonzero(taken)
        peaks, reach = self.peaks[rows][row, beat], round(0.06 * self.rate)
        near = np.clip(peaks[:, None] + np.arange(-reach, reach + 1), 0, samples - 1)
        highest = size[row[:, None], near].argmax(1)[:, None]
        middle = np.take_along_axis(near, highest, axis=1)  # the highest point of the complex
        around = np.arange(-35, 50) / 100  # seconds
        at = np.clip(middle + around * self.rate, 0, samples - 1)
        before = np.minimum(at.astype(np.int64), samples - 2)
        left, right = level[row[:, None], before], level[row[:, None], before + 1]
        count = taken.sum(1)
        beats = np.zeros((len(rows), count.max(initial=0), len(around)))
        beats[np.arange(beats.shape[1]) < count[:, None]] = (right - left) * (at - before) + left
        average = _medians(beats, count)
        parts = [
            average[:, (around > begin - 0.001) & (around < end - 0.001)].mean(1) for begin, end in PARTS_S.values()
        ]
        of_height = np.stack(parts, axis=1) / np.maximum(np.abs(average).max(1), 1e-12)[:, None]
        roots: np.ndarray = np.sign(of_height) * np.sqrt(np.abs(of_height))
        return roots


def filled(signals: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """float64 millivolts ``[N, samples]`` minus each row's median; missing samples are interpolated linearly."""
    whole = signals.astype(np.float64)
    for row, gaps in zip(whole, missing, strict=True) if missing.any() else ():
        if gaps.all():
            row[:] = 0
        elif gaps.any():
            row[gaps] = np.interp(np.flatnonzero(gaps), np.flatnonzero(~gaps), row[~gaps])
    np.clip(whole, -1e9, 1e9, out=whole)  # so that fourth powers are finite
    middle = (whole.shape[1] - 1) // 2, whole.shape[1] // 2
    ordered = np.partition(whole, middle, axis=1)  # np.median would look for NaN first
    whole -= (ordered[:, middle[:1]] + ordered[:, middle[1:]]) / 2
    return whole


def find_beats(band: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    """Peaks of the slope in 5-20 Hz, over 70 ms, that are at least 0.4 of the usual maximum of two seconds.

    The usual maximum is the median over two-second pieces with a signal, so that a few artefacts do not change it. If
    two peaks are within 0.36 s, the range of T waves (Pan and Tompkins 1985), one that is below 0.7 of the other is not
    a beat.

    Args:
        band: ``[N, samples]`` in 5-20 Hz.
        rate: samples per second.

    Returns:
        The peaks, ascending, int64 ``[N, P]``, with -1 behind the last one of a row; and how many they are ``[N]``.
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import find_peaks

    rows, samples = band.shape
    slope = uniform_filter1d(np.abs(np.gradient(band, axis=1)), 2 * int(0.035 * rate) + 1, axis=1)
    piece, distance = round(PIECE_S * rate) - 1, round(0.25 * rate)
    pieces = slice(None), slice(samples // piece * piece)
    usual = median_with_signal(
        slope[pieces].reshape(rows, -1, piece).max(2), np.ptp(band[pieces].reshape(rows, -1, piece), axis=2)
    )
    # all rows behind one another, so far apart that no peak is near one of another row; infinity is no peak
    apart = np.pad(slope, ((0, 0), (0, distance)), constant_values=np.inf)
    least = np.repeat(0.4 * usual, samples + distance)
    found: np.ndarray = find_peaks(apart.ravel(), height=(least, np.finfo(float).max), distance=distance)[0]
    row, height = found // apart.shape[1], apart.ravel()[found]
    near = (np.diff(found) < 0.36 * rate) & (row[1:] == row[:-1])
    lower = np.zeros(len(found), bool)
    lower[1:] |= near & (height[1:] < 0.7 * height[:-1])
    lower[:-1] |= near & (height[:-1] < 0.7 * height[1:])
    found, row = found[~lower], row[~lower]
    count = np.bincount(row, minlength=rows)
    peaks = np.full((rows, count.max(initial=0)), -1)
    peaks[np.arange(peaks.shape[1]) < count[:, None]] = found % apart.shape[1]
    return peaks, count


def median_with_signal(values: np.ndarray, heights_mv: np.ndarray) -> np.ndarray:
    """The median along the last axis, where a height in 5-20 Hz shows a signal; where none does, of all values."""
    signal = heights_mv > NOTHING_MV
    signal |= ~signal.any(-1, keepdims=True)
    if signal.all():  # as usual, and np.median is faster
        return np.asarray(np.median(values, axis=-1))
    return np.asarray(np.nanmedian(np.where(signal, values, np.nan), axis=-1))


def likeness(band: np.ndarray, peaks: np.ndarray, count: np.ndarray, rate: float) -> np.ndarray:
    """How similar each beat (0.4 s) is to others: the upper quartile of its correlations, shifted by up to 30 ms.

    Orphanidou et al. 2015 use an average template. The quartile allows two kinds of beats, and a few clean beats in
    noise. Distances between beats are not used.

    Args:
        band: ``[N, samples]`` in 5-20 Hz.
        peaks: see `find_beats`.
        count: see `find_beats`.
        rate: samples per second.

    Returns:
        float64 ``[N, P]``; 0 behind the last beat, and for a beat without another.
    """
    found = np.zeros(peaks.shape)
    if count.max(initial=0) < 2:
        return found
    half, lag = round(0.2 * rate), round(0.03 * rate)
    length = 2 * half + 1
    around = sliding_window_view(np.pad(band, ((0, 0), (half + lag, half + lag))), length + 2 * lag, axis=1)

    def unit(beats: np.ndarray) -> np.ndarray:
        of_unit_length: np.ndarray = beats / np.maximum(np.linalg.norm(beats, axis=-1, keepdims=True), 1e-12)
        return of_unit_length

    row, beat = np.nonzero(np.arange(peaks.shape[1]) < count[:, None])
    wide = around[row, peaks[row, beat]]
    beats = np.zeros((*peaks.shape, length))
    beats[row, beat] = unit(wide[:, lag : lag + length])
    every = np.maximum(-(-count // COMPARED), 1)
    compared = -(-count // every)  # how many of each row
    chosen = beat % every[row] == 0
    its_row, its_beat = row[chosen], beat[chosen]
    place = its_beat // every[its_row]
    others = np.zeros((len(peaks), 2 * lag + 1, compared.max(), length))
    others[its_row, :, place] = unit(sliding_window_view(wide[chosen], length, axis=1))
    products = beats @ others.reshape(len(peaks), -1, length).transpose(0, 2, 1)
    best = products.reshape(*peaks.shape, 2 * lag + 1, -1).max(2)
    best[its_row, its_beat, place] = -1  # itself
    np.copyto(best, -np.inf, where=(np.arange(best.shape[2]) >= compared[:, None])[:, None])
    best.sort(axis=2)
    upper = best.shape[2] - 1 - np.round(0.25 * (compared - 1)).astype(np.int64)
    found[row, beat] = np.where(count[row] < 2, 0, best[row, beat, upper[row]])
    return found


@lru_cache(maxsize=8)
def _band_filter(rate_hz: float) -> np.ndarray:
    from scipy.signal import butter

    return np.asarray(butter(2, BAND_HZ, "bandpass", fs=rate_hz, output="sos"))


def _medians(values: np.ndarray, count: np.ndarray) -> np.ndarray:
    """Median ``[N, ...]`` of the first `count` ``[N]`` of `values` ``[N, P, ...]``; infinite where there are none."""
    if not values.shape[1]:
        return np.full((len(values), *values.shape[2:]), np.inf)
    rows = np.arange(len(values))
    behind = np.arange(values.shape[1]) >= count[:, None]
    ordered = np.sort(np.where(behind.reshape(behind.shape + (1,) * (values.ndim - 2)), np.inf, values), axis=1)
    middle: np.ndarray = (ordered[rows, np.maximum(count - 1, 0) // 2] + ordered[rows, count // 2]) / 2
    return middle


def _runs(mask: np.ndarray, least: int) -> np.ndarray:
    """`mask` ``[N, samples]`` where it is true for at least `least` samples in a row."""
    flat, new = mask.ravel(), np.ones(mask.shape, bool)
    new[:, 1:] = mask[:, 1:] != mask[:, :-1]
    edges = np.append(np.flatnonzero(new), len(flat))
    lengths = np.diff(edges)
    return np.repeat(flat[edges[:-1]] & (lengths >= least), lengths).reshape(mask.shape)
