import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ecgzoo.errors import SignalError
from ecgzoo.signal import LEADS_12, Record

limb = arrays(np.float32, (2, 50), elements=st.floats(-10, 10, width=32))


def twelve(samples=500, rate_hz=100.0, seed=0):
    rng = np.random.default_rng(seed)
    independent = Record(rng.normal(size=(8, samples)).astype(np.float32), ("I", "II", *LEADS_12[6:]), rate_hz, "made")
    return independent.select(12, derive=True)


@given(signal=limb)
def test_derived_leads_follow_einthoven_and_goldberger(signal):
    record = Record(signal, ("I", "II"), 100, "made").select(6, derive=True)
    for t in range(signal.shape[1]):
        i, ii = float(signal[0, t]), float(signal[1, t])
        expected = [i, ii, ii - i, -(i + ii) / 2, i - ii / 2, ii - i / 2]
        np.testing.assert_allclose(record.signal[:, t], expected, atol=1e-5)
    np.testing.assert_allclose(record.signal[3:].sum(axis=0), 0, atol=1e-5)  # aVR + aVL + aVF
    assert record.einthoven_error_mv() < 1e-5
    assert record.signal.dtype == np.float32
    assert "III, aVR, aVL, aVF derived" in record.notes[0]


@given(order=st.permutations(range(12)), leads=st.lists(st.sampled_from(LEADS_12), min_size=1, unique=True))
def test_select_is_by_name_not_by_position(order, leads):
    record = twelve(samples=20)
    shuffled = Record(record.signal[list(order)], tuple(LEADS_12[k].upper() for k in order), 100, "shuffled")
    selected = shuffled.select(leads)
    assert selected.leads == tuple(leads)
    for name, row in zip(leads, selected.signal, strict=True):
        np.testing.assert_array_equal(row, record.signal[LEADS_12.index(name)])


def test_select_names_what_the_record_has():
    record = Record(np.zeros((2, 5), np.float32), ("II", "RESP"), 100, "somewhere")
    assert record.leads == ("II", "RESP")
    with pytest.raises(SignalError, match=r"somewhere: no lead I; it has II, RESP"):
        record.select("I")
    with pytest.raises(SignalError, match=r"no lead aVR.*derive=True"):
        record.select("aVR")
    with pytest.raises(SignalError, match="no lead aVR; it has II, RESP. aVR would follow from two of I, II"):
        record.select("aVR,II", derive=True)


def test_derive_prefers_the_recorded_lead():
    signal = np.array([[1, 1], [2, 2], [7, 7]], np.float32)
    record = Record(signal, ("I", "II", "III"), 100, "made").select("III", derive=True)
    np.testing.assert_array_equal(record.signal, [[7, 7]])
    assert record.notes == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"signal": np.zeros(5, np.float32)}, "shape"),
        ({"signal": np.zeros((3, 5), np.float32)}, "shape"),
        ({"signal": np.zeros((2, 0), np.float32)}, "shape"),
        ({"signal": np.zeros((2, 5))}, "float32"),
        ({"signal": np.full((2, 5), np.inf, np.float32)}, "infinite"),
        ({"signal": np.array([[0, 0], [0, -np.inf]], np.float32)}, "infinite"),
        ({"leads": ("II", "MLII")}, "II occurs twice"),
        ({"leads": ("RESP", "RESP")}, "RESP occurs twice"),
        ({"rate_hz": 0.0}, "rate"),
        ({"rate_hz": float("nan")}, "rate"),
    ],
)
def test_record_refuses_what_breaks_the_contract(change, message):
    fields = {"signal": np.zeros((2, 5), np.float32), "leads": ("I", "II"), "rate_hz": 100.0, "source": "here"}
    Record(**fields)
    with pytest.raises(SignalError, match=f"here.*{message}"):
        Record(**(fields | change))


@pytest.mark.parametrize(("rate_hz", "target_hz"), [(500, 100), (360, 100), (300, 100), (257, 100), (100, 250)])
def test_resample_keeps_frequency_and_duration(rate_hz, target_hz):
    time = np.arange(int(10 * rate_hz)) / rate_hz
    sine = np.sin(2 * np.pi * 5 * time).astype(np.float32)[None]
    record = Record(sine, ("I",), rate_hz, "made").resample(target_hz)
    assert record.rate_hz == target_hz
    assert record.signal.dtype == np.float32
    assert abs(record.signal.shape[1] / target_hz - 10) <= 1 / target_hz
    expected = np.sin(2 * np.pi * 5 * np.arange(record.signal.shape[1]) / target_hz)
    middle = slice(target_hz, -target_hz)
    np.testing.assert_allclose(record.signal[0, middle], expected[middle], atol=0.01)


def test_resample_suppresses_what_would_alias():
    time = np.arange(5000) / 500
    above_nyquist = np.sin(2 * np.pi * 80 * time).astype(np.float32)[None]
    assert np.abs(above_nyquist[0, ::5]).max() > 0.9  # plain decimation would show a 20 Hz wave
    resampled = Record(above_nyquist, ("I",), 500, "made").resample(100)
    assert np.abs(resampled.signal[0, 20:-20]).max() < 0.01


def test_resample_keeps_an_offset_to_the_ends():
    record = Record(np.full((1, 3000), 2.5, np.float32), ("I",), 300, "made").resample(100)
    np.testing.assert_allclose(record.signal, 2.5, atol=1e-3)


def test_resample_to_the_same_rate_changes_nothing():
    record = twelve()
    np.testing.assert_array_equal(record.resample(100).signal, record.signal)


def test_invalid_samples_are_repaired_only_when_asked():
    signal = np.array([[np.nan, 1, np.nan, 3, np.nan], [0, 1, 2, 3, 4]], np.float32)
    record = Record(signal, ("I", "II"), 100, "made")
    assert record.problems() == ["Lead I: 3 invalid samples (NaN)."]
    with pytest.raises(SignalError, match="interpolate_invalid"):
        record.resample(50)
    repaired = record.interpolate_invalid()
    np.testing.assert_array_equal(repaired.signal, [[1, 1, 2, 3, 3], [0, 1, 2, 3, 4]])
    assert repaired.notes == ("Lead I: 3 invalid samples interpolated.",)
    assert np.isnan(record.signal[0, 0])
    assert repaired.problems() == []


def test_a_lead_without_valid_samples_cannot_be_repaired():
    record = Record(np.full((1, 4), np.nan, np.float32), ("V3",), 100, "made")
    with pytest.raises(SignalError, match="V3 has no valid sample"):
        record.interpolate_invalid()


def test_sound_record_has_no_problems():
    assert twelve().problems() == []


def test_problems_name_flat_leads():
    record = twelve()
    signal = record.signal.copy()
    signal[10] = 0.25
    flat = Record(signal, LEADS_12, 100, "made")
    assert flat.flat_leads() == ("V5",)
    assert flat.problems() == ["Flat: V5."]


def test_problems_find_swapped_limb_leads():
    record = twelve()
    swapped = Record(record.signal, ("II", "I", *LEADS_12[2:]), 100, "swapped")
    assert any("Einthoven" in problem for problem in swapped.problems())
    i, ii, iii = record.signal[:3]
    assert swapped.einthoven_error_mv() >= np.abs(iii - (i - ii)).max() - 1e-5


@pytest.mark.parametrize("factor", [1000, 0.0001])
def test_problems_suspect_units(factor):
    record = twelve().select("V1")
    scaled = Record((record.signal * factor).astype(np.float32), ("V1",), 100, "made")
    assert any("units" in problem for problem in scaled.problems())


def orders(leads):
    return list(itertools.permutations(leads))


@pytest.mark.parametrize("leads", list(itertools.combinations(LEADS_12[:6], 3)))
def test_three_limb_leads_are_enough_to_see_a_swap(leads):
    record = twelve().select(leads)
    assert record.einthoven_error_mv() < 1e-5
    assert record.problems() == []
    # what three leads add up to 0 with, from their directions at 60 degrees; other leads may not be told by a sum
    degrees = {"I": 0, "II": 60, "III": 120, "aVR": -150, "aVL": -30, "aVF": 90}
    lengths = {name: 1 / np.sqrt(3) if name.startswith("a") else 2 / 3 for name in degrees}
    along = {name: lengths[name] * np.exp(1j * np.deg2rad(degree)) for name, degree in degrees.items()}
    sums = {names: np.cross(*np.array([(along[n].real, along[n].imag) for n in names]).T) for names in orders(leads)}
    for names, weights in sums.items():
        same = np.allclose(np.cross(weights, sums[leads]), 0)
        swapped = Record(record.signal, names, 100, "swapped")
        assert (swapped.einthoven_problem() is None) == same, names


def test_einthoven_needs_three_limb_leads():
    record = twelve().select("I,II,V1")
    assert record.einthoven_problem() is None
    with pytest.raises(SignalError, match=r"expected three of I, II, III, aVR, aVL, aVF, got I, II, V1"):
        record.einthoven_error_mv()


@pytest.mark.parametrize(("rate_hz", "new_rate_hz"), [(500, 100), (250, 100), (360, 100), (100, 250), (257, 100)])
def test_resampling_in_blocks_is_resampling_at_once(monkeypatch, rate_hz, new_rate_hz):
    drift = np.random.default_rng(0).normal(0, 0.1, (2, 5003)).cumsum(axis=1).astype(np.float32)
    record = Record(drift, ("I", "II"), rate_hz, "drift")
    whole = record.resample(new_rate_hz).signal
    for block in (77, 1000):
        monkeypatch.setattr("ecgzoo.signal.record.BLOCK_SAMPLES", block)
        np.testing.assert_allclose(record.resample(new_rate_hz).signal, whole, atol=2e-6)


def test_resampling_keeps_offset_and_slope():
    line = np.linspace(2, 5, 4001, dtype=np.float32)[None]
    resampled = Record(line, ("I",), 250, "line").resample(100).signal[0]
    np.testing.assert_allclose(resampled, 2 + 3 * np.arange(len(resampled)) * 2.5 / 4000, atol=1e-6)


@pytest.mark.parametrize(
    ("peak_mv", "found"),
    [(19.9, None), (20.1, "Amplitudes up to"), (0.011, None), (0.009, "of at most"), (0.0, "Flat")],
)
def test_units_are_suspected_beyond_twenty_and_below_a_hundredth_of_a_millivolt(peak_mv, found):
    signal = np.array([[0, -peak_mv, peak_mv / 2, 0]], np.float32)
    problems = Record(signal, ("V1",), 100, "made").problems()
    assert len(problems) == (found is not None)
    assert found is None or found in problems[0]


@pytest.mark.parametrize(("breach_mv", "broken"), [(0.049, False), (0.051, True)])
def test_einthovens_law_may_be_broken_by_rounding_only(breach_mv, broken):
    signal = twelve().signal.copy()
    signal[4, 7] -= breach_mv  # aVL, a single sample
    record = Record(signal, LEADS_12, 100, "made")
    assert record.einthoven_error_mv() == pytest.approx(breach_mv, abs=1e-4)
    assert (record.einthoven_problem() is not None) == broken
    assert bool(record.problems()) == broken
    assert record.problems(einthoven_tolerance_mv=0.1) == []


@pytest.mark.parametrize(("rate_hz", "sound"), [(10, True), (100_000, True), (9.99, False), (100_001, False)])
def test_the_slowest_and_the_fastest_rate(rate_hz, sound):
    signal = np.zeros((1, 5), np.float32)
    if sound:
        assert Record(signal, ("I",), rate_hz, "made").rate_hz == rate_hz
    else:
        with pytest.raises(SignalError, match="expected a rate of 10 to 100000 Hz"):
            Record(signal, ("I",), rate_hz, "made")


def test_a_rate_is_raised_twentyfold_at_most():
    record = Record(np.arange(40, dtype=np.float32)[None], ("I",), 10, "made")
    assert record.resample(200).signal.shape == (1, 800)
    with pytest.raises(SignalError, match="at most 20 times the record's 10 Hz, got 201"):
        record.resample(201)
    one = Record(np.full((1, 1), 1.5, np.float32), ("I",), 100, "made")
    np.testing.assert_allclose(one.resample(200).signal, 1.5, atol=1e-6)


def test_what_is_done_to_a_record_is_added_to_its_notes():
    signal = np.array([[0, np.nan, 2, 1], [1, 0, 1, 1]], np.float32)
    record = Record(signal, ("I", "II"), 100, "made", ("first",)).interpolate_invalid().select("III", derive=True)
    assert record.notes == ("first", "Lead I: 1 invalid samples interpolated.", "III derived from I and II.")
    assert record.resample(200).notes == record.notes


def test_a_record_is_shown_in_one_line():
    record = Record(np.zeros((2, 2500), np.float32), ("I", "II"), 250, "a/b.hea\x1b")
    assert repr(record) == r"Record(a/b.hea\x1b: leads I, II, 250 Hz, 10 s)"
