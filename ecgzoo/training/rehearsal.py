"""One step before the run: what a loss, a transform or a network does wrong must not cost a trained teacher."""

import numpy as np
from accelerate import Accelerator

from ecgzoo import registry
from ecgzoo.create import create_transform
from ecgzoo.data import Cohort
from ecgzoo.errors import RegistryError
from ecgzoo.losses.contract import DataInfo
from ecgzoo.model import EcgModel
from ecgzoo.training.batches import TrainingRecords
from ecgzoo.training.distiller import Distiller, create_losses
from ecgzoo.training.feed import Feed
from ecgzoo.training.recipe import Recipe

RECORDS = 16


def rehearse(
    accelerator: Accelerator,
    recipe: Recipe,
    student: EcgModel,
    teacher: EcgModel,
    cohort: Cohort,
    rows: np.ndarray,
    data: DataInfo,
) -> None:
    """Forward and backward of each term on the first of the training records at `rows`; the student is then spent.

    Raises:
        RegistryError: a transform, a network or a term fails, or a value is not finite; its provider is named.
    """
    rows = rows[: min(RECORDS, recipe.batch_size)]
    auxiliary = None if data.auxiliary is None else data.auxiliary[: len(rows)].numpy()
    every = list(range(len(cohort.leads)))
    window, device = student.config.window, accelerator.device
    records = TrainingRecords(cohort, rows, every, window, len(rows), device, auxiliary)
    transforms = []
    for transform in recipe.transform_terms:
        with registry.blamed(registry.lookup("transform", transform.name)):
            transforms.append(create_transform(transform.name, data, transform.amount, **transform.arguments))
            next(Feed(records, cohort.leads, student, teacher, transforms[-1:], recipe.seed).epoch(0, 0.0))
    shown = next(Feed(records, cohort.leads, student, teacher, transforms, recipe.seed).epoch(0, 0.0))
    with registry.blamed(registry.lookup("backbone", student.config.architecture)), accelerator.autocast():
        student.to(device).train().view(shown[0])
    for term in recipe.loss_terms:
        found = registry.lookup("loss", term.name)
        with registry.blamed(found):
            distiller = Distiller(student, teacher, create_losses([term], student, teacher, data)).to(device).train()
            with accelerator.autocast():
                value, _ = distiller(*shown)
            value.backward()
            distiller.after_backward()
            gradients = [parameter.grad for parameter in distiller.parameters() if parameter.grad is not None]
            finite = all(bool(tensor.isfinite().all()) for tensor in (value, *gradients))
        student.zero_grad()
        if not finite:
            raise RegistryError(
                f"{found} gives {value.item()}, or a gradient that is not finite, in a first step on {len(rows)} "
                f"records; change its arguments, or report it to the authors of {found.distribution}"
            )
