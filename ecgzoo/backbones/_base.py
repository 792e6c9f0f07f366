"""Backbone: stem, stages, head and classifier under timm's method names."""

from collections.abc import Sequence

import torch
from torch import nn

from ecgzoo.backbones._blocks import init_kaiming
from ecgzoo.errors import EcgZooError


class Classified(nn.Module):
    """A network with a last layer that can be replaced.

    Attributes:
        classifier: from embedding to logits.
        head_hidden_size: width of the embedding.
        num_classes: number of logits.
    """

    head_hidden_size: int

    def get_classifier(self) -> nn.Linear:
        """The last layer, from embedding to logits."""
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new random one with `num_classes` logits, on the same device.

        Raises:
            EcgZooError: `num_classes` is not positive.
        """
        if num_classes < 1:
            raise EcgZooError(f"num_classes is {num_classes}; a classifier needs at least one class.")
        like = next(self.parameters())
        self.classifier = nn.Linear(self.head_hidden_size, num_classes, device=like.device, dtype=like.dtype)
        self.num_classes = num_classes
        init_kaiming(self.classifier)


class Backbone(Classified):
    """Base class of the built-in networks; the network of a plugin need not inherit from it.

    Args:
        stem: ``[B, leads, 1, T] -> [B, width, 1, T / stride]``.
        stages: applied in turn after the stem.
        stage_info: ``(channels, reduction)`` of each stage's output; reduction is the number of input samples per step.
        head: ``[B, num_features, T'] -> [B, head_hidden_size]``, including dropout.
        head_hidden_size: width of the embedding.
        num_classes: number of logits.

    Attributes:
        num_features: channels of `forward_features`.
        head_hidden_size: width of the embedding that ``forward_head(…, pre_logits=True)`` returns.
        num_classes: number of logits.
        feature_info: one ``{"num_chs", "reduction", "module"}`` per stage, as in timm.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: Sequence[nn.Module],
        stage_info: Sequence[tuple[int, int]],
        head: nn.Module,
        *,
        head_hidden_size: int,
        num_classes: int,
    ) -> None:
        super().__init__()
        self.stem = stem
        self.stages = nn.Sequential(*stages)
        self.head = head
        self.feature_info = [
            {"num_chs": channels, "reduction": reduction, "module": f"stages.{i}"}
            for i, (channels, reduction) in enumerate(stage_info)
        ]
        self.num_features = stage_info[-1][0]
        self.head_hidden_size = head_hidden_size
        init_kaiming(self)
        self.reset_classifier(num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[B, num_classes]`` of signals ``[B, leads, T]``."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Features ``[B, num_features, T']`` of signals ``[B, leads, T]``."""
        inside = x.unsqueeze(2).contiguous(memory_format=torch.channels_last)
        features: torch.Tensor = self.stages(self.stem(inside))
        return features.squeeze(2)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Logits ``[B, num_classes]``, or the embedding ``[B, head_hidden_size]``, of features.

        The embedding is exactly what the classifier reads: its dropout is already applied in training.
        """
        embedding: torch.Tensor = self.head(x)
        return embedding if pre_logits else self.classifier(embedding)
