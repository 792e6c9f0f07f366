"""Convert millivolts to a network's input: remove the baseline, then ``(x − mean) / deviation``."""

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from ecgzoo.config import Normalization

LEAST_DEVIATION_MV = 0.01  # so that the noise of a flat window is not amplified


def normalized(x: Tensor, how: Normalization, rate_hz: float) -> Tensor:
    """The network's input ``[B, leads, T]`` for windows in millivolts ``[B, leads, T]`` at `rate_hz`."""
    if how.highpass_hz:
        x = without_baseline(x, how.highpass_hz, rate_hz)
    if how.kind == "mv_global":
        return (x - how.mean_mv) / how.std_mv
    deviation, mean = torch.std_mean(x, dim=(1, 2), keepdim=True, correction=0)
    return (x - mean) / deviation.clamp(min=LEAST_DEVIATION_MV)


def without_baseline(x: Tensor, highpass_hz: float, rate_hz: float) -> Tensor:
    """Windows ``[B, leads, T]`` without their polynomials to n⁴ and cosines below `highpass_hz`, for each lead.

        x ← x − S Sᵀ x,   S: orthonormal basis of 1, n, …, n⁴ and cos(π k (n + ½) / T),   k · rate / 2T < highpass_hz

    The cosines are the set that functional MRI uses against drift (Friston et al., NeuroImage 2:157, 1995). They have
    no slope at the ends of the window, a drift has one. Of a drift of 0.3 Hz, the cosines alone leave 12 % in 5 s, with
    a parabola 1 %, with n⁴ 0.06 %.
    Unlike a filter, this projection has no phase, needs no samples outside the window and removes a constant exactly.
    """
    samples = x.shape[2]
    slow = torch.from_numpy(_slow(samples, math.ceil(2 * samples * highpass_hz / rate_hz))).to(x)
    with torch.autocast(x.device.type, enabled=False):  # half precision would leave microvolts of an offset
        baseline: Tensor = (x @ slow) @ slow.T
    return x - baseline


@lru_cache(maxsize=16)
def _slow(samples: int, cosines: int) -> np.ndarray:
    """The orthonormal basis ``[T, cosines + 4]`` of a window of T samples."""
    places = (np.arange(samples) + 0.5) / samples
    polynomials = [(places - 0.5) ** power for power in range(1, 5)]
    columns = [np.cos(np.pi * k * places) for k in range(cosines)] + polynomials
    basis: np.ndarray = np.linalg.qr(np.stack(columns, axis=1))[0]
    return basis
