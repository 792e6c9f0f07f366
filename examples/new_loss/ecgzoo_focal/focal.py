"""The focal loss (Lin et al., ICCV 2017, arXiv 1708.02002), for each class separately."""

import torch
import torch.nn.functional as F

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, RecipeError, View


class Focal(Loss):
    """Mean over records and classes of ``−(1 − p)^γ · log p``, where p is the probability of the true label.

    Args:
        student: the network that learns.
        teacher: not used.
        data: the training records.
        gamma: γ; the larger, the less correct predictions count. With 0 it is the cross-entropy ``bce``.

    Raises:
        RecipeError: a negative gamma.
    """

    requires = frozenset({"student.logits", "labels"})

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, *, gamma: float = 2.0) -> None:
        super().__init__(student, teacher, data)
        if gamma < 0:
            raise RecipeError(f"focal: gamma is {gamma}; it must not be negative")
        self.gamma = gamma

    def forward(self, student: View, teacher: View, batch: Batch) -> torch.Tensor:
        """The loss of logits ``[B, C]`` against labels ``[B, C]``, a scalar."""
        cross_entropy = F.binary_cross_entropy_with_logits(student.logits, batch.labels, reduction="none")
        wrong = 1 - torch.exp(-cross_entropy)  # 1 − p
        return (wrong.clamp(min=0) ** self.gamma * cross_entropy).mean()
