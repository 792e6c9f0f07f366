"""Fixtures: small losses in double precision, random batches, and a comparison with a plain loop."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ecgzoo import create_loss
from ecgzoo.losses.contract import Batch, DataInfo, Loss, ModelInfo, View

CLASSES = 4
CHANNELS = {"student": 3, "teacher": 5}
WIDTH = {"student": 4, "teacher": 6}
PARTS = ("logits", "embedding", "features")


@pytest.fixture
def infos() -> tuple[ModelInfo, ModelInfo]:
    torch.manual_seed(5)
    student, teacher = (
        ModelInfo(side, ("I",), CLASSES, CHANNELS[side], WIDTH[side], nn.Linear(WIDTH[side], CLASSES))
        for side in ("student", "teacher")
    )
    return student, teacher


@pytest.fixture
def make(infos: tuple[ModelInfo, ModelInfo]) -> Callable[..., Loss]:
    """``make(name, **params)``: a registered loss with seeded weights, in double precision."""

    def build(name: str, **params: object) -> Loss:
        torch.manual_seed(7)
        return create_loss(name, *infos, DataInfo(tuple("ABCD"), torch.zeros(3, CLASSES)), **params).double()

    return build


@pytest.fixture
def draw() -> Callable[..., tuple[View, View, Batch]]:
    """``draw(records)``: the student's view, the teacher's view and the batch."""

    def random(records: int = 4, seed: int = 0, student_length: int = 5, teacher_length: int = 3):
        generator = torch.Generator().manual_seed(seed)

        def view(side: str, length: int) -> View:
            shapes = ((records, CLASSES), (records, WIDTH[side]), (records, CHANNELS[side], length))
            return View(*(torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes))

        labels = (torch.rand(records, CLASSES, generator=generator) < 0.5).double()
        return view("student", student_length), view("teacher", teacher_length), Batch(labels, torch.arange(records))

    return random


@pytest.fixture
def assert_is() -> Callable[..., None]:
    """``assert_is(loss, by_loop, student, teacher, batch)``: value and gradients equal those of a plain loop.

    The loop takes (student, teacher, labels), with views and labels as nested lists, and returns a float. The gradients
    are compared with its central differences.
    """

    def check(loss: Loss, by_loop: Callable[..., float], student: View, teacher: View, batch: Batch) -> None:
        def looped(view: View) -> float:
            return by_loop(*(View(*(getattr(v, part).tolist() for part in PARTS)) for v in (view, teacher)), labels)

        labels = batch.labels.tolist()
        read = [part for part in PARTS if f"student.{part}" in loss.requires]
        leaves = {part: getattr(student, part).clone().requires_grad_() for part in read}
        value = loss(replace(student, **leaves), teacher, batch)
        assert value.item() == pytest.approx(looped(student), rel=1e-9)
        assert value.item() > 1e-3  # otherwise the comparison shows nothing
        value.backward()
        for part, leaf in leaves.items():
            slopes = [
                (
                    looped(replace(student, **{part: nudged(leaf, position, 1e-5)}))
                    - looped(replace(student, **{part: nudged(leaf, position, -1e-5)}))
                )
                / 2e-5
                for position in range(leaf.numel())
            ]
            torch.testing.assert_close(leaf.grad.flatten(), torch.tensor(slopes).double(), rtol=1e-5, atol=1e-7)

    def nudged(tensor: Tensor, position: int, by: float) -> Tensor:
        moved = tensor.detach().clone()
        moved.view(-1)[position] += by
        return moved

    return check
