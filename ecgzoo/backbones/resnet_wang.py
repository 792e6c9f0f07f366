"""ResNet1d of Wang, Yan and Oates (arXiv 1611.06455) as in the PTB-XL benchmark (doi:10.1109/jbhi.2020.3022989).

These details give the published parameter counts: every layer is 128 wide, the stem has kernel 7 and neither stride nor
pool, each of the three stages is one basic block with kernels 5 and 3, and only the two blocks with a stride have a
convolution in their shortcut.
"""

from ecgzoo.backbones._base import Backbone
from ecgzoo.backbones._blocks import Residual, basic_branch, conv_norm_relu, projection_shortcut
from ecgzoo.backbones._head import BENCHMARK_HIDDEN_SIZE, benchmark_head

WIDTH = 128


class ResNet1dWang(Backbone):
    """Three wide residual blocks at full, half and quarter rate."""

    def __init__(self, num_leads: int, num_classes: int, *, drop_rate: float) -> None:
        super().__init__(
            conv_norm_relu(num_leads, WIDTH, 7),
            [
                Residual(basic_branch(WIDTH, WIDTH, (5, 3), stride), projection_shortcut(WIDTH, WIDTH, stride))
                for stride in (1, 2, 2)
            ],
            [(WIDTH, reduction) for reduction in (1, 2, 4)],
            benchmark_head(WIDTH, drop_rate),
            head_hidden_size=BENCHMARK_HIDDEN_SIZE,
            num_classes=num_classes,
        )


def resnet1d_wang(num_leads: int, num_classes: int, *, drop_rate: float = 0.5) -> ResNet1dWang:
    """Wang's ResNet1d. `drop_rate` is the last dropout of the head; the first is half of it."""
    return ResNet1dWang(num_leads, num_classes, drop_rate=drop_rate)
