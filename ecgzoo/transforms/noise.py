"""Noise: baseline wander, mains hum and muscle noise, in random proportions.

x ← x + amount·u·(a·wander + b·mains + c·muscle)/√(a² + b² + c²),   u, a, b, c uniform in [0, 1] for each record
"""

from torch import Tensor

from ecgzoo.transforms._noises import mains, muscle, wander
from ecgzoo.transforms.contract import Crops, SignalTransform


class Noise(SignalTransform):
    """Add up to `amount` millivolts (root mean square) of wander, 50 or 60 Hz mains, and muscle noise."""

    def changed(self, crops: Crops) -> Tensor:
        """Millivolts ``[B, leads, T]``."""
        level = self.amount * crops.draws.uniform(1, 1)
        parts = crops.draws.uniform(3, 1, 1)
        parts = parts / parts.square().sum(1, keepdim=True).sqrt().clamp(min=1e-6)
        kinds = (wander(crops), mains(crops), muscle(crops))
        return crops.millivolts + level * sum(parts[:, number] * kind for number, kind in enumerate(kinds))
