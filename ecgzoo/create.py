"""create_model, create_teacher, create_student, create_loss, load_cohort, and what there is to choose from."""

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgzoo import registry
from ecgzoo.config import ModelConfig
from ecgzoo.data import Cohort
from ecgzoo.errors import DataError, RecipeError, RegistryError, WeightsError, did_you_mean
from ecgzoo.losses.contract import DataInfo, Loss, ModelInfo
from ecgzoo.model import EcgModel
from ecgzoo.signal import LEADS_12, resolve_leads
from ecgzoo.weights import load_pretrained


def list_models(pattern: str = "*") -> list[str]:
    """Names of backbones that match a shell pattern."""
    return registry.names("backbone", pattern)


def list_losses(pattern: str = "*") -> list[str]:
    """Names of losses that match a shell pattern."""
    return registry.names("loss", pattern)


def create_model(
    name: str,
    leads: int | str | Sequence[str] = LEADS_12,
    num_classes: int | None = None,
    pretrained: bool | str | Path = False,
    arguments: Mapping[str, Any] | None = None,
) -> EcgModel:
    """A registered backbone that takes `leads`, with random or trained weights.

    Args:
        name: as `list_models` shows it.
        leads: lead names, or a number that stands for the usual set of so many (`ecgzoo.signal.LEAD_SETS`).
        num_classes: number of logits; 5, the superclasses of PTB-XL, unless the weights say otherwise.
        pretrained: a folder of weights, or a tag that a plugin provides; ``False`` for random weights.
        arguments: the backbone's own further arguments.

    Raises:
        RegistryError: no backbone has this name, or it does not take these arguments.
        SignalError: an unknown lead.
        WeightsError: weights that are missing, damaged, or of another architecture, lead or number of classes.
    """
    found = registry.get("backbone", name)
    wanted = resolve_leads(leads)
    if pretrained is False:
        classes = 5 if num_classes is None else num_classes
        if not isinstance(classes, int) or classes < 1:
            raise RegistryError(f"{name}: num_classes is {classes!r}; expected a whole number of at least 1")
        return EcgModel.build(
            ModelConfig(architecture=found.name, leads=wanted, num_classes=classes, arguments=dict(arguments or {}))
        )
    if arguments:
        raise WeightsError(f"{name}: trained weights bring their own arguments; leave out {dict(arguments)}")
    model = load_pretrained(_weights_folder(name, pretrained))
    held = model.config
    if held.architecture != found.name or held.leads != wanted or num_classes not in (None, held.num_classes):
        raise WeightsError(
            f"{pretrained} holds {held.architecture} on leads {','.join(held.leads)} with {held.num_classes} "
            f"classes; asked for {found.name} on {','.join(wanted)} with {num_classes or 'any number of'} classes. "
            "Ask for what it holds, or use load_pretrained."
        )
    return model


def _weights_folder(name: str, pretrained: bool | str | Path) -> Path:
    """The folder that `pretrained` is, or that a plugin gives for the tag."""
    if not isinstance(pretrained, bool) and Path(pretrained).is_dir():
        return Path(pretrained)
    tags = [weights.split(".", 1)[1] for weights in registry.names("weights", f"{name}.*")]
    if pretrained not in tags:
        what = "published weights" if pretrained is True else f"folder or tag {str(pretrained)!r}"
        raise WeightsError(
            f"{name}: no {what}. {did_you_mean(str(pretrained), tags) if tags else ''} Give the folder of a model that "
            "a recipe or save_pretrained wrote, or pretrained=False for random weights."
        )
    found = registry.get("weights", f"{name}.{pretrained}")
    make = registry.factory(found)
    with registry.blamed(found):
        return Path(make())


def create_teacher(
    name: str,
    leads: int | str | Sequence[str] = LEADS_12,
    num_classes: int | None = None,
    pretrained: bool | str | Path = False,
    arguments: Mapping[str, Any] | None = None,
) -> EcgModel:
    """`create_model`, frozen: in eval mode, without gradients."""
    model = create_model(name, leads, num_classes, pretrained, arguments)
    return model.eval().requires_grad_(False)


def create_student(
    name: str,
    leads: int | str | Sequence[str] = ("I",),
    num_classes: int | None = None,
    pretrained: bool | str | Path = False,
    arguments: Mapping[str, Any] | None = None,
) -> EcgModel:
    """`create_model` on lead I unless other leads are named."""
    return create_model(name, leads, num_classes, pretrained, arguments)


def create_loss(
    name: str,
    student: ModelInfo,
    teacher: ModelInfo | None,
    data: DataInfo,
    params: Mapping[str, Any] | None = None,
) -> Loss:
    """A registered loss for a student, its teacher and their training records.

    Raises:
        RegistryError: no loss has this name, or its factory fails.
        RecipeError: the loss does not take these parameters, or needs a teacher and gets none.
    """
    found = registry.get("loss", name)
    build = registry.factory(found)
    params = params or {}
    try:
        inspect.signature(build).bind(student, teacher, data, **params)
    except TypeError as error:
        raise RecipeError(f"{found} does not take parameters {dict(params)}: {error}") from error
    with registry.blamed(found):
        loss = build(student, teacher, data, **params)
    if not isinstance(loss, Loss):
        raise RegistryError(f"{found}: its factory made a {type(loss).__name__}, which is no ecgzoo Loss")
    if teacher is None and any(need.startswith("teacher.") for need in loss.requires):
        raise RecipeError(f"loss {name} requires {', '.join(sorted(loss.requires))}; give a teacher")
    return loss


def load_cohort(name: str, root: str | Path | None = None, task: str | None = None) -> Cohort:
    """The records of a registered data set, with the labels of `task`, or of its first one.

    Raises:
        RegistryError: no data set has this name, or its factory fails.
        DataError: no such task, a folder that is missing or not wanted, or files that cannot be read.
    """
    found = registry.get("dataset", name)
    spec = found.spec
    task = spec.tasks[0] if task is None else task
    if task not in spec.tasks:
        raise DataError(f"{name} has no task {task!r}. {did_you_mean(task, spec.tasks)}")
    if spec.needs_root and root is None:
        raise DataError(f"{name} is read from files: give the folder that holds them (--root DIR)")
    make = registry.factory(found)
    with registry.blamed(found):
        cohort = make(None if root is None else Path(root), task)
    if not isinstance(cohort, Cohort):
        raise RegistryError(f"{found}: its factory made a {type(cohort).__name__}, which is no Cohort")
    return cohort
