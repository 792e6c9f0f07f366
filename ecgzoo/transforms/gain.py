"""Gain: another amplifier. One factor per record for all leads, ``x ← g·x``, log g uniform in ±log(1 + amount)."""

import math

from torch import Tensor

from ecgzoo.transforms.contract import Crops, SignalTransform


class Gain(SignalTransform):
    """Multiply by a factor from 1/(1 + `amount`) to 1 + `amount`: 0.3 gives 0.77 to 1.3, 1 gives 0.5 to 2."""

    def changed(self, crops: Crops) -> Tensor:
        """Millivolts ``[B, leads, T]``."""
        spread = math.log1p(self.amount)
        return crops.millivolts * crops.draws.uniform(1, 1, low=-spread, high=spread).exp()
