"""DKD: decoupled knowledge distillation (Zhao et al., CVPR 2022, arXiv 2203.08679), in our multi-label form.

The paper shows that softmax distillation of one target class is the binary divergence of target against rest (TCKD)
plus (1 − p_target) times the divergence among the other classes, renormalized (NCKD). Where the teacher is confident,
this factor is close to 0, and the information about the other classes is lost. DKD gives each part its own weight.

Here a record has positive classes P and negative classes N, and each class is a Bernoulli variable, as in MKD:

    TCKD = T²/B · Σ_b Σ_{c∈P} KL( σ(t_c/T) ‖ σ(s_c/T) )
    NCKD = T²/B · Σ_b KL( softmax_N(t/T) ‖ softmax_N(s/T) )
    DKD  = α·TCKD + β·NCKD

From the paper: α, β, T², the split by the labels, and NCKD (identical to the paper's for one positive class). Ours:
TCKD is a binary divergence (present or absent) for each positive class, with the network's own sigmoid instead of one
softmax probability. The softmax over N is compatible with Bernoulli variables: it is the probability of each absent
diagnosis, given that exactly one of them is present. In place of NCKD, MKD has Σ_{c∈N} KL(σ(t_c/T) ‖ σ(s_c/T)). Its
gradient σ(s_c/T) − σ(t_c/T) vanishes where both networks are sure that c is absent; the gradient of NCKD does not.
Neither part depends on the common level of the negative logits, so use `bce` together with this loss. A record with
fewer than two negative classes adds nothing to NCKD.
"""

import torch.nn.functional as F
from torch import Tensor

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, View
from ecgzoo_losses._common import positive, weights


class DKD(Loss):
    """Divergences of the positive classes and among the negative ones, with separate weights.

    Args:
        student: the network that learns.
        teacher: the network it learns from.
        data: the training records.
        alpha: α, weight of the positive classes.
        beta: β, weight of the negative ones.
        temperature: T.

    Raises:
        RecipeError: a temperature that is not positive, a negative weight, or both weights 0.
    """

    requires = frozenset({"student.logits", "teacher.logits", "labels"})

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        data: DataInfo,
        *,
        alpha: float = 1.0,
        beta: float = 8.0,
        temperature: float = 4.0,
    ) -> None:
        super().__init__(student, teacher, data)
        self.temperature = positive("dkd", "temperature", temperature)
        self.alpha, self.beta = weights("dkd", {"alpha": alpha, "beta": beta})

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The weighted sum in nats, times T², of logits ``[B, C]`` and labels ``[B, C]``."""
        s = student.logits / self.temperature
        t = teacher.logits / self.temperature
        positive = batch.labels > 0.5
        bernoulli = t.sigmoid() * (F.logsigmoid(t) - F.logsigmoid(s))
        bernoulli = bernoulli + (-t).sigmoid() * (F.logsigmoid(-t) - F.logsigmoid(-s))
        target = self.temperature**2 * (bernoulli * positive).sum(1).mean()
        # finite, so that 0·(−1e9 − −1e9) is 0 and a record without negatives gives 0
        log_s, log_t = (z.masked_fill(positive, -1e9).log_softmax(1) for z in (s, t))
        non_target = self.temperature**2 * F.kl_div(log_s, log_t, log_target=True, reduction="batchmean")
        self.extras = {"target": target, "non_target": non_target}
        return self.alpha * target + self.beta * non_target
