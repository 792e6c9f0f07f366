"""SimKD: the reused teacher classifier (Chen et al., CVPR 2022, arXiv 2203.14001), for a plain student.

The paper aligns the student's features with the teacher's by a projector P, and then puts the teacher's own
classifier on top of P; projector and teacher's classifier stay in the student for good. Only the student's weights
are published here, so P is affine and acts on the embedding e. Then the composition is itself a linear classifier on
the student's embedding,

    W_t (P e_s) + b_t = (W_t A) e_s + (W_t b + b_t)   with   P e = A e + b,

which the student's own last layer can be, exactly. It learns to be it by a second term:

    SimKD = MSE(P e_s, e_t) + fit · MSE(s, stopgrad[ W_t (P e_s) + b_t ])

s are the student's logits; means are over records and dimensions. The paper's: the projector, the first term, the
reused W_t and b_t. Ours: an affine P after pooling, where theirs is three convolutions before it, and the second
term.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, RecipeError, View
from ecgzoo_losses._common import positive


class SimKD(Loss):
    """The student's embedding onto the teacher's, and the student's classifier onto the teacher's through that map.

    Args:
        student: the network that learns.
        teacher: the network it learns from; its last layer is copied.
        data: the training records.
        fit: weight of the second term.

    Raises:
        RecipeError: no teacher, one whose last layer is not linear, or `fit` is not positive.
    """

    requires = frozenset({"student.embedding", "student.logits", "teacher.embedding"})
    weight: Tensor
    bias: Tensor

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, *, fit: float = 1.0) -> None:
        super().__init__(student, teacher, data)
        if teacher is None or not isinstance(teacher.classifier, nn.Linear):
            raise RecipeError("simkd reuses a teacher's classifier; give a teacher whose last layer is linear")
        self.fit = positive("simkd", "fit", fit)  # at 0 the student's classifier would learn nothing
        self.projector = nn.Linear(student.head_hidden_size, teacher.head_hidden_size)
        weight, bias = teacher.classifier.weight.detach(), teacher.classifier.bias
        # in no checkpoint: the teacher brings them to a run that goes on
        self.register_buffer("weight", weight.clone(), persistent=False)
        self.register_buffer("bias", torch.zeros(len(weight)) if bias is None else bias.detach().clone(), False)

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """Both terms for embeddings ``[B, D]`` and logits ``[B, C]``."""
        projected = self.projector(student.embedding)
        align = F.mse_loss(projected, teacher.embedding)
        reused = F.linear(projected.detach(), self.weight, self.bias)
        fit = F.mse_loss(student.logits, reused)
        self.extras = {"align": align, "fit": fit}
        return align + self.fit * fit
