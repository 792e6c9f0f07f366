"""The architectures are the published ones: counts, shapes, strides, heads, and a plain forward of xresnet1d18."""

import math
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from ecgzoo import registry
from ecgzoo.backbones import SPECS
from ecgzoo.errors import EcgZooError

NAMES = [spec.name for spec in SPECS]


def build(name: str, num_leads: int = 12, num_classes: int = 5, **arguments: Any) -> Any:
    return registry.factory(registry.get("backbone", name))(num_leads, num_classes, **arguments)


def test_listing_the_networks_imports_no_torch() -> None:
    code = "import sys, ecgzoo.backbones; assert len(ecgzoo.backbones.SPECS) == 14; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "num_leads", "num_classes", "published"),
    [
        ("xresnet1d101", 12, 71, 1_880_775),
        ("xresnet1d101", 1, 5, 1_870_501),
        ("xresnet1d50", 12, 71, 962_503),
        ("xresnet1d34", 12, 71, 703_175),
        ("xresnet1d18", 12, 71, 373_447),
        ("resnet1d_wang", 12, 71, 481_863),
        ("resnet1d_wang", 1, 5, 463_493),
        ("inception1d", 12, 71, 516_167),
        ("inception1d", 1, 5, 505_541),
        ("resnet1d18", 1, 5, 3.85e6),
        ("mvkt_xresnet1d101", 12, 5, 28.3e6),
    ],
)
def test_parameter_count_is_the_published_one(name: str, num_leads: int, num_classes: int, published: float) -> None:
    network = build(name, num_leads, num_classes)
    count = sum(parameter.numel() for parameter in network.parameters())
    assert count == published if isinstance(published, int) else count == pytest.approx(published, rel=2e-3)


@pytest.mark.parametrize(
    ("name", "channels", "reductions", "embedding"),
    [
        ("xresnet1d18", [64] * 4, [4, 8, 16, 32], 128),
        ("xresnet1d101", [256] * 4, [4, 8, 16, 32], 128),
        ("resnet1d_wang", [128] * 3, [1, 2, 4], 128),
        ("inception1d", [128] * 2, [1, 1], 128),
        ("resnet1d18", [64, 128, 256, 512], [4, 8, 16, 32], 512),
        ("resnet1d50", [256, 512, 1024, 2048], [4, 8, 16, 32], 2048),
        ("mvkt_xresnet1d34", [64, 128, 256, 512], [4, 8, 16, 32], 1024),
        ("mvkt_xresnet1d50", [256, 512, 1024, 2048], [4, 8, 16, 32], 4096),
    ],
)
def test_stages_and_embedding(name: str, channels: list[int], reductions: list[int], embedding: int) -> None:
    network = build(name)
    assert [stage["num_chs"] for stage in network.feature_info] == channels
    assert [stage["reduction"] for stage in network.feature_info] == reductions
    assert network.head_hidden_size == embedding


@pytest.mark.parametrize("name", NAMES)
def test_kernels_are_odd_with_explicit_padding_of_half(name: str) -> None:
    for conv in (layer for layer in build(name).modules() if isinstance(layer, nn.Conv1d)):
        (kernel_size,) = conv.kernel_size
        assert kernel_size % 2 == 1
        assert conv.padding == (kernel_size // 2,)
        assert conv.bias is None


@pytest.mark.parametrize(
    ("name", "kernels"),
    [
        ("xresnet1d18", [5] * 4),  # a shortcut averages, it does not stride
        ("xresnet1d50", [5] * 4),
        ("mvkt_xresnet1d50", [3] * 4),
        ("resnet1d_wang", [5, 1, 5, 1]),
        ("inception1d", []),
        ("resnet1d50", [7, 3, 1, 3, 1, 3, 1]),
    ],
)
def test_which_convolutions_stride(name: str, kernels: list[int]) -> None:
    convs = [layer for layer in build(name).modules() if isinstance(layer, nn.Conv1d)]
    assert [conv.kernel_size[0] for conv in convs if conv.stride == (2,)] == kernels
    assert all(conv.stride in ((1,), (2,)) for conv in convs)


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("xresnet1d18", {5: 3 + 2 * 8}),
        ("xresnet1d101", {5: 3 + 33, 1: 2 * 33 + 1}),
        ("resnet1d_wang", {7: 1, 5: 3, 3: 3, 1: 2}),
        ("inception1d", {39: 6, 19: 6, 9: 6, 1: 2 * 6 + 2}),
        ("resnet1d18", {7: 1, 3: 2 * 8, 1: 3}),
        ("mvkt_xresnet1d50", {3: 3 + 16, 1: 2 * 16 + 4}),
    ],
)
def test_how_many_convolutions_of_each_kernel_size(name: str, count: dict[int, int]) -> None:
    sizes = [layer.kernel_size[0] for layer in build(name).modules() if isinstance(layer, nn.Conv1d)]
    assert Counter(sizes) == count


@pytest.mark.parametrize("name", ["xresnet1d18", "resnet1d_wang", "inception1d"])
def test_head_is_the_benchmarks(name: str) -> None:
    network = build(name)
    _pool, *layers = network.head
    kinds = [nn.BatchNorm1d, nn.Dropout, nn.Linear, nn.ReLU, nn.BatchNorm1d, nn.Dropout]
    assert [type(layer) for layer in layers] == kinds
    assert [layer.p for layer in layers if isinstance(layer, nn.Dropout)] == [0.25, 0.5]
    features = torch.randn(2, network.num_features, 9)
    pooled = torch.cat([features.max(dim=-1).values, features.mean(dim=-1)], dim=1)
    assert torch.equal(network.head[0](features), pooled)


@pytest.mark.parametrize(
    ("name", "rates"), [("xresnet1d34", [0.1, 0.2]), ("resnet1d34", [0.2]), ("mvkt_xresnet1d18", [0.2])]
)
def test_drop_rate_reaches_the_head(name: str, rates: list[float]) -> None:
    network = build(name, drop_rate=0.2)
    assert [layer.p for layer in network.modules() if isinstance(layer, nn.Dropout)] == rates


@pytest.mark.parametrize(
    ("name", "blocks"),
    [("xresnet1d18", 8), ("xresnet1d101", 33), ("mvkt_xresnet1d34", 16), ("resnet1d18", 0), ("inception1d", 0)],
)
def test_residual_blocks_start_as_their_shortcut(name: str, blocks: int) -> None:
    norms = [layer for layer in build(name).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert sum(not norm.weight.any() for norm in norms) == blocks


def plain_xresnet1d18(weights: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    """The features of the paper's network, written out from its description with torch's own pooling."""
    convs = iter([key.removesuffix(".weight") for key, value in weights.items() if value.ndim == 3])

    def conv_norm(x: torch.Tensor, stride: int = 1) -> torch.Tensor:
        conv = next(convs)
        norm = conv.removesuffix(".0") + ".1"
        kernel = weights[f"{conv}.weight"]
        x = F.conv1d(x, kernel, stride=stride, padding=(kernel.shape[-1] - 1) // 2)
        statistics = (weights[f"{norm}.running_mean"], weights[f"{norm}.running_var"])
        return F.batch_norm(x, *statistics, weights[f"{norm}.weight"], weights[f"{norm}.bias"])

    for stride in (2, 1, 1):
        x = F.relu(conv_norm(x, stride))
    x = F.max_pool1d(x, kernel_size=3, stride=2, padding=1)
    for stride in (1, 1, 2, 1, 2, 1, 2, 1):
        shortcut = F.avg_pool1d(x, 2, ceil_mode=True) if stride == 2 else x
        x = F.relu(conv_norm(F.relu(conv_norm(x, stride))) + shortcut)
    assert next(convs, None) is None
    return x


@pytest.mark.parametrize("length", [250, 251, 252, 253, 333])
def test_xresnet1d18_computes_the_plain_network(length: int) -> None:
    torch.manual_seed(0)
    network = build("xresnet1d18")
    for norm in (layer for layer in network.modules() if isinstance(layer, nn.BatchNorm1d)):
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.normal_(norm.bias, std=0.1)
    x = torch.randn(4, 12, length)
    with torch.no_grad():
        network.train()(x)  # gives batch norm statistics other than 0 and 1
        features = network.eval().forward_features(x)
    torch.testing.assert_close(features, plain_xresnet1d18(network.state_dict(), x), rtol=1e-4, atol=1e-4)


@settings(deadline=None, max_examples=30)
@given(length=st.integers(1, 700), name=st.sampled_from(["xresnet1d18", "resnet1d_wang"]))
def test_any_length_gives_one_step_per_reduction_rounded_up(length: int, name: str) -> None:
    network = build(name, num_leads=1).eval()
    with torch.no_grad():
        features = network.forward_features(torch.zeros(1, 1, length))
    assert features.shape[-1] == math.ceil(length / network.feature_info[-1]["reduction"])


@pytest.mark.parametrize("name", ["xresnet1d18", "resnet1d_wang", "inception1d", "resnet1d18"])
def test_one_exported_program_serves_every_length(name: str) -> None:
    network = build(name).eval()
    shapes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("time", min=64, max=6000)}
    exported = torch.export.export(network, (torch.randn(2, 12, 251),), dynamic_shapes=(shapes,)).module()
    for batch, length in ((1, 64), (3, 66), (2, 250), (1, 333)):
        x = torch.randn(batch, 12, length)
        with torch.no_grad():
            torch.testing.assert_close(exported(x), network(x), rtol=1e-4, atol=1e-4)


def test_reset_classifier_keeps_the_type_of_the_network() -> None:
    network = build("xresnet1d18").double()
    network.reset_classifier(2)
    assert network.get_classifier().weight.dtype == torch.float64
    assert network.eval()(torch.zeros(1, 12, 100, dtype=torch.float64)).shape == (1, 2)


def test_no_classes_is_refused() -> None:
    with pytest.raises(EcgZooError, match="num_classes is 0"):
        build("xresnet1d18", num_classes=0)
