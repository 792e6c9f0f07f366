"""BCE: binary cross-entropy on the labels, γ·BCE(s, y) of docs/method.md §1."""

import torch.nn.functional as F
from torch import Tensor

from ecgzoo.losses.contract import Batch, DataInfo, Loss, ModelInfo, View, full_precision


class BCE(Loss):
    """Mean over records and classes of ``−y·logσ(s) − (1−y)·logσ(−s)``."""

    requires = frozenset({"student.logits", "labels"})

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo) -> None:
        super().__init__()

    def forward(self, student: View, teacher: View | None, batch: Batch) -> Tensor:
        """The mean cross-entropy in nats of logits ``[B, C]`` against labels ``[B, C]``."""
        return F.binary_cross_entropy_with_logits(full_precision(student.logits), batch.labels)
