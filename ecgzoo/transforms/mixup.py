"""Mixup: mix each record, and its labels, with another record of the batch (Zhang et al., arXiv 1710.09412).

    x ← λ·x + (1 − λ)·x',   λ from Beta(amount, amount), the same for the batch

The teacher sees the same mixture and gives its own output for it, from which a student can learn for many epochs (Beyer
et al., arXiv 2106.05237).
"""

from dataclasses import replace

from torch import Tensor

from ecgzoo.losses.contract import Batch
from ecgzoo.transforms.contract import Crops, Transform


class Mixup(Transform):
    """Mix pairs of records, for both teacher and student; `amount` is the parameter of the Beta distribution.

    With several processes, each mixes within its share of the batch.
    """

    sees = "both"
    keeps_labels = False
    keeps_identity = False
    uses_done = False

    def __call__(self, crops: Crops, done: float) -> Crops:
        """Crops with mixed signals, labels and auxiliary labels."""
        share, batch = crops.draws.beta(self.amount), crops.batch
        other = crops.draws.uniform().argsort()

        def mix(x: Tensor) -> Tensor:
            return share * x + (1 - share) * x[other]

        auxiliary = None if batch.auxiliary is None else mix(batch.auxiliary)
        return replace(crops, millivolts=mix(crops.millivolts), batch=Batch(mix(batch.labels), batch.index, auxiliary))
