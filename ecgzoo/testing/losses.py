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
_SUM = 1.9  # times its value for each record twice; a contrastive loss grows by less, and a mean not at all
_STUDENT_SIZES, _TEACHER_SIZES = (6, 5, 4), (8, 9, 7)  # embedding, channels of the features, their length


def assert_loss_conforms(name: str) -> None:
    """Check the registered loss `name` against the contract of ``ecgzoo.losses.contract``.

    Its factory must need no arguments. The loss must declare what it needs and read nothing else. It must give a finite
    scalar, also for records of no class and of every class, with a gradient for the student and for its own parameters
    and none for the teacher. It must average over the records, in whatever order, and repeat itself from a restored
    state.

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
        kind = type(loss.requires).__name__
        require(isinstance(loss.requires, frozenset), f"requires is a {kind}, expected a frozenset")
        require(loss.requires <= NEEDS, f"requires {sorted(loss.requires - NEEDS)}, which do not exist")
        require(any(need.startswith("student.") for need in loss.requires), "requires nothing from the student")
    with findings.clause("step") as require:
        _step(loss, labels, first, require)
    with findings.clause("state") as require:
        state = {key: value.clone() for key, value in loss.state_dict().items()}
        again = _build(make, labels, seed=1)  # what is not in the state has other values, as in a resumed run
        again.load_state_dict(state)
        again.train()
        values = [_value(which, labels, second) for which in (loss, again)]
        require(torch.equal(*values), f"from the same state it gives {values[1].tolist()}, not {values[0].tolist()}")
    with findings.clause("batch") as require:
        _check_average(loss, labels, first, require)
    with findings.clause("labels") as require:
        for same in (torch.zeros_like(labels), torch.ones_like(labels)):
            _step(_build(make, labels), same, first, require)
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
    teacher_given, poisoned_teacher = (view if needs_teacher(loss.requires) else None for view in (teacher, given))
    # equal, because a comparison such as labels > 0 hides NaN
    return torch.equal(loss(undeclared, poisoned_teacher, poisoned), loss(student, teacher_given, batch))


_PARTS = ("logits", "embedding", "features")


def _build(make: Callable[..., Any], labels: Tensor, seed: int = 0) -> Any:
    torch.manual_seed(0)
    student, teacher = (
        ModelInfo(name, leads, _CLASSES, sizes[1], sizes[0], nn.Linear(sizes[0], _CLASSES))
        for name, leads, sizes in (("student", ("I",), _STUDENT_SIZES), ("teacher", ("I", "II"), _TEACHER_SIZES))
    )
    data = DataInfo(tuple(f"class {number}" for number in range(_CLASSES)), labels, auxiliary=labels.repeat(1, 2))
    torch.manual_seed(seed)
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
    value = loss(student, _detached(teacher), batch)
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
    for name, parameter in loss.named_parameters():
        trained = parameter.grad is not None or not parameter.requires_grad
        require(trained, f"no gradient reaches its parameter {name}; remove it, or make a constant a buffer")
    require(all(extra.ndim == 0 for extra in loss.extras.values()), "extras are scalars")
    loss.after_backward()


def _check_average(loss: Loss, labels: Tensor, index: Tensor, require: Require) -> None:
    """Check that the value is a mean over records that belong together, whatever their order, and can be lowered."""
    student, teacher, batch = _inputs(labels, index)

    def of(rows: list[int]) -> Tensor:
        own, taught = (View(*[getattr(view, part)[rows] for part in _PARTS]) for view in (student, _detached(teacher)))
        assert batch.auxiliary is not None
        return loss(own, taught, Batch(batch.labels[rows], batch.index[rows], batch.auxiliary[rows]))

    every = list(range(len(index)))
    once, shuffled, twice = of(every), of([2, 0, 5, 1, 4, 3]), of([*every, *every])
    same = torch.isclose(once, shuffled, rtol=1e-4, atol=1e-6)
    require(bool(same), f"gives {once.item():.6g}, and {shuffled.item():.6g} for the same records in another order")
    sums = bool(once != 0) and bool(twice / once > _SUM)
    require(not sums, f"gives {once.item():.6g}, and {twice.item():.6g} for each record twice; average over the batch")
    once.backward()
    for part in _PARTS:
        gradient = getattr(student, part).grad
        flat = f"student.{part}" in loss.requires and gradient is not None and not gradient.any()
        require(not flat, f"the gradient of the student's {part}, which it requires, is zero everywhere")


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
