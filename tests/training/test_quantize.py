"""Training for 8-bit integers against a slow loop, and what of a network it touches."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import numpy_helper
from torch import nn

import ecgzoo
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.exporting import onnx_int8
from ecgzoo.exporting.onnx import graph
from ecgzoo.exporting.scorer import Scorer
from ecgzoo.training.quantize import round_convolutions, rounded_input, rounded_weight


def test_an_input_has_256_steps_and_its_zeros_stay() -> None:
    x = torch.randn(4, 3, 1, 50) * 2 + 1
    x[0, 0] = 0
    low, high = min(float(x.min()), 0), max(float(x.max()), 0)
    scale = (high - low) / 255
    zero = round(-low / scale)
    slow = [scale * (min(max(round(float(value) / scale) + zero, 0), 255) - zero) for value in x.flatten()]
    found = rounded_input(x)
    np.testing.assert_allclose(found.flatten().numpy(), slow, atol=1e-6)
    assert not found[0, 0].any()
    assert (found - x).abs().max() <= scale * 0.51


def test_a_weight_has_129_steps_per_channel() -> None:
    weight = torch.randn(5, 3, 7) * torch.tensor([1, 10, 0.1, 3, 0]).reshape(5, 1, 1)
    for own, found in zip(weight, rounded_weight(weight), strict=True):
        scale = float(own.abs().max()) / 64 or 1.0
        slow = [scale * round(float(value) / scale) for value in own.flatten()]
        np.testing.assert_allclose(found.flatten().numpy(), slow, atol=1e-6)


def test_a_batch_norm_behind_it_changes_no_rounding() -> None:
    weight, scale = torch.randn(8, 4, 5), torch.rand(8, 1, 1) + 0.5
    torch.testing.assert_close(rounded_weight(weight * scale), rounded_weight(weight) * scale)


def test_training_rounds_weights_as_the_export_does() -> None:
    model = graph(Scorer(ecgzoo.create_student("xresnet1d_tiny")))
    exact = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    quantized = onnx_int8._quantized(model, [np.random.default_rng(0).normal(size=(1, 1, 1000)).astype(np.float32)])
    found = {weight.name: numpy_helper.to_array(weight) for weight in quantized.graph.initializer}
    weights = [node.input[1] for node in model.graph.node if node.op_type == "Conv"][onnx_int8.FLOAT_CONVOLUTIONS :]
    assert len(weights) > 5
    for name in weights:
        scale = found[f"{name}_scale"].reshape(-1, 1, 1, 1)
        in_file = torch.from_numpy(found[f"{name}_quantized"] * scale)
        torch.testing.assert_close(rounded_weight(torch.from_numpy(exact[name].copy())), in_file, rtol=0, atol=1e-6)


class Plain(nn.Module):
    """A network of a plugin, with torch's own convolutions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(layer for width in (1, 8, 8) for layer in (nn.Conv1d(width, 8, 5), nn.BatchNorm1d(8), nn.ReLU()))
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


@pytest.mark.parametrize("name", ["xresnet1d_tiny", "timm/test_resnet", "plain"])
def test_only_training_computes_with_rounded_numbers(name: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 1, 500)
    network = (Plain() if name == "plain" else ecgzoo.create_student(name).backbone).eval()
    for norm in (layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.ones_(norm.weight)  # some begin at 0, and would hide what comes before them
    plain, keys = network(x), list(network.state_dict())
    convolutions = [layer for layer in network.modules() if isinstance(layer, (nn.Conv1d, nn.Conv2d))]
    round_convolutions(network)
    assert list(network.state_dict()) == keys
    assert torch.equal(network(x), plain)
    first, inner = convolutions[0], convolutions[-1]
    given: list[torch.Tensor] = []
    for layer in (first, inner):
        layer.register_forward_hook(lambda layer, inputs, out: given.extend([inputs[0], out]))
    network.train()(x).sum().backward()
    assert inner.weight.grad is not None
    assert inner.weight.grad.abs().sum() > 0
    with torch.no_grad():
        assert torch.equal(first._conv_forward(given[0], first.weight, first.bias), given[1])
        exact = inner._conv_forward(given[2], inner.weight, inner.bias)
        error = (given[3] - exact).abs().max() / exact.abs().max()
    assert 1e-5 < error < 0.05


@pytest.mark.parametrize("name", ["timm/test_vit", "timm/nf_resnet26"])  # a transformer; weights that are standardized
def test_a_network_in_which_nothing_would_be_rounded_is_refused(name: str, tmp_path: Path) -> None:
    given = ecgzoo.Recipe(student=name, quantization_aware=True, losses=("bce=1",), output=tmp_path / "run")
    with pytest.raises(ecgzoo.RecipeError, match="quantization_aware has no effect"):
        ecgzoo.Run(given, cohort=load_synthetic(num_records=300))
