"""Predictions per window, and the same live."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ecgzoo
from ecgzoo.errors import SignalError, WeightsError
from ecgzoo.model import EcgModel
from ecgzoo.prediction import Prediction
from ecgzoo.signal.stream import Repair, Windows

CLASSES = ("CD", "HYP", "MI", "NORM", "STTC")


@pytest.fixture(scope="module")
def model() -> EcgModel:
    return ecgzoo.load_pretrained("xresnet1d18.ptbxl_super_i")


def record(seconds: float = 23.3, rate_hz: float = 250, leads: tuple[str, ...] = ("I",), seed: int = 0):
    """Beats on a slow wander, an offset and a little noise."""
    random, time = np.random.default_rng(seed), np.arange(int(seconds * rate_hz)) / rate_hz
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    beat = sum(size * np.exp(-(((time % 0.83 - at) / width) ** 2)) for size, at, width in waves)
    signal = random.uniform(0.6, 1.4, (len(leads), 1)) * beat + random.normal(0, 0.02, (len(leads), len(time)))
    signal += 0.2 * np.sin(time) + 1.5
    return ecgzoo.Record(signal.astype(np.float32), leads, rate_hz, "test")


def pieces(signal: np.ndarray, sizes: list[int]):
    """`signal` in pieces of these sizes, again and again."""
    at = turn = 0
    while at < signal.shape[1]:
        size = sizes[turn % len(sizes)] or (turn % 7 == 0)
        yield signal[:, at : at + size]
        at, turn = at + size, turn + 1


def streamed(model: EcgModel, there: ecgzoo.Record, sizes: list[int]) -> list[Prediction]:
    stream = model.stream(rate_hz=there.rate_hz, leads=there.leads, source=there.source)
    found = [said for piece in pieces(there.signal, sizes) for said in stream.push(piece)]
    return found + stream.close()


def same(live: list[Prediction], offline: list[Prediction]) -> None:
    assert len(live) == len(offline)
    for one, other in zip(live, offline, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)
        assert dataclasses.replace(one, probabilities=()) == dataclasses.replace(other, probabilities=())


def test_a_prediction_for_each_window_in_time_order(model: EcgModel) -> None:
    found = model.predict(record(rate_hz=100), per_window=True)
    assert [(one.start_s, one.end_s) for one in found] == [
        (at, at + 5) for at in (0, 2.5, 5, 7.5, 10, 12.5, 15, 17.5)
    ] + [(18.3, 23.3)]
    assert all((one.windows, one.windows_left_out, one.unreadable) == (1, 0, None) for one in found)
    assert all(one.heart_rate_bpm == pytest.approx(60 / 0.83, rel=0.02) for one in found)
    assert set(found[0].findings) == set(CLASSES)


@pytest.mark.parametrize("rate_hz", [100, 130, 250])
def test_their_mean_is_the_records_probability(rate_hz: float, model: EcgModel) -> None:
    plain = EcgModel(model.backbone, dataclasses.replace(model.config, temperature=1.0, thresholds={})).eval()
    there = record(rate_hz=rate_hz)
    of_windows = np.mean([one.probabilities for one in plain.predict(there, per_window=True)], axis=0)
    np.testing.assert_allclose(of_windows, plain.predict(there).probabilities, atol=1e-5)


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    rate_hz=st.one_of(st.integers(100, 1000), st.floats(100, 1000)),
    sizes=st.lists(st.integers(0, 4000), min_size=1, max_size=6),
    seed=st.integers(0, 99),
)
def test_live_is_offline_whatever_the_pieces(model: EcgModel, rate_hz: float, sizes: list[int], seed: int) -> None:
    there = record(9.7, float(rate_hz), seed=seed)
    same(streamed(model, there, sizes), model.predict(there, per_window=True))


def test_live_is_offline_where_samples_are_missing_or_bad(model: EcgModel) -> None:
    there = record(40, 130)
    there.signal[0, :5] = np.nan
    there.signal[0, 900:903] = np.nan
    there.signal[0, 1500:1800] = np.nan
    there.signal[0, 2600:3300] = 0.5
    there.signal[0, 5000:5020] = np.nan
    there.signal[0, -4:] = np.nan
    offline = model.predict(there, per_window=True)
    assert {one.windows for one in offline} == {0, 1}
    assert any("flat" in (one.unreadable or "") for one in offline)
    for sizes in ([17], [1, 400], [3000]):
        same(streamed(model, there, sizes), offline)


def test_windows_of_a_day_are_judged_where_they_were_recorded() -> None:
    for rate_hz in (100.004, 499.98):  # the ratio to 100 Hz is rounded, by 4 s a day
        windows, samples, day_s = Windows(1, rate_hz, 100.0, 500, 250), int(rate_hz * 86_400), 86_400
        for at in range(0, samples, 1 << 20):
            seconds = np.arange(at, min(at + (1 << 20), samples)) / rate_hz  # each sample says when it was recorded
            found = windows.push((seconds - day_s / 2).astype(np.float32)[None])
        for last in (found[-1], windows.close()[-1]):
            begins_s = last.start / windows.new_rate_hz
            assert last.signal[0, 0] + day_s / 2 == pytest.approx(begins_s, abs=0.01)
            assert last.around[0, 0] + day_s / 2 + last.begins_s == pytest.approx(begins_s, abs=0.01)
        assert (last.start + 500) / windows.new_rate_hz == pytest.approx(samples / rate_hz, abs=0.01)


def test_what_is_missing_is_left_out_at_a_rate_that_is_nearly_the_models(model: EcgModel) -> None:
    there = record(1200, 100.004)  # read as it is, so a window is 500 of its samples
    length = there.signal.shape[1]
    starts = np.append(np.arange(0, length - 500, 250), length - 500)
    for missing in (24, 26):  # 25 are too many, and 1200 s at 100 Hz end five samples earlier
        signal = there.signal.copy()
        signal[0, starts[-4] + 500 - missing :] = np.nan
        gap = dataclasses.replace(there, signal=signal)
        left_out = [bool(np.isnan(signal[0, start : start + 500]).mean() >= 0.05) for start in starts]
        found = model.predict(gap, per_window=True)
        assert [one.unreadable is not None for one in found] == left_out
        assert (~model.predict_with_quality(gap)[1].usable).tolist() == left_out
        assert [one.start_s for one in found] == pytest.approx(starts / 100.004)
        assert found[-1].end_s == pytest.approx(length / 100.004)
        same(streamed(model, gap, [4000]), found)


def test_a_mask_marks_missing_samples_and_gradients_do_not_matter(model: EcgModel) -> None:
    there = record(12, 100)
    mask = np.zeros(there.signal.shape, bool)
    mask[0, 300:700] = True
    masked = np.ma.MaskedArray(there.signal, mask)
    expected = model.predict(dataclasses.replace(there, signal=np.where(mask, np.nan, there.signal)), per_window=True)
    for samples in (masked, [*masked], torch.tensor(masked.filled(np.nan), requires_grad=True)):
        stream = model.stream(rate_hz=100, leads="I", source="test")
        same(stream.push(samples) + stream.close(), expected)


def test_leads_are_taken_by_name(model: EcgModel) -> None:
    there = record(12, leads=("II", "I"))
    same(streamed(model, there, [100]), model.predict(there, per_window=True))


def test_windows_do_not_span_a_gap(model: EcgModel) -> None:
    first, second = record(11, 130), record(9, 130, seed=1)
    stream = model.stream(rate_hz=130, leads="I", source="test")
    found = stream.push(first.signal) + stream.gap(60.0)
    assert [one.start_s for one in found] == [one.start_s for one in model.predict(first, per_window=True)]
    assert stream.seconds == pytest.approx(71)
    later = stream.push(second.signal) + stream.close()
    expected = model.predict(second, per_window=True)
    assert [one.start_s for one in later] == [one.start_s + 71 for one in expected]
    for one, other in zip(later, expected, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=1e-5)


def test_signal_between_gaps_that_is_shorter_than_a_window_is_said_to_be(model: EcgModel) -> None:
    signal = record(20, 130).signal
    stream = model.stream(rate_hz=130, leads="I", source="test")
    found = []
    for begin in range(0, 2600, 520):  # one lost packet every 4 s
        found += stream.push(signal[:, begin : begin + 520]) + stream.gap(0.02)
    assert [one.unreadable for one in found] == ["4 s without a gap, and a window is 5 s"] * 5
    assert [one.start_s for one in found] == pytest.approx([4.02 * n for n in range(5)])
    assert (found[0].probabilities, found[0].windows_left_out, found[1].end_s) == ((), 1, pytest.approx(8.02))
    assert not ecgzoo.find_events(found)
    assert stream.close() == []
    last = model.stream(rate_hz=130, leads="I")
    assert len(last.push(signal) + last.gap(1)) == len(model.predict(record(20, 130), per_window=True))
    assert last.push(signal[:, :300]) == []
    assert [one.unreadable for one in last.close()] == ["2.31 s without a gap, and a window is 5 s"]


def test_memory_is_bounded_and_time_goes_on(model: EcgModel) -> None:
    stream, minute = model.stream(rate_hz=130, leads="I"), record(60, 130).signal
    sizes = set()
    for _ in range(5):
        found = stream.push(minute)
        held = stream._windows
        sizes.add((held._raw.shape[1] < 2 * minute.shape[1], held._signal.shape[1] < 7000, len(held._waiting)))
    assert sizes == {(True, True, 0)}
    assert found[-1].end_s == pytest.approx(297.5)


def test_a_window_is_there_a_tenth_of_a_second_after_its_end(model: EcgModel) -> None:
    stream, signal = model.stream(rate_hz=500, leads="I"), record(6, 500).signal
    assert stream.push(signal[:, :2540]) == []
    assert len(stream.push(signal[:, 2540:2551])) == 1


def test_a_window_that_cannot_be_read_says_why(model: EcgModel) -> None:
    flat = ecgzoo.Record(np.full((1, 1000), 0.5, np.float32), ("I",), 100, "flat")
    found = model.predict(flat, per_window=True)
    assert [one.unreadable for one in found] == ["lead I: flat for 100% of the time: electrode off?"] * 3
    assert (found[0].probabilities, found[0].windows_left_out, found[0].heart_rate_bpm) == ((), 1, None)
    insisted = model.predict(flat, per_window=True, insist=True)
    assert len(insisted[0].probabilities) == 5
    assert any("read as requested: lead I: flat" in note for note in insisted[0].notes)
    slow = model.predict(record(10, 60), per_window=True)
    assert slow[0].unreadable == "60 Hz is too low for a model of 100 Hz, which needs at least 75 Hz"


def test_what_cannot_be_streamed_is_said(model: EcgModel) -> None:
    with pytest.raises(SignalError, match="60 Hz is too low"):
        model.stream(rate_hz=60, leads="I")
    with pytest.raises(SignalError, match="expected a rate"):
        model.stream(rate_hz=1e9, leads="I")
    with pytest.raises(SignalError, match="needs I"):
        model.stream(rate_hz=130, leads=("II",))
    with pytest.raises(WeightsError, match="random weights"):
        ecgzoo.create_student("xresnet1d18").stream(rate_hz=130, leads="I")
    with pytest.raises(SignalError, match="shorter than a window"):
        model.predict(record(4.9), per_window=True)
    stream = model.stream(rate_hz=130, leads="I", source="test")
    with pytest.raises(SignalError, match=r"reshape\(1, -1\)"):
        stream.push(np.zeros(10))
    for samples in ("text", [["a", "b"]], [[1.0, 2.0], [3.0]], np.zeros((1, 5), complex)):
        with pytest.raises(SignalError, match="test: expected an array of floats or integers"):
            stream.push(samples)
    with pytest.raises(SignalError, match="infinite"):
        stream.push(np.full((1, 3), np.inf))
    for rate_hz in (None, "fast", [130]):
        with pytest.raises(SignalError, match="expected a rate of 10 to 100000 Hz, got"):
            model.stream(rate_hz=rate_hz, leads="I")
    for seconds in (None, "soon"):
        with pytest.raises(SignalError, match="expected a gap in s, got"):
            stream.gap(seconds)
    for seconds in (0, -1, np.nan, np.inf):
        with pytest.raises(SignalError, match="above 0 s"):
            stream.gap(seconds)
    assert stream.close() == []
    for call in (stream.close, lambda: stream.push(np.zeros((1, 1))), lambda: stream.gap(1)):
        with pytest.raises(SignalError, match="closed"):
            call()


def test_predictions_make_a_table(model: EcgModel) -> None:
    found = model.predict(record(rate_hz=100), per_window=True)
    table = ecgzoo.to_frame(found)
    assert table.shape[0] == len(found)
    assert table["start_s"].tolist() == [one.start_s for one in found]
    assert table["p_MI"].tolist() == [one.probabilities[2] for one in found]
    assert set(table["finding_NORM"]) <= {"present", "absent", "uncertain"}
    whole = model.predict(record(rate_hz=100))
    assert "start_s" not in whole.to_frame().columns
    assert ecgzoo.to_frame(whole).equals(whole.to_frame())
    assert "start_s" not in whole.to_dict()
    assert found[0].to_dict()["end_s"] == 5


def test_records_together_are_records_one_by_one(model: EcgModel, tmp_path: Path) -> None:
    there = [record(10, seed=1), record(10, leads=("II",)), record(12), record(10, seed=2), record(2)]
    together = model.predict_many(there)
    for one, said in zip(there, together, strict=True):
        if isinstance(said, Prediction):
            same([said], [model.predict(one)])
    for at, why in ((1, "no lead I"), (4, "shorter than a window")):
        assert isinstance(together[at], SignalError)
        assert why in str(together[at])
    (from_file,) = model.predict_many([tmp_path / "nowhere"])
    assert "no such file" in str(from_file)
    with pytest.raises(SignalError, match="takes a list of records, got one"):
        model.predict_many(there[0])
    bad = EcgModel(model.backbone, model.config)
    score = bad.score

    def breaks(signals: torch.Tensor, starts=None) -> torch.Tensor:
        if (signals > 5).any():
            raise WeightsError("not finite")
        return score(signals, starts)

    bad.eval().score = breaks
    loud = dataclasses.replace(there[0], signal=3 * there[0].signal)
    first, second = bad.predict_many([there[3], loud])
    assert isinstance(first, Prediction)
    assert isinstance(second, WeightsError)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.data())
def test_repair_does_not_depend_on_the_pieces(data: st.DataObject) -> None:
    length, longest = data.draw(st.integers(1, 60)), data.draw(st.integers(0, 6))
    mask = np.array(
        data.draw(st.lists(st.lists(st.booleans(), min_size=length, max_size=length), min_size=2, max_size=2))
    )
    signal = np.random.default_rng(0).normal(size=(2, length)).astype(np.float32)
    signal[mask] = np.nan
    at_once = Repair(2, longest)
    whole = np.concatenate([at_once.push(signal), at_once.close()], axis=1)
    repair, parts, at = Repair(2, longest), [], 0
    while at < length:
        size = data.draw(st.integers(1, 9))
        parts.append(repair.push(signal[:, at : at + size]))
        at += size
        assert at - sum(part.shape[1] for part in parts) <= longest + 9  # it waits no longer than for a line
    parts.append(repair.close())
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-5)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(whole[~mask], signal[~mask])
