"""XResNet1d of the PTB-XL benchmark (Strodthoff et al. 2020, doi:10.1109/jbhi.2020.3022989).

fastai's XResNet ("bag of tricks", He et al., arXiv 1812.01187) in one dimension: a stem of three convolutions, and a
shortcut that averages pairs of samples before its convolution. These details give the published parameter counts: every
stage is 64 wide (256 after a bottleneck's expansion of 4), all convolutions except the 1-wide ones have kernel 5, a
shortcut that keeps its width has no convolution even if it has a stride, no convolution has a bias, and the head is
that of the benchmark.
"""

from torch import nn

from ecgzoo.backbones._base import Backbone
from ecgzoo.backbones._blocks import (
    MaxPool,
    PairMean,
    Residual,
    basic_branch,
    bottleneck_branch,
    conv_norm,
    conv_norm_relu,
)
from ecgzoo.backbones._head import BENCHMARK_HIDDEN_SIZE, benchmark_head

EXPANSION = 4  # of a bottleneck block
STAGE_STRIDES = (1, 2, 2, 2)
STAGE_REDUCTIONS = (4, 8, 16, 32)  # stem and max-pool reduce by 4
TINY_STEM, TINY_WIDTHS, TINY_HIDDEN_SIZE = (16, 16, 32), (32, 40, 48, 48), 64  # 120 kB in 8-bit integers


class XResNet1d(Backbone):
    """XResNet1d with the given number of blocks in each of its four stages."""

    def __init__(
        self, num_leads: int, num_classes: int, depths: tuple[int, ...], *, bottleneck: bool, drop_rate: float
    ) -> None:
        out_width = 64 * EXPANSION if bottleneck else 64
        super().__init__(
            xresnet_stem(num_leads, widths=(32, 32, 64), kernel_size=5),
            xresnet_stages(64, (64,) * 4, depths, kernel_size=5, bottleneck=bottleneck),
            [(out_width, reduction) for reduction in STAGE_REDUCTIONS],
            benchmark_head(out_width, drop_rate),
            head_hidden_size=BENCHMARK_HIDDEN_SIZE,
            num_classes=num_classes,
        )


def xresnet_stem(num_leads: int, widths: tuple[int, int, int], kernel_size: int) -> nn.Sequential:
    """Three convolutions, the first of stride 2, and a max-pool: ``[B, leads, 1, T] -> [B, width, 1, ceil(T / 4)]``."""
    first, second, third = widths
    return nn.Sequential(
        conv_norm_relu(num_leads, first, kernel_size, stride=2),
        conv_norm_relu(first, second, kernel_size),
        conv_norm_relu(second, third, kernel_size),
        MaxPool(stride=2),
    )


def xresnet_stages(
    in_width: int, widths: tuple[int, ...], depths: tuple[int, ...], *, kernel_size: int, bottleneck: bool
) -> list[nn.Module]:
    """Four stages of residual blocks; in all but the first stage, the first block halves the length."""
    stages: list[nn.Module] = []
    for width, depth, stage_stride in zip(widths, depths, STAGE_STRIDES, strict=True):
        blocks = []
        for stride in (stage_stride, *[1] * (depth - 1)):
            blocks.append(_block(in_width, width, kernel_size, stride, bottleneck))
            in_width = width * EXPANSION if bottleneck else width
        stages.append(nn.Sequential(*blocks))
    return stages


def _block(in_width: int, width: int, kernel_size: int, stride: int, bottleneck: bool) -> Residual:
    if bottleneck:
        out_width = width * EXPANSION
        branch = bottleneck_branch(in_width, width, out_width, kernel_size, stride)
    else:
        out_width = width
        branch = basic_branch(in_width, width, (kernel_size, kernel_size), stride)
    *_, last_norm = (layer for layer in branch.modules() if isinstance(layer, nn.BatchNorm2d))
    nn.init.zeros_(last_norm.weight)  # every block starts as its shortcut, as in fastai
    shortcut = nn.Sequential()
    if stride == 2:
        shortcut.append(PairMean())
    if in_width != out_width:
        shortcut.append(conv_norm(in_width, out_width, 1))
    return Residual(branch, shortcut)


def xresnet1d18(num_leads: int, num_classes: int, *, drop_rate: float = 0.5) -> XResNet1d:
    """XResNet1d-18: basic blocks [2, 2, 2, 2]. `drop_rate` is the last dropout of the head; the first is half of it."""
    return XResNet1d(num_leads, num_classes, (2, 2, 2, 2), bottleneck=False, drop_rate=drop_rate)


def xresnet1d34(num_leads: int, num_classes: int, *, drop_rate: float = 0.5) -> XResNet1d:
    """XResNet1d-34: basic blocks [3, 4, 6, 3]. `drop_rate` as in `xresnet1d18`."""
    return XResNet1d(num_leads, num_classes, (3, 4, 6, 3), bottleneck=False, drop_rate=drop_rate)


def xresnet1d50(num_leads: int, num_classes: int, *, drop_rate: float = 0.5) -> XResNet1d:
    """XResNet1d-50: bottleneck blocks [3, 4, 6, 3]. `drop_rate` as in `xresnet1d18`."""
    return XResNet1d(num_leads, num_classes, (3, 4, 6, 3), bottleneck=True, drop_rate=drop_rate)


def xresnet1d101(num_leads: int, num_classes: int, *, drop_rate: float = 0.5) -> XResNet1d:
    """XResNet1d-101: bottleneck blocks [3, 4, 23, 3]. `drop_rate` as in `xresnet1d18`."""
    return XResNet1d(num_leads, num_classes, (3, 4, 23, 3), bottleneck=True, drop_rate=drop_rate)


class XResNet1dTiny(Backbone):
    """XResNet1d for microcontrollers: one narrow basic block in each stage."""

    def __init__(self, num_leads: int, num_classes: int, *, drop_rate: float) -> None:
        super().__init__(
            xresnet_stem(num_leads, widths=TINY_STEM, kernel_size=5),
            xresnet_stages(TINY_STEM[-1], TINY_WIDTHS, (1, 1, 1, 1), kernel_size=5, bottleneck=False),
            list(zip(TINY_WIDTHS, STAGE_REDUCTIONS, strict=True)),
            benchmark_head(TINY_WIDTHS[-1], drop_rate, TINY_HIDDEN_SIZE),
            head_hidden_size=TINY_HIDDEN_SIZE,
            num_classes=num_classes,
        )


def xresnet1d_tiny(num_leads: int, num_classes: int, *, drop_rate: float = 0.5) -> XResNet1dTiny:
    """XResNet1d with basic blocks [1, 1, 1, 1], 32 to 48 wide. `drop_rate` as in `xresnet1d18`."""
    return XResNet1dTiny(num_leads, num_classes, drop_rate=drop_rate)
