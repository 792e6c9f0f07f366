"""Gain, polarity, time mask, filter and resample against loops and scipy; shares and refusals of all."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import fft, interpolate, optimize, signal, stats

from ecgzoo import create_transform, registry
from ecgzoo.errors import RecipeError
from ecgzoo.losses.contract import DataInfo

Apply = Callable[..., torch.Tensor]


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@given(
    name=st.sampled_from(["gain", "polarity", "time_mask", "filter", "resample"]),
    shape=st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(2, 300)),
    rate_hz=st.sampled_from([50.0, 100.0, 500.0]),
    seed=st.integers(0, 1000),
    a=st.floats(-5, 5),
)
@settings(max_examples=100, deadline=None)
def test_it_is_linear_in_the_signal(
    apply: Apply, name: str, shape: tuple[int, int, int], rate_hz: float, seed: int, a: float
) -> None:
    x, y = noise(*shape, seed=seed), noise(*shape, seed=seed + 1)
    of_x, of_y, of_both = (apply(name, z, 0.4, rate_hz=rate_hz, seed=seed) for z in (x, y, a * x + y))
    assert of_x.shape == x.shape
    assert of_x.isfinite().all()
    torch.testing.assert_close(of_both, a * of_x + of_y, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("amount", [0.3, 1.0])
def test_gain_is_one_factor_a_record_uniform_in_its_logarithm(apply: Apply, amount: float) -> None:
    x = noise(2000, 3, 20)
    factors = apply("gain", x, amount) / x
    torch.testing.assert_close(factors, factors[:, :1, :1].expand_as(factors))
    logs, most = factors[:, 0, 0].double().log().numpy(), math.log(1 + amount)
    assert np.abs(logs).max() <= most + 1e-6
    assert stats.kstest(logs, stats.uniform(-most, 2 * most).cdf).pvalue > 0.01


def test_polarity_turns_a_share_of_the_records_upside_down(apply: Apply) -> None:
    x = noise(2000, 3, 5)
    found = apply("polarity", x, 0.3)
    turned = [row for row in range(2000) if torch.equal(found[row], -x[row])]
    kept = [row for row in range(2000) if torch.equal(found[row], x[row])]
    assert len(turned) + len(kept) == 2000
    assert len(turned) / 2000 == pytest.approx(0.3, abs=0.03)


@pytest.mark.parametrize("amount", [0.1, 0.5, 1.0])
def test_time_mask_hides_one_stretch_of_all_leads_at_the_mean(apply: Apply, amount: float) -> None:
    records, samples = 400, 200
    x = noise(records, 3, samples).numpy()
    found = apply("time_mask", torch.from_numpy(x), amount).numpy()
    lengths, firsts = [], []
    for before, after in zip(x, found, strict=True):
        hidden = np.flatnonzero((before != after).all(0))
        assert np.array_equal(hidden, np.flatnonzero((before != after).any(0)))  # of all leads
        assert np.array_equal(hidden, np.arange(len(hidden)) + hidden[:1].sum())  # one stretch
        assert len(hidden) <= math.ceil(amount * samples)
        np.testing.assert_allclose(after[:, hidden] - before.mean(1)[:, None], 0, atol=1e-6)
        lengths.append(len(hidden) / (amount * samples))
        firsts.append(hidden[0] / max(1, samples - len(hidden)) if len(hidden) else math.nan)
    assert np.mean(lengths) == pytest.approx(1 / 2, abs=0.05)
    assert np.std(lengths) == pytest.approx(math.sqrt(1 / 12), abs=0.03)  # lengths are uniform, and so are places
    assert np.nanmean(firsts) == pytest.approx(1 / 2, abs=0.05)
    assert np.nanstd(firsts) == pytest.approx(math.sqrt(1 / 12), abs=0.03)


@pytest.mark.parametrize("rate_hz", [100.0, 500.0])
@pytest.mark.parametrize("arguments", [{}, {"low_hz": 1.0, "high_hz": 20.0, "order": 4}])
def test_the_filter_has_butterworths_magnitude_and_no_phase(apply: Apply, rate_hz: float, arguments: dict) -> None:
    low, high, order = (arguments.get(key, usual) for key, usual in (("low_hz", 0.5), ("high_hz", 40.0), ("order", 2)))
    time = np.arange(int(60 * rate_hz)) / rate_hz
    frequencies = np.array([0.1, 0.25, low, 0.8, 2.0, 10.0, 19.0, high, 45.0])
    x = torch.tensor(np.sin(2 * np.pi * frequencies[:, None] * time + 0.4)[:, None], dtype=torch.float32)
    found = apply("filter", x, 1.0, rate_hz=rate_hz, **arguments)[:, 0].double().numpy()
    expected = np.ones(len(frequencies))
    for edge, kind in ((low, "highpass"), (high, "lowpass")):
        b, a = signal.butter(order, 2 * np.pi * edge, kind, analog=True)
        expected *= np.abs(signal.freqs(b, a, 2 * np.pi * frequencies)[1])
    middle = slice(len(time) // 3, 2 * len(time) // 3)  # 20 s: whole cycles of each
    for hertz, response, row in zip(frequencies, expected, found, strict=True):
        angle = 2 * np.pi * hertz * time[middle] + 0.4
        fitted, *_ = np.linalg.lstsq(np.stack([np.sin(angle), np.cos(angle)], axis=1), row[middle], rcond=None)
        np.testing.assert_allclose(fitted, [response, 0], atol=2e-3, err_msg=f"{hertz} Hz")


def test_near_the_edges_it_is_the_digital_filter_too(apply: Apply) -> None:
    time = np.arange(15000) / 500
    sections = signal.butter(2, (0.5, 40), "bandpass", output="sos", fs=500)
    for hertz in (2.0, 5.0, 10.0, 20.0):
        x = torch.tensor(np.sin(2 * np.pi * hertz * time), dtype=torch.float32)[None, None]
        found = apply("filter", x, 1.0, rate_hz=500.0)[0, 0, 5000:10000].double().numpy()
        response = abs(signal.sosfreqz(sections, [hertz], fs=500)[1][0])
        assert np.sqrt(2 * np.square(found).mean()) == pytest.approx(response, abs=0.02)


def test_a_symmetric_pulse_stays_symmetric_and_a_constant_is_removed(apply: Apply) -> None:
    time = torch.arange(-300, 301) / 100
    pulse = torch.exp(-((time / 0.05) ** 2))[None, None]
    found = apply("filter", pulse, 1.0)
    torch.testing.assert_close(found, found.flip(2), atol=1e-5, rtol=0)
    assert found.argmax().item() == 300
    assert not torch.allclose(found, pulse, atol=0.01)
    assert apply("filter", torch.full((1, 1, 500), 3.0), 1.0).abs().max() < 1e-4


def test_the_ends_are_reflected_not_joined(apply: Apply) -> None:
    """In cosines, which reflect at both ends, the filter is a product."""
    x = torch.linspace(0, 1, 1000)
    hertz = np.arange(1000) * 100 / (2 * 999)
    hertz[0] = 1e-9
    response = 1 / np.sqrt((1 + (0.5 / hertz) ** 4) * (1 + (hertz / 40) ** 4))
    expected = fft.idct(fft.dct(x.double().numpy(), type=1) * response, type=1)
    found = apply("filter", x[None, None], 1.0)[0, 0].double().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)


def sampled(rates: np.ndarray, samples: int, hertz: float) -> np.ndarray:
    """A sine of the record's own `rates` about the middle of the crop, at 100 samples per second."""
    time = (np.arange(samples) - (samples - 1) / 2) / 100
    return np.sin(2 * np.pi * hertz * rates[:, None] * time + 0.7)


@pytest.mark.parametrize("amount", [0.02, 0.1])
def test_resample_is_a_rate_that_is_uniform_about_one(apply: Apply, amount: float) -> None:
    records, samples = 200, 500
    slow, fast = (sampled(np.ones(records), samples, hertz) for hertz in (0.5, 5.0))
    found = apply("resample", torch.tensor(np.stack([slow, fast], axis=1), dtype=torch.float32), amount)
    found = found.double().numpy()
    inside = slice(int(amount * samples), samples - int(amount * samples))  # what lies within the crop at any rate
    rates = np.empty(records)
    for row in range(records):
        # a coarse fit to the slow sine, then a fine one to the fast one: the leads share the rate
        for lead, hertz, reach in ((0, 0.5, amount), (1, 5.0, 0.01)):
            about = 1.0 if lead == 0 else rates[row]

            def error(rate: float, row: int = row, lead: int = lead, hertz: float = hertz) -> float:
                return float(np.square(sampled(np.array([rate]), samples, hertz)[0] - found[row, lead])[inside].sum())

            rates[row] = optimize.minimize_scalar(error, bounds=(about - reach, about + reach), method="bounded").x
    assert stats.kstest(rates, stats.uniform(1 - amount, 2 * amount).cdf).pvalue > 0.01
    for lead, hertz, most in ((0, 0.5, 1e-4), (1, 5.0, 2e-3)):
        assert np.abs(sampled(rates, samples, hertz) - found[:, lead])[:, inside].max() < most
    at = (samples - 1) / 2 + rates[:, None] * (np.arange(samples) - (samples - 1) / 2)
    spline = interpolate.CubicSpline(np.arange(samples), fast[0])(at.clip(0, samples - 1))
    np.testing.assert_allclose(found[:, 1], spline, atol=0.02)  # to the ends, the last sample repeated
    within = (at > 1) & (at < samples - 2)
    assert np.abs(found[:, 1] - spline)[within].max() < 2e-3


def test_resample_keeps_straight_lines_and_parabolas(apply: Apply) -> None:
    time = torch.arange(-100, 101) / 100
    found = apply("resample", torch.stack([time, time**2, torch.ones(201)])[None].repeat(50, 1, 1), 0.2)
    line, parabola, ones = (part[:, 40:-40].double() for part in found.unbind(1))
    rates = (line * time[40:-40]).sum(1, keepdim=True) / time[40:-40].square().sum()
    torch.testing.assert_close(line, rates * time[40:-40], atol=1e-5, rtol=0)
    torch.testing.assert_close(parabola, (rates * time[40:-40]) ** 2, atol=1e-4, rtol=0)
    torch.testing.assert_close(ones, torch.ones_like(ones), atol=1e-5, rtol=0)
    assert rates.std() > 0.08


@pytest.mark.parametrize("name", ["gain", "noise", "wander", "time_mask", "resample"])
def test_a_share_of_the_records_is_changed_and_as_much_as_without_it(apply: Apply, name: str) -> None:
    x = noise(400, 2, 50)
    some, every = apply(name, x, 0.5, share=0.3), apply(name, x, 0.5)
    kept = (some == x).flatten(1).all(1)
    assert torch.equal(some[~kept], every[~kept])
    assert (~kept).float().mean().item() == pytest.approx(0.3, abs=0.06)


def test_the_filter_changes_a_share_of_the_records(apply: Apply) -> None:
    x = noise(400, 2, 50)
    some, every = apply("filter", x, 0.3), apply("filter", x, 1.0)
    kept = (some == x).flatten(1).all(1)
    assert torch.equal(some[~kept], every[~kept])
    assert (~kept).float().mean().item() == pytest.approx(0.3, abs=0.06)


def make(name: str, amount: object, **arguments: object) -> None:
    create_transform(name, DataInfo(("A", "B"), torch.zeros(1, 2)), amount, **arguments)


@pytest.mark.parametrize("amount", [0, -0.1, math.nan, math.inf, "0.3", None, True])
@pytest.mark.parametrize("name", ["any_lead", "filter", "gain", "mixup", "noise", "polarity", "resample", "time_mask"])
def test_an_amount_that_is_no_positive_number_is_refused(name: str, amount: object) -> None:
    with pytest.raises(RecipeError, match=f"(?i){name.replace('_', '')}: amount is"):
        make(name, amount)


@pytest.mark.parametrize(
    ("name", "most"), [("any_lead", 1), ("filter", 1), ("polarity", 1), ("time_mask", 1), ("resample", 0.5)]
)
def test_an_amount_has_its_upper_bound(name: str, most: float) -> None:
    make(name, most)
    with pytest.raises(RecipeError, match=rf"(?i){name.replace('_', '')}: amount is .* in \(0, {most:g}\]"):
        make(name, most + 0.01)


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("any_lead", {"until": 0}, "AnyLead: until is 0"),
        ("any_lead", {"until": 1.1}, "AnyLead: until is 1.1"),
        ("gain", {"share": 0}, "Gain: share is 0"),
        ("noise", {"share": 1.5}, "Noise: share is 1.5"),
        ("wander", {"share": "all"}, "Wander: share is 'all'"),
        ("filter", {"low_hz": 40.0}, "filter: low_hz=40.0, high_hz=40.0"),
        ("filter", {"low_hz": 0.0}, "filter: low_hz=0.0"),
        ("filter", {"order": 0}, "filter: .*order=0"),
        ("filter", {"order": "two"}, "filter .*does not take"),
        ("filter", {"share": 0.5}, "filter .*takes no argument 'share'"),
        ("polarity", {"share": 0.5}, "polarity .*takes no argument 'share'"),
        ("mixup", {"share": 0.5}, "mixup .*takes no argument 'share'"),
        ("time_mask", {"length": 3}, "time_mask .*takes no argument 'length'; it takes share"),
    ],
)
def test_an_argument_that_does_not_fit_is_refused(name: str, arguments: dict, reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        make(name, 0.5, **arguments)


def test_every_built_in_is_tested_here() -> None:
    built_in = {name for name in registry.names("transform") if registry.lookup("transform", name).built_in}
    in_other_files = {"mixup", "any_lead", "noise", "wander"}
    assert built_in == {"gain", "polarity", "time_mask", "filter", "resample"} | in_other_files
