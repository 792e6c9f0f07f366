"""The angle between two networks' logits: ``1/B · Σ_b 1 − cos(s_b, t_b)``."""

import torch
import torch.nn.functional as F

from ecgzoo import Batch, Loss, View


class Cosine(Loss):
    """One minus the cosine of the logits ``[B, C]``; zero where they point the same way."""

    requires = frozenset({"student.logits", "teacher.logits"})

    def forward(self, student: View, teacher: View, batch: Batch) -> torch.Tensor:
        """The mean over the batch, a scalar."""
        return (1 - F.cosine_similarity(student.logits, teacher.logits)).mean()
