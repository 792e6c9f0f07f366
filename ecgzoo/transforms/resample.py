"""Resample: a device with an inexact clock, ``x(t) ← x(c + r·(t − c))``, where c is the middle of the crop.

Interpolation is cubic convolution with a = −1/2, which reproduces parabolas exactly (Keys, "Cubic convolution
interpolation for digital image processing", IEEE Trans. Acoust. 29:1153, 1981). torch's bicubic interpolation has
a = −3/4, which distorts a straight line.
"""

import torch
from torch import Tensor

from ecgzoo.transforms.contract import Crops, SignalTransform


class Resample(SignalTransform):
    """Change the rate by up to a share `amount`, with r uniform in 1 ± `amount`.

    Outside the crop, the first or last sample is repeated.
    """

    most = 0.5

    def changed(self, crops: Crops) -> Tensor:
        """Millivolts ``[B, leads, T]``."""
        x, last = crops.millivolts, crops.millivolts.shape[2] - 1
        rate = crops.draws.uniform(1, low=1 - self.amount, high=1 + self.amount)
        place = last / 2 + rate * (torch.arange(last + 1, device=x.device) - last / 2)
        place = place.clamp(0, last)
        before = place.floor()
        t = place - before
        weights = (
            ((2 - t) * t - 1) * t / 2,
            ((3 * t - 5) * t * t + 2) / 2,
            ((4 - 3 * t) * t + 1) * t / 2,
            (t - 1) * t * t / 2,
        )
        out = torch.zeros_like(x)
        for step, weight in zip((-1, 0, 1, 2), weights, strict=True):
            at = (before.long() + step).clamp(0, last)[:, None].expand_as(x)
            out = out + weight[:, None].to(x.dtype) * x.gather(2, at)
        return out
