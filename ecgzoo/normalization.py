"""Convert millivolts to a network's input: remove the baseline, then ``(x − mean) / deviation``."""

import math

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
    """Windows ``[B, leads, T]`` without their mean and their cosines below `highpass_hz`, for each lead.

        x ← x − Σ_k c_k ⟨c_k, x⟩,   c_k(n) ∝ cos(π k (n + ½) / T),   k · rate / 2T < highpass_hz

    This projection is the discrete cosine set of functional MRI (Friston et al., NeuroImage 2:157, 1995). Unlike a
    filter it has no phase and no edge effects; it needs no samples outside the window and removes a constant exactly.
    """
    samples = x.shape[2]
    slow = torch.arange(math.ceil(2 * samples * highpass_hz / rate_hz), device=x.device, dtype=x.dtype)
    places = torch.arange(samples, device=x.device, dtype=x.dtype) + 0.5
    cosines = torch.cos(math.pi / samples * slow[:, None] * places)  # [K, T]
    cosines = cosines / torch.linalg.vector_norm(cosines, dim=1, keepdim=True)
    with torch.autocast(x.device.type, enabled=False):  # half precision would leave microvolts of an offset
        baseline: Tensor = (x @ cosines.T) @ cosines
    return x - baseline
