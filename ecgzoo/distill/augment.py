"""What may be done to a student's crop before it sees it; the teacher sees the crop as it was recorded.

Each takes millivolts ``[B, 1 or more leads, T]`` and one number, draws anew for every record, and keeps the shape.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def gain(millivolts: Tensor, spread: float) -> Tensor:
    """Each record times ``exp(spread · n)``, n standard normal: another electrode, another chest."""
    return millivolts * (spread * _normal(millivolts)).exp()


def wander(millivolts: Tensor, peak_mv: float) -> Tensor:
    """A slow sine of one to two periods a crop, up to `peak_mv` high, as breath and drift leave it."""
    phase = torch.linspace(0, 2 * math.pi, millivolts.shape[2], device=millivolts.device)
    return millivolts + peak_mv * _uniform(millivolts) * torch.sin(
        (1 + _uniform(millivolts)) * phase + 2 * math.pi * _uniform(millivolts)
    )


def mask(millivolts: Tensor, share: float) -> Tensor:
    """A stretch of up to `share` of the crop set to zero (after SpecAugment, arXiv 1904.08779)."""
    place = torch.linspace(0, 1, millivolts.shape[2], device=millivolts.device)
    width = share * _uniform(millivolts)
    start = (1 - width) * _uniform(millivolts)
    return millivolts.masked_fill((place >= start) & (place < start + width), 0.0)


def flip(millivolts: Tensor, share: float) -> Tensor:
    """The polarity of this share of the records reversed, as by swapped electrodes."""
    return torch.where(_uniform(millivolts) < share, -millivolts, millivolts)


def _normal(like: Tensor) -> Tensor:
    return torch.randn(len(like), 1, 1, device=like.device)


def _uniform(like: Tensor) -> Tensor:
    return torch.rand(len(like), 1, 1, device=like.device)


AUGMENTATIONS: dict[str, Callable[[Tensor, float], Tensor]] = {
    "gain": gain,
    "wander": wander,
    "mask": mask,
    "flip": flip,
}
