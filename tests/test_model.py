"""EcgModel and the create functions."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

import ecgzoo
from ecgzoo.config import ModelConfig, Normalization
from ecgzoo.errors import RegistryError, SignalError, WeightsError
from ecgzoo.model import EcgModel
from ecgzoo.prediction import Prediction
from ecgzoo.signal.quality import assess
from ecgzoo.signal.windows import window_starts

LABELS = ("CD", "HYP", "MI", "NORM", "STTC")


def trained(leads: tuple[str, ...] = ("II",), **config: object) -> EcgModel:
    """Random weights that claim to be trained."""
    torch.manual_seed(0)
    model = ecgzoo.create_model("xresnet1d18", leads).eval()
    return EcgModel(model.backbone, dataclasses.replace(model.config, classes=LABELS, **config)).eval()


def record(leads: tuple[str, ...] = ecgzoo.LEADS_12, seconds: float = 10, rate_hz: float = 100, seed: int = 0):
    """Beats of another size in every lead, and a little noise."""
    random, time = np.random.default_rng(seed), np.arange(int(seconds * rate_hz)) / rate_hz % 0.83
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    beat = sum(size * np.exp(-(((time - at) / width) ** 2)) for size, at, width in waves)
    signal = random.uniform(0.6, 1.4, (len(leads), 1)) * beat + random.normal(0, 0.02, (len(leads), len(time)))
    return ecgzoo.Record(signal.astype(np.float32), leads, rate_hz, "test")


def test_leads_are_a_number_or_names() -> None:
    assert ecgzoo.create_model("xresnet1d18", 12).config.leads == ecgzoo.LEADS_12
    assert ecgzoo.create_model("xresnet1d18", ("v5", "MLII")).config.leads == ("V5", "II")
    assert ecgzoo.create_student("xresnet1d18").config.leads == ("I",)
    with pytest.raises(SignalError):
        ecgzoo.create_student("xresnet1d18", leads=("V9",))


def test_a_teacher_is_frozen() -> None:
    teacher = ecgzoo.create_teacher("xresnet1d18", num_classes=3)
    assert not teacher.training
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_timms_methods_agree_with_the_view() -> None:
    model = ecgzoo.create_model("resnet1d_wang", 2, 7).eval()
    x = torch.randn(3, 2, 250)
    view = model.view(x)
    torch.testing.assert_close(view.logits, model(x))
    torch.testing.assert_close(view.features, model.forward_features(x))
    torch.testing.assert_close(view.embedding, model.forward_head(view.features, pre_logits=True))
    assert view.embedding.shape == (3, model.head_hidden_size)
    assert view.features.shape[1] == model.num_features == model.feature_info[-1]["num_chs"]
    model.reset_classifier(2)
    assert model(x).shape == (3, 2)
    assert model.config.num_classes == model.num_classes == 2


def test_a_new_classifier_is_where_the_network_is() -> None:
    class Plain(nn.Module):  # as in docs/plugins.md
        def __init__(self) -> None:
            super().__init__()
            self.reset_classifier(5)

        def get_classifier(self) -> nn.Linear:
            return self.classifier

        def reset_classifier(self, num_classes: int) -> None:
            self.classifier = nn.Linear(4, num_classes)

    model = EcgModel(Plain(), ModelConfig(architecture="plain", leads=("I",), num_classes=5)).half().to("meta")
    model.reset_classifier(3)
    new = model.get_classifier()
    assert (new.out_features, new.bias.dtype, new.bias.device.type) == (3, torch.half, "meta")


def test_normalization_is_part_of_the_forward_pass() -> None:
    plain = trained()
    scaled = EcgModel(
        plain.backbone, dataclasses.replace(plain.config, normalization=Normalization(mean_mv=0.1, std_mv=0.25))
    ).eval()
    x = torch.randn(2, 1, 250)
    torch.testing.assert_close(scaled(x), plain.backbone((x - 0.1) / 0.25))


def test_window_z_forgets_offset_and_amplitude() -> None:
    plain = trained()
    model = EcgModel(
        plain.backbone, dataclasses.replace(plain.config, normalization=Normalization(kind="window_z"))
    ).eval()
    x = torch.randn(3, 1, 250)
    by_hand = torch.stack([(crop - crop.numpy().mean()) / float(crop.numpy().std()) for crop in x])
    torch.testing.assert_close(model(x), plain(by_hand))
    torch.testing.assert_close(model(3 * x + 0.5), model(x))
    torch.testing.assert_close(model.forward_features(3 * x + 0.5), model.forward_features(x))
    flat = torch.full((1, 1, 250), 0.7)
    torch.testing.assert_close(model(flat), plain(torch.zeros(1, 1, 250)))


@pytest.mark.parametrize("aggregation", ["mean", "max"])
def test_a_records_probability_comes_from_its_windows(aggregation: str) -> None:
    model = trained(aggregation=aggregation)
    there = record(("II",), seconds=6.1)
    starts = [0, 125, 250, 610 - 250]  # every 1.25 s, and one that ends with the record
    windows = [torch.from_numpy(there.signal[None, :, s : s + 250]) for s in starts]
    probabilities = torch.cat([model(window).sigmoid() for window in windows])
    expected = probabilities.mean(0) if aggregation == "mean" else probabilities.max(0).values
    prediction = model.predict(there)
    assert prediction.windows == 4
    np.testing.assert_allclose(prediction.probabilities, expected.tolist(), rtol=1e-5)


@pytest.mark.parametrize("aggregation", ["mean", "max"])
def test_windows_in_several_chunks_count_equally(aggregation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, signals = trained(aggregation=aggregation), torch.from_numpy(record(("II",), seconds=12).signal)[None]
    starts = window_starts(1200, 250, 125, "a record", 100)
    assert len(starts) % 4  # the last chunk is shorter: a mean of the chunks' means would differ
    whole = model.score(signals)
    monkeypatch.setattr("ecgzoo.model.WINDOWS_AT_ONCE", 4)
    torch.testing.assert_close(model.score(signals), whole, rtol=1e-6, atol=0)
    passes: list[int] = []
    model.backbone.register_forward_pre_hook(lambda _, inputs: passes.append(len(inputs[0])))
    two = model.score(torch.cat([signals, -signals]))
    assert passes == [4] * (len(starts) // 2) + [2] * (len(starts) % 2)  # two windows of each record
    torch.testing.assert_close(two[:1], whole, rtol=1e-6, atol=0)
    assert model.score(torch.cat([signals] * 5)).shape == (5, 5)  # more records than windows at once
    assert max(passes) == 5


def test_leads_are_taken_by_name_and_rates_are_brought_over() -> None:
    model = trained()
    there = record()
    shuffled = ecgzoo.Record(there.signal[::-1].copy(), there.leads[::-1], 100, "shuffled")
    assert model.predict(there).probabilities == model.predict(shuffled).probabilities
    slower = model.predict(record(rate_hz=250))
    assert slower.windows == 7
    assert "resampled from 250 to 100 Hz" in slower.notes


def test_what_cannot_be_predicted_is_an_error() -> None:
    model = trained()
    with pytest.raises(SignalError, match="II"):
        model.predict(record(("I", "V1")))
    with pytest.raises(SignalError, match=r"test: 2 s \(200 samples at 100 Hz\) is shorter than a window of 2.5 s"):
        model.predict(record(seconds=2))
    with pytest.raises(WeightsError, match="random weights"):
        ecgzoo.create_student("xresnet1d18").predict(record())


def test_an_adapted_model_is_to_be_trained() -> None:
    with pytest.warns(UserWarning, match="Train it before use"):
        other_leads = ecgzoo.create_student("xresnet1d18", leads="V1", pretrained="ptbxl_super_i")
    other_classes = ecgzoo.create_student("xresnet1d18", pretrained="ptbxl_super_i")
    other_classes.reset_classifier(3)
    for model, said in ((other_leads, "leads I became V1"), (other_classes, "classifier is not trained")):
        with pytest.raises(WeightsError, match=f"{said}.*train it, then predict") as caught:
            model.predict(record())
        assert "pretrained=" not in str(caught.value)


@pytest.mark.parametrize("shape", [(1000,), (1, 1000), (12, 1000), (1000, 12), (2, 1000)])
@pytest.mark.parametrize("kind", [np.ones, torch.ones])
def test_an_array_is_answered_with_the_line_that_makes_a_record(kind, shape: tuple[int, ...]) -> None:
    x = kind(shape)
    with pytest.raises(SignalError, match="an array has no leads, rate or unit") as caught:
        trained().predict(x)
    line = str(caught.value)[str(caught.value).index("ecgzoo.Record.from_array(") :]
    leads = ecgzoo.LEADS_12[: min(shape)]
    made = eval(line, {"ecgzoo": ecgzoo, "x": x, "RATE": 500, "LEADS": leads})
    assert (made.rate_hz, made.signal.shape[1], made.leads[0]) == (500, 1000, "I")


def test_what_is_neither_record_nor_path_is_said() -> None:
    for given in (None, 3, [1.0, 2.0]):
        with pytest.raises(SignalError, match="expected a Record or the path"):
            ecgzoo.read_record(given)  # type: ignore[arg-type] # the point of the test


def test_what_cannot_be_read_is_an_answer_of_its_own() -> None:
    model = trained(thresholds={"MI": {"f1": 0.1, "screening": 0.1, "lower": 0.1, "upper": 0.2}})
    flat = record()
    flat.signal[1] = 0.5
    found = model.predict(flat)
    assert (found.probabilities, found.findings, found.windows, found.windows_left_out) == ((), {}, 0, 7)
    assert "lead II: flat for 100%" in str(found.unreadable)
    assert "unreadable: 7 of 7 windows" in str(found)
    assert found.to_dict()["probabilities"] is None
    assert found.quality == 0
    on_demand = model.predict(flat, insist=True)
    assert on_demand.unreadable is None
    assert on_demand.windows == 7
    assert on_demand.findings
    assert any("read as requested: 7 of 7 windows" in note for note in on_demand.notes)
    slow = model.predict(record(rate_hz=60))
    assert slow.unreadable == "60 Hz is too low for a model of 100 Hz, which needs at least 75 Hz"


def test_windows_that_cannot_be_read_take_no_part() -> None:
    model, whole = trained(), record(("II",), seconds=20)
    half = whole.signal.copy()
    half[:, :800] = 0
    found = model.predict(ecgzoo.Record(half, ("II",), 100, "half"))
    starts = np.arange(0, 1751, 125)
    read = starts[starts >= 800]
    assert set(range(800, 1751)) >= set(read)
    assert found.windows >= len(read)
    assert found.windows + found.windows_left_out == len(starts)
    with torch.no_grad():
        windows = torch.stack([torch.from_numpy(half[:, start : start + 250]) for start in starts[-found.windows :]])
        expected = model(windows).sigmoid().mean(0)
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-5)
    all_of_it = model.predict(ecgzoo.Record(half, ("II",), 100, "half"), insist=True)
    assert (all_of_it.windows, all_of_it.windows_left_out) == (len(starts), 0)
    left_out = found.windows_left_out
    assert f"of low quality, but read as requested: {left_out} of {len(starts)} windows" in all_of_it.notes


def test_a_missing_sample_is_repaired_and_said() -> None:
    broken = record()
    broken.signal[1, 5] = np.nan
    found = trained().predict(broken)
    assert np.isfinite(found.probabilities).all()
    assert "Lead II: 1 invalid samples interpolated." in found.notes


def test_threads_do_not_disturb_each_other_or_a_model_in_training() -> None:
    model = trained()
    expected = model.predict(record()).probabilities
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: model.predict(record()).probabilities, range(32)))
    assert set(found) == {expected}
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_mislabelled_limb_leads_are_reported_though_one_lead_is_used() -> None:
    sound = record(("I", "II")).select(6, derive=True)
    assert trained().predict(sound).notes == sound.select(("II",)).notes
    swapped = ecgzoo.Record(sound.signal[[1, 0, 2, 3, 4, 5]], sound.leads, 100, "I and II exchanged")
    assert any("Einthoven" in note for note in trained().predict(swapped).notes)


def test_many_records_may_come_from_a_generator() -> None:
    model, records = trained(), [record(seconds=12), record(("V1",)), record(seed=1)]
    found = model.predict_many(there for there in records)
    assert [found[0], found[2]] == [model.predict(records[0]), model.predict(records[2])]
    assert isinstance(found[1], SignalError)


def test_predicting_leaves_the_mode_as_it_was() -> None:
    model = trained().train()
    model.predict(record())
    assert model.training


def test_training_mode_and_other_shapes_have_no_scores() -> None:
    model = trained()
    signals = torch.randn(2, 1, 1000)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(WeightsError, match=r"call model\.eval\(\)"):
        model.train().score(signals)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    for shape in ((1000,), (1, 1000), (2, 2, 1000), (2, 1, 1, 1000)):
        with pytest.raises(SignalError, match=r"expected millivolts \[B, 1, T\] of II, got"):
            model.eval()(torch.zeros(shape))
        with pytest.raises(SignalError, match=r"expected millivolts \[B, 1, T\] of II, got"):
            model.score(torch.zeros(shape))


@pytest.mark.parametrize("starts", [[751], [0, 999], [-250], [-1, 0], []])
def test_windows_that_are_not_whole_have_no_scores(starts: list[int]) -> None:
    model, signals = trained(), torch.randn(2, 1, 1000)
    assert model.score(signals, np.array([0, 750])).shape == (2, 5)
    with pytest.raises(SignalError, match="expected some from 0 to 750, of whole windows"):
        model.score(signals, np.array(starts))


@pytest.mark.parametrize(("dtype", "atol"), [(torch.float16, 2e-3), (torch.bfloat16, 2e-2), (torch.float64, 1e-6)])
def test_weights_of_another_precision_answer_alike(dtype: torch.dtype, atol: float) -> None:
    of_model = {"leads": ("II",), "normalization": Normalization(std_mv=0.25, highpass_hz=0.5)}
    single, other = trained(**of_model), trained(**of_model).to(dtype)
    there = record(rate_hz=250)
    there = dataclasses.replace(there, signal=there.signal + np.float32(8))  # an offset that half precision would round
    expected, found = single.predict(there), other.predict(there)
    np.testing.assert_allclose(found.probabilities, expected.probabilities, rtol=0, atol=atol)
    assert other.predict_many([there])[0] == found
    assert len(other.predict(there, per_window=True)) == len(single.predict(there, per_window=True))
    assert other.view(torch.zeros(1, 1, 250, dtype=torch.int16)).features.dtype == dtype
    network_input = single.normalized(torch.full((1, 1, 250), 8.0, dtype=dtype))
    assert network_input.dtype == torch.float32
    assert network_input.abs().max() < 1e-4


def test_wrong_names_and_arguments_are_refused() -> None:
    with pytest.raises(WeightsError, match="names trained weights, and pretrained='ptbxl_super_i' others"):
        ecgzoo.create_student("xresnet1d18.ptbxl_rhythm_i", pretrained="ptbxl_super_i")
    with pytest.raises(RegistryError, match="xresnet1d18"):
        ecgzoo.create_model("xresnet18")
    with pytest.raises(RegistryError, match="depth"):
        ecgzoo.create_model("xresnet1d18", depth=3)
    for classes in (0, 2.5, True):
        with pytest.raises(RegistryError, match="num_classes"):
            ecgzoo.create_model("xresnet1d18", num_classes=classes)
    for leads in ((1,), 5):
        with pytest.raises(SignalError, match="leads"):
            ecgzoo.create_model("xresnet1d18", leads=leads)
    with pytest.raises(RegistryError, match="drop_rate"):
        ecgzoo.create_model("xresnet1d18", drop_rate=2)
    with pytest.raises(WeightsError, match="no weights have this name"):
        ecgzoo.create_model("inception1d", pretrained=True)


def test_config_refuses_what_cannot_be() -> None:
    good = {"architecture": "xresnet1d18", "leads": ("I",), "num_classes": 2}
    for bad in (
        {"classes": ("a",)},
        {"aggregation": "median"},
        {"stride_s": 3.0},
        {"stride_s": 0.004},
        {"normalization": Normalization(mean_mv=float("nan"))},
        {"rate_hz": 0.0},
        {"units": "uV"},
        {"leads": ("AVR",)},
        {"num_classes": "2"},
        {"normalization": Normalization(kind="lead_z")},  # type: ignore[arg-type]
        {"normalization": Normalization(std_mv=0.0)},
    ):
        with pytest.raises(WeightsError):
            ModelConfig(**{**good, **bad})


def test_windows_on_real_recordings(test_data) -> None:
    path = test_data / "ptbxl-small" / "records100" / "00000" / "00001_lr"
    prediction = trained(("I",)).predict(path)
    assert prediction.windows == 7
    assert str(path) in str(prediction)
    assert prediction.to_dict()["probabilities"].keys() == set(LABELS)
    # a handheld recording at 300 Hz, whose header wfdb alone refuses
    handheld = ecgzoo.read_record(test_data / "af2017" / "A00001")
    model = trained(("I",))
    assert model.predict(dataclasses.replace(handheld, leads=("I",))).windows > 1


def test_a_calibrated_model_gives_findings() -> None:
    points = {"f1": 0.5, "screening": 0.3, "lower": 0.4, "upper": 0.6}
    model = trained(temperature=2.0, thresholds=dict.fromkeys(LABELS[:4], points))
    plain = trained()
    raw, calibrated = plain.predict(record()), model.predict(record())
    for before, after in zip(raw.probabilities, calibrated.probabilities, strict=True):
        odds = (before / (1 - before)) ** (1 / 2)
        assert after == pytest.approx(odds / (1 + odds), rel=1e-5)
    assert raw.findings == {}
    assert set(calibrated.findings) == set(LABELS[:4])
    assert model.findings([0.39, 0.4, 0.59, 0.6, 0.9]) == {
        "CD": "absent",
        "HYP": "uncertain",
        "MI": "uncertain",
        "NORM": "present",
    }
    shown = dataclasses.replace(
        calibrated,
        probabilities=(0.9, 0.5, 0.1, 0.0, 0.0),
        findings={"CD": "present", "HYP": "uncertain", "MI": "absent"},
    )
    assert "CD 0.900*  HYP 0.500?  MI 0.100  NORM" in str(shown)
    assert shown.to_dict()["findings"]["HYP"] == "uncertain"


def test_what_is_checkpointed_is_the_backbone() -> None:
    assert {name.split(".")[0] for name in trained().state_dict()} == {"backbone"}


def test_a_loss_is_told_the_models_sizes_and_given_its_classifier() -> None:
    model = ecgzoo.create_model("resnet1d_wang", 2, 7)
    info = model.info
    assert (info.architecture, info.leads, info.num_classes) == ("resnet1d_wang", ("I", "II"), 7)
    assert (info.num_features, info.head_hidden_size) == (model.num_features, model.head_hidden_size)
    assert info.classifier is model.get_classifier()
    assert info.classifier.in_features == info.head_hidden_size


def test_the_highest_probability_is_shown_first() -> None:
    shown = str(dataclasses.replace(trained().predict(record()), probabilities=(0.1, 0.3, 0.9, 0.2, 0.8)))
    assert "MI 0.900–  STTC 0.800–  HYP 0.300–  NORM 0.200–  CD 0.100–" in shown


def test_quality_and_heart_rate_are_those_of_the_signal() -> None:
    half = record(("II",), seconds=20)
    half.signal[:, :800] = 0
    starts = window_starts(2000, 250, 125, "half", 100)
    quality = assess(half.signal, 100, window_s=2.5, starts_s=starts / 100, leads=("II",))
    model = trained()
    found, same = model.predict_with_quality(half)
    assert found == model.predict(half)
    np.testing.assert_array_equal(same.index, quality.index)
    np.testing.assert_array_equal(same.starts_s, quality.starts_s)
    assert found.quality == np.median(quality.index) != np.mean(quality.index)
    assert found.heart_rate_bpm == quality.heart_rate_bpm == pytest.approx(60 / 0.83, abs=2)
    assert found.windows == quality.usable.sum()


@pytest.mark.parametrize(
    ("samples", "rate_hz"), [(2501, 250), (3001, 300), (750, 75), (3334, 333.333), (233_340, 333.333)]
)
def test_windows_reach_to_the_end_of_what_was_resampled(samples: int, rate_hz: float) -> None:
    model, there = trained(), record(("II",), seconds=(samples + 0.5) / rate_hz, rate_hz=rate_hz)
    assert there.signal.shape == (1, samples)
    resampled = torch.from_numpy(there.resample(100).signal)[None]
    found = model.predict(there)
    assert (found.unreadable, found.windows_left_out) == (None, 0)
    assert found.windows == len(window_starts(resampled.shape[2], 250, 125, "resampled", 100))
    np.testing.assert_allclose(found.probabilities, model.score(resampled)[0], rtol=1e-6)


def test_what_is_no_number_is_refused_with_the_record_it_comes_from() -> None:
    model, signals = trained(), torch.from_numpy(record(("II",)).signal).repeat(3, 1, 1)
    signals[0] = -3.5
    broken = signals.clone()
    broken[2, 0, 5], broken[1, 0, 6] = float("nan"), -float("inf")
    with pytest.raises(SignalError, match="record 1 holds NaN or infinity"):
        model.score(broken)
    assert model.score(signals).isfinite().all()
    with torch.no_grad():
        model.get_classifier().bias[3] = float("nan")  # a single class
    with pytest.raises(WeightsError, match="a probability that is not finite for record 0, of at most 3.5 mV"):
        model.score(signals)


def test_a_class_without_thresholds_has_a_mark_of_its_own() -> None:
    prediction = Prediction("x", ("A", "B", "C"), (0.9, 0.2, 0.95), 1, ("I",), 1.0, {"A": "present", "B": "absent"})
    assert str(prediction) == "x [I, 1 windows]  C 0.950–  A 0.900*  B 0.200"
