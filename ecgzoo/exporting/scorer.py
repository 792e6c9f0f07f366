"""Scorer: what an exported file computes, as one graph from millivolts to calibrated probabilities."""

import torch
from torch import Tensor, nn

from ecgzoo.backbones._blocks import Conv
from ecgzoo.backbones.fold import folded
from ecgzoo.model import EcgModel
from ecgzoo.normalization import normalized

LEAST_PROBABILITY = 1e-7  # as in `EcgModel.score`


class Scorer(nn.Module):
    """`EcgModel.score` and the aggregates, without branches on values, so that it can be exported.

    Windows, normalization, network, sigmoid, aggregation over windows, temperature and aggregates are part of it; batch
    norms of ecgzoo's blocks are merged into convolutions. It agrees with `EcgModel.score` to about 1e-6.

    Attributes:
        config: of the model.
    """

    def __init__(self, model: EcgModel) -> None:
        super().__init__()
        self.config = model.config
        self.backbone = _with_plain_convolutions(folded(model.backbone).cpu())
        self.eval()

    def forward(self, signal: Tensor) -> Tensor:
        """Probabilities ``[B, labels]`` of recordings `signal` ``[B, leads, T]`` in mV; T is at least a window."""
        config = self.config
        last = signal.shape[2] - config.window
        starts = torch.arange(0, last + config.stride, config.stride).clamp(max=last)
        windows = signal[:, :, starts[:, None] + torch.arange(config.window)].transpose(1, 2)  # [B, windows, leads, T]
        logits = self.backbone(normalized(windows.flatten(0, 1), config.normalization, config.rate_hz))
        each = logits.sigmoid().unflatten(0, windows.shape[:2])
        p = each.amax(1) if config.aggregation == "max" else each.mean(1)
        if config.temperature != 1:
            logit = p.clamp(min=LEAST_PROBABILITY).log() - (1 - p).clamp(min=LEAST_PROBABILITY).log()
            p = (logit / config.temperature).sigmoid()
        unions = [
            1 - (1 - p[:, [config.classes.index(member) for member in members]]).prod(1, keepdim=True)
            for members in config.aggregates.values()
        ]
        # rounding to integers loses NaN and infinity, which the mean gives back; of a recording shorter than a window
        # the last sample of the first window does not exist, and runtimes refuse it
        lost = signal.mean(2) + signal[:, :, config.window - 1]
        return torch.cat([p, *unions], dim=1) + 0 * lost.mean(1, keepdim=True)


def _with_plain_convolutions(network: nn.Module) -> nn.Module:
    """Replace each `Conv` by an ``nn.Conv2d``: converters expect a weight that is a parameter, not a view of one."""
    for parent in list(network.modules()):
        for name, conv in parent.named_children():
            if isinstance(conv, Conv):
                plain = nn.Conv2d(
                    conv.in_channels,
                    conv.out_channels,
                    (1, conv.kernel_size[0]),
                    (1, conv.stride[0]),
                    (0, int(conv.padding[0])),
                    (1, conv.dilation[0]),
                    conv.groups,
                    bias=conv.bias is not None,
                )
                plain.weight = nn.Parameter(conv.weight.detach().unsqueeze(2), requires_grad=False)
                plain.bias = conv.bias
                setattr(parent, name, plain)
    return network
