"""The angle between two networks' logits: ``1/B · Σ_b max(0, 1 − cos(s_b, t_b) − margin)``."""

import torch
import torch.nn.functional as F

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, RecipeError, View


class Cosine(Loss):
    """One minus the cosine of the logits ``[B, C]``, minus `margin`, and at least 0.

    Raises:
        RecipeError: a negative margin.
    """

    requires = frozenset({"student.logits", "teacher.logits"})

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, *, margin: float = 0.0) -> None:
        super().__init__(student, teacher, data)
        if margin < 0:
            raise RecipeError(f"template_cosine: margin is {margin}; it must not be negative")
        self.margin = margin

    def forward(self, student: View, teacher: View, batch: Batch) -> torch.Tensor:
        """The mean over the batch, a scalar."""
        distance = 1 - F.cosine_similarity(student.logits, teacher.logits)
        return (distance - self.margin).clamp(min=0).mean()
