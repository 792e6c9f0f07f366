"""Batch norms are merged only where the merged network is known to compute the same."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ecgzoo import EcgModel, ModelConfig, create_model
from ecgzoo.backbones.fold import folded


class Standardized(nn.Conv1d):
    """Weight standardization (arXiv 1903.10520): the weight that convolves is not `weight`."""

    def forward(self, x: Tensor) -> Tensor:
        mean, deviation = self.weight.mean((1, 2), keepdim=True), self.weight.std((1, 2), keepdim=True)
        return F.conv1d(x, (self.weight - mean) / deviation, self.bias, self.stride)


class Third(nn.Module):
    """A network of somebody else, with a convolution and a batch norm in an ``nn.Sequential``."""

    num_features = head_hidden_size = 16
    num_classes = 2
    feature_info = ()

    def __init__(self, conv: nn.Module, norm: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(conv, norm, nn.ReLU())
        self.classifier = nn.Linear(16, 2)

    def forward_features(self, x: Tensor) -> Tensor:
        """Features ``[B, 16, T']``."""
        return self.layers(x)

    def forward_head(self, x: Tensor, pre_logits: bool = False) -> Tensor:
        """Embedding or logits."""
        return x.mean(-1) if pre_logits else self.classifier(x.mean(-1))

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, 2]``."""
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Linear:
        """The last layer."""
        return self.classifier


class Dense(Third):
    """Reads what its convolution gives, before the batch norm."""

    def forward_features(self, x: Tensor) -> Tensor:
        """Features ``[B, 16, T']``."""
        seen = [x := layer(x) for layer in self.layers]
        return seen[0] + seen[-1]


NETWORKS: dict[str, Callable[[], Third]] = {
    "plain": lambda: Third(nn.Conv1d(2, 16, 15, 4), nn.BatchNorm1d(16)),
    "weight standardization": lambda: Third(Standardized(2, 16, 15, 4), nn.BatchNorm1d(16)),
    "spectral norm": lambda: Third(
        nn.utils.parametrizations.spectral_norm(nn.Conv1d(2, 16, 15, 4)), nn.BatchNorm1d(16)
    ),
    "no running statistics": lambda: Third(nn.Conv1d(2, 16, 15, 4), nn.BatchNorm1d(16, track_running_stats=False)),
    "dense": lambda: Dense(nn.Conv1d(2, 16, 15, 4), nn.BatchNorm1d(16)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_of_somebody_else_computes_the_same_when_folded(name: str) -> None:
    torch.manual_seed(0)
    network = NETWORKS[name]()
    for _ in range(20):
        network.train()(1 + 3 * torch.randn(8, 2, 250))  # statistics worth folding
    config = ModelConfig(architecture="third", leads=("I", "II"), num_classes=2, classes=("A", "B"))
    model, signals = EcgModel(network.eval(), config), torch.randn(4, 2, 250)
    with torch.no_grad():
        torch.testing.assert_close(folded(model)(signals), model(signals), rtol=1e-4, atol=1e-5)


def test_every_batch_norm_of_our_residual_networks_is_merged() -> None:
    left = [norm for norm in folded(create_model("resnet1d_wang")).modules() if isinstance(norm, nn.BatchNorm2d)]
    assert left == []
