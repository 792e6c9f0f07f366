"""Scorer: what an exported file computes, as one graph from millivolts to calibrated probabilities."""

import torch
from torch import Tensor, nn

from ecgzoo.backbones.fold import folded
from ecgzoo.model import EcgModel
from ecgzoo.normalization import normalized

LEAST_PROBABILITY = 1e-7  # as in `EcgModel.score`


class Scorer(nn.Module):
    """`EcgModel.score` and the aggregates, without branches on values, so that it can be exported.

    Windows, normalization, network, sigmoid, aggregation over windows, temperature and aggregates are part of it; batch
    norms are merged into convolutions. It agrees with `EcgModel.score` to about 1e-6.

    Attributes:
        config: of the model.
    """

    def __init__(self, model: EcgModel) -> None:
        super().__init__()
        self.config = model.config
        self.backbone = folded(model.backbone).cpu()
        self.eval()

    def forward(self, signal: Tensor) -> Tensor:
        """Probabilities ``[B, labels]`` of recordings `signal` ``[B, leads, T]`` in mV; T is at least a window."""
        config = self.config
        last = signal.shape[2] - config.window
        # clamped as a tensor: so the last index of a recording that is too short is invalid, and runtimes refuse it
        latest = torch.full((), last).clamp(min=0)
        starts = torch.arange(0, last + config.stride, config.stride).minimum(latest)
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
        return torch.cat([p, *unions], dim=1)
