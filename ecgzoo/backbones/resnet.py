"""The classic ResNet (He et al., arXiv 1512.03385) in one dimension.

Stem with kernel 7, stride 2 and max-pool, widths 64/128/256/512 (times 4 after a bottleneck), kernel 3, projection
shortcuts, mean pooling and one linear layer. A bottleneck has its stride in the middle convolution. ResNet1d-18 has
about 3.85 M parameters because it uses plain mean pooling; the PTB-XL benchmark's head would add 0.14 M.
"""

from torch import nn

from ecgzoo.backbones._base import Backbone
from ecgzoo.backbones._blocks import (
    MaxPool,
    Residual,
    basic_branch,
    bottleneck_branch,
    conv_norm_relu,
    projection_shortcut,
)
from ecgzoo.backbones._head import MeanPool

EXPANSION = 4  # of a bottleneck block


class ResNet1d(Backbone):
    """ResNet1d with the given number of blocks in each of its four stages."""

    def __init__(
        self, num_leads: int, num_classes: int, depths: tuple[int, ...], *, bottleneck: bool, drop_rate: float
    ) -> None:
        stages: list[nn.Module] = []
        stage_info = []
        in_width = 64
        for width, depth, stage_stride in zip((64, 128, 256, 512), depths, (1, 2, 2, 2), strict=True):
            out_width = width * EXPANSION if bottleneck else width
            blocks = []
            for stride in (stage_stride, *[1] * (depth - 1)):
                branch = (
                    bottleneck_branch(in_width, width, out_width, 3, stride)
                    if bottleneck
                    else basic_branch(in_width, width, (3, 3), stride)
                )
                blocks.append(Residual(branch, projection_shortcut(in_width, out_width, stride)))
                in_width = out_width
            stages.append(nn.Sequential(*blocks))
            stage_info.append((out_width, 4 * width // 64))
        super().__init__(
            nn.Sequential(conv_norm_relu(num_leads, 64, 7, stride=2), MaxPool(stride=2)),
            stages,
            stage_info,
            nn.Sequential(MeanPool(), nn.Dropout(drop_rate)),
            head_hidden_size=in_width,
            num_classes=num_classes,
        )


def resnet1d18(num_leads: int, num_classes: int, *, drop_rate: float = 0.0) -> ResNet1d:
    """ResNet1d-18: basic blocks [2, 2, 2, 2]. `drop_rate` is the dropout before the classifier."""
    return ResNet1d(num_leads, num_classes, (2, 2, 2, 2), bottleneck=False, drop_rate=drop_rate)


def resnet1d34(num_leads: int, num_classes: int, *, drop_rate: float = 0.0) -> ResNet1d:
    """ResNet1d-34: basic blocks [3, 4, 6, 3]. `drop_rate` as in `resnet1d18`."""
    return ResNet1d(num_leads, num_classes, (3, 4, 6, 3), bottleneck=False, drop_rate=drop_rate)


def resnet1d50(num_leads: int, num_classes: int, *, drop_rate: float = 0.0) -> ResNet1d:
    """ResNet1d-50: bottleneck blocks [3, 4, 6, 3]. `drop_rate` as in `resnet1d18`."""
    return ResNet1d(num_leads, num_classes, (3, 4, 6, 3), bottleneck=True, drop_rate=drop_rate)
