"""BCE: binary cross-entropy on the labels, γ·BCE(s, y) of docs/method.md §1."""

import torch.nn.functional as F
from torch import Tensor

from ecgzoo.losses.contract import Batch, Loss, View


class BCE(Loss):
    """Mean over records and classes of ``−y·logσ(s) − (1−y)·logσ(−s)``."""

    requires = frozenset({"student.logits", "labels"})

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The mean cross-entropy in nats of logits ``[B, C]`` against labels ``[B, C]``."""
        return F.binary_cross_entropy_with_logits(student.logits, batch.labels)
