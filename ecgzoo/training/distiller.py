"""Distiller: a student, a frozen teacher and their losses as one module, for any training loop.

L = Σ weight · loss(student's view, teacher's view, batch)                                (docs/method.md §1)
"""

import math
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from ecgzoo import registry
from ecgzoo.backbones.fold import folded
from ecgzoo.create import create_loss
from ecgzoo.errors import RecipeError
from ecgzoo.losses.contract import Batch, DataInfo, Loss, View, needs_teacher
from ecgzoo.model import EcgModel
from ecgzoo.plugin_network import check_answers
from ecgzoo.signal.windows import window_starts
from ecgzoo.training.terms import LossTerm, parse_term

Losses = Mapping[str, tuple[float, Loss]]


def create_losses(
    terms: Sequence[LossTerm | Mapping[str, Any] | str], student: EcgModel, teacher: EcgModel | None, data: DataInfo
) -> dict[str, tuple[float, Loss]]:
    """Create the losses that `terms` name, such as ``("bce=1", "clt=0.8,critic=infonce")``, each with its weight.

    Each loss gets the sizes of `student` and `teacher`, and the labels of the training records `data`.

    Raises:
        RecipeError: a term has another form or a name that occurs twice, a loss does not take an argument, a loss needs
            a teacher and there is none, or student, teacher and `data` have different classes or rates.
        RegistryError: no loss has this name, or its factory fails.
    """
    teacher_info = teacher.info if teacher else None
    parsed = [parse_term(LossTerm, term) for term in terms]
    losses = {
        term.name: (term.weight, create_loss(term.name, student.info, teacher_info, data, **term.arguments))
        for term in parsed
    }
    if len(losses) < len(parsed):
        raise RecipeError(f"a loss occurs twice in {', '.join(map(str, parsed))}; name each loss once")
    check_same_classes("student", student, data.classes)
    requires = frozenset(need for _, loss in losses.values() for need in loss.requires)
    if teacher is not None and needs_teacher(requires):
        if teacher.config.rate_hz != student.config.rate_hz:
            raise RecipeError(
                f"the teacher reads {teacher.config.rate_hz:g} Hz and the student {student.config.rate_hz:g} Hz; "
                "both see the same crops, so use networks of one rate"
            )
        if "teacher.logits" in requires:  # a loss of embeddings may have a teacher of other classes
            check_same_classes("teacher", teacher, data.classes)
    return losses


def check_same_classes(who: str, model: EcgModel, classes: tuple[str, ...]) -> None:
    """Refuse a `model`, called `who`, that has not the `classes` of the data; it need not know their names.

    Raises:
        RecipeError: it has others.
    """
    config = model.config
    if (config.classes or classes) != classes or config.num_classes != len(classes):
        raise RecipeError(
            f"the classes of the {who} are {', '.join(config.classes) or config.num_classes}, those of the data are "
            f"{', '.join(classes)}. Use a {who} of these classes."
        )


def check_model(what: str, model: object) -> None:
    """Refuse a network that has no leads, rate and classes, or predicts other logits than those that are trained.

    Raises:
        RecipeError: it is not an `EcgModel`.
        RegistryError: its backbone is your own, and see `check_answers`.
    """
    if not isinstance(model, EcgModel):
        raise RecipeError(
            f"the {what} is a {type(model).__name__}, expected an EcgModel; a network of your own becomes one by "
            "EcgModel(network, ModelConfig(...)): see docs/own-data.md"
        )
    config = model.config
    if not registry.has("backbone", config.architecture):  # that of a plugin was checked when it was built
        sizes = (len(config.leads), model.info.num_classes, config.window)
        with torch.no_grad():
            check_answers(f"the {what}", deepcopy(model.backbone).cpu().float().eval(), *sizes)


class Distiller(nn.Module):
    """Computes the loss of a batch, and each of its terms.

    The teacher is a copy in eval mode with its batch norms folded. It moves with the module, but its parameters and
    buffers are not part of the module. It never runs unless a loss requires a teacher. Losses get full precision
    inputs, outside autocast.

    Args:
        student: the network that learns.
        teacher: the network it learns from, if any.
        losses: weight and loss by name, from `create_losses` or your own.
        compiled: whether to run the student through torch.compile.

    Raises:
        RecipeError: student or teacher is not an `EcgModel`, a loss is not an ecgzoo `Loss`, or a weight is not above
            0.
        RegistryError: a network of your own predicts other logits than those that are trained.
    """

    def __init__(self, student: EcgModel, teacher: EcgModel | None, losses: Losses, compiled: bool = False) -> None:
        super().__init__()
        check_model("student", student)
        if teacher is not None:
            check_model("teacher", teacher)
        self.student = student
        self.losses = {name: loss for name, (_, loss) in losses.items()}
        for name, (weight, loss) in losses.items():
            if not isinstance(loss, Loss) or not 0 < weight < math.inf:
                raise RecipeError(
                    f"{name}: expected a weight above 0 and a Loss, got {weight} and {type(loss).__name__}"
                )
        # registers their parameters and buffers; a loss's name may contain a dot or one slash, a module's name no dot
        self.terms = nn.ModuleDict({name.replace(".", "//"): loss for name, loss in self.losses.items()})
        self.weights = {name: weight for name, (weight, _) in losses.items()}
        self.requires = frozenset(need for loss in self.losses.values() for need in loss.requires)
        # in a tuple, so that it is not a submodule
        self._teacher = (folded(teacher),) if teacher is not None and needs_teacher(self.requires) else ()
        self.view: Callable[[Tensor], View] = torch.compile(student.view) if compiled else student.view

    def forward(self, millivolts: Tensor, teacher_millivolts: Tensor, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the terms, and each term for the log.

        Args:
            millivolts: crops of the student's leads ``[B, leads, T]``.
            teacher_millivolts: crops of the teacher's leads ``[B, leads, T]``; not used if no loss requires a teacher.
            batch: labels and record indices.
        """
        teacher = None
        if self._teacher:
            with torch.no_grad():
                teacher = windowed_view(self._teacher[0], teacher_millivolts)
                teacher = teacher.full_precision(parts_of("teacher", self.requires))
        student = self.view(millivolts)
        # includes the classifier even if no term uses it, because DDP needs a gradient for every parameter
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
        """Call this once per step, after the backward pass: losses update their memory."""
        for loss in self.losses.values():
            loss.after_backward()

    def _apply(self, fn: Any, recurse: bool = True) -> "Distiller":
        for module in (*self._teacher, super()):
            module._apply(fn, recurse)  # used by torch for .to(), .double() and others
        return self


def reads_labels(loss: Loss) -> bool:
    """Whether `loss` works only on records with labels."""
    return bool(loss.requires & {"labels", "auxiliary"}) and not loss.soft_labels


def parts_of(side: str, requires: frozenset[str]) -> list[str]:
    """The parts of a view that `requires` names: ``["logits"]`` for ``student`` and ``student.logits``."""
    return [need.partition(".")[2] for need in sorted(requires) if need.startswith(f"{side}.")]


def windowed_view(teacher: EcgModel, millivolts: Tensor) -> View:
    """The view of `teacher` for crops ``[B, leads, T]``, in windows of the length that it was trained on.

    Logits and embedding are means over the windows. Feature maps are concatenated in time; where the last window
    overlaps the one before it, its features are left out, so that the map covers the time of the crop once. A crop that
    is not longer than a window is used as it is.
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
    overlap = (starts[-2] + window - starts[-1]) * features.shape[3] / window
    before, last = features[:, :-1].transpose(1, 2).flatten(2), features[:, -1, :, round(overlap) :]
    return View(logits.mean(1), embedding.mean(1), torch.cat([before, last], dim=2))
