from pathlib import Path

import numpy as np
import pytest
from scipy.signal import butter, find_peaks, sosfiltfilt

from ecgzoo.data._dipole import LESIONS, WAVES
from ecgzoo.data.cohort import Cohort
from ecgzoo.data.synthetic import (
    CLASSES,
    DOWER,
    leads_from_dipole,
    lesion_changes,
    load_synthetic,
    wave_times,
    with_limb_leads,
)
from ecgzoo.errors import DataError
from ecgzoo.signal.leads import LEADS_12

GOLDEN_UV = [[-39, 8, 40, 46, 51, 54], [-20, 14, 8, 18, 18, 35], [65, 2, -51, 2, 117, 34]]
BEFORE, AFTER = 40, 50  # samples at 100 Hz around the middle of the QRS


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return load_synthetic(num_records=1500)


@pytest.fixture(scope="module")
def beats(cohort: Cohort) -> np.ndarray:
    """Average beat of each record, mV [N, 12, BEFORE + AFTER], level before the P wave at zero."""
    signals = cohort.store / 1000.0
    average = np.empty((len(cohort), 12, BEFORE + AFTER))
    for row, signal in enumerate(signals):
        peaks = r_peaks(np.abs(signal).sum(axis=0))
        peaks = peaks[(peaks >= BEFORE) & (peaks < signal.shape[1] - AFTER)]
        average[row] = np.mean([signal[:, peak - BEFORE : peak + AFTER] for peak in peaks], axis=0)
    return average - average[..., 28:31].mean(axis=-1, keepdims=True)  # the PQ segment


def r_peaks(signal: np.ndarray) -> np.ndarray:
    fast = sosfiltfilt(butter(2, (8, 30), "bandpass", fs=100, output="sos"), signal)
    energy = np.convolve(fast**2, np.ones(11) / 11, "same")
    return find_peaks(energy, height=0.3 * np.quantile(energy, 0.99), distance=30)[0]


def test_where_the_waves_are(cohort: Cohort) -> None:
    centre_s, width_s = wave_times(1500)
    assert centre_s.shape[::2] == (1500, len(WAVES))
    assert width_s.shape == (1500, len(WAVES))
    np.testing.assert_array_equal(wave_times(100)[0], centre_s[:100])  # as the records are
    middle = centre_s[..., list(WAVES).index("R")]
    for row in range(0, 1500, 150):
        found = r_peaks(np.abs(cohort.store[row] / 1000.0).sum(axis=0)) / 100
        inside = middle[row][(middle[row] > 0.2) & (middle[row] < 9.8)]
        nearest = np.abs(inside[:, None] - found).min(axis=1)
        assert nearest.max() < 0.06  # a QRS complex, and no T wave


def only(cohort: Cohort, name: str) -> np.ndarray:
    return (cohort.labels.sum(axis=1) == 1) & (cohort.labels[:, CLASSES.index(name)] == 1)


def effect(values: np.ndarray, cohort: Cohort, name: str) -> float:
    """How far the class lies from NORM, in NORM's standard deviations."""
    normal = values[only(cohort, "NORM")]
    return float((values[only(cohort, name)].mean() - normal.mean()) / normal.std())


def lead(beats: np.ndarray, name: str) -> np.ndarray:
    return beats[:, LEADS_12.index(name)]


def qrs(beats: np.ndarray, name: str) -> np.ndarray:
    return lead(beats, name)[:, BEFORE - 6 : BEFORE + 8]


def t_wave(beats: np.ndarray, name: str) -> np.ndarray:
    window = lead(beats, name)[:, BEFORE + 15 : BEFORE + 35]
    return np.take_along_axis(window, np.abs(window).argmax(axis=1)[:, None], axis=1)[:, 0]


def test_layout(cohort: Cohort) -> None:
    assert cohort.simulated
    assert "simulated" in cohort.title
    assert (cohort.name, cohort.task, cohort.rate_hz) == ("synthetic", "superdiagnostic", 100.0)
    assert cohort.classes == ("CD", "HYP", "MI", "NORM", "STTC") == tuple(sorted(cohort.classes))
    assert cohort.leads == LEADS_12
    assert cohort.store.shape == (1500, 12, 1000)
    assert cohort.labels.shape == (1500, 5)
    dtypes = [array.dtype for array in (cohort.store, cohort.labels, cohort.folds, cohort.patients)]
    assert dtypes == [np.int16, np.uint8, np.int16, np.int64]
    assert cohort.record_ids.dtype == np.int64
    np.testing.assert_array_equal(cohort.record_ids, np.arange(1, 1501))


def test_same_arguments_same_records(cohort: Cohort) -> None:
    again = load_synthetic(num_records=1500)
    np.testing.assert_array_equal(again.store, cohort.store)
    np.testing.assert_array_equal(again.labels, cohort.labels)
    assert again.fingerprint == cohort.fingerprint


@pytest.mark.parametrize("num_records", [1, 3, 230])
def test_a_smaller_cohort_is_the_beginning_of_a_larger(cohort: Cohort, num_records: int) -> None:
    small = load_synthetic(num_records=num_records)
    for name in ("store", "labels", "folds", "patients", "record_ids"):
        np.testing.assert_array_equal(getattr(small, name), getattr(cohort, name)[:num_records])
    assert small.fingerprint != cohort.fingerprint


def test_another_seed_gives_other_records(cohort: Cohort) -> None:
    other = load_synthetic(num_records=50, seed=1)
    assert other.fingerprint != load_synthetic(num_records=50).fingerprint
    assert not (other.store == cohort.store[:50]).all(axis=(1, 2)).any()
    assert (other.labels != cohort.labels[:50]).any()


def test_samples_of_version_1() -> None:
    """A change here is a new cohort: raise the version in the fingerprint and note it in the changelog."""
    signals = load_synthetic(num_records=2).store
    np.testing.assert_allclose(signals[1, [0, 1, 7], 100:700:100], GOLDEN_UV, atol=1)


def test_no_patient_is_in_two_folds_and_folds_are_similar(cohort: Cohort) -> None:
    for patient in np.unique(cohort.patients):
        assert len(set(cohort.folds[cohort.patients == patient])) == 1
    assert 0.7 < len(np.unique(cohort.patients)) / len(cohort) < 0.95
    folds, sizes = np.unique(cohort.folds, return_counts=True)
    np.testing.assert_array_equal(folds, np.arange(1, 11))
    assert sizes.max() < 1.3 * sizes.min()
    for fold in folds:
        assert cohort.labels[cohort.rows([fold])].any(axis=0).all()


def test_norm_excludes_the_others_and_the_others_coincide(cohort: Cohort) -> None:
    normal = cohort.labels[:, CLASSES.index("NORM")] == 1
    assert (cohort.labels[normal].sum(axis=1) == 1).all()
    assert (cohort.labels.sum(axis=1) >= 1).all()
    assert 0.1 < (cohort.labels.sum(axis=1) >= 2).mean() < 0.35
    frequency = dict(zip(CLASSES, cohort.labels.mean(axis=0), strict=True))
    assert 0.4 < frequency.pop("NORM") < 0.6
    assert all(0.08 < share < 0.3 for share in frequency.values())


def test_limb_leads_obey_their_identities(cohort: Cohort) -> None:
    one, two, three, avr, avl, avf = np.moveaxis(cohort.store[:, :6].astype(float), 1, 0)
    for derived, found in ((two - one, three), (-(one + two) / 2, avr), (one - two / 2, avl), (two - one / 2, avf)):
        np.testing.assert_allclose(found, derived, rtol=0, atol=2)


def test_nothing_clips_and_nothing_is_flat(cohort: Cohort) -> None:
    assert np.abs(cohort.store.astype(int)).max() < 10_000
    assert (cohort.store.std(axis=2) > 10).all()


def test_rates_are_those_of_resting_adults_and_vary_with_breath(cohort: Cohort) -> None:
    normal = np.flatnonzero(only(cohort, "NORM"))
    intervals = [np.diff(r_peaks(cohort.store[row, 1] / 1000.0)) / 100 for row in normal]
    rate_bpm = np.array([60 / rr.mean() for rr in intervals])
    assert rate_bpm.min() > 45
    assert rate_bpm.max() < 120
    assert 66 < np.median(rate_bpm) < 78
    assert rate_bpm.std() > 8
    assert 0.018 < np.median([rr.std() / rr.mean() for rr in intervals]) < 0.08


def test_a_normal_beat_looks_like_one(cohort: Cohort, beats: np.ndarray) -> None:
    normal = beats[only(cohort, "NORM")]
    mean = normal.mean(axis=0, keepdims=True)
    for name in ("I", "II", "V4", "V5", "V6"):
        assert qrs(mean, name).max() > 2 * -qrs(mean, name).min(), name
    for name in ("V1", "V2"):  # rS
        assert 0.1 < qrs(mean, name).max() < -qrs(mean, name).min(), name
    assert -qrs(mean, "aVR").min() > 4 * qrs(mean, "aVR").max()
    for name in ("I", "II", "V2", "V3", "V4", "V5", "V6"):
        assert np.median(t_wave(normal, name)) > 0.08, name
    assert 0.05 < lead(mean, "II")[0, BEFORE - 22 : BEFORE - 10].max() < 0.25  # P


def test_infarction_shows_in_v2_and_avf_but_hardly_in_lead_i(cohort: Cohort, beats: np.ndarray) -> None:
    assert effect(qrs(beats, "V2").max(axis=1), cohort, "MI") < -0.4  # anterior: lost R
    assert effect(qrs(beats, "aVF")[:, :7].min(axis=1), cohort, "MI") < -0.4  # inferior: Q
    assert effect(t_wave(beats, "V2"), cohort, "MI") < -0.7
    assert abs(effect(qrs(beats, "I").max(axis=1), cohort, "MI")) < 0.25
    assert abs(effect(t_wave(beats, "I"), cohort, "MI")) < 0.25


def test_conduction_disturbance_widens_the_qrs(cohort: Cohort, beats: np.ndarray) -> None:
    speed = np.abs(np.diff(beats, axis=2)).sum(axis=1)
    duration = (speed[:, BEFORE - 12 : BEFORE + 14] > 0.15 * speed.max(axis=1, keepdims=True)).sum(axis=1)
    assert effect(duration, cohort, "CD") > 1
    assert abs(effect(duration, cohort, "STTC")) < 0.25


def test_hypertrophy_raises_the_sokolow_lyon_voltage(cohort: Cohort, beats: np.ndarray) -> None:
    sokolow_lyon = qrs(beats, "V5").max(axis=1) - qrs(beats, "V1").min(axis=1)
    assert effect(sokolow_lyon, cohort, "HYP") > 0.5
    assert effect(sokolow_lyon, cohort, "HYP") > 2 * abs(effect(sokolow_lyon, cohort, "STTC"))


def test_st_t_change_lowers_the_t_wave_and_spares_the_qrs(cohort: Cohort, beats: np.ndarray) -> None:
    for name in ("I", "II", "V4"):
        assert effect(t_wave(beats, name), cohort, "STTC") < -0.5, name
        assert abs(effect(qrs(beats, name).max(axis=1), cohort, "STTC")) < 0.25, name


def test_projection_equals_a_loop_over_samples() -> None:
    dipole = np.random.default_rng(0).standard_normal((2, 3, 7))
    strength = np.stack([DOWER, 2 * DOWER])
    leads = leads_from_dipole(dipole, strength)
    for row in range(2):
        for sample in range(7):
            x, y, z = dipole[row, :, sample]
            for number, (a, b, c) in enumerate(strength[row]):
                assert leads[row, number, sample] == pytest.approx(a * x + b * y + c * z)
    twelve = with_limb_leads(leads)
    np.testing.assert_array_equal(twelve[:, [0, 1, 6, 7, 8, 9, 10, 11]], leads)
    np.testing.assert_allclose(twelve[:, 3:6].sum(axis=1), 0, atol=1e-12)  # Goldberger: aVR + aVL + aVF = 0


def test_dower_matrix_inverts_to_the_published_inverse() -> None:
    # Edenbrandt and Pahlm, "Vectorcardiogram synthesized from a 12-lead ECG", J. Electrocardiol. 21:361 (1988).
    published = [
        [0.156, -0.010, -0.172, -0.074, 0.122, 0.231, 0.239, 0.194],
        [-0.227, 0.887, 0.057, -0.019, -0.106, -0.022, 0.041, 0.048],
        [0.022, 0.102, -0.229, -0.310, -0.246, -0.063, 0.055, 0.108],
    ]
    np.testing.assert_allclose(np.linalg.pinv(DOWER), published, atol=6e-4)


def test_another_rate_records_the_same_hearts() -> None:
    slow, fast = load_synthetic(num_records=5), load_synthetic(num_records=5, rate_hz=500)
    assert fast.store.shape == (5, 12, 5000)
    assert fast.rate_hz == 500.0
    assert fast.fingerprint != slow.fingerprint
    for at_100, at_500 in zip(slow.store, fast.store, strict=True):
        assert np.corrcoef(at_100.ravel(), at_500[:, ::5].ravel())[0, 1] > 0.97


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="reads no files"):
        load_synthetic(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "superdiagnostik"}, "Did you mean superdiagnostic"),
        ({"num_records": 0}, "num_records is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"rate_hz": 50}, "rate_hz is 50"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load_synthetic(**arguments)


def test_a_lesions_change_is_that_of_its_waves() -> None:
    changes = lesion_changes(rate_hz=500)
    assert list(changes) == list(LESIONS)
    time_ms = np.arange(500) * 2 - 400
    for name in ("anterior infarction", "ST-T change"):
        lead_i = np.zeros(500)
        for wave_name, peak in LESIONS[name].peaks_uv.items():
            wave = WAVES[wave_name]
            seen = sum(strength * size for strength, size in zip(DOWER[0], peak, strict=True))
            lead_i += seen * np.exp(-0.5 * ((time_ms - wave.centre_ms) / wave.width_ms) ** 2)
        np.testing.assert_allclose(changes[name][0], lead_i, atol=1e-9)
    later_p = changes["first-degree AV block"]
    assert np.abs(later_p[:, time_ms > -20]).max() < 1 < np.abs(later_p[:, time_ms < -100]).max()
    for change in changes.values():
        np.testing.assert_allclose(change[2], change[1] - change[0], atol=1e-9)
