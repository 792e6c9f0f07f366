"""The simulated heart of `ecgzoo.data.synthetic`: a beat's waves as a moving dipole, and how diseases change them.

The axes are those of Frank: x to the left, y to the feet, z to the back. Sizes were chosen so that the Dower leads look
like those in a textbook. Nothing was fitted to recordings.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

Vector = tuple[float, float, float]


class Wave(NamedTuple):
    """One Gaussian of a beat: the interval it is scaled with, its time after the R peak, and its amplitude."""

    interval: str
    centre_ms: float
    width_ms: float  # standard deviation
    peak_uv: Vector


INTERVALS = ("PR", "QRS", "QT")

WAVES = {  # a normal adult at 60 beats per minute
    "P right": Wave("PR", -160, 15, (30, 60, -35)),
    "P left": Wave("PR", -134, 16, (50, 55, 35)),
    "Q": Wave("QRS", -21, 8, (-130, -30, -260)),
    "R": Wave("QRS", 0, 10, (1050, 760, 150)),
    "S": Wave("QRS", 23, 10, (60, -130, 560)),
    "R'": Wave("QRS", 48, 12, (0, 0, 0)),  # the late forces of bundle branch blocks
    "ST": Wave("QT", 120, 40, (15, 15, -35)),
    "T rise": Wave("QT", 235, 42, (130, 95, -95)),
    "T": Wave("QT", 285, 26, (190, 140, -140)),
}


@dataclass(frozen=True)
class Lesion:
    """How a disease of severity 1 changes the waves.

    Attributes:
        label: its diagnostic superclass.
        prevalence: fraction of patients that have it.
        peaks_uv: wave -> change of its peak.
        scatter: standard deviation, between patients, of the change along each axis, relative to the change.
        qrs_wider: fraction by which the QRS complex gets longer.
        pr_ms: milliseconds by which the PR interval gets longer.
    """

    label: str
    prevalence: float
    peaks_uv: dict[str, Vector] = field(default_factory=dict)
    scatter: float = 0.35
    qrs_wider: float = 0.0
    pr_ms: float = 0.0


# Lead I sees x and almost nothing of y and z, so most infarctions and fascicular blocks are not visible in it.
LESIONS = {
    "anterior infarction": Lesion(
        "MI", 0.11, {"Q": (0, 0, 300), "R": (0, 0, 330), "ST": (0, 0, -80), "T": (-30, 0, 300), "T rise": (0, 0, 60)}
    ),
    "inferior infarction": Lesion(
        "MI", 0.13, {"Q": (0, -320, 0), "R": (0, -280, 0), "ST": (0, 40, 0), "T": (0, -260, 0)}
    ),
    "lateral infarction": Lesion("MI", 0.04, {"Q": (-230, 0, 0), "R": (-280, 0, 0), "T": (-200, 0, 0)}),
    "left bundle branch block": Lesion(
        "CD",
        0.04,
        {
            "Q": (150, 0, 260),
            "R": (-300, -250, 200),
            "R'": (650, 80, 650),
            "ST": (-100, 0, -150),
            "T": (-450, -120, -200),
        },
        qrs_wider=0.45,
    ),
    "right bundle branch block": Lesion(
        "CD", 0.08, {"R'": (-420, 0, -620), "ST": (0, 0, 40), "T": (0, 0, 220)}, qrs_wider=0.15
    ),
    "left anterior fascicular block": Lesion("CD", 0.07, {"Q": (0, 130, 0), "R": (100, -560, 0), "S": (0, -520, 0)}),
    "first-degree AV block": Lesion("CD", 0.04, pr_ms=70),
    "left ventricular hypertrophy": Lesion(
        "HYP", 0.11, {"R": (500, 60, 250), "S": (0, 0, 420), "ST": (-40, 0, 20), "T": (-220, -60, 60)}, qrs_wider=0.06
    ),
    "right ventricular hypertrophy": Lesion(
        "HYP", 0.03, {"Q": (0, 0, -150), "R": (-400, 60, -500), "S": (-300, 0, -450), "T": (0, 0, 150)}
    ),
    "ST-T change": Lesion(
        "STTC", 0.22, {"ST": (-60, -50, 40), "T rise": (-70, -50, 50), "T": (-190, -140, 140)}, scatter=0.8
    ),
}


class Hearts(NamedTuple):
    """The waves of N hearts: centre and width (s) ``[N, waves]``, peak (µV) ``[N, waves, 3]``."""

    centre_s: np.ndarray
    width_s: np.ndarray
    peak_uv: np.ndarray

    def take(self, rows: np.ndarray | slice) -> "Hearts":
        """The hearts at `rows`."""
        return Hearts(*(part[rows] for part in self))

    def dipole(self, time_s: np.ndarray, beats_s: np.ndarray) -> np.ndarray:
        """The dipole (µV) ``[N, 3, T]`` at times ``[T]``, from the beats before and after each sample.

        Args:
            time_s: times of the samples.
            beats_s: R peaks ``[N, beats]``; the first is not after the first sample, the last is after the last sample.
        """
        last = (beats_s[:, :, None] <= time_s).sum(axis=1) - 1
        since = [time_s - np.take_along_axis(beats_s, last + k, axis=1) for k in (0, 1)]
        moment = np.zeros((len(beats_s), 3, len(time_s)))
        for k in range(len(WAVES)):
            centre, width = self.centre_s[:, k, None], self.width_s[:, k, None]
            before, after = (np.exp(-0.5 * ((elapsed - centre) / width) ** 2) for elapsed in since)
            moment += self.peak_uv[:, k, :, None] * (before + after)[:, None]
        return moment
