"""What a window loses before the network sees it: its baseline, and its amplitude where a model says so."""

import math

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgzoo.config import ModelConfig, Normalization
from ecgzoo.errors import WeightsError
from ecgzoo.normalization import normalized, without_baseline

RATE_HZ = 100.0


def windows(samples: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(3, 2, samples, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None, max_examples=40)
@given(samples=st.integers(50, 1200), hertz=st.floats(0.05, 1))  # with more cosines, the reference is not exact to 1e-9
def test_it_is_what_least_squares_leaves(samples: int, hertz: float) -> None:
    x = windows(samples).double()
    k = np.arange(samples)
    k = k[k * RATE_HZ / (2 * samples) < hertz]
    polynomials = np.linspace(-1, 1, samples)[:, None] ** [1, 2, 3, 4]
    slow = np.concatenate([scipy.fft.idct(np.eye(samples)[k], norm="ortho").T, polynomials], axis=1)
    flat = x.numpy().reshape(-1, samples).T
    left = flat - slow @ np.linalg.lstsq(slow, flat, rcond=None)[0]
    found = without_baseline(x, hertz, RATE_HZ)
    np.testing.assert_allclose(found.numpy().reshape(-1, samples).T, left, atol=1e-9)


@settings(deadline=None, max_examples=25)
@given(samples=st.integers(50, 600), hertz=st.floats(0.05, 5))
def test_it_is_the_projection_on_all_that_is_slow_and_nothing_else(samples: int, hertz: float) -> None:
    left = without_baseline(torch.eye(samples, dtype=torch.float64)[:, None], hertz, RATE_HZ)[:, 0].numpy()
    k = np.arange(samples)
    k = k[k * RATE_HZ / (2 * samples) < hertz]
    slow = np.cos(np.pi * k * (np.arange(samples)[:, None] + 0.5) / samples)
    polynomials = np.linspace(-1, 1, samples)[:, None] ** [1, 2, 3, 4]
    np.testing.assert_allclose(left @ np.concatenate([slow, polynomials], axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(left, left.T, atol=1e-9)
    np.testing.assert_allclose(left @ left, left, atol=1e-9)
    assert samples - np.trace(left) == pytest.approx(len(k) + 4, abs=1e-6)  # so nothing else is removed


@pytest.mark.parametrize("kind", ["mv_global", "window_z"])
def test_a_constant_is_forgotten(kind: str) -> None:
    how = Normalization(kind=kind, std_mv=0.2, highpass_hz=0.5)  # type: ignore[arg-type]
    x = 0.2 * windows(800)
    clean = normalized(x, how, RATE_HZ)
    torch.testing.assert_close(normalized(x + 1.0, how, RATE_HZ), clean, atol=2e-5, rtol=0)


def test_of_a_slow_swing_little_is_left() -> None:
    seconds = torch.arange(800) / RATE_HZ
    for phase in np.linspace(0, 2 * math.pi, 12, endpoint=False):
        swing = (2 * math.pi * 0.3 * seconds + phase).sin().expand(1, 1, -1)
        left = without_baseline(swing, 0.5, RATE_HZ)[0, 0]
        assert left.square().mean().sqrt() < 0.003 * swing.square().mean().sqrt()
        assert left.abs().max() < 0.02


def test_half_precision_around_it_does_not_reach_it() -> None:
    x = 0.2 * windows(500) + 3.0
    exact = without_baseline(x.double(), 0.5, RATE_HZ)
    with torch.autocast("cpu", torch.bfloat16):
        found = without_baseline(x, 0.5, RATE_HZ)
    assert found.dtype == torch.float32
    assert (found - exact).abs().max() < 1e-5


def test_none_is_removed_unless_asked() -> None:
    x = windows(100)
    torch.testing.assert_close(normalized(x, Normalization(std_mv=2.0), RATE_HZ), x / 2, atol=0, rtol=0)


@pytest.mark.parametrize("hertz", [-0.1, 26.0, math.nan])
def test_a_limit_that_leaves_nothing_is_refused(hertz: float) -> None:
    with pytest.raises(WeightsError, match="highpass_hz"):
        ModelConfig(
            architecture="resnet1d18",
            leads=("I",),
            num_classes=1,
            normalization=Normalization(highpass_hz=hertz),
        )
