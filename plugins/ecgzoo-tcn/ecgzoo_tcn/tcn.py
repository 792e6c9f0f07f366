"""A temporal convolutional network (Bai, Kolter, Koltun, arXiv 1803.01271) in one dimension.

The network has residual blocks of two dilated convolutions. The dilation doubles from block to block, so the receptive
field grows exponentially with depth. There are two differences from the paper, because a whole window is classified at
once: convolutions are centred, not causal, and batch norm replaces weight norm.
"""

import torch
from torch import nn

KERNEL_SIZE = 5
DILATIONS = (1, 2, 4, 8)
STEM_KERNEL_SIZE, STEM_STRIDE = 7, 2


def receptive_field() -> int:
    """Number of input samples that affect one position of the last feature map."""
    steps = 1 + sum(2 * (KERNEL_SIZE - 1) * dilation for dilation in DILATIONS)
    return STEM_KERNEL_SIZE + (steps - 1) * STEM_STRIDE


def _conv(in_width: int, out_width: int, dilation: int) -> nn.Sequential:
    """Centred dilated convolution and batch norm, same length: ``[B, in_width, T] -> [B, out_width, T]``."""
    padding = dilation * (KERNEL_SIZE // 2)
    conv = nn.Conv1d(in_width, out_width, KERNEL_SIZE, padding=padding, dilation=dilation, bias=False)
    return nn.Sequential(conv, nn.BatchNorm1d(out_width))


class Block(nn.Module):
    """``relu(x + conv(dropout(relu(conv(x)))))``, both convolutions with the same dilation."""

    def __init__(self, width: int, dilation: int, drop_rate: float) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            _conv(width, width, dilation), nn.ReLU(inplace=True), nn.Dropout(drop_rate), _conv(width, width, dilation)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, width, T] -> [B, width, T]``."""
        return torch.relu(x + self.branch(x))


class TCN(nn.Module):
    """Stem, dilated blocks, mean over time and classifier, with ecgzoo's method names.

    Attributes:
        num_features: channels of `forward_features`.
        head_hidden_size: width of the embedding; the same.
        num_classes: number of logits.
        feature_info: channels, input samples per feature step, and module name of each block.
    """

    def __init__(self, num_leads: int, num_classes: int, *, width: int, drop_rate: float) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(num_leads, width, STEM_KERNEL_SIZE, STEM_STRIDE, padding=STEM_KERNEL_SIZE // 2, bias=False),
            nn.BatchNorm1d(width),
            nn.ReLU(inplace=True),
        )
        self.blocks = nn.Sequential(*(Block(width, dilation, drop_rate) for dilation in DILATIONS))
        self.num_features = self.head_hidden_size = width
        self.feature_info = [
            {"num_chs": width, "reduction": STEM_STRIDE, "module": f"blocks.{number}"}
            for number in range(len(DILATIONS))
        ]
        self.reset_classifier(num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits ``[B, num_classes]`` of signals ``[B, leads, T]``."""
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Features ``[B, num_features, ceil(T / 2)]`` of signals ``[B, leads, T]``."""
        features: torch.Tensor = self.blocks(self.stem(x))
        return features

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Logits ``[B, num_classes]``, or the embedding ``[B, head_hidden_size]``, of features."""
        embedding = x.mean(dim=-1)
        return embedding if pre_logits else self.classifier(embedding)

    def get_classifier(self) -> nn.Linear:
        """The last layer, from embedding to logits."""
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the classifier by a new one with `num_classes` logits."""
        like = next(self.parameters())
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.head_hidden_size, num_classes, device=like.device, dtype=like.dtype)


def tcn_small(num_leads: int, num_classes: int, *, drop_rate: float = 0.1) -> TCN:
    """64 channels. `drop_rate` is the dropout rate inside the blocks."""
    return TCN(num_leads, num_classes, width=64, drop_rate=drop_rate)


def tcn_base(num_leads: int, num_classes: int, *, drop_rate: float = 0.1) -> TCN:
    """128 channels. `drop_rate` is the dropout rate inside the blocks."""
    return TCN(num_leads, num_classes, width=128, drop_rate=drop_rate)
