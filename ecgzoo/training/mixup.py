"""Mixup: what teacher and student see is two records in one."""

import torch
from torch import Tensor

from ecgzoo.losses.contract import Batch


def mixed(millivolts: Tensor, batch: Batch, alpha: float) -> tuple[Tensor, Batch]:
    """Mixup: each record mixed with another of the batch, and its labels likewise (Zhang et al., arXiv 1710.09412).

    x ← λ·x + (1 − λ)·x', λ from Beta(alpha, alpha), the same for the batch. A teacher that sees the mixture has its own
    answer for it, and a student can learn from that for long (Beyer et al., arXiv 2106.05237).
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    other = torch.randperm(len(millivolts), device=millivolts.device)

    def mix(x: Tensor) -> Tensor:
        return share * x + (1 - share) * x[other]

    auxiliary = None if batch.auxiliary is None else mix(batch.auxiliary)
    return mix(millivolts), Batch(mix(batch.labels), batch.index, auxiliary)
