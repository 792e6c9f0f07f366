"""Distiller: a student, a frozen teacher and the losses between them as one module, for any training loop.

L = Σ weight · loss(student's view, teacher's view, batch)                                (docs/method.md §1)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ecgzoo.backbones.fold import folded
from ecgzoo.create import create_loss
from ecgzoo.losses.contract import Batch, DataInfo, Loss, View, needs_teacher
from ecgzoo.model import EcgModel
from ecgzoo.signal.windows import window_starts
from ecgzoo.training.terms import LossTerm, parse_term

Losses = Mapping[str, tuple[float, Loss]]


def create_losses(
    terms: Sequence[LossTerm | Mapping[str, Any] | str], student: EcgModel, teacher: EcgModel | None, data: DataInfo
) -> dict[str, tuple[float, Loss]]:
    """The registered losses that `terms` name, such as ``("bce=1", "clt=0.8,critic=infonce")``, each with its weight.

    `student`, `teacher` and `data` are what they will learn from: each loss is told their sizes and labels.

    Raises:
        RecipeError: a term of another form, an argument that a loss does not take, or no teacher for a loss of one.
        RegistryError: no loss has this name, or its factory fails.
    """
    teacher_info = teacher.info if teacher else None
    parsed = [parse_term(LossTerm, term) for term in terms]
    return {
        term.name: (term.weight, create_loss(term.name, student.info, teacher_info, data, **term.arguments))
        for term in parsed
    }


class Distiller(nn.Module):
    """Gives the loss of a batch, and each of its terms.

    The teacher is a folded copy in eval mode; it moves with the module, but has no parameter, buffer or gradient in it.
    Without a loss that requires a teacher, it never runs. Losses get full precision, outside autocast.

    Args:
        student: the network that learns.
        teacher: the network it learns from, if any.
        losses: weight and loss by name, as `create_losses` makes them; or your own.
        compiled: run the student through torch.compile.
    """

    def __init__(self, student: EcgModel, teacher: EcgModel | None, losses: Losses, compiled: bool = False) -> None:
        super().__init__()
        self.student = student
        self.losses = {name: loss for name, (_, loss) in losses.items()}
        # registers their parameters and buffers; a module's name holds no full stop, a loss's may
        self.terms = nn.ModuleDict({name.replace(".", "_"): loss for name, loss in self.losses.items()})
        self.weights = {name: weight for name, (weight, _) in losses.items()}
        self.requires = frozenset(need for loss in self.losses.values() for need in loss.requires)
        # in a tuple, so that it is no submodule
        self._teacher = (folded(teacher),) if teacher is not None and needs_teacher(self.requires) else ()
        self.view: Callable[[Tensor], View] = torch.compile(student.view) if compiled else student.view

    def forward(self, millivolts: Tensor, teacher_millivolts: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the terms, and each for the log.

        Args:
            millivolts: crops of the student's leads ``[B, leads, T]``.
            teacher_millivolts: crops of the teacher's leads ``[B, leads, T]``; not read if no loss requires a teacher.
            batch: labels and record numbers.
        """
        teacher = None
        if self._teacher:
            with torch.no_grad():
                teacher = windowed_view(self._teacher[0], teacher_millivolts)
                teacher = teacher.full_precision(parts_of("teacher", self.requires))
        student = self.view(millivolts)
        # ties in the classifier, which no term may read: DDP wants every gradient
        total = 0 * student.logits.float().sum()
        parts = {}
        with torch.autocast(millivolts.device.type, enabled=False):
            for name, loss in self.losses.items():
                own, taught, records = student, teacher, batch
                if batch.labelled is not None and reads_labels(loss):
                    own, records = student.first(batch.labelled), batch.first(batch.labelled)
                    taught = teacher and teacher.first(batch.labelled)
                value = loss(own.full_precision(parts_of("student", loss.requires)), taught, records)
                total = total + self.weights[name] * value
                parts[name] = value.detach()
                parts |= {f"{name}/{extra}": scalar.detach() for extra, scalar in loss.extras.items()}
        return total, {"loss": total.detach(), **parts}

    def after_backward(self) -> None:
        """To be called once per step, after the gradients are taken: losses update their memory."""
        for loss in self.losses.values():
            loss.after_backward()

    def _apply(self, fn: Any, recurse: bool = True) -> "Distiller":
        for module in (*self._teacher, super()):
            module._apply(fn, recurse)  # torch's own hook of .to(), .double() and others
        return self


def reads_labels(loss: Loss) -> bool:
    """Whether `loss` is for records with labels alone."""
    return bool(loss.requires & {"labels", "auxiliary"}) and not loss.soft_labels


def parts_of(side: str, requires: frozenset[str]) -> list[str]:
    """The parts of a view that `requires` names: ``["logits"]`` of ``student`` for ``student.logits``."""
    return [need.partition(".")[2] for need in sorted(requires) if need.startswith(f"{side}.")]


def windowed_view(teacher: EcgModel, millivolts: Tensor) -> View:
    """What `teacher` makes of crops ``[B, leads, T]`` through windows of the length that it was trained on.

    Logits and embedding are means over the windows, as a record's probability is; feature maps follow one another in
    time. A crop that is no longer than a window is seen as it is.
    """
    window, samples = teacher.config.window, millivolts.shape[2]
    if samples <= window:
        return teacher.view(millivolts)
    starts = window_starts(samples, window, window, "crop", teacher.config.rate_hz).tolist()
    windows = torch.stack([millivolts[:, :, start : start + window] for start in starts], dim=1)
    view = teacher.view(windows.flatten(0, 1))
    logits, embedding, features = (
        part.unflatten(0, windows.shape[:2]) for part in (view.logits, view.embedding, view.features)
    )
    return View(logits.mean(1), embedding.mean(1), features.transpose(1, 2).flatten(2))
