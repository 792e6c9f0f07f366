"""FitNet: hints of the teacher's feature map (Romero et al., ICLR 2015, arXiv 1412.6550).

    FitNet = mean over records, channels and time of ( r(F_s) − F_t )²

F_s and F_t are the last feature maps and r is a learned regressor, a convolution with kernel 1 from the student's
channels to the teacher's. Teacher and student see the same crop, so the maps cover the same time; if they differ in
length, the longer one is average-pooled to the length of the shorter. The paper uses a middle layer and trains on this
loss before the others. Here it is used together with the other losses, on the last feature map.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from ecgzoo import Batch, DataInfo, Loss, ModelInfo, View
from ecgzoo_losses._common import same_length


class FitNet(Loss):
    """Mean squared error of the student's regressed features from the teacher's.

    Args:
        student: the network that learns.
        teacher: the network it learns from.
        data: the training records.

    Raises:
        RecipeError: no teacher.
    """

    requires = frozenset({"student.features", "teacher.features"})

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo) -> None:
        super().__init__(student, teacher, data)
        assert teacher is not None  # the line above raises an error otherwise
        self.regressor = nn.Conv1d(student.num_features, teacher.num_features, kernel_size=1)

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The mean square of features ``[B, num_features, T']``, in the teacher's units squared."""
        # pooling and the regressor commute, and the shorter map costs less
        s, t = same_length(student.features, teacher.features)
        return F.mse_loss(self.regressor(s), t)
