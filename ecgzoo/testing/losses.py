"""assert_loss_conforms: check the loss contract on a registered loss."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ecgzoo import registry
from ecgzoo.losses.contract import NEEDS, Batch, DataInfo, Loss, ModelInfo, View, needs_teacher
from ecgzoo.testing.findings import Findings, Require

_RECORDS, _CLASSES = 12, 3
_STUDENT_SIZES, _TEACHER_SIZES = (6, 5, 4), (8, 9, 7)  # embedding, channels of the features, their length


def assert_loss_conforms(name: str) -> None:
    """Check the registered loss `name` against the contract of ``ecgzoo.losses.contract``.

    Its factory must need no arguments. The loss must declare what it needs and read nothing else. It must give a finite
    scalar with a gradient for the student and none for the teacher, and repeat itself from a restored state.

    Raises:
        AssertionError: one sentence for each failure.
        RegistryError: no loss has this name.
    """
    check_loss(name).conclude()


def check_loss(name: str) -> Findings:
    """The findings of `assert_loss_conforms`."""
    findings, make = Findings(name), registry.factory(registry.get("loss", name))
    random = torch.Generator().manual_seed(0)
    labels = (torch.rand(_RECORDS, _CLASSES, generator=random) < 0.4).float()
    first, second = torch.arange(0, 6), torch.arange(6, 12)
    loss: Any = None
    with findings.clause("factory") as require:
        loss = _build(make, labels)
        require(isinstance(loss, Loss), f"it makes a {type(loss).__name__}, which is not an ecgzoo Loss")
    if findings.failures:
        return findings
    with findings.clause("requires") as require:
        require(loss.requires <= NEEDS, f"requires {sorted(loss.requires - NEEDS)}, which do not exist")
        require(any(need.startswith("student.") for need in loss.requires), "requires nothing from the student")
    with findings.clause("step") as require:
        _step(loss, labels, first, require)
    with findings.clause("state") as require:
        state = {key: value.clone() for key, value in loss.state_dict().items()}
        again = _build(make, labels)
        again.load_state_dict(state)
        again.train()
        values = [_value(which, labels, second) for which in (loss, again)]
        require(torch.equal(*values), f"from the same state it gives {values[1].tolist()}, not {values[0].tolist()}")
    with findings.clause("one record") as require:  # the last batch may have only one
        _step(loss, labels, first[:1], require)
    with findings.clause("reads") as require:
        require(_reads_what_it_requires(loss.eval(), labels, second), "reads what it does not declare in `requires`")
    return findings


def _reads_what_it_requires(loss: Loss, labels: Tensor, index: Tensor) -> bool:
    student, teacher, batch = _inputs(labels, index)
    undeclared, given = (
        View(*[_unless(loss, f"{side}.{part}", getattr(view, part)) for part in _PARTS])
        for side, view in (("student", student), ("teacher", teacher))
    )
    assert batch.auxiliary is not None
    poisoned = Batch(
        _unless(loss, "labels", batch.labels),
        batch.index if "index" in loss.requires else batch.index * 0,
        _unless(loss, "auxiliary", batch.auxiliary),
    )
    value: Tensor = loss(undeclared, given if needs_teacher(loss.requires) else None, poisoned)
    return bool(value.isfinite().all())


_PARTS = ("logits", "embedding", "features")


def _build(make: Callable[..., Any], labels: Tensor) -> Any:
    torch.manual_seed(0)
    student, teacher = (
        ModelInfo(name, leads, _CLASSES, sizes[1], sizes[0], nn.Linear(sizes[0], _CLASSES))
        for name, leads, sizes in (("student", ("I",), _STUDENT_SIZES), ("teacher", ("I", "II"), _TEACHER_SIZES))
    )
    data = DataInfo(tuple(f"class {number}" for number in range(_CLASSES)), labels, auxiliary=labels.repeat(1, 2))
    return make(student, teacher, data)


def _inputs(labels: Tensor, index: Tensor) -> tuple[View, View, Batch]:
    random = torch.Generator().manual_seed(int(index[0]))

    def view(sizes: tuple[int, int, int]) -> View:
        shapes = ((len(index), _CLASSES), (len(index), sizes[0]), (len(index), *sizes[1:]))
        logits, embedding, features = (torch.randn(s, generator=random, requires_grad=True) for s in shapes)
        return View(logits, embedding, features)

    return view(_STUDENT_SIZES), view(_TEACHER_SIZES), Batch(labels[index], index, labels.repeat(1, 2)[index])


def _step(loss: Loss, labels: Tensor, index: Tensor, require: Require) -> None:
    student, teacher, batch = _inputs(labels, index)
    given = batch.labels.clone()
    value = loss(student, _detached(teacher), batch)
    require(torch.equal(batch.labels, given), "changes the labels, which other losses read, too")
    require(value.ndim == 0, f"gives shape {tuple(value.shape)}, expected a scalar")
    require(bool(value.isfinite().all()), f"gives {value.tolist()}")
    if not require(value.requires_grad, "its value has no gradient") or value.ndim:
        return
    value.backward()
    for part in _PARTS:
        if f"student.{part}" not in loss.requires:
            continue
        gradient = getattr(student, part).grad
        if require(gradient is not None, f"no gradient reaches the student's {part}, which it requires"):
            require(bool(gradient.isfinite().all()), f"the gradient of the student's {part} is not finite")
    require(all(extra.ndim == 0 for extra in loss.extras.values()), "extras are scalars")
    loss.after_backward()


def _value(loss: Loss, labels: Tensor, index: Tensor) -> Tensor:
    student, teacher, batch = _inputs(labels, index)
    value: Tensor = loss(student, _detached(teacher), batch)
    value.sum().backward()
    loss.after_backward()
    return value.detach()


def _detached(view: View) -> View:
    return replace(view, **{part: getattr(view, part).detach() for part in _PARTS})


def _unless(loss: Loss, need: str, tensor: Tensor) -> Tensor:
    """The tensor, or NaN if the loss did not declare that it reads it."""
    return tensor if need in loss.requires else torch.full_like(tensor, torch.nan)
