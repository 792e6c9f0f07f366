"""Polarity: a device worn the other way round, ``x ← −x``."""

from torch import Tensor

from ecgzoo.losses.contract import DataInfo
from ecgzoo.transforms.contract import Crops, SignalTransform


class Polarity(SignalTransform):
    """All leads of a share `amount` of the records upside down."""

    most = 1.0

    def __init__(self, data: DataInfo, amount: float) -> None:
        super().__init__(data, amount)
        self.share = self.amount

    def changed(self, crops: Crops) -> Tensor:
        """Millivolts ``[B, leads, T]``."""
        return -crops.millivolts
