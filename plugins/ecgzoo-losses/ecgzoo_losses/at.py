"""AT: attention transfer (Zagoruyko & Komodakis, ICLR 2017, arXiv 1612.03928), activation-based.

    A = mean over channels of |F|^p;   AT = 1/B · Σ_b ‖ A_s/‖A_s‖ − A_t/‖A_t‖ ‖²,   norms over time

F is the last feature map. A says at which moments a network responds and nothing of how, so the channels need not
match and there is nothing to learn; where the maps differ in length, the longer A is average-pooled to the shorter. A
lies in the positive orthant, so the value is between 0 and 2. The paper sums over several layers, and its code takes
the mean over positions and a weight of 1000; here it is the one map that a loss is handed, and the sum over time.
"""

import torch.nn.functional as F
from torch import Tensor

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, RecipeError, View
from ecgzoo_losses._common import positive, same_length


class AT(Loss):
    """Squared distance of normalized attention over time.

    Args:
        student: the network that learns.
        teacher: the network it learns from.
        data: the training records.
        p: the power; the larger, the more the largest responses count.

    Raises:
        RecipeError: `p` is no number of at least 1; below, the gradient at a feature of 0 has no bound.
    """

    requires = frozenset({"student.features", "teacher.features"})

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, *, p: float = 2.0) -> None:
        super().__init__(student, teacher, data)
        self.p = positive("at", "p", p)
        if p < 1:
            raise RecipeError(f"at: p is {p}; it must be at least 1")

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The mean over records for features ``[B, num_features, T']``; of a record that is all zeros, A is zeros."""
        a_s, a_t = same_length(self._attention(student), self._attention(teacher))
        return (F.normalize(a_s, dim=1) - F.normalize(a_t, dim=1)).square().sum(1).mean()

    def _attention(self, view: View) -> Tensor:
        return view.features.abs().pow(self.p).mean(1)  # [B, T']
