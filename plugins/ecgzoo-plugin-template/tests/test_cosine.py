"""The loss follows the contract and its equation."""

import math

import pytest
import torch

from ecgzoo import Batch, DataInfo, ModelInfo, RecipeError, View
from ecgzoo.testing import assert_loss_conforms
from ecgzoo_plugin_template.cosine import Cosine

INFO = ModelInfo("net", ("I",), 3, num_features=2, head_hidden_size=2)
DATA = DataInfo(("a", "b", "c"), torch.zeros(4, 3))


def test_it_conforms() -> None:
    assert_loss_conforms("template_cosine")


@pytest.mark.parametrize("margin", [0.0, 0.5])
def test_it_is_its_equation(margin: float) -> None:
    student, teacher = torch.randn(2, 4, 3, generator=torch.Generator().manual_seed(0)).unbind()
    views = [View(logits, torch.zeros(4, 2), torch.zeros(4, 2, 1)) for logits in (student, teacher)]
    expected = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        inner = sum(a * b for a, b in zip(s, t, strict=True))
        expected += max(0.0, 1 - inner / math.hypot(*s) / math.hypot(*t) - margin) / 4
    loss = Cosine(INFO, INFO, DATA, margin=margin)
    assert loss(*views, Batch(torch.zeros(4, 3), torch.arange(4))).item() == pytest.approx(expected, rel=1e-5)


def test_a_negative_margin_is_refused() -> None:
    with pytest.raises(RecipeError, match="margin is -1"):
        Cosine(INFO, INFO, DATA, margin=-1)
