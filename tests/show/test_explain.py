"""Integrated gradients: complete, of the right lead, class and time, and in a simulated infarction where it is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import ecgzoo
from ecgzoo.config import Normalization
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import EcgZooError, SignalError


@pytest.fixture(scope="module")
def heart() -> ecgzoo.Record:
    cohort = load_synthetic(num_records=1)
    return ecgzoo.Record(cohort.signals()[0].astype(np.float32) / 1000, cohort.leads, cohort.rate_hz, "a heart")


@pytest.fixture
def student() -> ecgzoo.EcgModel:
    return ecgzoo.load_pretrained("xresnet1d18.ptbxl_super_i")


class Weighted(nn.Module):
    """Logits that are sums of the input, weighted by its place: their attributions are known."""

    def __init__(self, weights: torch.Tensor) -> None:
        super().__init__()
        self.weights = weights  # [classes, leads, samples]
        self.classifier = nn.Linear(1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("bls,cls->bc", x, self.weights)

    def get_classifier(self) -> nn.Linear:
        return self.classifier


def weighted(aggregation: str = "mean", **changes: object) -> tuple[ecgzoo.EcgModel, torch.Tensor]:
    weights = torch.randn(2, 2, 250, generator=torch.Generator().manual_seed(0))
    config = ecgzoo.ModelConfig(
        architecture="weighted", leads=("II", "V2"), num_classes=2, classes=("A", "B"), aggregation=aggregation,  # type: ignore[arg-type]
        normalization=Normalization(mean_mv=0.1, std_mv=0.5), **changes,  # type: ignore[arg-type]
    )  # fmt: skip
    return ecgzoo.EcgModel(Weighted(weights), config), weights


def test_of_a_weighted_sum_it_is_each_sample_times_its_weight(heart: ecgzoo.Record) -> None:
    model, weights = weighted()
    found = ecgzoo.explain(model, heart, "B")
    mine = heart.select("II,V2").signal.astype(np.float64)
    expected, starts = np.zeros_like(mine), range(0, 751, 125)
    for start in starts:
        window = mine[:, start : start + 250]
        middle = np.sort(window, axis=1)[:, 124:125]  # torch's median is the lower of two
        expected[:, start : start + 250] += (window - middle) / 0.5 * weights[1].numpy() / len(starts)
    np.testing.assert_allclose(found.attribution, expected, atol=1e-5)
    assert (found.label, found.leads, found.rate_hz) == ("B", ("II", "V2"), 100)
    assert found.attribution.sum() == pytest.approx(found.logit - found.baseline_logit, abs=1e-3)


def test_of_the_largest_window_alone_where_the_model_takes_it(heart: ecgzoo.Record) -> None:
    model, _ = weighted("max")
    found = ecgzoo.explain(model, heart, "A")
    used = np.flatnonzero(np.abs(found.attribution).sum(axis=0))
    assert np.ptp(used) < 250
    with torch.no_grad():
        windows = torch.from_numpy(heart.select("II,V2").signal).unfold(1, 250, 125).transpose(0, 1)
        assert found.logit == pytest.approx(model(windows)[:, 0].max().item(), abs=1e-4)


@pytest.mark.parametrize("rate_hz", [100, 250])
def test_attributions_add_up_to_the_difference_of_the_logits(
    rate_hz: int, heart: ecgzoo.Record, student: ecgzoo.EcgModel
) -> None:
    one = replace(heart, signal=heart.signal[:, :500])  # a window
    found = ecgzoo.explain(student, one.resample(rate_hz), "NORM", steps=1024)
    difference = found.logit - found.baseline_logit
    assert abs(difference) > 0.3  # there is something to add up to
    assert found.attribution.sum() == pytest.approx(difference, rel=0.015)
    assert found.attribution.shape == (1, 500)


def test_training_mode_and_gradients_are_left_as_they_are(heart: ecgzoo.Record, student: ecgzoo.EcgModel) -> None:
    once = ecgzoo.explain(student.eval(), heart, "MI", steps=2)
    again = ecgzoo.explain(student.train(), heart, "MI", steps=2)
    assert student.training
    np.testing.assert_array_equal(once.attribution, again.attribution)
    assert all(parameter.grad is None for parameter in student.parameters())


def test_what_is_not_read_is_not_explained(heart: ecgzoo.Record, student: ecgzoo.EcgModel) -> None:
    long = replace(heart.select("I"), signal=np.tile(heart.select("I").signal, 6))
    long.signal[0, 2000:3000] = 0.1
    found = ecgzoo.explain(student, long, "MI", steps=2)
    assert not found.attribution[:, 2200:2800].any()
    assert found.attribution[:, 4000:].any()
    some = ecgzoo.explain(student, long, "MI", start_s=40, end_s=45, steps=2)
    used = np.flatnonzero(np.abs(some.attribution).sum(axis=0))
    window = student.config.window
    assert 4000 - window <= used.min() < 4000 <= 4500 < used.max() < 4500 + window
    with pytest.raises(SignalError, match="choose another stretch"):
        ecgzoo.explain(student, long, "MI", start_s=23, end_s=24)
    with pytest.raises(SignalError, match="begins before it ends, got 45 to 43 s"):
        ecgzoo.explain(student, long, "MI", start_s=45, end_s=43)


def test_errors_say_what_to_do(heart: ecgzoo.Record, student: ecgzoo.EcgModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EcgZooError, match="no class 'Mi'. Did you mean MI"):
        ecgzoo.explain(student, heart, "Mi")
    with pytest.raises(EcgZooError, match="X means any of A, B"):
        ecgzoo.explain(weighted(aggregates={"X": ("A", "B")})[0], heart, "X")
    for steps in (0, -1, 1.5):
        with pytest.raises(EcgZooError, match="whole number of steps above 0"):
            ecgzoo.explain(student, heart, "MI", steps=steps)
    with pytest.raises(SignalError, match=r"expected a Record, got 'x\.edf'; read it with ecgzoo\.read_record"):
        ecgzoo.explain(student, "x.edf", "MI")  # type: ignore[arg-type]
    flat = replace(heart, signal=np.zeros_like(heart.signal))
    with pytest.raises(SignalError, match="unreadable, so nothing is explained"):
        ecgzoo.explain(student, flat, "MI")
    monkeypatch.setitem(__import__("sys").modules, "captum.attr", None)
    with pytest.raises(EcgZooError, match=r'pip install "ecgzoo\[explain\]"'):
        ecgzoo.explain(student, heart, "MI")


def test_the_shades_are_where_the_attributions_are(heart: ecgzoo.Record) -> None:
    model, weights = weighted()
    weights[0].zero_()
    weights[0, 1, 100:110] = 1.0  # of V2, from 1.0 to 1.1 s of each window
    one = replace(heart, signal=heart.signal[:, :250])
    (image,) = [
        image for image in one.select("II,V2").plot(model=model, explain="A").axes[0].images
        if np.asarray(image.get_array())[0, :, 3].any()
    ]  # fmt: skip
    shade = np.asarray(image.get_array())[0, :, 3]
    assert 98 <= np.average(np.arange(len(shade)), weights=shade) <= 112
    assert shade[:90].max() < 0.01
    assert shade[120:].max() < 0.01


def test_shades_of_a_stretch_do_not_depend_on_what_follows_it(heart: ecgzoo.Record) -> None:
    one = heart.select("I")
    minute = replace(one, signal=np.tile(one.signal, 6))
    hour = replace(one, signal=np.tile(one.signal, 360))
    model = ecgzoo.load_pretrained("xresnet1d_tiny.ptbxl_super_i")
    found, expected = (
        np.stack(
            [np.asarray(strip.get_array())[0, :, 3] for strip in long.plot(model=model, explain="MI").axes[0].images]
        )
        for long in (hour, minute)
    )
    assert expected.max() == 0.75
    np.testing.assert_allclose(found[:5], expected[:5], atol=0.02)  # the last window goes on behind the minute
