"""rkd against loops over pairs and triples, and its invariances."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgzoo.losses.contract import DataInfo, ModelInfo, View
from ecgzoo_losses.rkd import RKD


def huber(x: float) -> float:
    return x * x / 2 if abs(x) < 1 else abs(x) - 0.5


def relative(e: list[list[float]]) -> dict[tuple[int, int], float]:
    n = range(len(e))
    d = {(i, j): math.dist(e[i], e[j]) for i in n for j in n}
    apart = [x for x in d.values() if x > 0]
    return {pair: x / (sum(apart) / len(apart)) for pair, x in d.items()}


def cosine(e: list[list[float]], i: int, j: int, k: int) -> float:
    a, b = ([x - y for x, y in zip(e[end], e[j], strict=True)] for end in (i, k))
    norm = math.hypot(*a) * math.hypot(*b)
    return sum(x * y for x, y in zip(a, b, strict=True)) / norm if norm > 0 else 0.0


@pytest.mark.parametrize("weights", [(25.0, 50.0), (1.0, 0.0), (0.0, 1.0)])
@pytest.mark.parametrize("coincide", [False, True])
def test_rkd_is_its_equation(make, draw, assert_is, weights: tuple[float, float], coincide: bool) -> None:
    distance, angle = weights

    def by_loop(student, teacher, labels) -> float:
        s, t = student.embedding, teacher.embedding
        n = range(len(s))
        d_s, d_t = relative(s), relative(t)
        pairs = sum(huber(d_s[pair] - d_t[pair]) for pair in d_s) / len(s) ** 2
        triples = sum(huber(cosine(s, i, j, k) - cosine(t, i, j, k)) for i in n for j in n for k in n) / len(s) ** 3
        return distance * pairs + angle * triples

    student, teacher, batch = draw(4)
    if coincide:  # on the teacher's side, so that the loop stays differentiable in the student
        teacher.embedding[1] = teacher.embedding[0]
    assert_is(make("rkd", distance=distance, angle=angle), by_loop, student, teacher, batch)


@given(st.integers(0, 2**31), st.floats(0.01, 100))
@settings(max_examples=25, deadline=None)
def test_rkd_ignores_rotation_scale_and_shift_of_either_side(seed: int, scale: float) -> None:
    random = torch.Generator().manual_seed(seed)
    s, t, shift = (torch.randn(n, 4, generator=random, dtype=torch.float64) for n in (5, 5, 1))
    rotation = torch.linalg.qr(torch.randn(4, 4, generator=random, dtype=torch.float64))[0]
    info = ModelInfo("net", ("I",), 1, 1, 4)
    rkd = RKD(info, info, DataInfo(("A",), torch.zeros(1, 1)))

    def value(s: torch.Tensor, t: torch.Tensor) -> torch.Tensor:
        return rkd(*(View(torch.zeros(5, 1), e, torch.zeros(5, 1, 1)) for e in (s, t)), None)

    torch.testing.assert_close(value(scale * s @ rotation + shift, t), value(s, t))
    torch.testing.assert_close(value(s, scale * t @ rotation + shift), value(s, t))
    assert value(s, scale * s @ rotation + shift) < 1e-12


def test_records_that_coincide_give_no_gradient_between_them(make, draw) -> None:
    """So the gradient is still proportional to one over the scale: the loss has no fixed unit of length."""
    student, teacher, batch = draw(5)
    gradients = []
    for scale in (1.0, 1000.0):
        embedding = scale * student.embedding
        embedding[1] = embedding[0]
        embedding.requires_grad_()
        make("rkd")(replace(student, embedding=embedding), teacher, batch).backward()
        gradients.append(scale * embedding.grad)
    torch.testing.assert_close(*gradients)


def test_distances_are_exact_in_single_precision_far_from_the_origin(make, draw) -> None:
    student, teacher, batch = draw(40)  # with so many, torch by default computes distances from matrix products
    student = replace(student, embedding=(1000 + student.embedding).float())
    rkd = make("rkd", angle=0)
    single = rkd(student, teacher, batch).item()
    assert single == pytest.approx(rkd(replace(student, embedding=student.embedding.double()), teacher, batch).item())
