"""Polarity: a device worn with reversed electrodes, ``x ← −x``."""

from torch import Tensor

from ecgzoo.losses.contract import DataInfo
from ecgzoo.transforms.contract import Crops, SignalTransform


class Polarity(SignalTransform):
    """Invert all leads in a share `amount` of the records."""

    most = 1.0

    def __init__(self, data: DataInfo, amount: float) -> None:
        super().__init__(data, amount)
        self.share = self.amount

    def changed(self, crops: Crops) -> Tensor:
        """Millivolts ``[B, leads, T]``."""
        return -crops.millivolts
