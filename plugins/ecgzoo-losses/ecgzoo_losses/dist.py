"""DIST: distillation from a stronger teacher by correlation (Huang et al., NeurIPS 2022, arXiv 2205.10536).

    p = σ(z/T);   DIST = T² · ( β · mean_b [1 − ρ(p_s[b, :], p_t[b, :])] + γ · mean_c [1 − ρ(p_s[:, c], p_t[:, c])] )

ρ is Pearson's correlation: over the classes of a record (inter-class) and over the records of a class in the batch
(intra-class). The student learns the order and proportions of the teacher's probabilities, not their values. The paper
uses the softmax; the sigmoid is the multi-label form, and an option in the authors' code. A row that is constant on
either side has no correlation and counts as 0.
"""

from torch import Tensor

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, View
from ecgzoo_losses._common import positive, weights, z_scores


class DIST(Loss):
    """One minus the correlation of probabilities, over classes and over the records of a batch (of one process).

    Args:
        student: the network that learns.
        teacher: the network it learns from.
        data: the training records.
        beta: β, weight of the correlation over classes.
        gamma: γ, weight of the correlation over records.
        temperature: T.

    Raises:
        RecipeError: a temperature that is not positive, a negative weight, or both weights 0.
    """

    requires = frozenset({"student.logits", "teacher.logits"})

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        data: DataInfo,
        *,
        beta: float = 1.0,
        gamma: float = 1.0,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(student, teacher, data)
        self.temperature = positive("dist", "temperature", temperature)
        self.beta, self.gamma = weights("dist", {"beta": beta, "gamma": gamma})

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The weighted sum, times T², of logits ``[B, C]``."""
        s = (student.logits / self.temperature).sigmoid()
        t = (teacher.logits / self.temperature).sigmoid()
        inter, intra = (self.temperature**2 * x for x in (_uncorrelated(s, t), _uncorrelated(s.T, t.T)))
        self.extras = {"inter": inter, "intra": intra}
        return self.beta * inter + self.gamma * intra


def _uncorrelated(a: Tensor, b: Tensor) -> Tensor:
    """Mean over rows of one minus their correlation."""
    z_a, z_b = z_scores(a), z_scores(b)
    defined = z_a.any(1) & z_b.any(1)
    return ((1 - (z_a * z_b).mean(1)) * defined).mean()
