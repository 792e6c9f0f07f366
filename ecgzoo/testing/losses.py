"""assert_loss_conforms: the loss contract, checked on a registered loss."""

from dataclasses import replace

import torch
from torch import Tensor, nn

from ecgzoo import registry
from ecgzoo.losses.contract import NEEDS, Batch, DataInfo, Loss, ModelInfo, View, needs_teacher

_RECORDS, _CLASSES = 12, 3
_STUDENT_SIZES, _TEACHER_SIZES = (6, 5, 4), (8, 9, 7)  # embedding, channels of the features, their length


def assert_loss_conforms(name: str) -> None:
    """Check the registered loss `name` against the contract of ``ecgzoo.losses.contract``.

    It is built by its factory with no parameters, declares what it needs, gives a finite scalar whose gradient reaches
    the student and never the teacher, repeats itself from a restored state, and reads nothing that it did not declare.

    Raises:
        AssertionError: what does not conform, in a sentence.
        RegistryError: no loss has this name.
    """
    random = torch.Generator().manual_seed(0)
    labels = (torch.rand(_RECORDS, _CLASSES, generator=random) < 0.4).float()
    loss = _build(name, labels)
    assert isinstance(loss, Loss), f"{name}: its factory makes a {type(loss).__name__}, which is no ecgzoo Loss"
    assert loss.requires <= NEEDS, f"{name}: requires {sorted(loss.requires - NEEDS)}, which no engine provides"

    first, second = torch.arange(0, 6), torch.arange(6, 12)
    _step(name, loss, labels, first)
    state = {key: value.clone() for key, value in loss.state_dict().items()}
    value = _step(name, loss, labels, second)

    again = _build(name, labels)
    again.load_state_dict(state)
    again.train()
    repeated = _step(name, again, labels, second)
    assert torch.equal(value, repeated), f"{name}: from the same state it gives {repeated.item()}, not {value.item()}"

    _step(name, loss, labels, first[:1])  # a last batch may hold one record

    student, teacher, batch = _inputs(labels, second)
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
    blind = loss.eval()(undeclared, given if needs_teacher(loss.requires) else None, poisoned)
    assert blind.isfinite(), f"{name}: reads something that it does not declare in `requires`"


_PARTS = ("logits", "embedding", "features")


def _build(name: str, labels: Tensor) -> Loss:
    torch.manual_seed(0)
    student, teacher = (
        ModelInfo(name, leads, _CLASSES, sizes[1], sizes[0], nn.Linear(sizes[0], _CLASSES))
        for name, leads, sizes in (("student", ("I",), _STUDENT_SIZES), ("teacher", ("I", "II"), _TEACHER_SIZES))
    )
    data = DataInfo(tuple(f"class {number}" for number in range(_CLASSES)), labels, auxiliary=labels.repeat(1, 2))
    built: Loss = registry.factory(registry.get("loss", name))(student, teacher, data)
    return built


def _inputs(labels: Tensor, index: Tensor) -> tuple[View, View, Batch]:
    random = torch.Generator().manual_seed(int(index[0]))

    def view(sizes: tuple[int, int, int]) -> View:
        shapes = ((len(index), _CLASSES), (len(index), sizes[0]), (len(index), *sizes[1:]))
        logits, embedding, features = (torch.randn(s, generator=random, requires_grad=True) for s in shapes)
        return View(logits, embedding, features)

    return view(_STUDENT_SIZES), view(_TEACHER_SIZES), Batch(labels[index], index, labels.repeat(1, 2)[index])


def _step(name: str, loss: Loss, labels: Tensor, index: Tensor) -> Tensor:
    student, teacher, batch = _inputs(labels, index)
    frozen = replace(teacher, **{part: getattr(teacher, part).detach() for part in _PARTS})
    value = loss(student, frozen, batch)
    assert value.ndim == 0, f"{name}: gives shape {tuple(value.shape)}, expected a scalar"
    assert value.isfinite(), f"{name}: gives {value.item()}"
    assert value.requires_grad, f"{name}: its value has no gradient"
    value.backward()
    read = [getattr(student, part) for part in _PARTS if f"student.{part}" in loss.requires]
    assert read, f"{name}: requires nothing of the student"
    for tensor in read:
        assert tensor.grad is not None, f"{name}: no gradient reaches what it requires of the student"
        assert tensor.grad.isfinite().all(), f"{name}: a gradient is not finite"
    assert all(extra.ndim == 0 for extra in loss.extras.values()), f"{name}: extras are scalars"
    loss.after_backward()
    return value.detach()


def _unless(loss: Loss, need: str, tensor: Tensor) -> Tensor:
    """The tensor, or NaN in its place where the loss did not declare that it reads it."""
    return tensor if need in loss.requires else torch.full_like(tensor, torch.nan)
