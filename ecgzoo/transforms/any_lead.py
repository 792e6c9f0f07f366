"""Any lead: every lead is a view of the same heart, with the same labels and the same teacher.

A student with one lead that first learns from random leads sees many more different signals.
"""

from dataclasses import replace

import torch

from ecgzoo.losses.contract import DataInfo
from ecgzoo.transforms.contract import Crops, Transform, in_range


class AnyLead(Transform):
    """Replace each lead by a random lead in a share `amount` of the crops, in the first share `until` of the training.

    Args:
        data: the training records.
        amount: share of the crops.
        until: share of the epochs.
    """

    every_lead = True
    most = 1.0

    def __init__(self, data: DataInfo, amount: float, *, until: float = 0.5) -> None:
        super().__init__(data, amount)
        self.until = in_range(self, "until", until, at_most=1)

    def __call__(self, crops: Crops, done: float) -> Crops:
        """Signals of random leads under the names of the original leads."""
        if done >= self.until:
            return crops
        millivolts, leads = crops.millivolts, len(crops.leads)
        shown = torch.where(
            crops.draws.uniform(1) < self.amount,
            crops.draws.integers(leads, leads),
            torch.arange(leads, device=millivolts.device),
        )
        return replace(crops, millivolts=millivolts.gather(1, shown[:, :, None].expand_as(millivolts)))
