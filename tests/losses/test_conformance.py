"""Every registered loss against the contract, and the contract against losses that break it."""

import pytest
import torch

from ecgzoo import registry
from ecgzoo.errors import RegistryError
from ecgzoo.losses.contract import Batch, DataInfo, Loss, ModelInfo, View
from ecgzoo.testing import assert_loss_conforms


@pytest.mark.parametrize("name", registry.names("loss"))
def test_every_loss_conforms(name: str) -> None:
    assert_loss_conforms(name)


class Good(Loss):
    requires = frozenset({"student.logits"})

    def forward(self, student, teacher, batch):
        return student.logits.square().mean()


class Undeclared(Good):
    def forward(self, student, teacher, batch):
        return (student.logits.square().sum() * batch.labels.sum()).mean()


class NoScalar(Good):
    def forward(self, student, teacher, batch):
        return student.logits.square()


class Detached(Good):
    def forward(self, student, teacher, batch):
        return student.logits.detach().mean()


class Unknown(Good):
    requires = frozenset({"student.attention"})


class Forgetful(Good):
    """Keeps state that is in no buffer."""

    seen = 0

    def forward(self, student, teacher, batch):
        self.seen += 1
        return student.logits.square().mean() * self.seen


class Infinite(Good):
    def forward(self, student, teacher, batch):
        return student.logits.square().mean() / 0


class Sum(Good):
    def forward(self, student, teacher, batch):
        return student.logits.square().sum()


class InOrder(Good):
    """Compares each record's student with the teacher of the record before it."""

    requires = frozenset({"student.logits", "teacher.logits"})

    def forward(self, student, teacher, batch):
        return (student.logits - teacher.logits.roll(1, 0)).square().mean()


class OfTheLabelled(Good):
    """NaN for a batch in which no record has a class."""

    requires = frozenset({"student.logits", "labels"})

    def forward(self, student, teacher, batch):
        return (batch.labels * student.logits.square()).sum() / batch.labels.sum()


class UndeclaredComparison(Good):
    """NaN is not above 0, so what it reads shows in the value only."""

    def forward(self, student, teacher, batch):
        return (student.logits.square() * (1 + (batch.labels > 0))).mean()


class Unregistered(Good):
    """Its layer is in a list, where neither the optimizer nor a checkpoint finds it."""

    def __init__(self, student, teacher, data):
        super().__init__(student, teacher, data)
        self.layers = [torch.nn.Linear(student.num_classes, 2)]

    def forward(self, student, teacher, batch):
        return self.layers[0](student.logits).square().mean()


class Untrained(Good):
    def __init__(self, student, teacher, data):
        super().__init__(student, teacher, data)
        self.layer = torch.nn.Linear(student.num_classes, student.num_classes)

    def forward(self, student, teacher, batch):
        return (student.logits - self.layer(student.logits).detach()).square().mean()


class Flat(Good):
    def forward(self, student, teacher, batch):
        return student.logits.round().square().mean()


class NoSetOfItsOwn(Good):
    requires = {"student.logits"}  # noqa: RUF012


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
        (Sum, "for each record twice; average over the batch"),
        (InOrder, "for the same records in another order"),
        (OfTheLabelled, "labels: gives nan"),
        (UndeclaredComparison, "does not declare"),
        (Unregistered, "from the same state"),
        (Untrained, "no gradient reaches its parameter layer.weight"),
        (Flat, "the gradient of the student's logits, which it requires, is zero everywhere"),
        (NoSetOfItsOwn, "requires is a set, expected a frozenset"),
        (Undeclared, "does not declare"),
        (NoScalar, "expected a scalar"),
        (Detached, "no gradient"),
        (Unknown, "which do not exist"),
        (Forgetful, "from the same state"),
        (Infinite, "gives inf"),
        (lambda student, teacher, data: torch.nn.Identity(), "not an ecgzoo Loss"),
    ],
)
def test_a_loss_that_breaks_the_contract_is_told_how(monkeypatch: pytest.MonkeyPatch, loss, reason: str) -> None:
    monkeypatch.setattr(registry, "factory", lambda spec: loss)
    with pytest.raises(AssertionError, match=reason):
        assert_loss_conforms("bce")


@pytest.mark.parametrize(
    ("spoil", "part"),
    [
        (lambda student, teacher, batch: student.logits.detach().clamp_(-1, 1), "student.logits"),
        (lambda student, teacher, batch: teacher.logits[:, 1:].div_(2), "teacher.logits"),
        (lambda student, teacher, batch: batch.labels.mul_(0.5), "batch.labels"),
        (lambda student, teacher, batch: batch.index.zero_(), "batch.index"),
    ],
)
def test_a_loss_that_changes_what_other_losses_read_is_refused(spoil, part: str) -> None:
    class Spoiling(Good):
        requires = frozenset({"student.logits", "teacher.logits", "labels", "index"})

        def forward(self, student, teacher, batch):
            value = (student.logits - teacher.logits).square().mean()
            spoil(student, teacher, batch)
            return value

    info = ModelInfo("net", ("I",), 2, 4, 4)
    loss = Spoiling(info, info, DataInfo(("a", "b"), torch.zeros(3, 2)))
    student, teacher = (View(torch.randn(3, 2), torch.randn(3, 4), torch.randn(3, 4, 5)) for _ in range(2))
    batch = Batch(torch.ones(3, 2), torch.arange(3))
    with pytest.raises(RegistryError, match=rf"Spoiling changes {part} in place, which other losses read, too"):
        loss(student, teacher, batch)
    with torch.inference_mode():  # where torch counts no changes
        student = View(*(torch.randn(3, size) for size in (2, 4, 5)))
        assert loss(student, student, Batch(torch.ones(3, 2), torch.arange(3))) == 0


def test_a_good_loss_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "factory", lambda spec: Good)
    assert_loss_conforms("bce")
