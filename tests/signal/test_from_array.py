"""Records from arrays, to tables, with other names and with derived leads."""

from itertools import combinations

import numpy as np
import pytest

from ecgzoo import LEADS_12, MissingLeadError, Record, SignalError, read_record

LIMB = LEADS_12[:6]
SIGNAL = np.arange(-100, 100).reshape(2, 100)


@pytest.mark.parametrize("dtype", ["i1", "u2", ">i2", "i4", "u8", "f2", "f4", ">f8", "g"])
def test_any_dtype_of_numbers(dtype: str) -> None:
    signal = np.abs(SIGNAL).astype(dtype)
    record = Record.from_array(signal, leads=("MLII", "ECG1"), rate_hz=250, units="µV", source="strap")
    assert record.signal.dtype == np.float32
    np.testing.assert_allclose(record.signal, np.abs(SIGNAL) / 1000, rtol=1e-6)
    assert (record.leads, record.rate_hz, record.source) == (("II", "ECG1"), 250.0, "strap")


def test_ways_to_name_leads() -> None:
    for leads in ("I,II", ["I", "II"], 2, "2"):
        assert Record.from_array(SIGNAL / 1000, leads=leads, rate_hz=100).leads == ("I", "II")
    assert Record.from_array([0.1, 0.2, 0.3], leads="I", rate_hz=100).signal.shape == (1, 3)


@pytest.mark.parametrize(
    ("signal", "given", "message"),
    [
        (SIGNAL.T, {}, r"got \[100, 2\] for 2 leads, which is \[samples, leads\]; transpose it \(signal.T\)"),
        (SIGNAL[None], {}, r"row for each of 2 leads \(I, II\), got \[1, 2, 100\]"),
        (SIGNAL[0], {}, "row for each of 2 leads"),
        (SIGNAL, {"leads": "I"}, "row for each of 1 leads"),
        (SIGNAL, {"units": "mmHg"}, "no unit of voltage"),
        (SIGNAL * 1j, {}, "floats or integers, got complex128"),
        (SIGNAL > 0, {}, "floats or integers, got bool"),
        (SIGNAL.astype(object), {}, "floats or integers, got object"),
        ([[1, 2], [3]], {}, "floats or integers, got none .*inhomogeneous"),
        (SIGNAL * 1e300, {}, "infinite samples"),
        (SIGNAL, {"rate_hz": 1}, "rate of 10 to 100000 Hz"),
        (SIGNAL, {"rate_hz": None}, "rate of 10 to 100000 Hz, got None"),
        (SIGNAL, {"rate_hz": "fast"}, "rate of 10 to 100000 Hz, got 'fast'"),
        (SIGNAL, {"leads": None}, "expected a name for each lead, got None; pass such as leads="),
        (SIGNAL, {"leads": 1.5}, "expected a name for each lead, got 1.5"),
        (SIGNAL, {"leads": [1, 2]}, r"expected a name for each lead, got \[1, 2\]"),
        (SIGNAL, {"leads": [None, "II"]}, "expected a name for each lead"),
        (SIGNAL, {"leads": []}, "expected a name for each lead"),
        (SIGNAL, {"leads": "I,"}, "expected a name for each lead"),
        (SIGNAL[:1], {"leads": ""}, "expected a name for each lead"),
        (SIGNAL[:1], {"leads": " "}, "expected a name for each lead"),
        (SIGNAL, {"units": None}, "None is no unit of voltage"),
        (SIGNAL, {"units": ["mV", "mV"]}, "no unit of voltage"),
    ],
)
def test_what_is_no_recording(signal: np.ndarray, given: dict[str, object], message: str) -> None:
    with pytest.raises(SignalError, match=message):
        Record.from_array(signal, **{"leads": "I,II", "rate_hz": 100, **given})  # type: ignore[arg-type] # by the table


@pytest.mark.parametrize("leads", [None, [1, 2], ("I", ""), 2])
def test_a_record_has_names(leads: object) -> None:
    with pytest.raises(SignalError, match="strap: expected a name for each lead, got"):
        Record(SIGNAL.astype(np.float32), leads, 100, "strap")  # type: ignore[arg-type] # what a caller may pass


def test_masked_samples_are_missing() -> None:
    mask = SIGNAL % 7 == 0
    for dtype in ("i2", "i8", "f4", "f8"):
        for masked in (np.ma.MaskedArray(SIGNAL.astype(dtype), mask), [*np.ma.MaskedArray(SIGNAL.astype(dtype), mask)]):
            found = Record.from_array(masked, leads="I,II", rate_hz=100).signal
            np.testing.assert_array_equal(found, np.where(mask, np.nan, SIGNAL))
    record = Record(np.ma.MaskedArray(SIGNAL.astype(np.float32), mask), ("I", "II"), 100, "masked")
    assert type(record.signal) is np.ndarray
    np.testing.assert_array_equal(np.isnan(record.signal), mask)


def test_a_table_and_back(tmp_path: object) -> None:
    record = Record.from_array(SIGNAL, leads="I,II", rate_hz=250, units="uV")
    frame = record.to_frame()
    assert list(frame.columns) == ["I", "II"]
    assert frame.index.name == "time_s"
    assert frame.index[1] == 1 / 250
    frame.to_csv(f"{tmp_path}/strip.csv")
    found = read_record(f"{tmp_path}/strip.csv", units="mV")
    assert (found.leads, found.rate_hz) == (record.leads, 250)
    np.testing.assert_allclose(found.signal, record.signal, rtol=1e-6)


def test_rename() -> None:
    record = Record.from_array(SIGNAL, leads="ECG,II", rate_hz=250)
    assert record.rename({"ECG": "lead i"}).leads == ("I", "II")
    assert record.rename({"MLII": "I", "ECG": "II"}).leads == ("II", "I")
    for names, message in (
        ({"ECG2": "I"}, "no channel ECG2 to rename; it has ECG, II"),
        ({"ECG": "ECG3"}, "Unknown lead 'ECG3'"),
        ({"ECG": "II"}, "II occurs twice"),
        ({"II": "I", "Lead II": "III"}, "one channel is named twice among II, Lead II"),
        ([("ECG", "I")], r"expected leads by channel, .* got \[\('ECG', 'I'\)\]"),
        ({"ECG": 1}, "expected leads by channel"),
    ):
        with pytest.raises(SignalError, match=message):
            record.rename(names)  # type: ignore[arg-type] # by the table


@pytest.mark.parametrize("pair", list(combinations(LIMB, 2)))
def test_two_limb_leads_give_the_others(pair: tuple[str, str]) -> None:
    whole = Record.from_array(SIGNAL / 100, leads="I,II", rate_hz=100).derive()
    assert whole.leads == LIMB
    assert not whole.select(pair).notes[1:]
    found = whole.select(tuple(reversed(pair))).derive()
    assert found.leads[:2] == tuple(reversed(pair))
    np.testing.assert_allclose(found.select(6).signal, whole.signal, atol=1e-5)
    others = [lead for lead in LIMB if lead not in pair]
    assert found.notes[-1] == f"{', '.join(others)} derived from {pair[0]} and {pair[1]}."
    assert found.einthoven_error_mv() < 1e-4


def test_what_does_not_follow_is_not_derived() -> None:
    record = Record.from_array(SIGNAL, leads="II,V1", rate_hz=100)
    assert record.derive() is record
    with pytest.raises(MissingLeadError, match="no lead I; it has II, V1. I would follow from two of I, II") as caught:
        record.select("I", derive=True)
    assert caught.value.missing == ("I",)
    assert caught.value.channels == ("II", "V1")
    assert str(caught.value).startswith(caught.value.problem)


def test_names_of_devices() -> None:
    names = ["DI", "D II", "Lead III", "AVR", "avl", "ECG aVF", "V1"]
    assert Record.from_array(np.zeros((7, 9)), leads=names, rate_hz=100).leads == LEADS_12[:7]
    unclear = ["ECG", "ECG1", "Channel 1", "D1", "Lead", "-aVR"]
    assert Record.from_array(np.zeros((6, 9)), leads=unclear, rate_hz=100).leads == tuple(unclear)
