"""MLD: multi-label knowledge distillation with label-wise embeddings (L2D; Yang et al., ICCV 2023, arXiv 2308.06453).

    e[b, c] = Σ_t softmax_t( q_c·k_t / √d ) v_t        k, v: linear in the feature map; q_c: one query per class
    MLD = logit · MKD(s, t) + class_aware · CD + instance_aware · ID
          + readout · ( BCE(w_c·e_s + b_c, y) + BCE(w_c·e_t + b_c, y) )
    CD  = mean over classes c, mean over pairs i, j of records that have c,
          Huber( ‖e_s[i, c] − e_s[j, c]‖/μ_s, ‖e_t[i, c] − e_t[j, c]‖/μ_t )
    ID  = mean over records b, mean over pairs i, j of classes that b has,
          Huber( ‖e_s[b, i] − e_s[b, j]‖/μ_s, ‖e_t[b, i] − e_t[b, j]‖/μ_t )

Classes and records without a pair are left out. If there is no pair at all, CD or ID is 0. μ_s and μ_t are the mean
distances of each side, over all pairs of CD or of ID.

From the paper: MKD at temperature 1 (its one-versus-all term), CD, ID, Huber, distances in units of their mean. Ours:
(1) The paper's networks end in a label-wise encoder and ecgzoo's do not, so the loss has one for each side. The
read-outs w, b with BCE make e[b, c] specific to class c. Both encoders are trained here; neither is published. (2) μ is
the mean over all pairs, not within each class or record: otherwise the only pair of a record with two diagnoses would
always have distance 1 and teach nothing, and few ECGs have three diagnoses. (3) Means replace the sums over the batch.
In these units, relative to the mean BCE, the paper's weights for COCO (CD 100, ID 1000 on sums) are about 2.5 and 25,
which are the defaults.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, RecipeError, View, create_loss
from ecgzoo_losses._common import positive, relative_distances, weights


class LabelWise(nn.Module):
    """Maps a feature map ``[B, channels, T']`` to an embedding per class and a logit for each."""

    def __init__(self, channels: int, num_classes: int, size: int) -> None:
        super().__init__()
        self.query = nn.Parameter(torch.randn(num_classes, size))
        self.key = nn.Conv1d(channels, size, kernel_size=1, bias=False)  # the softmax over time would cancel a bias
        self.value = nn.Conv1d(channels, size, kernel_size=1)
        self.readout = nn.Linear(size, num_classes)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings ``[B, C, size]`` and logits ``[B, C]``; each class reads only its own embedding."""
        score = self.query @ self.key(features) / math.sqrt(self.query.shape[1])  # [B, C, T']
        embedding = score.softmax(2) @ self.value(features).transpose(1, 2)
        return embedding, (embedding * self.readout.weight).sum(2) + self.readout.bias


class MLD(Loss):
    """One-versus-all logits, and the structure of label-wise embeddings within classes and within records.

    Args:
        student: the network that learns.
        teacher: the network it learns from.
        data: the training records.
        logit: weight of MKD.
        class_aware: weight of CD.
        instance_aware: weight of ID.
        readout: weight of the read-outs' cross-entropy, on both sides.
        size: width d of a label-wise embedding.

    Raises:
        RecipeError: no teacher, a negative weight, all weights 0 except the read-out's, or a read-out or size that is
            not positive.
    """

    requires = frozenset({"student.logits", "student.features", "teacher.logits", "teacher.features", "labels"})

    def __init__(
        self,
        student: ModelInfo,
        teacher: ModelInfo | None,
        data: DataInfo,
        *,
        logit: float = 1.0,
        class_aware: float = 2.5,
        instance_aware: float = 25.0,
        readout: float = 1.0,
        size: int = 128,
    ) -> None:
        super().__init__(student, teacher, data)
        assert teacher is not None  # the line above raises an error otherwise
        if not isinstance(size, int) or size < 1:
            raise RecipeError(f"mld: size is {size!r}; it must be a whole number of at least 1")
        self.logit, self.class_aware, self.instance_aware = weights(
            "mld", {"logit": logit, "class_aware": class_aware, "instance_aware": instance_aware}
        )
        self.readout = positive("mld", "readout", readout)  # at 0 the embeddings would not depend on the labels
        self.mkd = create_loss("mkd", student, teacher, data)
        self.student_labels = LabelWise(student.num_features, student.num_classes, size)
        self.teacher_labels = LabelWise(teacher.num_features, teacher.num_classes, size)

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The weighted sum for logits ``[B, C]``, features ``[B, num_features, T']`` and labels ``[B, C]``."""
        present = batch.labels > 0.5
        logit = self.mkd(student, teacher, batch)
        e_s, y_s = self.student_labels(student.features)
        e_t, y_t = self.teacher_labels(teacher.features)
        readout = F.binary_cross_entropy_with_logits(y_s, batch.labels)
        readout = readout + F.binary_cross_entropy_with_logits(y_t, batch.labels)
        e_t = e_t.detach()  # the teacher's embeddings are trained only on the labels
        class_aware = _structure(e_s.transpose(0, 1), e_t.transpose(0, 1), present.T)
        instance_aware = _structure(e_s, e_t, present)
        self.extras = {
            "logit": logit,
            "class_aware": class_aware,
            "instance_aware": instance_aware,
            "readout": readout,
        }
        value: Tensor = self.logit * logit + self.readout * readout
        return value + self.class_aware * class_aware + self.instance_aware * instance_aware


def _structure(e_s: Tensor, e_t: Tensor, member: Tensor) -> Tensor:
    """Mean over groups of the mean over their pairs of the Huber loss between relative distances.

    Args:
        e_s: the student's embeddings ``[G, n, d]``.
        e_t: the teacher's.
        member: boolean ``[G, n]``, which of the n belong to the group.
    """
    pairs = member[:, :, None] & member[:, None, :] & ~torch.eye(member.shape[1], dtype=torch.bool, device=e_s.device)
    huber = F.smooth_l1_loss(relative_distances(e_s, pairs), relative_distances(e_t, pairs), reduction="none")
    count = pairs.sum((1, 2))
    mean = (huber * pairs).sum((1, 2)) / count.clamp(min=1)
    return mean.sum() / (count > 0).sum().clamp(min=1)
