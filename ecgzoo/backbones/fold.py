"""Merge batch norms into the convolutions before them: the same outputs in eval mode, with fewer operations."""

from copy import deepcopy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """A frozen copy of `network` in eval mode, with each batch norm merged into the convolution before it."""
    copy = deepcopy(network).eval().requires_grad_(False)
    for sequence in [module for module in copy.modules() if type(module) is nn.Sequential]:
        for number in range(len(sequence) - 1):
            conv, norm = sequence[number], sequence[number + 1]
            if isinstance(conv, nn.Conv1d) and isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
                sequence[number], sequence[number + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return copy.requires_grad_(False)
