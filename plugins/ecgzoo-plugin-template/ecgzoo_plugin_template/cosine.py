"""The angle between two networks' logits: ``1/B · Σ_b 1 − cos(s_b, t_b)``."""

import torch
import torch.nn.functional as F

from ecgzoo.losses.contract import Batch, DataInfo, Loss, ModelInfo, View, needed


class Cosine(Loss):
    """One minus the cosine of the logits ``[B, C]``; zero where they point the same way."""

    requires = frozenset({"student.logits", "teacher.logits"})

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo) -> None:
        super().__init__()

    def forward(self, student: View, teacher: View | None, batch: Batch) -> torch.Tensor:
        """The mean over the batch, a scalar."""
        cosine = F.cosine_similarity(student.logits.float(), needed(teacher, self).logits.float())
        return (1 - cosine).mean()
