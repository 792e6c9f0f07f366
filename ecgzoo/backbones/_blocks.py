"""Convolution blocks shared by several families.

Inside a network a signal is ``[B, C, 1, T]`` with the channels last in memory, because CPUs and tensor cores convolve
this layout without reordering it (``benchmarks/training.py``). Weights have the shape of ``nn.Conv1d``.
"""

import torch
from torch import nn
from torch.nn import functional as F


class Conv(nn.Conv1d):
    """``nn.Conv1d`` on ``[B, C, 1, T]``."""

    def _conv_forward(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """``[B, in_channels, 1, T] -> [B, out_channels, 1, T']``."""
        padding = self.padding[0]
        assert isinstance(padding, int)  # never a string such as "same": int8 runtimes mishandle it
        out = F.conv2d(
            x,
            weight.unsqueeze(2),
            bias,
            (1, self.stride[0]),
            (0, padding),
            (1, self.dilation[0]),
            self.groups,
        )
        # with one channel both layouts look the same, and torch would assume channels first
        return out.contiguous(memory_format=torch.channels_last) if self.in_channels == 1 else out


def conv_norm(in_width: int, out_width: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, then batch norm: ``[B, in_width, 1, T] -> [B, out_width, 1, ceil(T / stride)]``.

    `kernel_size` must be odd, so that padding by half of it is symmetric.
    """
    conv = Conv(in_width, out_width, kernel_size, stride, padding=kernel_size // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_width))


def conv_norm_relu(in_width: int, out_width: int, kernel_size: int, stride: int = 1) -> nn.Sequential:
    """`conv_norm`, then ReLU."""
    return conv_norm(in_width, out_width, kernel_size, stride).append(nn.ReLU(inplace=True))


def basic_branch(in_width: int, width: int, kernel_sizes: tuple[int, int], stride: int) -> nn.Sequential:
    """The two convolutions of a basic residual block; the first has the stride."""
    first, second = kernel_sizes
    return nn.Sequential(conv_norm_relu(in_width, width, first, stride), conv_norm(width, width, second))


def bottleneck_branch(in_width: int, width: int, out_width: int, kernel_size: int, stride: int) -> nn.Sequential:
    """The 1, `kernel_size`, 1 convolutions of a bottleneck residual block; the middle one has the stride."""
    return nn.Sequential(
        conv_norm_relu(in_width, width, 1),
        conv_norm_relu(width, width, kernel_size, stride),
        conv_norm(width, out_width, 1),
    )


class Residual(nn.Module):
    """``relu(branch(x) + shortcut(x))``."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module) -> None:
        super().__init__()
        self.branch = branch
        self.shortcut = shortcut
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, in_width, 1, T] -> [B, out_width, 1, T']``."""
        out: torch.Tensor = self.relu(self.branch(x) + self.shortcut(x))
        return out


def projection_shortcut(in_width: int, out_width: int, stride: int) -> nn.Module:
    """The shortcut of the classic ResNet: a strided 1-convolution if shapes differ, else the identity."""
    return nn.Identity() if (in_width, stride) == (out_width, 1) else conv_norm(in_width, out_width, 1, stride)


class MaxPool(nn.Module):
    """Maximum of three neighbours. As ``nn.MaxPool1d(3, stride, padding=1)``, but torch.export allows any length."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, C, 1, T] -> [B, C, 1, ceil(T / stride)]``."""
        return F.max_pool2d(x, (1, 3), stride=(1, self.stride), padding=(0, 1))


class PairMean(nn.Module):
    """Mean of each pair of samples. As ``nn.AvgPool1d(2, ceil_mode=True)``, but torch.export allows any length."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, C, 1, T] -> [B, C, 1, ceil(T / 2)]``; if T is odd, the last sample is kept as it is."""
        # not F.pad(mode="replicate"): its backward under torch.compile fails on channels last (torch 2.15)
        return F.avg_pool2d(torch.cat([x, x[..., -1:]], dim=-1), (1, 2))


def init_kaiming(module: nn.Module) -> None:
    """He-normal weights and zero biases in every convolution and linear layer of `module`."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv1d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
