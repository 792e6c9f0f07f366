"""Merge batch norms into the convolutions before them: the same outputs in eval mode, with fewer operations.

Only those of ecgzoo's own blocks. In another network, a convolution may compute something else from its weight (weight
standardization, parametrizations, hooks), or something else may read its output before the batch norm does.
"""

from copy import deepcopy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ecgzoo.backbones._blocks import Conv

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """A frozen copy of `network` in eval mode, with each batch norm that follows a `Conv` merged into it."""
    copy = deepcopy(network).eval().requires_grad_(False)
    for sequence in [module for module in copy.modules() if type(module) is nn.Sequential]:
        for number in range(len(sequence) - 1):
            conv, norm = sequence[number], sequence[number + 1]
            if isinstance(conv, Conv) and isinstance(norm, nn.BatchNorm2d):
                sequence[number], sequence[number + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return copy.requires_grad_(False)
