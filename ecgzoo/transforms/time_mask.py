"""Time mask: an electrode that loses contact for a while (SpecAugment in time, Park et al., arXiv 1904.08779)."""

import torch
from torch import Tensor

from ecgzoo.transforms.contract import Crops, SignalTransform


class TimeMask(SignalTransform):
    """Replace one segment of each record, up to a share `amount` of the crop, by the mean of its lead."""

    most = 1.0

    def changed(self, crops: Crops) -> Tensor:
        """Millivolts ``[B, leads, T]``."""
        samples = crops.millivolts.shape[2]
        length = self.amount * samples * crops.draws.uniform(1, 1)
        start = (samples - length) * crops.draws.uniform(1, 1)
        time = torch.arange(samples, device=crops.millivolts.device)
        hidden = (time >= start) & (time < start + length)
        return torch.where(hidden, crops.millivolts.mean(2, keepdim=True), crops.millivolts)
