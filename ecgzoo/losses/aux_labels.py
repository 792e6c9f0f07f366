"""Aux: a second, finer task on the same embedding (Caruana, "Multitask learning", Machine Learning 28:41, 1997).

    Aux = 1/B · Σ_b Σ_k  BCE( z_bk, (W e_b + v)_k )

e is the input of the student's classifier, z are the labels of the second task, W and v a separate head, which is
trained and not published. This loss needs no teacher.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ecgzoo.errors import RecipeError
from ecgzoo.losses.contract import Batch, DataInfo, Loss, ModelInfo, View


class AuxLabels(Loss):
    """Binary cross-entropy on the labels of another task, summed over its classes.

    Raises:
        RecipeError: the recipe names no second task.
    """

    requires = frozenset({"student.embedding", "auxiliary"})

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo) -> None:
        super().__init__(student, teacher, data)
        if data.auxiliary is None:
            raise RecipeError("aux needs the labels of a second task; name it with --aux-task")
        self.head = nn.Linear(student.head_hidden_size, data.auxiliary.shape[1])

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The mean over records of the sum over classes, in nats."""
        assert batch.auxiliary is not None  # __init__ checked it
        each = F.binary_cross_entropy_with_logits(self.head(student.embedding), batch.auxiliary, reduction="none")
        return each.sum(1).mean()
