"""The network follows the contract, and its receptive field has the documented size."""

import re
from pathlib import Path

import pytest
import torch

from ecgzoo import create_student
from ecgzoo.testing import assert_backbone_conforms
from ecgzoo_tcn.tcn import receptive_field, tcn_small


@pytest.mark.parametrize("name", ["tcn_small", "tcn_base"])
def test_it_conforms(name: str) -> None:
    assert_backbone_conforms(name)


def test_it_can_be_used_as_a_student() -> None:
    assert create_student("tcn_small", leads="II")(torch.zeros(2, 1, 250)).shape == (2, 5)


def test_the_readme_runs() -> None:
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    made: dict[str, object] = {}
    for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL):
        exec(block, made)
    assert {module.p for module in made["student"].modules() if isinstance(module, torch.nn.Dropout)} == {0.2}


def test_the_receptive_field_is_as_documented() -> None:
    network = tcn_small(1, 2).double().eval()
    x = torch.randn(1, 1, 601, dtype=torch.float64, requires_grad=True)
    features = network.forward_features(x)
    features[0, :, features.shape[2] // 2].sum().backward()
    assert x.grad is not None
    seen = x.grad[0, 0].nonzero().flatten()
    assert int(seen[-1] - seen[0]) + 1 == receptive_field() == 247
