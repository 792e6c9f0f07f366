"""One training step before the run, so that an error in a loss or network shows before a teacher is trained."""

from collections.abc import Sequence

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ecgzoo import registry
from ecgzoo.data import Cohort
from ecgzoo.errors import RegistryError
from ecgzoo.losses.contract import Batch, DataInfo
from ecgzoo.model import EcgModel
from ecgzoo.training.batches import TrainingRecords
from ecgzoo.training.distiller import Distiller, create_losses
from ecgzoo.training.feed import Feed
from ecgzoo.training.recipe import Recipe
from ecgzoo.transforms.contract import Transform

RECORDS = 16

Shown = tuple[Tensor, Tensor, Batch]  # millivolts of the student, of the teacher, and the batch


def rehearse(
    accelerator: Accelerator,
    recipe: Recipe,
    student: EcgModel,
    teacher: EcgModel | None,
    cohort: Cohort,
    data: DataInfo,
    transforms: Sequence[Transform],
    rows: np.ndarray,
) -> None:
    """Forward and backward pass of each term on the first records of `rows`; do not use the student afterwards.

    Raises:
        RegistryError: a network, transform or term fails, a value or gradient is not finite, one has another shape than
            expected, or the state of a loss changes its form; the message names the plugin.
    """
    rows = rows[: min(RECORDS, recipe.batch_size)]
    auxiliary = None if data.auxiliary is None else data.auxiliary[: len(rows)].numpy()
    every, device = list(range(len(cohort.leads))), accelerator.device
    records = TrainingRecords(cohort, rows, every, student.config.window, len(rows), device, auxiliary)
    shown = next(Feed(records, cohort.leads, student, teacher, (), recipe.seed).epoch(0, 0.0))
    for count, change in enumerate(recipe.transform_terms, 1):
        found, given = registry.lookup("transform", change.name), shown
        with registry.blamed(found):
            shown = next(Feed(records, cohort.leads, student, teacher, transforms[:count], recipe.seed).epoch(0, 0.0))
        for crops, before in zip(shown[:2], given[:2], strict=True):
            _check_crops(found, crops, before)
        _check_declared(found, transforms[count - 1], shown, given)
    with registry.blamed(registry.lookup("backbone", student.config.architecture)), accelerator.autocast():
        student.to(device).train().view(shown[0])
    for term in recipe.loss_terms:
        student.zero_grad()
        found = registry.lookup("loss", term.name)
        with registry.blamed(found):
            distiller = Distiller(student, teacher, create_losses([term], student, teacher, data)).to(device).train()
            state = _shapes(distiller.terms)
            with accelerator.autocast():
                value, parts = distiller(*shown)
            for name, part in parts.items():
                if part.ndim:
                    raise RegistryError(f"{found}: {name} has shape {tuple(part.shape)}, expected a scalar")
            value.backward()
            distiller.after_backward()
            gradients = [weight.grad for weight in distiller.parameters() if weight.grad is not None]
            changed = dict(state.items() ^ _shapes(distiller.terms).items())
        if changed:
            raise RegistryError(
                f"{found} changes which tensors its state has, or their shapes, in a step: {', '.join(changed)}; a run "
                "could not be resumed. Register them in __init__, with their final shapes"
            )
        if not all(tensor.isfinite().all() for tensor in (value, *gradients)):
            raise RegistryError(
                f"{found} gives {value.item()}, or a gradient that is not finite, in a first step on {len(rows)} "
                f"records; change its arguments, or report it to the authors of {found.distribution}"
            )


def _shapes(terms: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a checkpoint by name, without the name of the loss."""
    return {name.partition(".")[2]: tuple(tensor.shape) for name, tensor in terms.state_dict().items()}


def _report(found: registry.Registered) -> str:
    return f"Report it to the authors of {found.distribution}"


def _check_crops(found: registry.Registered, crops: Tensor, before: Tensor) -> None:
    """Check what a transform made of the crops `before`; else a network or a loss would be blamed for it."""
    if crops.shape != before.shape or not crops.isfinite().all():
        raise RegistryError(
            f"{found} gives crops {tuple(crops.shape)}, or samples that are not finite; expected finite crops "
            f"{tuple(before.shape)}. {_report(found)}"
        )
    if crops.dtype != before.dtype:
        raise RegistryError(
            f"{found} gives crops of {crops.dtype}; expected {before.dtype}, as it gets them. {_report(found)}"
        )


def _check_declared(found: registry.Registered, transform: Transform, shown: Shown, before: Shown) -> None:
    """Check that what a transform declares not to change is as it was `before`: else the targets are wrong."""
    if transform.sees == "student" and not torch.equal(shown[1], before[1]):
        raise RegistryError(
            f"{found} is for the student only, but changes the teacher's crops in place. {_report(found)}"
        )
    if transform.keeps_labels and not torch.equal(shown[2].labels, before[2].labels):
        raise RegistryError(f"{found} changes labels and does not declare it (keeps_labels). {_report(found)}")
