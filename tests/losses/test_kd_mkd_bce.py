"""BCE, KD and MKD against plain loops over their equations."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgzoo import create_loss
from ecgzoo.errors import RecipeError
from ecgzoo.losses.contract import Batch, DataInfo, ModelInfo, View

CLASSES = ("A", "B", "C", "D")


def info(num_classes: int = 4) -> ModelInfo:
    return ModelInfo("net", ("I",), num_classes, num_features=8, head_hidden_size=8)


def make(name: str, **params: object):
    data = DataInfo(CLASSES, torch.zeros(3, 4))
    return create_loss(name, info(), info(), data, **params)


def view(logits: torch.Tensor) -> View:
    return View(logits, torch.zeros(len(logits), 8), torch.zeros(len(logits), 8, 2)).full_precision()


def batch(labels: torch.Tensor) -> Batch:
    return Batch(labels, torch.arange(len(labels)))


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def mkd_by_loop(s: torch.Tensor, t: torch.Tensor, temperature: float) -> float:
    total = 0.0
    for row_s, row_t in zip(s.tolist(), t.tolist(), strict=True):
        for a, b in zip(row_s, row_t, strict=True):
            a, b = a / temperature, b / temperature
            for sign in (1, -1):
                total += math.exp(log_sigmoid(sign * b)) * (log_sigmoid(sign * b) - log_sigmoid(sign * a))
    return temperature**2 * total / len(s)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_mkd_is_its_equation(temperature: float) -> None:
    s, t = torch.randn(5, 4) * 3, torch.randn(5, 4) * 3
    loss = make("mkd", temperature=temperature)(view(s), view(t), batch(torch.zeros(5, 4)))
    assert loss.item() == pytest.approx(mkd_by_loop(s, t, temperature), rel=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_mkd_is_exact_at_large_logits(dtype: torch.dtype) -> None:
    s = torch.tensor([[50.0, -50.0, 50.0, 0.0]], dtype=dtype)
    t = torch.tensor([[-50.0, 50.0, 50.0, 0.0]], dtype=dtype)
    loss = make("mkd")(view(s), view(t), batch(torch.zeros(1, 4)))
    assert loss.item() == pytest.approx(100.0, rel=1e-6)  # two classes, each 50 nats away


@given(st.integers(0, 2**31), st.floats(0.1, 10))
@settings(max_examples=50, deadline=None)
def test_mkd_is_never_negative_and_zero_at_equality(seed: int, temperature: float) -> None:
    random = torch.Generator().manual_seed(seed)
    s, t = (torch.randn(3, 4, generator=random, dtype=torch.float64) * 10 for _ in range(2))
    mkd = make("mkd", temperature=temperature)
    assert mkd(view(s), view(t), batch(torch.zeros(3, 4))) >= 0
    assert mkd(view(s), view(s), batch(torch.zeros(3, 4))) == 0


def test_mkd_gradient_is_the_difference_of_probabilities() -> None:
    s, t, temperature = torch.randn(6, 4, requires_grad=True), torch.randn(6, 4), 3.0
    make("mkd", temperature=temperature)(view(s), view(t), batch(torch.zeros(6, 4))).backward()
    expected = temperature * ((s / temperature).sigmoid() - (t / temperature).sigmoid()) / 6
    torch.testing.assert_close(s.grad, expected.detach())


def test_mkd_mean_and_class_weights() -> None:
    s, t = torch.randn(5, 4), torch.randn(5, 4)
    labels = batch(torch.zeros(5, 4))
    summed = make("mkd")(view(s), view(t), labels)
    assert make("mkd", reduction="mean")(view(s), view(t), labels).item() == pytest.approx(summed.item() / 4)
    one_class = make("mkd", class_weights=(0.0, 2.0, 0.0, 0.0))(view(s), view(t), labels)
    assert one_class.item() == pytest.approx(2 * mkd_by_loop(s[:, 1:2], t[:, 1:2], 1.0), rel=1e-5)


def test_kd_is_the_divergence_of_softmaxes() -> None:
    s, t, temperature = torch.randn(5, 4), torch.randn(5, 4), 2.5
    p, q = (t / temperature).softmax(1), (s / temperature).softmax(1)
    expected = sum(p[b, c].item() * math.log(p[b, c].item() / q[b, c].item()) for b in range(5) for c in range(4))
    loss = make("kd", temperature=temperature)(view(s), view(t), batch(torch.zeros(5, 4)))
    assert loss.item() == pytest.approx(temperature**2 * expected / 5, rel=1e-5)


def test_bce_is_the_mean_over_records_and_classes() -> None:
    s, y = torch.randn(5, 4), torch.randint(0, 2, (5, 4)).float()
    expected = -sum(log_sigmoid(s[b, c].item() if y[b, c] else -s[b, c].item()) for b in range(5) for c in range(4))
    assert make("bce")(view(s), None, batch(y)).item() == pytest.approx(expected / 20, rel=1e-5)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("mkd", {"temperature": 0}),
        ("mkd", {"reduction": "median"}),
        ("mkd", {"class_weights": (1.0,)}),
        ("mkd", {"class_weights": (1.0, -1.0, 1.0, 1.0)}),
        ("mkd", {"class_weights": (1.0, math.nan, 1.0, 1.0)}),
        ("mkd", {"class_weights": (0, 0, 0, 0)}),
        ("mkd", {"temprature": 1}),
        ("mkd", {"temperature": math.inf}),
        ("kd", {"temperature": -1}),
        ("kd", {"temperature": 0}),
        ("kd", {"temperature": math.inf}),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(name: str, params: dict) -> None:
    with pytest.raises(RecipeError, match=name):
        make(name, **params)


def test_kd_of_one_class_which_would_always_be_zero_is_refused() -> None:
    with pytest.raises(RecipeError, match="kd: there is one class"):
        create_loss("kd", info(1), info(1), DataInfo(("A",), torch.zeros(3, 1)))


def test_a_loss_that_reads_a_teacher_needs_one() -> None:
    with pytest.raises(RecipeError, match="give a teacher"):
        create_loss("mkd", info(), None, DataInfo(CLASSES, torch.zeros(3, 4)))
    mkd = make("mkd")
    with pytest.raises(RecipeError, match="give a teacher"):
        mkd(view(torch.zeros(3, 4)), None, batch(torch.zeros(3, 4)))


def test_a_view_in_half_precision_remembers_it() -> None:
    half = View(*(torch.zeros(2, 3, dtype=torch.bfloat16) for _ in range(3)))
    full = half.full_precision()
    assert full.logits.dtype == full.embedding.dtype == full.features.dtype == torch.float32
    assert full.computed_in == torch.bfloat16
    assert full.full_precision() is full
    double = View(*(torch.zeros(2, 3, dtype=torch.float64) for _ in range(3)))
    assert double.full_precision() is double
    one = half.full_precision(["logits"])
    assert (one.logits.dtype, one.features.dtype) == (torch.float32, torch.bfloat16)
