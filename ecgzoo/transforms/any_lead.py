"""Any lead: every lead is a view of the same heart, with the same labels and the same teacher.

A student of one lead that first learns on whatever lead it is given sees many times as many different recordings.
"""

from dataclasses import replace

import torch

from ecgzoo.losses.contract import DataInfo
from ecgzoo.transforms.contract import Crops, Transform, in_range


class AnyLead(Transform):
    """In a share `amount` of the crops, each lead shows a random one; in the first part of the training, up to `until`.

    Args:
        data: the training records.
        amount: share of the crops.
        until: share of the epochs.
    """

    every_lead = True
    most = 1.0

    def __init__(self, data: DataInfo, amount: float, *, until: float = 0.5) -> None:
        super().__init__(data, amount)
        self.until = in_range(self, "until", until, above=0, at_most=1)

    def __call__(self, crops: Crops, done: float) -> Crops:
        """Signals of other leads under the names of the own."""
        if done >= self.until:
            return crops
        millivolts, leads = crops.millivolts, len(crops.leads)
        shown = torch.where(
            crops.draws.uniform(1) < self.amount,
            crops.draws.integers(leads, leads),
            torch.arange(leads, device=millivolts.device),
        )
        return replace(crops, millivolts=millivolts.gather(1, shown[:, :, None].expand_as(millivolts)))
