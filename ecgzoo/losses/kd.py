"""KD: vanilla distillation (Hinton, Vinyals, Dean, arXiv 1503.02531), the baseline that MKD improves.

    KD = T²/B · Σ_b KL( softmax(t/T) ‖ softmax(s/T) )

It assumes that a record has exactly one class, which is wrong for multi-label diagnoses.
"""

import math

import torch.nn.functional as F
from torch import Tensor

from ecgzoo.errors import RecipeError
from ecgzoo.losses.contract import Batch, DataInfo, Loss, ModelInfo, View


class KD(Loss):
    """Kullback–Leibler divergence of the student's softmax from the teacher's, at `temperature`.

    Raises:
        RecipeError: `temperature` is not positive, or there is only one class, whose softmax is always 1.
    """

    requires = frozenset({"student.logits", "teacher.logits"})

    def __init__(
        self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, *, temperature: float = 2.0
    ) -> None:
        super().__init__(student, teacher, data)
        if not 0 < temperature < math.inf:
            raise RecipeError(f"kd: temperature is {temperature}; it must be positive")
        if student.num_classes < 2:
            raise RecipeError("kd: there is one class, of which a softmax says nothing; expected at least two; use mkd")
        self.temperature = temperature

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The mean divergence in nats, times T², of logits ``[B, C]``."""
        s = F.log_softmax(student.logits / self.temperature, dim=1)
        t = F.log_softmax(teacher.logits / self.temperature, dim=1)
        return self.temperature**2 * F.kl_div(s, t, log_target=True, reduction="batchmean")
