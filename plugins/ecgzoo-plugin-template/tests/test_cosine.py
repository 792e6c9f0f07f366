"""The loss against the contract, and against its equation."""

import math

import pytest
import torch

from ecgzoo.losses.contract import Batch, DataInfo, ModelInfo, View
from ecgzoo.testing import assert_loss_conforms
from ecgzoo_plugin_template.cosine import Cosine


def test_it_conforms() -> None:
    assert_loss_conforms("template_cosine")


def test_it_is_its_equation() -> None:
    student, teacher = torch.randn(2, 4, 3).unbind()
    info = ModelInfo("net", ("I",), 3, num_features=2, head_hidden_size=2)
    loss = Cosine(info, info, DataInfo(("a", "b", "c"), torch.zeros(4, 3)))
    views = [View(logits, torch.zeros(4, 2), torch.zeros(4, 2, 1)) for logits in (student, teacher)]
    expected = 0.0
    for s, t in zip(student.tolist(), teacher.tolist(), strict=True):
        inner = sum(a * b for a, b in zip(s, t, strict=True))
        expected += (1 - inner / math.hypot(*s) / math.hypot(*t)) / 4
    assert loss(*views, Batch(torch.zeros(4, 3), torch.arange(4))).item() == pytest.approx(expected, rel=1e-5)
