"""create_model, create_teacher, create_student, create_loss, load_cohort, and what there is to choose from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ecgzoo import registry
from ecgzoo.config import ModelConfig
from ecgzoo.data import Cohort
from ecgzoo.errors import DataError, EcgZooError, RecipeError, RegistryError, WeightsError, did_you_mean
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
        pretrained: a folder of weights; ``True`` or a tag for published ones; ``False`` for random weights.
        arguments: the backbone's own further arguments.

    Raises:
        RegistryError: no backbone has this name, or it does not take these arguments.
        SignalError: an unknown lead.
        WeightsError: weights that are missing, damaged, or of another architecture, lead or number of classes.
    """
    spec = registry.get("backbone", name)
    wanted = resolve_leads(leads)
    if pretrained is False:
        classes = 5 if num_classes is None else num_classes
        if not isinstance(classes, int) or classes < 1:
            raise RegistryError(f"{name}: num_classes is {classes!r}; expected a whole number of at least 1")
        config = ModelConfig(architecture=spec.name, leads=wanted, num_classes=classes, arguments=dict(arguments or {}))
        try:
            backbone = registry.factory(spec)(len(wanted), classes, **config.arguments)
        except (TypeError, ValueError) as error:
            raise RegistryError(f"{name} does not take arguments {dict(config.arguments)}: {error}") from error
        return EcgModel(backbone, config)
    if arguments:
        raise WeightsError(f"{name}: trained weights bring their own arguments; leave out {dict(arguments)}")
    if pretrained is True or not Path(pretrained).is_dir():
        what = "published weights" if pretrained is True else f"folder or published tag {str(pretrained)!r}"
        raise WeightsError(
            f"{name}: no {what}. Give the folder of a model that a recipe or save_pretrained wrote, "
            "or pretrained=False for random weights."
        )
    model = load_pretrained(pretrained)
    found = model.config
    if found.architecture != spec.name or found.leads != wanted or num_classes not in (None, found.num_classes):
        raise WeightsError(
            f"{pretrained} holds {found.architecture} on leads {','.join(found.leads)} with {found.num_classes} "
            f"classes; asked for {spec.name} on {','.join(wanted)} with {num_classes or 'any number of'} classes. "
            "Ask for what it holds, or use load_pretrained."
        )
    return model


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
        RegistryError: no loss has this name.
        RecipeError: the loss does not take these parameters, or needs a teacher and gets none.
    """
    build = registry.factory(registry.get("loss", name))
    try:
        loss = build(student, teacher, data, **(params or {}))
    except EcgZooError:
        raise
    except TypeError as error:
        raise RecipeError(f"loss {name} does not take parameters {dict(params or {})}: {error}") from error
    if not isinstance(loss, Loss):
        raise RegistryError(f"loss {name}: its factory made a {type(loss).__name__}, which is no ecgzoo Loss")
    if teacher is None and any(need.startswith("teacher.") for need in loss.requires):
        raise RecipeError(f"loss {name} requires {', '.join(sorted(loss.requires))}; give a teacher")
    return loss


def load_cohort(name: str, root: str | Path | None = None, task: str | None = None) -> Cohort:
    """The records of a registered data set, with the labels of `task`, or of its first one.

    Raises:
        RegistryError: no data set has this name.
        DataError: no such task, a folder that is missing or not wanted, or files that cannot be read.
    """
    spec = registry.get("dataset", name)
    task = spec.tasks[0] if task is None else task
    if task not in spec.tasks:
        raise DataError(f"{name} has no task {task!r}. {did_you_mean(task, spec.tasks)}")
    if spec.needs_root and root is None:
        raise DataError(f"{name} is read from files: give the folder that holds them (--root DIR)")
    cohort: Cohort = registry.factory(spec)(None if root is None else Path(root), task)
    return cohort
