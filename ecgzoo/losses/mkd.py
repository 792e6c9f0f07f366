"""MKD: multi-label knowledge distillation (MVKT-ECG, arXiv 2301.12178; docs/method.md §2).

Each class is a separate Bernoulli variable, and the temperature divides the *logits*:

    MKD = T²/B · Σ_b Σ_c  σ(t/T)·[logσ(t/T) − logσ(s/T)] + σ(−t/T)·[logσ(−t/T) − logσ(−s/T)]
"""

import math
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ecgzoo.errors import RecipeError
from ecgzoo.losses.contract import Batch, DataInfo, Loss, ModelInfo, View


class MKD(Loss):
    """Sum (or mean) over classes of Bernoulli KL divergences at `temperature`; zero only if the logits are equal.

    Args:
        student: the network that learns.
        teacher: the network it learns from.
        data: the training records.
        temperature: T of the equation.
        reduction: over classes, ``sum`` as in the equation or ``mean``.
        class_weights: one factor per class, in the order of the labels, at least 0; all 1 if not given.

    Raises:
        RecipeError: `temperature` is not positive, `reduction` is unknown, there is not one weight per class, or a
            weight is negative or not finite, or all are 0.
    """

    requires = frozenset({"student.logits", "teacher.logits"})
    class_weights: Tensor

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        data: DataInfo,
        *,
        temperature: float = 1.0,
        reduction: Literal["sum", "mean"] = "sum",
        class_weights: tuple[float, ...] | None = None,
    ) -> None:
        super().__init__(student, teacher, data)
        if not 0 < temperature < math.inf:
            raise RecipeError(f"mkd: temperature is {temperature}; it must be positive")
        if reduction not in ("sum", "mean"):
            raise RecipeError(f"mkd: reduction is {reduction!r}; expected 'sum' or 'mean'")
        weights = torch.ones(student.num_classes) if class_weights is None else torch.tensor(class_weights)
        if weights.shape != (student.num_classes,):
            raise RecipeError(f"mkd: {weights.numel()} class weights for {student.num_classes} classes")
        if not (weights.isfinite().all() and weights.min() >= 0 and weights.any()):
            raise RecipeError(f"mkd: class weights are {weights.tolist()}; expected at least 0, and not all of them 0")
        if reduction == "mean":
            weights = weights / student.num_classes
        self.temperature = temperature
        self.register_buffer("class_weights", weights, persistent=False)

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The divergence in nats, times T², of logits ``[B, C]``; its gradient is ``T·(σ(s/T) − σ(t/T))/B``."""
        s, t = student.logits / self.temperature, teacher.logits / self.temperature
        # logsigmoid, not log(sigmoid): it is exact even if the probability rounds to 0 or 1
        positive = t.sigmoid() * (F.logsigmoid(t) - F.logsigmoid(s))
        negative = (-t).sigmoid() * (F.logsigmoid(-t) - F.logsigmoid(-s))
        return self.temperature**2 * ((positive + negative) * self.class_weights).sum(1).mean()
