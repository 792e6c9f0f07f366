"""InceptionTime (Ismail Fawaz et al., arXiv 1909.04939) as in the PTB-XL benchmark.

These details give the published parameter counts: the first module has a bottleneck too, the shortcut around every
three modules is a 1-convolution with batch norm even if widths are equal, and no convolution has a bias. The kernels
39/19/9 are the benchmark's 40/20/10, made odd.
"""

import torch
from torch import nn

from ecgzoo.backbones._base import Backbone
from ecgzoo.backbones._blocks import Conv, MaxPool, Residual, conv_norm
from ecgzoo.backbones._head import BENCHMARK_HIDDEN_SIZE, benchmark_head

FILTERS = 32  # of each branch, and of the bottleneck
KERNEL_SIZES = (39, 19, 9)
WIDTH = FILTERS * (len(KERNEL_SIZES) + 1)
MODULES_PER_STAGE = 3


class InceptionModule(nn.Module):
    """Three kernel sizes after one bottleneck, and a max-pool branch, concatenated: ``-> [B, WIDTH, 1, T]``."""

    def __init__(self, in_width: int) -> None:
        super().__init__()
        self.bottleneck = Conv(in_width, FILTERS, 1, bias=False)
        self.convs = nn.ModuleList(
            Conv(FILTERS, FILTERS, kernel_size, padding=kernel_size // 2, bias=False) for kernel_size in KERNEL_SIZES
        )
        self.pool = nn.Sequential(MaxPool(stride=1), Conv(in_width, FILTERS, 1, bias=False))
        self.norm_relu = nn.Sequential(nn.BatchNorm2d(WIDTH), nn.ReLU(inplace=True))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, in_width, 1, T] -> [B, WIDTH, 1, T]``."""
        narrow = self.bottleneck(x)
        out: torch.Tensor = self.norm_relu(torch.cat([*(conv(narrow) for conv in self.convs), self.pool(x)], dim=1))
        return out


class Inception1d(Backbone):
    """Two stages of three Inception modules each, all at the full rate."""

    def __init__(self, num_leads: int, num_classes: int, *, drop_rate: float) -> None:
        stages = []
        for in_width in (num_leads, WIDTH):
            modules = [InceptionModule(width) for width in (in_width, *[WIDTH] * (MODULES_PER_STAGE - 1))]
            stages.append(Residual(nn.Sequential(*modules), conv_norm(in_width, WIDTH, 1)))
        super().__init__(
            nn.Identity(),
            stages,
            [(WIDTH, 1)] * len(stages),
            benchmark_head(WIDTH, drop_rate),
            head_hidden_size=BENCHMARK_HIDDEN_SIZE,
            num_classes=num_classes,
        )


def inception1d(num_leads: int, num_classes: int, *, drop_rate: float = 0.5) -> Inception1d:
    """Inception1d of depth 6. `drop_rate` is the last dropout of the head; the first is half of it."""
    return Inception1d(num_leads, num_classes, drop_rate=drop_rate)
