"""Training for 8-bit integers: convolutions compute as `ecgzoo.exporting.onnx_int8` will (Jacob et al., 1712.05877).

    x̂ = s · (clip(round(x / s) + z, 0, 255) − z)     s, z from the smallest and largest x of the batch
    ŵ = s · clip(round(w / s), −64, 64)              s = max |w| / 64 of each output channel

The gradient is that of x and w themselves where nothing is clipped. Weights stay in floating point, and so does
evaluation: what is saved is an ordinary network whose numbers suffer less from rounding. Batch norms, which the export
folds into the convolutions, scale whole channels, so they change no ŵ.
"""

from typing import Any

import torch
from torch import Tensor, nn

from ecgzoo.backbones._blocks import Conv
from ecgzoo.errors import RecipeError
from ecgzoo.exporting.onnx_int8 import FLOAT_CONVOLUTIONS, LARGEST_WEIGHT


def rounded_input(x: Tensor) -> Tensor:
    """`x` in 256 steps, of any shape; 0 stays 0."""
    low, high = x.detach().float().aminmax()
    scale = ((high.clamp(min=0) - low.clamp(max=0)) / 255).clamp(min=torch.finfo(torch.float32).tiny)
    zero = (-low.clamp(max=0) / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x.float(), scale, zero, 0, 255).to(x.dtype)


def rounded_weight(weight: Tensor) -> Tensor:
    """`weight` ``[out, …]`` in 129 steps for each output channel."""
    scale = weight.detach().flatten(1).abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / LARGEST_WEIGHT
    zero = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
    return torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -LARGEST_WEIGHT, LARGEST_WEIGHT)


class _Rounded(nn.modules.conv._ConvNd):
    def forward(self, x: Tensor) -> Tensor:
        """As the convolution itself; in training, of rounded input and weights."""
        if self.training:
            return self._conv_forward(rounded_input(x), rounded_weight(self.weight), self.bias)
        plain: Tensor = super().forward(x)
        return plain


class RoundedConv(_Rounded, Conv):
    """`Conv` for training."""


class RoundedConv1d(_Rounded, nn.Conv1d):
    """``nn.Conv1d`` for training, of plugins."""


class RoundedConv2d(_Rounded, nn.Conv2d):
    """``nn.Conv2d`` for training, of timm's networks."""


def round_convolutions(network: nn.Module) -> None:
    """Let the convolutions of `network` that the export makes integers of train as such; the first ones stay.

    Raises:
        RecipeError: there are none.
    """
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.modules.conv._ConvNd)]
    kinds: dict[type[nn.Module], Any] = {Conv: RoundedConv, nn.Conv1d: RoundedConv1d, nn.Conv2d: RoundedConv2d}
    behind = [layer for layer in convolutions[FLOAT_CONVOLUTIONS:] if type(layer) in kinds]
    if not behind:
        raise RecipeError(
            f"quantization_aware has no effect: expected convolutions of torch behind the first {FLOAT_CONVOLUTIONS}, "
            "this network has none. Leave it out, or use another student."
        )
    for layer in behind:
        layer.__class__ = kinds[type(layer)]  # same parameters, another forward
