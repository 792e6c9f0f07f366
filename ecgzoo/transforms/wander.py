"""Wander: the slow drift of the baseline, ``x ← x + amount·u·wander``, u uniform in [0, 1] for each record."""

from torch import Tensor

from ecgzoo.transforms import _noises
from ecgzoo.transforms.contract import Crops, SignalTransform


class Wander(SignalTransform):
    """Add up to `amount` millivolts (root mean square) of wander between 0.05 and 0.5 Hz."""

    def changed(self, crops: Crops) -> Tensor:
        """Millivolts ``[B, leads, T]``."""
        return crops.millivolts + self.amount * crops.draws.uniform(1, 1) * _noises.wander(crops)
