"""Every registered loss against the contract, and the contract against losses that break it."""

import pytest
import torch

from ecgzoo import registry
from ecgzoo.losses.contract import Loss
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


@pytest.mark.parametrize(
    ("loss", "reason"),
    [
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


def test_a_good_loss_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "factory", lambda spec: Good)
    assert_loss_conforms("bce")
