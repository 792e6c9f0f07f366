"""AT: attention transfer (Zagoruyko & Komodakis, ICLR 2017, arXiv 1612.03928), activation-based.

    A = mean over channels of |F|^p;   AT = 1/B · Σ_b ‖ A_s/‖A_s‖ − A_t/‖A_t‖ ‖²,   norms over time

F is the last feature map. A shows when a network responds, but not how, so the channels do not have to match and the
loss has no parameters. If the maps differ in length, the longer A is average-pooled to the length of the shorter. All
values of A are at least 0, so the loss is between 0 and 2. The paper sums over several layers, and its code uses the
mean over positions and a weight of 1000. Here the loss uses one feature map and the sum over time.
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
        p: the power; larger values give more weight to the largest responses.

    Raises:
        RecipeError: `p` is not a number of at least 1; below 1, the gradient at a feature of 0 is unbounded.
    """

    requires = frozenset({"student.features", "teacher.features"})

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, *, p: float = 2.0) -> None:
        super().__init__(student, teacher, data)
        self.p = positive("at", "p", p)
        if p < 1:
            raise RecipeError(f"at: p is {p}; it must be at least 1")

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The mean over records for features ``[B, num_features, T']``; if a record is all zeros, A is zero."""
        a_s, a_t = same_length(self._attention(student), self._attention(teacher))
        return (F.normalize(a_s, dim=1) - F.normalize(a_t, dim=1)).square().sum(1).mean()

    def _attention(self, view: View) -> Tensor:
        return view.features.abs().pow(self.p).mean(1)  # [B, T']
