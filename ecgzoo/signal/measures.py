"""Measures of one lead: the mathematics of the checks in `ecgzoo.signal.quality`, without their limits."""

import math
from functools import lru_cache

import numpy as np

PIECE_S = 2.0  # contains a beat at 30 per minute
MAINS_HZ = (50.0, 60.0)
BAND_HZ = (5.0, 20.0)  # here QRS complexes are strongest relative to T waves, wander and muscle noise
COMPARED = 20  # number of beats that each beat is compared with
NARROW_HZ = 80.0  # at lower rates, a QRS complex itself is a peak of one sample
PARTS_S = {"P": (-0.20, -0.08), "Q": (-0.08, -0.03), "R": (-0.02, 0.03), "S": (0.04, 0.09), "T": (0.16, 0.36)}
"""Parts of a beat, in seconds around its highest point."""


class Stretch:
    """About a minute of one lead, measured near 100 Hz so that the recorder's rate does not matter.

    Attributes:
        peaks: int64, ascending, the beats at `rate`.
        beats: the same, in samples of the given signal.
        usual: median height of its parts in 5-20 Hz, in mV.
        alike: for each beat, see `likeness`.
    """

    def __init__(self, signal: np.ndarray, rate_hz: float) -> None:
        """Measure millivolts ``[samples]``, at least two seconds; NaN and infinite samples are allowed."""
        from scipy.ndimage import uniform_filter1d
        from scipy.signal import sosfiltfilt

        self.missing = ~np.isfinite(signal)
        self.given, self.given_rate = filled(signal, self.missing), rate_hz
        self.step = max(1, int(rate_hz // 100))
        self.rate = rate_hz / self.step  # 100 to 200 Hz, or the given rate if lower
        self.slow = uniform_filter1d(self.given, self.step)[:: self.step]
        self.band = sosfiltfilt(_band_filter(self.rate), self.slow)
        short = round(1.25 * self.rate)  # at 25 beats per minute most parts contain a beat; rare impulses are in few
        heights = np.ptp(self.band[: len(self.band) // short * short].reshape(-1, short), axis=1)
        self.usual = float(np.median(heights))
        self.peaks = find_beats(self.band, self.rate)
        self.beats = self.peaks * self.step
        self.alike = likeness(self.band, self.peaks, self.rate)

    def measures(self, starts: np.ndarray, seen: int) -> dict[str, np.ndarray]:
        """Each measure by name, float64 ``[W]``, in the windows of `seen` samples that start at `starts`."""
        from scipy.ndimage import uniform_filter1d

        def share(mask: np.ndarray) -> np.ndarray:
            total = np.concatenate([[0], np.cumsum(mask)])
            part: np.ndarray = (total[starts + seen] - total[starts]) / seen
            return part

        # stretches without change, and those of them at the end of the range
        given, span = self.given, float(np.ptp(self.given))
        still = np.abs(np.diff(given, prepend=given[0])) <= 1e-5 * span
        at_end = np.minimum(given - given.min(), given.max() - given) <= 1e-5 * span
        at_end &= np.abs(given) > span / 4  # not a baseline, below which there is nothing

        # height and kurtosis in 5-20 Hz, in two-second pieces, one second apart
        n, piece = seen // self.step, min(seen // self.step, round(PIECE_S * self.rate))
        first = (starts // self.step)[:, None]
        offsets = np.linspace(0, n - piece, math.ceil((n - piece) / self.rate) + 1).astype(np.int64)
        pieces = self.band[(first + offsets)[..., None] + np.arange(piece)]
        height = np.median(np.ptp(pieces, axis=2), axis=1)
        power = (pieces - pieces.mean(2, keepdims=True)) ** 2
        kurtosis = (power**2).mean(2) / np.maximum(power.mean(2) ** 2, 1e-30)

        # distance of a sample from the mean of its neighbours; range of the baseline; hum
        narrow = np.abs(self.slow - (np.roll(self.slow, 1) + np.roll(self.slow, -1)) / 2)
        narrow[[0, -1] if self.rate >= NARROW_HZ else slice(None)] = 0
        baseline = uniform_filter1d(self.slow, round(0.6 * self.rate))
        windows = first + np.arange(n)
        hum = [_sine(given, hz / self.given_rate, starts, seen) for hz in MAINS_HZ if self.given_rate > 2.2 * hz]
        inside = (self.beats >= starts[:, None]) & (self.beats < starts[:, None] + seen)
        return {
            "missing": share(self.missing),
            "flat": share(_runs(still, round(0.2 * self.given_rate))),
            "height": height,
            "clipped": share(_runs(still & at_end, max(2, round(0.02 * self.given_rate)))),
            "impulsive": narrow[windows].max(1) / np.maximum(np.minimum(height, self.usual), 1e-9),
            "wander": np.ptp(baseline[windows], axis=1),
            "mains": np.max([*hum, np.zeros(len(starts))], axis=0) / np.maximum(height, 1e-9),
            "peaked": np.median(kurtosis, axis=1),
            "alike": (inside * self.alike).sum(1) / np.maximum(inside.sum(1), 1),
        }

    def beat_parts(self) -> np.ndarray:
        """Signed square roots of the average beat's mean voltages in `PARTS_S`, relative to its height ``[5]``."""
        from scipy.ndimage import uniform_filter1d

        level = self.slow - uniform_filter1d(self.slow, round(self.rate))
        size = uniform_filter1d(np.abs(self.band), 2 * int(0.035 * self.rate) + 1)
        peaks, reach = self.peaks[self.alike >= np.median(self.alike)], round(0.06 * self.rate)
        near = np.clip(peaks[:, None] + np.arange(-reach, reach + 1), 0, len(size) - 1)
        middle = np.take_along_axis(near, size[near].argmax(1)[:, None], axis=1)  # the highest point of the complex
        around = np.arange(-35, 50) / 100  # seconds
        beat = np.median(np.interp(middle + around * self.rate, np.arange(len(level)), level), axis=0)
        parts = [beat[(around > begin - 0.001) & (around < end - 0.001)].mean() for begin, end in PARTS_S.values()]
        of_height = np.array(parts) / max(float(np.abs(beat).max()), 1e-12)
        roots: np.ndarray = np.sign(of_height) * np.sqrt(np.abs(of_height))
        return roots


def filled(signal: np.ndarray, missing: np.ndarray) -> np.ndarray:
    """float64 millivolts minus their median; missing samples are interpolated linearly."""
    if missing.all():
        return np.zeros(len(signal))
    whole = signal.astype(np.float64)
    if missing.any():
        whole[missing] = np.interp(np.flatnonzero(missing), np.flatnonzero(~missing), whole[~missing])
    whole = np.clip(whole, -1e9, 1e9)  # so that fourth powers are finite
    return whole - np.median(whole)


def find_beats(band: np.ndarray, rate: float) -> np.ndarray:
    """Peaks of the slope in 5-20 Hz, over 70 ms, that are at least 0.4 of the usual maximum of two seconds.

    The usual maximum is the median over two-second pieces, so that a few artefacts do not change it. If two peaks are
    within 0.36 s, the range of T waves (Pan and Tompkins 1985), one that is below 0.7 of the other is not a beat.
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.signal import find_peaks

    slope = uniform_filter1d(np.abs(np.gradient(band)), 2 * int(0.035 * rate) + 1)
    piece = round(PIECE_S * rate) - 1
    usual = np.median(slope[: len(slope) // piece * piece].reshape(-1, piece).max(1))
    peaks: np.ndarray = find_peaks(slope, height=0.4 * usual, distance=round(0.25 * rate))[0]
    near, height = np.diff(peaks) < 0.36 * rate, slope[peaks]
    lower = np.zeros(len(peaks), bool)
    lower[1:] |= near & (height[1:] < 0.7 * height[:-1])
    lower[:-1] |= near & (height[:-1] < 0.7 * height[1:])
    return peaks[~lower]


def likeness(band: np.ndarray, peaks: np.ndarray, rate: float) -> np.ndarray:
    """How similar each beat (0.4 s) is to others: the upper quartile of its correlations, shifted by up to 30 ms.

    Orphanidou et al. 2015 use an average template. The quartile allows two kinds of beats, and a few clean beats in
    noise. Distances between beats are not used.
    """
    if len(peaks) < 2:
        return np.zeros(len(peaks))
    half, lag = round(0.2 * rate), round(0.03 * rate)
    around, padded = np.arange(2 * half + 1), np.pad(band, half + lag)

    def cut(at: np.ndarray) -> np.ndarray:
        beats = padded[at[:, None] + lag + around]
        unit: np.ndarray = beats / np.maximum(np.linalg.norm(beats, axis=1, keepdims=True), 1e-12)
        return unit

    beats, others = cut(peaks), peaks[:: -(-len(peaks) // COMPARED)]
    best = np.max([beats @ cut(others + shift).T for shift in range(-lag, lag + 1)], axis=0)
    best[peaks[:, None] == others] = -1  # itself
    best.sort(axis=1)
    upper: np.ndarray = best[:, -1 - round(0.25 * (len(others) - 1))]
    return upper


@lru_cache(maxsize=8)
def _band_filter(rate_hz: float) -> np.ndarray:
    from scipy.signal import butter

    return np.asarray(butter(2, BAND_HZ, "bandpass", fs=rate_hz, output="sos"))


def _runs(mask: np.ndarray, least: int) -> np.ndarray:
    """`mask` where it is true for at least `least` samples in a row."""
    edges = np.concatenate([[0], np.flatnonzero(mask[1:] != mask[:-1]) + 1, [len(mask)]])
    lengths = np.diff(edges)
    return np.repeat(mask[edges[:-1]] & (lengths >= least), lengths)


def _sine(signal: np.ndarray, frequency: float, starts: np.ndarray, seen: int) -> np.ndarray:
    """Amplitude of the sine of `frequency` (cycles per sample) in each window."""
    total = np.concatenate([[0], np.cumsum(signal * np.exp(-2j * np.pi * frequency * np.arange(len(signal))))])
    peak: np.ndarray = np.abs(total[starts + seen] - total[starts]) * 2 / seen
    return peak
