"""Pooling heads: ``[B, num_features, T'] -> embedding [B, head_hidden_size]``, the classifier's input."""

import torch
from torch import nn


class MeanPool(nn.Module):
    """Mean over time, ``[B, C, T] -> [B, C]``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, C, T] -> [B, C]``."""
        return x.mean(dim=-1)


class ConcatPool(nn.Module):
    """Maximum and mean over time, concatenated: ``[B, C, T] -> [B, 2 * C]``."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``[B, C, T] -> [B, 2 * C]``, the maxima first."""
        return torch.cat([x.amax(dim=-1), x.mean(dim=-1)], dim=1)


BENCHMARK_HIDDEN_SIZE = 128


def benchmark_head(num_features: int, drop_rate: float, hidden_size: int = BENCHMARK_HIDDEN_SIZE) -> nn.Sequential:
    """The PTB-XL benchmark's head up to the embedding, `hidden_size` wide.

    Concat pooling → BN → dropout ``drop_rate / 2`` → Linear → ReLU → BN → dropout `drop_rate`.
    """
    return nn.Sequential(
        ConcatPool(),
        nn.BatchNorm1d(2 * num_features),
        nn.Dropout(drop_rate / 2),
        nn.Linear(2 * num_features, hidden_size),
        nn.ReLU(inplace=True),
        nn.BatchNorm1d(hidden_size),
        nn.Dropout(drop_rate),
    )
