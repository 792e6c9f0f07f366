"""Create registered models, losses, transforms and cohorts by name, and list their names."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ecgzoo import registry
from ecgzoo.config import ModelConfig
from ecgzoo.data import Cohort, check_cohort
from ecgzoo.errors import DataError, RecipeError, RegistryError, WeightsError, did_you_mean
from ecgzoo.losses.contract import NEEDS, DataInfo, Loss, ModelInfo
from ecgzoo.model import EcgModel, WeightsSource
from ecgzoo.signal import LEADS_12, resolve_leads
from ecgzoo.transforms.contract import Transform
from ecgzoo.weights import load_pretrained
from ecgzoo.weights.adapt import adapt
from ecgzoo.weights.resolve import load_registered, lookup_weights


def list_models(pattern: str = "*") -> list[str]:
    """Names of backbones that match a shell `pattern`, such as ``"*18"``, in alphabetical order."""
    return registry.names("backbone", pattern)


def list_losses(pattern: str = "*") -> list[str]:
    """Names of losses that match a shell `pattern`."""
    return registry.names("loss", pattern)


def list_transforms(pattern: str = "*") -> list[str]:
    """Names of transforms that match a shell `pattern`."""
    return registry.names("transform", pattern)


def list_pretrained(pattern: str = "*") -> list[str]:
    """Names ``backbone.tag`` of installed weights that match a shell `pattern`."""
    return registry.names("weights", pattern)


def create_model(
    name: str,
    leads: int | str | Sequence[str] | None = None,
    num_classes: int | None = None,
    pretrained: bool | str | Path = False,
    **arguments: Any,
) -> EcgModel:
    """A registered backbone for `leads`, with random or trained weights.

    Args:
        name: as `list_models` shows it, or ``backbone.tag`` as `list_pretrained` does.
        leads: lead names, or a number of leads that stands for a set (`ecgzoo.signal.LEAD_SETS`). If not given: the
            leads of the weights, or all twelve for random weights.
        num_classes: number of logits. If not given: that of the weights, or 5 for random weights, as PTB-XL has 5
            superclasses.
        pretrained: ``True`` for installed weights of this backbone: those for `leads` if there are any, else the
            default ones. Or a tag, or anything that `ecgzoo.load_pretrained` takes. ``"imagenet"`` for timm's own
            weights of a backbone ``timm/…``, as a start for training. ``False`` for random weights.
        **arguments: arguments of the backbone, such as ``drop_rate=0``.

    Weights that were trained on other leads or classes are adapted, with a warning: see `ecgzoo.weights.adapt`.

    Raises:
        RegistryError: no backbone has this name, or it does not take these arguments.
        SignalError: an unknown lead.
        WeightsError: the weights are missing, damaged, or of another architecture.
    """
    return _create(name, leads, LEADS_12, num_classes, pretrained, arguments)


def create_teacher(
    name: str,
    leads: int | str | Sequence[str] | None = None,
    num_classes: int | None = None,
    pretrained: bool | str | Path = False,
    **arguments: Any,
) -> EcgModel:
    """`create_model`, frozen: in eval mode, without gradients. ``pretrained=True`` means weights for twelve leads.

    Args:
        name: this and the other arguments are those of `create_model`.
        leads: all twelve if not given.
        num_classes: number of logits.
        pretrained: which weights.
        **arguments: arguments of the backbone.

    Raises:
        EcgZooError: see `create_model`.
    """
    return _create(name, leads, LEADS_12, num_classes, pretrained, arguments).eval().requires_grad_(False)


def create_student(
    name: str,
    leads: int | str | Sequence[str] | None = None,
    num_classes: int | None = None,
    pretrained: bool | str | Path = False,
    **arguments: Any,
) -> EcgModel:
    """`create_model` for few leads. ``pretrained=True`` means weights for lead I unless other leads are given.

    Args:
        name: this and the other arguments are those of `create_model`.
        leads: if not given, those of the weights that `name` or `pretrained` names, else lead I.
        num_classes: number of logits.
        pretrained: which weights.
        **arguments: arguments of the backbone.

    Raises:
        EcgZooError: see `create_model`.
    """
    return _create(name, leads, ("I",), num_classes, pretrained, arguments)


def _create(
    name: str,
    leads: int | str | Sequence[str] | None,
    usual_leads: tuple[str, ...],
    num_classes: int | None,
    pretrained: bool | str | Path,
    arguments: Mapping[str, Any],
) -> EcgModel:
    tagged = registry.get("weights", name) if registry.has("weights", name) else None
    found = registry.get("backbone", tagged.spec.name.partition(".")[0] if tagged else name)
    wanted = None if leads is None else resolve_leads(leads)
    if num_classes is not None and (not isinstance(num_classes, int) or num_classes is True or num_classes < 1):
        raise RegistryError(f"{name}: num_classes is {num_classes!r}; expected a whole number of at least 1")
    starts = pretrained in found.spec.starts
    if pretrained is False or starts:
        if tagged:
            raise WeightsError(
                f"{name} names trained weights: set pretrained=True, or use {found.name} for random weights"
            )
        made = EcgModel.build(
            ModelConfig(
                architecture=found.name,
                leads=wanted or usual_leads,
                num_classes=num_classes or 5,
                arguments=dict(arguments),
            )
        )
        return _started(made, found, str(pretrained)) if starts else made
    if tagged and pretrained is not True:
        raise WeightsError(f"{name} names trained weights, and pretrained={str(pretrained)!r} others; leave out one")
    if arguments:
        raise WeightsError(f"{name}: trained weights already define the arguments; leave out {dict(arguments)}")
    if pretrained is True:
        model = load_registered(tagged or lookup_weights(name, wanted or usual_leads))
    elif registry.has("weights", f"{found.spec.name}.{pretrained}"):
        model = load_registered(registry.get("weights", f"{found.spec.name}.{pretrained}"))
    else:
        model = load_pretrained(pretrained)
    if registry.lookup("backbone", model.config.architecture) != found:
        raise WeightsError(f"{pretrained} holds weights of {model.config.architecture}, not of {found.name}")
    if wanted is None and pretrained is True and not tagged:
        wanted = usual_leads
    return adapt(model, wanted or model.config.leads, num_classes or model.config.num_classes)


def _started(model: EcgModel, found: registry.Registered, start: str) -> EcgModel:
    """`model` with the weights that its backbone calls `start`; they know no class of an ECG."""
    with registry.blamed(found):
        said = model.backbone.start_from(start)
    model.config = replace(model.config, training={"start": said})
    model.weights_source = WeightsSource("start", said, "", ("the classifier is random",))
    return model


def create_loss(name: str, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, **arguments: Any) -> Loss:
    """A registered loss for a student, its teacher and their training records.

    Args:
        name: as `list_losses` shows it.
        student: what the loss may know about the student: ``EcgModel.info``.
        teacher: the same for the teacher, if there is one.
        data: what the loss may know about the training records.
        **arguments: arguments of the loss, such as ``temperature=2``.

    Raises:
        RegistryError: no loss has this name, or its factory fails.
        RecipeError: the loss does not take these arguments, or needs a teacher and there is none.
    """
    found = registry.get("loss", name)
    loss = registry.build(found, (student, teacher, data), arguments, RecipeError)
    if not isinstance(loss, Loss):
        raise RegistryError(f"{found}: its factory made a {type(loss).__name__}, which is not an ecgzoo Loss")
    if not isinstance(loss.requires, frozenset):
        raise RegistryError(
            f"{found}: requires is a {type(loss.requires).__name__}; expected a frozenset of some of "
            f"{', '.join(sorted(NEEDS))}"
        )
    if unknown := sorted(map(str, loss.requires - NEEDS)):
        raise RegistryError(f"{found} requires {unknown[0]}, which no loss can read. {did_you_mean(unknown[0], NEEDS)}")
    return loss


def create_transform(name: str, data: DataInfo, amount: float, **arguments: Any) -> Transform:
    """A registered transform of training crops.

    Args:
        name: as `list_transforms` shows it.
        data: what the transform may know about the training records.
        amount: how strong it is, in the unit that the transform defines.
        **arguments: arguments of the transform, such as ``share=0.5``.

    Raises:
        RegistryError: no transform has this name, its factory fails, or it changes labels although only the student
            sees it.
        RecipeError: the transform does not take this amount or these arguments.
    """
    found = registry.get("transform", name)
    transform = registry.build(found, (data, amount), arguments, RecipeError)
    if not isinstance(transform, Transform):
        raise RegistryError(f"{found}: its factory made a {type(transform).__name__}, which is not an ecgzoo Transform")
    if transform.sees not in ("both", "student"):
        raise RegistryError(f"{found}: sees is {transform.sees!r}; expected 'both' or 'student'")
    if transform.sees == "student" and not (transform.keeps_labels and transform.keeps_identity):
        raise RegistryError(f"{found}: only the student sees it, so it must keep labels and identity")
    return transform


def load_cohort(name: str, root: str | Path | None = None, task: str | None = None) -> Cohort:
    """The records of a registered data set, with the labels of `task`, or of its first task.

    Args:
        name: the data set, as ``ecgzoo list --kind dataset`` shows it.
        root: the folder with its files, if it has any.
        task: the label set.

    Raises:
        RegistryError: no data set has this name, or its factory fails.
        DataError: there is no such task, `root` is missing or not needed, files cannot be read, or the cohort breaks
            the contract of `Cohort`.
    """
    found = registry.get("dataset", name)
    spec = found.spec
    task = spec.tasks[0] if task is None else task
    if task not in spec.tasks:
        raise DataError(f"{name} has no task {task!r}. {did_you_mean(task, spec.tasks)}")
    if spec.needs_root and root is None:
        raise DataError(f"{name} is read from files; give the folder with these files (--root DIR)")
    make = registry.factory(found)
    with registry.blamed(found):
        cohort = make(None if root is None else Path(root), task)
    if not isinstance(cohort, Cohort):
        raise RegistryError(f"{found}: its factory made a {type(cohort).__name__}, which is not a Cohort")
    try:
        check_cohort(cohort)
        if cohort.task != task:
            raise DataError(f"its task is {cohort.task!r}, expected {task!r}. Return the task that was requested.")
    except DataError as error:
        raise DataError(f"{found} gave a cohort that cannot be used: {error}") from error
    return cohort
