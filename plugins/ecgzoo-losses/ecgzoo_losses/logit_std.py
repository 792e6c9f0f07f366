"""Logit standardisation (Sun et al., CVPR 2024, arXiv 2403.01427): another loss, on z-scores of the logits.

    z = (x − mean_c x) / std_c x   for each record, on both sides;   value = `of`(z_s, z_t) at its `temperature`

std is the population's, as in the paper's Algorithm 1. The student need then match neither the range nor the level of
the teacher's logits, only how the classes stand to each other within a record. For `of=kd` this is the paper. For
losses on sigmoids, such as `mkd`, it is an extension: a sigmoid, unlike a softmax, sees the level, and standardising
takes it from both sides. So the term says nothing about whether a diagnosis is there at all, and `bce` belongs beside
it. A record whose logits are all equal has z = 0.
"""

from dataclasses import replace

from torch import Tensor

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, RecipeError, View, create_loss
from ecgzoo_losses._common import positive, z_scores


class LogitStd(Loss):
    """A distillation of logits, after each record's logits are standardised over the classes.

    Args:
        student: the network that learns.
        teacher: the network it learns from.
        data: the training records.
        of: name of the loss that is applied, with the one parameter `temperature`.
        temperature: T of that loss, the paper's base temperature.

    Raises:
        RecipeError: `of` reads more than logits and labels, or not both sides' logits, or takes no such temperature;
            or there is one class only.
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
            raise RecipeError("logit_std: one class has no spread over classes; leave this loss out")
        temperature = positive("logit_std", "temperature", temperature)
        self.inner = create_loss(of, student, teacher, data, temperature=temperature)
        if not {"student.logits", "teacher.logits"} <= self.inner.requires <= self.requires:
            raise RecipeError(
                f"logit_std: {of} requires {', '.join(sorted(self.inner.requires))}; "
                "only a loss of both sides' logits, and at most the labels, can be given standardised logits"
            )

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The value of `of` on standardised logits ``[B, C]``."""
        s, t = (replace(view, logits=z_scores(view.logits)) for view in (student, teacher))
        value = self.inner(s, t, batch)
        self.extras = self.inner.extras
        return value

    def after_backward(self) -> None:
        """That of `of`."""
        self.inner.after_backward()
