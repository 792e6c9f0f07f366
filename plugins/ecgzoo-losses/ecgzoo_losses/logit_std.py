"""Logit standardization (Sun et al., CVPR 2024, arXiv 2403.01427): another loss on z-scores of the logits.

    z = (x − mean_c x) / std_c x   for each record, on both sides;   value = `of`(z_s, z_t) at its `temperature`

std is the population standard deviation, as in the paper's Algorithm 1. The student then does not have to match the
range or the level of the teacher's logits, only the relations between the classes of a record. `of=kd` is the paper's
version. For losses on sigmoids, such as `mkd`, it is an extension: a sigmoid, unlike a softmax, depends on the level,
and standardization removes the level on both sides. So the loss does not tell the student whether a diagnosis is
present at all; use `bce` together with it. A record whose logits are all equal has z = 0.
"""

from dataclasses import replace

from torch import Tensor

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, RecipeError, View, create_loss
from ecgzoo_losses._common import positive, z_scores


class LogitStd(Loss):
    """Distillation of logits that are standardized over the classes of each record.

    Args:
        student: the network that learns.
        teacher: the network it learns from.
        data: the training records.
        of: name of the loss to apply; it must take the parameter `temperature`.
        temperature: T of that loss, the paper's base temperature.

    Raises:
        RecipeError: `of` reads more than logits and labels, or not the logits of both sides, or does not take this
            temperature; or there is only one class.
        RegistryError: no loss is called `of`.
    """

    requires = frozenset({"student.logits", "teacher.logits", "labels"})

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        data: DataInfo,
        *,
        of: str = "mkd",
        temperature: float = 2.0,
    ) -> None:
        super().__init__(student, teacher, data)
        if student.num_classes < 2:
            raise RecipeError("logit_std: there is one class; standardization needs at least two; leave this loss out")
        temperature = positive("logit_std", "temperature", temperature)
        self.inner = create_loss(of, student, teacher, data, temperature=temperature)
        if not {"student.logits", "teacher.logits"} <= self.inner.requires <= self.requires:
            raise RecipeError(
                f"logit_std: {of} requires {', '.join(sorted(self.inner.requires))}; "
                "expected a loss that reads the logits of both sides and at most the labels; choose another with of="
            )
        self.requires = self.inner.requires  # without labels, it works on records that have none

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The value of `of` on standardized logits ``[B, C]``."""
        s, t = (replace(view, logits=z_scores(view.logits)) for view in (student, teacher))
        value = self.inner(s, t, batch)
        self.extras = self.inner.extras
        return value

    def after_backward(self) -> None:
        """Call `after_backward` of the inner loss."""
        self.inner.after_backward()
