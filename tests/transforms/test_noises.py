"""Noise and wander: how strong, at which frequencies, and in which leads."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import signal

from ecgzoo.transforms import _noises
from ecgzoo.transforms.contract import Crops

RECORDS, LEADS, SECONDS = 48, 3, 60


def silence(rate_hz: float, records: int = RECORDS, seconds: float = SECONDS) -> torch.Tensor:
    return torch.zeros(records, LEADS, int(seconds * rate_hz))


def spectrum(x: torch.Tensor, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies, and power ``[B, leads, F]`` of the whole crop behind a Blackman-Harris window."""
    hertz, power = signal.welch(x.double().numpy(), rate_hz, window="blackmanharris", nperseg=x.shape[2], detrend=False)
    return hertz, power


def largest_correlation(x: torch.Tensor) -> float:
    """The largest of the correlations between two leads of a record."""
    matrices = np.stack([np.corrcoef(record) for record in x.double().numpy()])
    first, second = np.triu_indices(LEADS, 1)
    return float(np.abs(matrices[:, first, second]).max())


def test_wander_is_slow(crops: Callable[..., Crops]) -> None:
    drift = _noises.wander(crops(silence(100.0)))
    hertz, power = spectrum(drift, 100.0)
    assert power[..., hertz < 0.5 + 4 / SECONDS].sum() > 0.9999 * power.sum()
    assert drift.square().mean().item() == pytest.approx(1, abs=0.05)
    # of rates that are uniform from 0.05 to 0.5 Hz
    middle = (hertz * power).sum(2) / power.sum(2)
    assert middle.mean() == pytest.approx(0.275, abs=0.03)
    assert middle.std() == pytest.approx(0.45 / math.sqrt(12 * 3), abs=0.02)
    assert largest_correlation(drift) < 0.999


def test_the_leads_of_a_record_swing_at_three_rates_in_phases_of_their_own(crops: Callable[..., Crops]) -> None:
    twelve = _noises.wander(crops(torch.zeros(RECORDS, 12, 6000)))
    strengths = torch.linalg.svdvals(twelve.double())
    assert (strengths[:, 6] < 1e-3 * strengths[:, 0]).all()  # three sines and three cosines make all of them
    assert strengths[:, 5].median() > 0.1 * strengths[:, 0].median()


@pytest.mark.parametrize(("rate_hz", "folded"), [(500.0, (50, 60)), (250.0, (50, 60)), (100.0, (50, 40))])
def test_mains_is_sampled_as_it_is_or_folded(
    crops: Callable[..., Crops], rate_hz: float, folded: tuple[int, int]
) -> None:
    hum = _noises.mains(crops(silence(rate_hz, seconds=10), rate_hz))
    hertz, power = spectrum(hum, rate_hz)
    peak = hertz[power.argmax(2)].round(1)
    assert set(peak.flatten()) == set(folded)
    assert (peak == peak[:, :1]).all()  # one grid a record
    assert (peak == folded[0]).mean() == pytest.approx(0.5, abs=0.2)
    aside = np.abs(hertz - peak[..., None]) > 0.5
    assert (power * aside).sum() < 1e-6 * power.sum()
    # at half the rate, what is left of a sine depends on its phase
    assert hum.square().mean().item() == pytest.approx(1, abs=0.01 if rate_hz > 100 else 0.2)
    if rate_hz > 100:
        assert largest_correlation(hum) < 0.9999


def test_muscle_is_white_above_20_hz(crops: Callable[..., Crops]) -> None:
    muscle = _noises.muscle(crops(silence(250.0, seconds=10), 250.0))
    torch.testing.assert_close(muscle.square().mean(2), torch.ones(RECORDS, LEADS))
    hertz, power = spectrum(muscle, 250.0)
    assert power[..., hertz < 19].sum() < 1e-6 * power.sum()
    bands = [power[..., (hertz >= low) & (hertz < low + 25)].mean() for low in (21, 46, 71, 96)]
    assert max(bands) < 1.1 * min(bands)
    assert largest_correlation(muscle) < 0.2


def test_muscle_is_all_white_where_nothing_is_above_20_hz(crops: Callable[..., Crops]) -> None:
    hertz, power = spectrum(_noises.muscle(crops(silence(30.0), 30.0)), 30.0)
    bands = [power[..., (hertz >= low) & (hertz < low + 5)].mean() for low in (0, 5, 10)]
    assert max(bands) < 1.2 * min(bands)


@pytest.mark.parametrize("name", ["noise", "wander"])
def test_the_level_is_uniform_up_to_the_amount(apply: Callable[..., torch.Tensor], name: str) -> None:
    added = apply(name, silence(100.0, records=300, seconds=20), 0.08).double()
    level = added.square().mean((1, 2)).sqrt() / 0.08
    assert level.max().item() < 1.25  # three swings of near rates may add up for a while
    # the mean square of what is uniform in [0, 1]
    assert level.square().mean().item() == pytest.approx(1 / 3, abs=0.05)
    assert level.mean().item() == pytest.approx(1 / 2, abs=0.05)


@pytest.mark.parametrize("name", ["noise", "wander"])
def test_noise_is_added_to_the_signal_and_does_not_depend_on_it(apply: Callable[..., torch.Tensor], name: str) -> None:
    x = torch.randn(6, LEADS, 250)
    torch.testing.assert_close(apply(name, x, 0.1, seed=3), x + apply(name, torch.zeros_like(x), 0.1, seed=3))


def test_noise_has_all_three_parts_in_shares_that_differ_between_records(apply: Callable[..., torch.Tensor]) -> None:
    added = apply("noise", silence(500.0, records=24, seconds=20), 1.0, rate_hz=500.0)
    hertz, power = spectrum(added, 500.0)
    power = power.sum(1)
    mains = (np.abs(hertz - 50) < 0.5) | (np.abs(hertz - 60) < 0.5)
    shares = np.stack([power[:, band].sum(1) for band in (hertz < 1, mains, (hertz > 20) & ~mains)], axis=1)
    shares /= power.sum(1, keepdims=True)
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-3)  # and nothing between
    assert (shares.mean(0) > 0.2).all()
    assert (shares.std(0) > 0.1).all()
    assert largest_correlation(added) < 0.999


def test_wander_adds_nothing_but_wander(apply: Callable[..., torch.Tensor]) -> None:
    hertz, power = spectrum(apply("wander", silence(100.0), 0.5), 100.0)
    assert power[..., hertz < 0.5 + 4 / SECONDS].sum() > 0.9999 * power.sum()
