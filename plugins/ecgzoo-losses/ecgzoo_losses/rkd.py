"""RKD: relational knowledge distillation (Park et al., CVPR 2019, arXiv 1904.05068).

    d_ij  = ‖e_i − e_j‖ / (mean of ‖e_i − e_j‖ over the pairs that differ)
    a_ijk = cos ∠(e_i, e_j, e_k) = ⟨e_i − e_j, e_k − e_j⟩ / (‖e_i − e_j‖ ‖e_k − e_j‖)
    RKD   = distance · mean_ij Huber(d_ij of s, d_ij of t) + angle · mean_ijk Huber(a_ijk of s, a_ijk of t)

e are the embeddings of a batch. Only the relations between records are compared, so the two sides may differ in width.
The means are over all B² pairs and B³ triples, including pairs of a record with itself, as in the paper's code. Two
records with equal embeddings have no direction: their cosines are 0 and give no gradient.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, View
from ecgzoo_losses._common import relative_distances, weights


class RKD(Loss):
    """Distances and angles among the records of a batch (of one process). The angles need memory of B³ and B²·D.

    Args:
        student: the network that learns.
        teacher: the network it learns from.
        data: the training records.
        distance: weight of the distances.
        angle: weight of the angles; at 0 they are not computed.

    Raises:
        RecipeError: a weight that is negative or not a number, or both weights 0.
    """

    requires = frozenset({"student.embedding", "teacher.embedding"})

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        data: DataInfo,
        *,
        distance: float = 25.0,
        angle: float = 50.0,
    ) -> None:
        super().__init__(student, teacher, data)
        self.distance, self.angle = weights("rkd", {"distance": distance, "angle": angle})

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The weighted sum for embeddings ``[B, D]``; 0 for a batch of one record."""
        s, t = student.embedding, teacher.embedding
        others = ~torch.eye(len(s), dtype=torch.bool, device=s.device)
        distance = F.smooth_l1_loss(relative_distances(s, others), relative_distances(t, others))
        self.extras = {"distance": distance}
        if self.angle == 0:
            return self.distance * distance
        angle = F.smooth_l1_loss(_cosines(s), _cosines(t))
        self.extras = {"distance": distance, "angle": angle}
        return self.distance * distance + self.angle * angle


def _cosines(e: Tensor) -> Tensor:
    """``[B, B, B]``: the entry ``[j, i, k]`` is the cosine of the angle at record j between i and k."""
    difference = e[None] - e[:, None]
    length = difference.norm(dim=2, keepdim=True)
    direction = difference / torch.where(length > 0, length, 1.0) * (length > 0)
    cosines: Tensor = direction @ direction.transpose(1, 2)
    return cosines
