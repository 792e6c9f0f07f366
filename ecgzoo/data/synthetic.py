"""A simulated 12-lead cohort that needs no files: a moving heart dipole, projected with the Dower matrix.

It holds no real recordings: results on this cohort show that code works, not how well a method reads ECGs.

* Each wave of a beat is a Gaussian in time along each of three axes, as in the dipole model of Sameni et al.,
  "Multichannel ECG and noise modeling", EURASIP J. Adv. Signal Process. 2007:043407, which extends McSharry et al.,
  "A dynamical model for generating synthetic electrocardiogram signals", IEEE Trans. Biomed. Eng. 50:289 (2003).
* The dipole becomes leads I, II and V1 to V6 by Dower, Machado and Osborne, "On deriving the electrocardiogram from
  vectorcardiographic leads", Clin. Cardiol. 3:87 (1980); the other four limb leads follow from I and II.
* A disease is a continuous severity that changes waves (`ecgzoo.data._dipole`). Its label is a noisy threshold on the
  same liability: some labels near the threshold are wrong, and some hearts without the label show slight signs.
"""

import hashlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from ecgzoo.data._dipole import INTERVALS, LESIONS, WAVES, Hearts
from ecgzoo.data.cohort import Cohort
from ecgzoo.errors import DataError, did_you_mean
from ecgzoo.signal.leads import LEADS_12

TASKS = ("superdiagnostic", "diagnostic")
CLASSES = ("CD", "HYP", "MI", "NORM", "STTC")
STATEMENTS = tuple(sorted((*LESIONS, "normal")))
SECONDS = 10

_VERSION = 1  # part of the fingerprint: increase it when a change here changes the samples or labels of a seed
_CHUNK = 200  # records simulated at a time: limits memory, changes no sample

# Lead strength (mV/mV) of I, II, V1 to V6 along x (to the left), y (to the feet), z (to the back).
DOWER = np.array(
    [
        [0.632, -0.235, 0.059],
        [0.235, 1.066, -0.132],
        [-0.515, 0.157, -0.917],
        [0.044, 0.164, -1.387],
        [0.882, 0.098, -1.277],
        [1.213, 0.127, -0.601],
        [1.125, 0.127, -0.086],
        [0.831, 0.076, 0.230],
    ]
)
# The same leads as differences of the electrodes RA, LA, LL, C1 to C6, at which noise is added.
_ELECTRODES = np.vstack([[[-1, 1, 0] + [0] * 6, [-1, 0, 1] + [0] * 6], np.hstack([np.full((6, 3), -1 / 3), np.eye(6)])])

# Diseases: the liability is standard normal; the prevalence of a lesion sets the threshold of its label.
_COMMON_CAUSE = 0.3  # correlation of the liabilities: diseases occur together
_SUBCLINICAL = 0.35  # severity at the threshold; it grows by 1 per standard deviation of the liability
_MOST_SEVERE = 1.5
_LABEL_NOISE = 0.2  # readers' disagreement about the threshold, in standard deviations of the liability

# Patients. A log scatter is the standard deviation of the natural logarithm.
_WAVE_SCATTER = 0.25  # log, each wave and axis
_GAIN_SCATTER = 0.2  # log, the whole heart
_AXIS_SCATTER_DEG = (8.0, 12.0, 18.0)  # rotation about x, y, z
_INTERVAL_SCATTER = (0.10, 0.07, 0.05)  # log, of PR, QRS, QT

# Recordings.
_RATE_BPM, _RATE_SCATTER, _RATE_RANGE_BPM = 72, 0.2, (48, 112)  # median, log, range of a recording's mean
_ARRHYTHMIA, _ARRHYTHMIA_SCATTER, _MOST_ARRHYTHMIA = 0.03, 0.6, 0.08  # respiratory, relative to the RR interval
_JITTER = 0.012  # of single RR intervals, relative
_BREATH_GAIN = 0.05  # relative change of the dipole's size by breathing
_SOURCES_HZ = (0.25, 0.08, 50.0)  # breath, drift of the electrodes, mains
_SOURCES_SCATTER = (0.15, 0.5, 0.001)  # log
_SOURCES_UV = (25.0, 40.0, 4.0)  # standard deviation of the amplitude at an electrode
_MUSCLE_UV, _MUSCLE_SCATTER = 8.0, 0.4  # white noise at an electrode, log
_PLACEMENT = 0.08  # relative error of each lead strength by misplaced electrodes


def leads_from_dipole(dipole: np.ndarray, lead_strength: np.ndarray = DOWER) -> np.ndarray:
    """The eight independent leads of a heart dipole (Dower et al. 1980).

    Args:
        dipole: Frank x, y, z ``[..., 3, T]``.
        lead_strength: ``[..., 8, 3]``, rows I, II, V1 to V6.

    Returns:
        ``[..., 8, T]``, in the unit of `dipole`.
    """
    leads: np.ndarray = lead_strength @ dipole
    return leads


def with_limb_leads(leads: np.ndarray) -> np.ndarray:
    """All twelve leads ``[..., 12, T]`` from I, II, V1 to V6 ``[..., 8, T]``, by the limb-lead identities."""
    one, two = leads[..., :1, :], leads[..., 1:2, :]
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return np.concatenate([*limb, leads[..., 2:, :]], axis=-2)


def load_synthetic(
    root: Path | None = None,
    task: str = "superdiagnostic",
    *,
    num_records: int = 4000,
    seed: int = 0,
    rate_hz: int = 100,
) -> Cohort:
    """Simulate a cohort. The same arguments give the same samples, and a larger cohort starts with the smaller one.

    Mains hum is the part of 50 Hz that a recorder's filter leaves. At a rate of 100 Hz this is the Nyquist frequency:
    the samples alternate by a few microvolts, with a size that drifts.

    Args:
        root: must be None; nothing is read.
        task: ``"superdiagnostic"``: CD, HYP, MI, NORM, STTC; NORM occurs alone, the others may occur together.
            ``"diagnostic"``: the individual lesions, and normal.
        num_records: how many records; some share a patient.
        seed: seed of all random numbers.
        rate_hz: samples per second, at least 100.

    Returns:
        A cohort marked as simulated: ``[num_records, 12, 10 * rate_hz]`` int16 microvolts, folds 1 to 10.

    Raises:
        DataError: a folder is given, the task is unknown, or a number is out of range.
    """
    if root is not None:
        raise DataError(
            f"synthetic: root is {str(root)!r}, but this cohort is simulated and reads no files. Leave it out."
        )
    if task not in TASKS:
        raise DataError(f"synthetic: unknown task {task!r}. {did_you_mean(task, TASKS)}")
    for argument, value, least in (("num_records", num_records, 1), ("seed", seed, 0), ("rate_hz", rate_hz, 100)):
        if value < least:
            raise DataError(f"synthetic: {argument} is {value}; it must be at least {least}.")

    streams = _streams(seed)
    patients, lesions, recordings = _draw(num_records, streams)
    signals = _record(recordings, rate_hz, next(streams))
    made_from = repr((_VERSION, WAVES, LESIONS, DOWER.tolist(), task, num_records, seed, rate_hz))
    return Cohort(
        name="synthetic",
        task=task,
        classes=CLASSES if task == "superdiagnostic" else STATEMENTS,
        leads=LEADS_12,
        rate_hz=float(rate_hz),
        store=signals,
        positions=np.arange(num_records),
        labels=_superclasses(lesions) if task == "superdiagnostic" else _statements(lesions),
        folds=(patients % 10 + 1).astype(np.int16),
        patients=patients + 1,
        record_ids=np.arange(1, num_records + 1),
        fingerprint=hashlib.sha256(made_from.encode()).hexdigest(),
        simulated=True,
    )


def wave_times(num_records: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Where each wave of `WAVES` is in each record that `load_synthetic` simulates with the same arguments.

    Args:
        num_records: how many records.
        seed: of every random number.

    Returns:
        Centres ``[num_records, beats, waves]`` and standard deviations ``[num_records, waves]``, in seconds. Some beats
        lie before the record or behind it.
    """
    _, _, recordings = _draw(num_records, _streams(seed))
    hearts = recordings.hearts
    return recordings.beats_s[:, :, None] + hearts.centre_s[:, None, :], hearts.width_s


def lesion_changes(rate_hz: int = 1000) -> dict[str, np.ndarray]:
    """What each lesion adds, at severity 1, to a beat of the average heart: microvolts ``[12, rate_hz]`` by lesion.

    This is the ground truth of the cohort, without variation or noise: one second from before the P wave to after the
    T wave.
    """

    class Average:
        def standard_normal(self, shape: tuple[int, ...]) -> np.ndarray:
            return np.zeros(shape)

    severity = np.vstack([np.eye(len(LESIONS)), np.zeros(len(LESIONS))])
    hearts = _draw_hearts(severity, itertools.repeat(Average()))  # type: ignore[arg-type]
    time_s = np.arange(rate_hz) / rate_hz - 0.4
    beats_s = np.tile([[-10.0, 0.0, 10.0]], (len(severity), 1))  # one beat, with its neighbours far away
    leads = with_limb_leads(leads_from_dipole(hearts.dipole(time_s, beats_s)))
    return dict(zip(LESIONS, leads[:-1] - leads[-1], strict=True))


def _streams(seed: int) -> Iterator[np.random.Generator]:
    """One random stream per quantity, so that a record does not depend on how many records follow it."""
    for quantity in itertools.count():
        yield np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(quantity,))))


class _Recordings(NamedTuple):
    """What N recordings are made of, but for white noise: beats (s) ``[N, beats]``, and what electrodes see and add."""

    hearts: Hearts
    beats_s: np.ndarray
    sources_hz: np.ndarray
    phase: np.ndarray
    coupling: np.ndarray
    muscle: np.ndarray
    strength: np.ndarray


def _draw(num_records: int, streams: Iterator[np.random.Generator]) -> tuple[np.ndarray, np.ndarray, _Recordings]:
    """The patient of each record ``[N]``, which lesions are found ``[N, lesions]``, and the recordings."""
    records_each = np.minimum(next(streams).geometric(0.85, num_records), 4)
    patients = np.repeat(np.arange(num_records), records_each)[:num_records]
    severity, lesions = _diagnose(patients, streams)
    hearts = _draw_hearts(severity, streams)
    return patients, lesions, _draw_recordings(hearts.take(patients), streams)


def _diagnose(patients: np.ndarray, streams: Iterator[np.random.Generator]) -> tuple[np.ndarray, np.ndarray]:
    """Severities ``[patients, lesions]`` and labels ``[N, lesions]``; the liabilities have a common cause."""
    num_patients = patients[-1] + 1
    common = next(streams).standard_normal((num_patients, 1))
    own = next(streams).standard_normal((num_patients, len(LESIONS)))
    liability = np.sqrt(_COMMON_CAUSE) * common + np.sqrt(1 - _COMMON_CAUSE) * own
    excess = liability - [NormalDist().inv_cdf(1 - lesion.prevalence) for lesion in LESIONS.values()]
    severity = np.clip(excess + _SUBCLINICAL, 0.0, _MOST_SEVERE)

    found = excess[patients] + _LABEL_NOISE * next(streams).standard_normal((len(patients), len(LESIONS))) > 0
    return severity, found


def _superclasses(lesions: np.ndarray) -> np.ndarray:
    labels = np.zeros((len(lesions), len(CLASSES)), np.uint8)
    for lesion, present in zip(LESIONS.values(), lesions.T, strict=True):
        labels[:, CLASSES.index(lesion.label)] |= present
    labels[:, CLASSES.index("NORM")] = ~labels.any(axis=1)
    return labels


def _statements(lesions: np.ndarray) -> np.ndarray:
    columns = dict(zip(LESIONS, lesions.T, strict=True)) | {"normal": ~lesions.any(axis=1)}
    return np.stack([columns[name] for name in STATEMENTS], axis=1).astype(np.uint8)


def _draw_hearts(severity: np.ndarray, streams: Iterator[np.random.Generator]) -> Hearts:
    """The hearts of patients with these severities ``[patients, lesions]``, at 60 beats per minute."""
    from scipy.spatial.transform import Rotation

    def normal(*shape: int) -> np.ndarray:
        return next(streams).standard_normal((len(severity), *shape))

    peak = np.exp(_WAVE_SCATTER * normal(len(WAVES), 3)) * [wave.peak_uv for wave in WAVES.values()]
    for lesion, grade in zip(LESIONS.values(), severity.T, strict=True):
        axes = grade[:, None] * (1 + lesion.scatter * normal(3))
        for wave, change in lesion.peaks_uv.items():
            peak[:, list(WAVES).index(wave)] += axes * change
    turn = Rotation.from_rotvec(normal(3) * _AXIS_SCATTER_DEG, degrees=True).as_matrix()
    peak = np.exp(_GAIN_SCATTER * normal(1, 1)) * peak @ turn.transpose(0, 2, 1)

    stretch = np.exp(normal(len(INTERVALS)) * _INTERVAL_SCATTER)
    stretch[:, INTERVALS.index("QRS")] *= 1 + severity @ [lesion.qrs_wider for lesion in LESIONS.values()]
    stretch = stretch[:, [INTERVALS.index(wave.interval) for wave in WAVES.values()]]
    delay = severity @ [lesion.pr_ms for lesion in LESIONS.values()]
    centre = stretch * [wave.centre_ms for wave in WAVES.values()]
    centre -= np.outer(delay, [wave.interval == "PR" for wave in WAVES.values()])
    width = stretch * [wave.width_ms for wave in WAVES.values()]
    return Hearts(centre / 1000, width / 1000, peak)


def _draw_recordings(hearts: Hearts, streams: Iterator[np.random.Generator]) -> _Recordings:
    """One recording of each heart."""
    count = len(hearts.peak_uv)

    def normal(*shape: int) -> np.ndarray:
        return next(streams).standard_normal((count, *shape))

    hz = (np.exp(normal(3) * _SOURCES_SCATTER) * _SOURCES_HZ)[..., None]
    phase = next(streams).random((count, 3, 1))
    coupling = normal(9, 3) * _SOURCES_UV
    muscle = _MUSCLE_UV * np.exp(_MUSCLE_SCATTER * normal(1, 1))
    strength = DOWER * (1 + _PLACEMENT * normal(8, 3))

    mean_rr = 60 / np.clip(_RATE_BPM * np.exp(_RATE_SCATTER * normal(1)), *_RATE_RANGE_BPM)
    depth = np.minimum(_ARRHYTHMIA * np.exp(_ARRHYTHMIA_SCATTER * normal(1)), _MOST_ARRHYTHMIA)
    most_beats = SECONDS * _RATE_RANGE_BPM[1] // 60 + 4
    steady = mean_rr * (np.arange(most_beats) - next(streams).random((count, 1)))
    breath = np.sin(2 * np.pi * (hz[:, 0] * steady + phase[:, 0]))
    intervals = mean_rr * (1 + depth * breath + _JITTER * normal(most_beats))
    beats_s = steady[:, :1] + np.cumsum(intervals, axis=1) - intervals[:, :1]
    to_rate = np.where([wave.interval == "QT" for wave in WAVES.values()], np.sqrt(mean_rr), 1.0)  # Bazett
    hearts = hearts._replace(centre_s=hearts.centre_s * to_rate, width_s=hearts.width_s * to_rate)
    return _Recordings(hearts, beats_s, hz, phase, coupling, muscle, strength)


def _record(recordings: _Recordings, rate_hz: int, noise: np.random.Generator) -> np.ndarray:
    """The samples ``[N, 12, T]``, in int16 microvolts."""
    hearts, beats_s, hz, phase, coupling, muscle, strength = recordings
    count, time_s = len(beats_s), np.arange(SECONDS * rate_hz) / rate_hz
    signals = np.empty((count, len(LEADS_12), len(time_s)), np.int16)
    for start in range(0, count, _CHUNK):
        rows = slice(start, start + _CHUNK)
        sources = np.sin(2 * np.pi * (hz[rows] * time_s + phase[rows]))
        dipole = hearts.take(rows).dipole(time_s, beats_s[rows]) * (1 + _BREATH_GAIN * sources[:, :1])
        at_electrodes = coupling[rows] @ sources
        at_electrodes += muscle[rows] * noise.standard_normal(at_electrodes.shape)
        leads = leads_from_dipole(dipole, strength[rows]) + _ELECTRODES @ at_electrodes
        signals[rows] = np.rint(with_limb_leads(leads))
    return signals
