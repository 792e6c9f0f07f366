"""SimKD: the reused teacher classifier (Chen et al., CVPR 2022, arXiv 2203.14001), for a plain student.

The paper aligns the student's features with the teacher's by a projector P, and then applies the teacher's classifier
to the output of P. The projector and the teacher's classifier become a permanent part of the student. Here only the
student's weights are published, so P is affine and acts on the embedding e. The composition is then a linear classifier
on the student's embedding,

    W_t (P e_s) + b_t = (W_t A) e_s + (W_t b + b_t)   with   P e = A e + b,

which the student's own last layer can represent exactly. A second term trains it to do so:

    SimKD = MSE(P e_s, e_t) + fit · MSE(s, stopgrad[ W_t (P e_s) + b_t ])

s are the student's logits; means are over records and dimensions. From the paper: the projector, the first term, the
reused W_t and b_t. Ours: the second term, and an affine P after pooling (the paper has three convolutions before
pooling).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, RecipeError, View
from ecgzoo_losses._common import positive


class SimKD(Loss):
    """Fits the teacher's embedding by a projector, and the teacher's classifier by the student's own.

    Args:
        student: the network that learns.
        teacher: the network it learns from; its last layer is copied.
        data: the training records.
        fit: weight of the second term.

    Raises:
        RecipeError: no teacher, a teacher whose last layer is not linear, or a `fit` that is not positive.
    """

    # not read, but it says that the teacher's classes are those of the student
    requires = frozenset({"student.embedding", "student.logits", "teacher.embedding", "teacher.logits"})
    weight: Tensor
    bias: Tensor

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, *, fit: float = 1.0) -> None:
        super().__init__(student, teacher, data)
        if teacher is None or not isinstance(teacher.classifier, nn.Linear):
            raise RecipeError("simkd reuses the teacher's classifier; give a teacher whose last layer is linear")
        self.fit = positive("simkd", "fit", fit)  # at 0 the student's classifier would learn nothing
        self.projector = nn.Linear(student.head_hidden_size, teacher.head_hidden_size)
        weight, bias = teacher.classifier.weight.detach(), teacher.classifier.bias
        # not in checkpoints: a resumed run gets them from the teacher
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
