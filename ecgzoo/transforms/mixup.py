"""Mixup: each record mixed with another of the batch, and its labels likewise (Zhang et al., arXiv 1710.09412).

    x ← λ·x + (1 − λ)·x',   λ from Beta(amount, amount), the same for the batch

A teacher that sees the mixture has its own answer for it, and a student can learn from that for long (Beyer et al.,
arXiv 2106.05237).
"""

from dataclasses import replace

from torch import Tensor

from ecgzoo.losses.contract import Batch
from ecgzoo.transforms.contract import Crops, Transform


class Mixup(Transform):
    """Records in pairs, for teacher and student alike; `amount` is the parameter of the Beta distribution.

    Several processes mix within their own share of the batch.
    """

    sees = "both"
    keeps_labels = False
    keeps_identity = False
    uses_done = False

    def __call__(self, crops: Crops, done: float) -> Crops:
        """Mixed signals and both kinds of labels."""
        share, batch = crops.draws.beta(self.amount), crops.batch
        other = crops.draws.uniform().argsort()

        def mix(x: Tensor) -> Tensor:
            return share * x + (1 - share) * x[other]

        auxiliary = None if batch.auxiliary is None else mix(batch.auxiliary)
        return replace(crops, millivolts=mix(crops.millivolts), batch=Batch(mix(batch.labels), batch.index, auxiliary))
