"""Resample: a device whose clock is a little off, ``x(t) ← x(c + r·(t − c))``, c the middle of the crop."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ecgzoo.transforms.contract import Crops, SignalTransform


class Resample(SignalTransform):
    """A rate that is wrong by up to a share `amount`, r uniform in 1 ± `amount`; cubic between samples.

    Where it would read beyond the crop, the last sample is repeated.
    """

    most = 0.5

    def changed(self, crops: Crops) -> Tensor:
        """Millivolts ``[B, leads, T]``."""
        x = crops.millivolts
        rate = crops.draws.uniform(1, low=1 - self.amount, high=1 + self.amount)
        place = rate * torch.linspace(-1, 1, x.shape[2], device=x.device)  # the crop runs from −1 to 1
        grid = torch.stack([place, torch.zeros_like(place)], dim=-1)[:, None].to(x.dtype)
        return F.grid_sample(x[:, :, None], grid, mode="bicubic", padding_mode="border", align_corners=True).squeeze(2)
