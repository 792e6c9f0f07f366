"""Architectures of timm for signals: each two-dimensional layer becomes the one that it is on a signal of height 1.

Inside, a signal is ``[B, C, 1, T]``. A ``k×k`` kernel whose padding keeps height 1 meets the signal with one row only,
the middle one, so the layer becomes ``1×k`` with this row: `to_1d` is exact. A layer that has no padding along height
cannot run on height 1. It becomes what it does to a signal that is repeated along height: the sum of the rows. Norms,
gates, attention and heads stay as they are; no architecture is copied.

``timm.json`` lists the architectures for which this works (``python -m benchmarks.timm_names`` writes it).
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any, Literal, cast

import torch
from huggingface_hub import constants
from torch import Tensor, nn
from torch.nn import functional as F

from ecgzoo.backbones import TIMM
from ecgzoo.backbones._base import Classified
from ecgzoo.errors import RegistryError, WeightsError, no_timm
from ecgzoo.offline import offline

try:
    import timm
    from timm.layers import (
        BlurPool2d,
        Conv2dSame,
        PatchEmbed,
        ScaledStdConv2d,
        ScaledStdConv2dSame,
        StdConv2d,
        StdConv2dSame,
    )
    from timm.layers.padding import pad_same
    from timm.layers.pool2d_same import AvgPool2dSame, MaxPool2dSame
except Exception as error:  # a torchvision that was built for another torch raises a RuntimeError
    raise RegistryError(no_timm(error)) from error

Rows = Literal["middle", "sum"]
Pair = tuple[int, int]

_STANDARDIZED = (StdConv2d, StdConv2dSame, ScaledStdConv2d, ScaledStdConv2dSame)
_SAME = (Conv2dSame, AvgPool2dSame, MaxPool2dSame)


class StandardizedRow(nn.Module):
    """A convolution whose ``k×k`` weight is standardized (BiT, NFNet), and then reduced to ``1×k``."""

    gain: Tensor | None

    def __init__(self, conv: Any, row: int | None) -> None:
        super().__init__()
        self.row, self.eps = row, conv.eps
        self.scale: float = getattr(conv, "scale", 1.0)
        self.same, self.padding = getattr(conv, "same_pad", False), (0, conv.padding[1])
        self.stride, self.dilation, self.groups = [1, conv.stride[1]], [1, conv.dilation[1]], conv.groups
        self.weight, self.bias = conv.weight, conv.bias
        self.register_parameter("gain", getattr(conv, "gain", None))

    def forward(self, x: Tensor) -> Tensor:
        """``[B, in_channels, 1, T] -> [B, out_channels, 1, T']``."""
        gain = None if self.gain is None else (self.gain * self.scale).flatten()
        flat = self.weight.reshape(1, self.weight.shape[0], -1)
        weight = F.batch_norm(flat, None, None, gain, training=True, momentum=0.0, eps=self.eps)
        weight = _reduced(weight.reshape_as(self.weight), self.row)
        if self.same:
            x = pad_same(x, list(weight.shape[-2:]), self.stride, self.dilation)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


def _channels_last(layer: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> Tensor:
    """With one lead, both layouts look the same, and torch would take the other one."""
    return out.contiguous(memory_format=torch.channels_last)


class ScaledPool(nn.Module):
    """An average pool that counts the zeros above and below the signal."""

    def __init__(self, pool: nn.Module, counted: int) -> None:
        super().__init__()
        self.pool, self.counted = pool, counted

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, 1, T] -> [B, C, 1, T']``."""
        out: Tensor = self.pool(x) / self.counted
        return out


class Timm1d(Classified):
    """A network of timm for signals, under the contract of all backbones.

    Args:
        name: what timm calls it.
        num_leads: number of leads.
        num_classes: number of logits.
        rows: which row of a ``k×k`` kernel is used, see `to_1d`.
        **arguments: of timm's network, such as ``drop_rate``.

    Attributes:
        network: timm's network, converted, without classifier.
        features: the identity; hooks see the last feature map here.
        num_prefix_tokens: the first steps of the last feature map that are class tokens of a transformer.
    """

    def __init__(self, name: str, num_leads: int, num_classes: int, rows: Rows, **arguments: Any) -> None:
        super().__init__()
        self.name, self.num_leads, self.rows = name, num_leads, rows
        self.about: dict[str, Any] = TIMM["backbones"][name]
        self.network = self._made(fresh=True, **arguments)
        self.features = nn.Identity()
        self.num_features = int(self.network.num_features)
        self.head_hidden_size = int(self.network.head_hidden_size)
        self.num_prefix_tokens = int(getattr(self.network, "num_prefix_tokens", 0))
        stages = self.network.feature_info if self.about.get("stages") else ()
        self.feature_info = [{**stage, "module": f"network.{stage['module']}"} for stage in stages]
        if not stages or stages[-1]["num_chs"] != self.num_features:
            last = {"num_chs": self.num_features, "reduction": self.about["reduction"], "module": "features"}
            self.feature_info.append(last)
        self.reset_classifier(num_classes)

    def _made(self, fresh: bool, **arguments: Any) -> Any:
        given = {**self.about.get("arguments", {}), **arguments}
        network: Any = timm.create_model(self.name, in_chans=self.num_leads, num_classes=0, **given)
        to_1d(network, self.rows, fresh)
        first = next(layer for layer in network.modules() if isinstance(layer, nn.Conv2d | StandardizedRow))
        first.register_forward_hook(_channels_last)
        return network

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, num_classes]`` of signals ``[B, leads, T]``."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: Tensor) -> Tensor:
        """Features ``[B, num_features, T']`` of signals ``[B, leads, T]``; tokens of a transformer are steps."""
        inside = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        if rest := -x.shape[2] % int(self.about.get("multiple", 1)):
            inside = F.pad(inside, (0, rest))
        out: Tensor = self.network.forward_features(inside)
        layout = self.about.get("layout", "NCHW")
        if layout == "NHWC":
            out = out.squeeze(1)
        features: Tensor = self.features(out.squeeze(2) if layout == "NCHW" else out.transpose(1, 2))
        return features

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits ``[B, num_classes]``, or the embedding ``[B, head_hidden_size]``, of features."""
        layout = self.about.get("layout", "NCHW")
        if layout == "NCHW":
            x = x.unsqueeze(2)
        else:
            x = x.transpose(1, 2)
            x = x.unsqueeze(1) if layout == "NHWC" else x
        embedding: Tensor = self.network.forward_head(x, pre_logits=True).flatten(1)
        return embedding if pre_logits else self.classifier(embedding)

    def start_from(self, start: str) -> str:
        """Load timm's own weights through the same conversion; timm adapts the first layer to the number of leads.

        Args:
            start: ``imagenet``, for the weights that timm takes by default.

        Returns:
            Their name in timm, with its version.

        Raises:
            WeightsError: timm has none for this network, may not download them, or cannot.
        """
        config = timm.get_pretrained_cfg(self.name)
        if config is None or not config.has_weights:
            raise WeightsError(f"timm has no weights of {self.name}; use random ones, or another network.")
        tag = f"{self.name}.{config.tag}" if config.tag else self.name
        if offline() and not constants.HF_HUB_OFFLINE:  # which timm obeys, and which is read when a process starts
            raise WeightsError(
                f"ECGZOO_OFFLINE forbids fetching {tag}; set HF_HUB_OFFLINE=1 too, to take it from the cache, or unset "
                "ECGZOO_OFFLINE."
            )
        try:
            made = self._made(fresh=False, pretrained=True)
        except Exception as error:  # of the Hub's client, of the network, or of the file
            raise WeightsError(
                f"timm cannot load {tag} ({type(error).__name__}: {(str(error).splitlines() or [''])[0][:200]}); check "
                "the network, or download it once where there is one and copy the cache of huggingface_hub."
            ) from error
        self.network.load_state_dict(made.state_dict())
        return f"{tag} of timm {timm.__version__}"


def create(
    name: str,
    num_leads: int,
    num_classes: int,
    *,
    rows: Rows = "middle",
    drop_rate: float = 0.0,
    drop_path_rate: float = 0.0,
) -> Timm1d:
    """The network that timm calls `name`, for signals.

    Args:
        name: what timm calls it.
        num_leads: number of leads.
        num_classes: number of logits.
        rows: ``middle`` or ``sum``, see `to_1d`.
        drop_rate: dropout before the classifier.
        drop_path_rate: share of residual branches left out in training, of networks that have it.

    Raises:
        RegistryError: the installed timm has no such network.
        ValueError: `rows` is neither.
    """
    if rows not in ("middle", "sum"):
        raise ValueError(f"rows is {rows!r}; expected 'middle' or 'sum'")
    if not timm.is_model(name):
        raise RegistryError(
            f"timm {timm.__version__} has no {name}; it is in timm {TIMM['timm']}: pip install --upgrade timm"
        )
    given = {"drop_rate": drop_rate, "drop_path_rate": drop_path_rate}
    return Timm1d(name, num_leads, num_classes, rows, **{what: rate for what, rate in given.items() if rate})


def __getattr__(name: str) -> Callable[..., Timm1d]:
    """The factory of each listed network, so that a spec can name it."""
    if name not in TIMM["backbones"]:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return partial(create, name)


def to_1d(network: nn.Module, rows: Rows = "middle", fresh: bool = False) -> list[str]:
    """Convert each layer of `network` for inputs ``[B, C, 1, T]``, in place.

    Args:
        network: a network of timm, whose inputs were ``[B, C, H, W]``.
        rows: the ``middle`` row of a kernel, which is the one that meets a signal of height 1, or the ``sum`` of all
            rows, as if the signal was repeated along height.
        fresh: whether weights are random. The row of a random kernel is multiplied by the square root of their number,
            so that the variance of its output is what timm intended.

    Returns:
        Names of the layers that have no such row, and became the sum of their rows whatever `rows` says.
    """
    by_rule = []
    padded = set(_after_padding(network))
    for name, layer in list(network.named_modules()):
        if layer in padded:
            continue
        converted, exact = _converted(layer, rows, fresh)
        if not exact:
            by_rule.append(name)
        if converted is not layer:
            parent, _, own = name.rpartition(".")
            setattr(network.get_submodule(parent), own, converted)
    return by_rule


def _after_padding(network: nn.Module) -> Iterator[nn.Module]:
    """Layers whose input an own layer pads along height (BiT's pool): they take height 1 as they are."""
    for sequence in network.modules():
        if isinstance(sequence, nn.Sequential):
            for before, after in pairwise(sequence):
                if isinstance(before, nn.ConstantPad2d) and any(before.padding[2:]):
                    yield after


def _converted(layer: Any, rows: Rows, fresh: bool) -> tuple[nn.Module, bool]:
    """The layer for height 1, and whether it does what `layer` does at height 1."""
    if isinstance(layer, nn.Conv2d | nn.MaxPool2d | nn.AvgPool2d):
        return _converted_window(layer, rows, fresh)
    if isinstance(layer, BlurPool2d):
        pool: Any = layer
        side = pool.padding[0]
        row = _row(pool.filt_size, side, side, pool.stride, 1) if pool.pad_mode == "constant" else None
        pool.filt = _reduced(pool.filt, row if rows == "middle" else None).contiguous()
        pool.padding = [side, side, 0, 0]
        return pool, row is not None
    if isinstance(layer, nn.Upsample) and layer.scale_factor is not None:
        layer.scale_factor = (1.0, _pair(layer.scale_factor)[1])
        return layer, False
    if isinstance(layer, nn.AdaptiveAvgPool2d | nn.AdaptiveMaxPool2d) and _pair(layer.output_size)[0] not in (1, None):
        layer.output_size = (1, _pair(layer.output_size)[1])
        return layer, False
    if isinstance(layer, PatchEmbed) and layer.patch_size:
        layer.patch_size = (1, layer.patch_size[1])
        if layer.img_size is not None:
            layer.img_size = (1, layer.img_size[1])
            layer.grid_size = (1, layer.grid_size[1])
            layer.num_patches = layer.grid_size[1]
        layer.strict_img_size, layer.dynamic_img_pad = False, True  # any length
        return layer, True
    positions = getattr(layer, "pos_embed", None)
    grid = getattr(getattr(layer, "patch_embed", None), "grid_size", None)
    if isinstance(positions, nn.Parameter) and positions.ndim == 3 and grid and grid[0] > 1:
        prefix = positions.shape[1] - grid[0] * grid[1]
        grown = positions.detach()[:, prefix:].reshape(1, *grid, -1).mean(1)
        layer.pos_embed = nn.Parameter(torch.cat([positions.detach()[:, :prefix], grown], 1))
        return layer, False
    return layer, True


def _converted_window(layer: Any, rows: Rows, fresh: bool) -> tuple[nn.Module, bool]:
    """A convolution or pool; `_converted` explains what is returned."""
    kernel = _pair(layer.kernel_size)
    stride = _pair(layer.stride if layer.stride is not None else kernel)
    dilation = _pair(getattr(layer, "dilation", 1))
    if isinstance(layer, _SAME) or getattr(layer, "same_pad", False) or layer.padding == "same":
        before = dilation[0] * (kernel[0] - 1) // 2
        after = dilation[0] * (kernel[0] - 1) - before
    else:
        before = after = 0 if layer.padding == "valid" else _pair(layer.padding)[0]
    row = _row(kernel[0], before, after, stride[0], dilation[0], getattr(layer, "ceil_mode", False))
    kept = row if rows == "middle" else None
    if isinstance(layer, _STANDARDIZED):
        if fresh and kept is not None and hasattr(layer, "gain"):
            cast(nn.Parameter, layer.gain).data.mul_(kernel[0] ** 0.5)
        return StandardizedRow(layer, kept), row is not None
    if isinstance(layer, nn.Conv2d) and kernel[0] > 1:
        weight = layer.weight.detach()
        weight = _reduced(weight, kernel[0] // 2) * kernel[0] ** 0.5 if fresh else _reduced(weight, kept)
        layer.weight = nn.Parameter(weight.contiguous())
    layer.kernel_size, layer.stride = (1, kernel[1]), (1, stride[1])
    if hasattr(layer, "dilation"):
        layer.dilation = (1, dilation[1])
    if not isinstance(layer.padding, str):
        layer.padding = (0, _pair(layer.padding)[1])
    if isinstance(layer, nn.Conv2d) and layer.padding_mode != "zeros":
        layer._reversed_padding_repeated_twice[2:] = [0, 0]
    if isinstance(layer, nn.AvgPool2d) and row is not None and rows == "middle":
        counted = min(kernel[0], 1 + before + after)
        if (layer.count_include_pad and counted > 1) or isinstance(layer, AvgPool2dSame):
            return ScaledPool(layer, counted), True
    return layer, row is not None


def _row(kernel: int, before: int, after: int, stride: int, dilation: int, ceil: bool = False) -> int | None:
    """Which row of a kernel meets a signal of height 1; None if the output would not be of height 1."""
    free = before + after - dilation * (kernel - 1)
    height = (free + (stride - 1 if ceil else 0)) // stride + 1
    if ceil and (height - 1) * stride >= 1 + before:
        height -= 1
    row, rest = divmod(before, dilation)
    return row if height == 1 and rest == 0 and row < kernel else None


def _reduced(weight: Tensor, row: int | None) -> Tensor:
    """One row of a ``k×k`` weight, or with None the sum of all rows, as ``1×k``."""
    return weight.sum(2, keepdim=True) if row is None else weight[:, :, row : row + 1]


def _pair(value: Any) -> Any:
    return tuple(value) if isinstance(value, tuple | list) else (value, value)
