"""The second task's loss against a plain loop."""

import math

import pytest
import torch

from ecgzoo import create_loss
from ecgzoo.errors import RecipeError
from ecgzoo.losses.contract import Batch, DataInfo, ModelInfo, View

INFO = ModelInfo("net", ("I",), 2, num_features=3, head_hidden_size=3)


def test_it_is_its_equation() -> None:
    torch.manual_seed(0)
    auxiliary = (torch.rand(9, 5) < 0.4).float()
    loss = create_loss("aux", INFO, None, DataInfo(("a", "b"), torch.zeros(9, 2), auxiliary))
    index, embedding = torch.tensor([7, 0, 3]), torch.randn(3, 3)
    found = loss(
        View(torch.zeros(3, 2), embedding, embedding[..., None]),
        None,
        Batch(torch.zeros(3, 2), index, auxiliary[index]),
    )
    weight, bias = loss.head.weight.tolist(), loss.head.bias.tolist()
    expected = 0.0
    for row, record in zip(embedding.tolist(), index.tolist(), strict=True):
        for k in range(5):
            logit = bias[k] + sum(w * e for w, e in zip(weight[k], row, strict=True))
            expected += math.log1p(math.exp(-logit if auxiliary[record, k] else logit)) / 3
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_it_needs_a_second_task() -> None:
    with pytest.raises(RecipeError, match="--aux-task"):
        create_loss("aux", INFO, None, DataInfo(("a", "b"), torch.zeros(9, 2)))
