"""The training loop, on Accelerate: one student, optionally a teacher, any losses and transforms."""

import math
import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from ecgzoo import registry
from ecgzoo.create import create_transform
from ecgzoo.data import Cohort
from ecgzoo.errors import RecipeError
from ecgzoo.evaluation import macro_auc
from ecgzoo.losses.contract import DataInfo
from ecgzoo.model import EcgModel
from ecgzoo.training.batch_norm import average_statistics, synchronize
from ecgzoo.training.batches import TrainingRecords
from ecgzoo.training.distiller import Distiller, create_losses
from ecgzoo.training.feed import Feed
from ecgzoo.training.optimizer import MakeOptimizer, Schedule, make_optimizer
from ecgzoo.training.processes import check_in_step, on_main, score_shared
from ecgzoo.training.quantize import round_convolutions
from ecgzoo.training.recipe import Recipe
from ecgzoo.training.state import TrainingState
from ecgzoo.training.terms import LossTerm


@dataclass(frozen=True, kw_only=True)
class Job:
    """What `fit` trains.

    Attributes:
        name: name in the progress bar and the tracker.
        student: the network that learns, changed in place.
        teacher: the frozen network it learns from, if any.
        terms: the loss terms.
        cohort: the records.
        auxiliary: labels of the training records in a second task, for losses that use them.
        train_rows: rows of the training records, those with labels first.
        labels: labels ``[len(train_rows), C]`` of the training records, with the teacher's probabilities for those
            without labels; if not given, the labels of the cohort.
        labelled: how many training records have labels; None if all have.
        val_rows: rows of the records on which the best epoch is chosen.
        recipe: the recipe.
        folder: folder of the checkpoint and the log.
        is_teacher: whether a teacher is trained, without the transforms that are for students.
        origin: what the model is trained from, as plain JSON values.
        check: called before each write; raises if the folder was deleted or replaced.
        optimizer: makes the optimizer or its parameter groups, instead of the recipe's.
    """

    name: str
    student: EcgModel
    teacher: EcgModel | None
    terms: Sequence[LossTerm]
    cohort: Cohort
    train_rows: np.ndarray
    val_rows: np.ndarray
    recipe: Recipe
    folder: Path
    labels: np.ndarray | None = None
    labelled: int | None = None
    auxiliary: np.ndarray | None = None
    is_teacher: bool = False
    origin: Mapping[str, Any] = field(default_factory=dict)
    check: Callable[[], object] = lambda: None
    optimizer: MakeOptimizer | None = None


def fit(accelerator: Accelerator, job: Job) -> dict[str, Any]:
    """Train ``job.student``, load the weights of its best epoch, and return the log line of that epoch.

    A checkpoint is written after every epoch. A run that finds one continues as if it had not been stopped, because all
    random numbers of an epoch depend only on (seed, epoch).

    Raises:
        RecipeError: the loss became NaN or infinite, the processes differ, or see `make_optimizer`.
        DataError: the validation folds have no class with positives and negatives.
        WeightsError: see `TrainingState.resume`.
        OSError: the checkpoint or the log cannot be written.
    """
    recipe = job.recipe
    feed, distiller = prepared(accelerator, job)
    steps = len(feed) // recipe.accumulate
    optimizer, schedule = make_optimizer(distiller, recipe, steps, job.optimizer)
    with warnings.catch_warnings():
        # accelerate 1.15 cannot pass the new name yet
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        wrapped, optimizer = accelerator.prepare(distiller, optimizer)
    state = TrainingState(distiller, optimizer, recipe.ema_decay, job.origin, accelerator.scaler)
    state.resume(job.folder)

    on_main(accelerator, lambda: job.folder.mkdir(parents=True, exist_ok=True))
    if state.epochs:
        on_main(accelerator, lambda: state.write_log(job.folder))
    with _progress(accelerator) as progress:
        bar = progress.add_task(job.name, total=recipe.epochs * steps, completed=state.epochs * steps)
        while state.epochs < recipe.epochs and not state.is_out_of(recipe.patience):
            line = train_epoch(accelerator, wrapped, feed, state, recipe, schedule, lambda: progress.advance(bar))
            if accelerator.num_processes > 1 and recipe.batch_norm == "per-process":
                average_statistics([distiller, *([state.judged] if state.ema else [])])
            check_in_step(accelerator, distiller, job.name)
            if not math.isfinite(line["loss"]):
                raise RecipeError(
                    f"{job.name}: the loss is {line['loss']} in epoch {line['epoch']} of {recipe.epochs}; "
                    f"{line['not_finite']}lower --lr"
                )
            line |= validate(accelerator, state.judged, job)
            state.record(line)
            schedule.after_epoch([past["val_macro_auc"] for past in state.log])
            shown = (
                f"{job.name}  epoch {line['epoch']} of {recipe.epochs}  loss {line['loss']:.3f}  "
                f"val AUC {line['val_macro_auc']:.4f}"
            )
            progress.update(bar, description=shown)
            accelerator.log({f"{job.name}/{name}": value for name, value in line.items()}, step=line["epoch"])
            on_main(accelerator, job.check, lambda: state.save(job.folder, state.epochs == recipe.epochs))
    return state.finish()


def prepared(accelerator: Accelerator, job: Job) -> tuple[Feed, Distiller]:
    """The input of the networks and the module that computes the loss, on the device."""
    recipe, student, teacher, cohort = job.recipe, job.student, job.teacher, job.cohort
    auxiliary = None if job.auxiliary is None else torch.from_numpy(job.auxiliary)
    labels = cohort.labels[job.train_rows] if job.labels is None else job.labels
    data = DataInfo(cohort.classes, torch.from_numpy(labels), auxiliary, recipe.seed)
    losses = create_losses(job.terms, student, teacher, data)
    transforms = [create_transform(term.name, data, term.amount, **term.arguments) for term in recipe.transform_terms]
    if job.is_teacher:
        transforms = [transform for transform in transforms if transform.sees == "both"]
    used = {*student.config.leads, *(teacher.config.leads if teacher else ())}
    every_lead = any(transform.every_lead for transform in transforms)
    leads = tuple(lead for lead in cohort.leads if lead in used or every_lead)
    records = TrainingRecords(
        cohort,
        job.train_rows,
        [cohort.leads.index(lead) for lead in leads],
        student.config.window,
        recipe.batch_size,
        accelerator.device,
        job.auxiliary,
        labels=labels,
        labelled=job.labelled,
    )
    if recipe.quantization_aware and not job.is_teacher:
        round_convolutions(student.backbone)
    feed = Feed(records, leads, student, teacher, transforms, recipe.seed)
    distiller = Distiller(student, teacher, losses, recipe.compile).to(accelerator.device)
    if accelerator.num_processes > 1 and recipe.batch_norm == "synchronized":
        synchronize(distiller, accelerator.device)
    return feed, distiller


def train_epoch(
    accelerator: Accelerator,
    wrapped: nn.Module,
    feed: Feed,
    state: TrainingState,
    recipe: Recipe,
    schedule: Schedule,
    advance: Callable[[], None],
) -> dict[str, Any]:
    """Train for one epoch; return the means of all terms, for the log, each over the batches in which it was given.

    If the loss is not finite, ``not_finite`` says which term was the first.

    A step takes ``recipe.accumulate`` batches; batches that do not fill a last step are left out of this epoch.
    """
    epoch, process, processes = state.epochs, accelerator.process_index, accelerator.num_processes
    torch.manual_seed(int(np.random.SeedSequence([recipe.seed, epoch, process]).generate_state(1)[0]))
    wrapped.train()
    distiller, optimizer = state.distiller, state.optimizer
    parameters = list(distiller.parameters())
    started = time.perf_counter()
    sums: dict[str, Tensor] = {}
    past: list[dict[str, Tensor]] = []
    counts: Counter[str] = Counter()
    steps, per_step = len(feed) // recipe.accumulate, recipe.accumulate
    batches = islice(feed.epoch(epoch, epoch / recipe.epochs, process, processes), steps * per_step)
    for number, shown in enumerate(batches, start=1):
        is_last = number % per_step == 0
        with nullcontext() if is_last else accelerator.no_sync(wrapped):
            loss, parts = wrapped(*shown)
            accelerator.backward(loss / per_step)
        distiller.after_backward()
        sums |= {name: sums.get(name, 0) + value for name, value in parts.items()}
        counts.update(parts.keys())
        past.append({name: parts[name] for name in distiller.losses})
        if not is_last:
            continue
        if recipe.clip_grad:
            accelerator.unscale_gradients(optimizer)
            nn.utils.clip_grad_norm_(parameters, recipe.clip_grad, foreach=True)
        optimizer.step()
        optimizer.zero_grad()
        step = epoch * steps + number // per_step
        schedule.after_step(step)
        state.average(step)
        advance()
    # a loss may give some of its extras in some batches only, and not in the same ones in every process
    names = list(dict.fromkeys(gather_object(list(sums)))) if processes > 1 else list(sums)
    there = torch.tensor([counts[name] for name in names], device=accelerator.device)
    total = torch.stack([torch.as_tensor(sums.get(name, 0.0), device=accelerator.device).float() for name in names])
    means = accelerator.reduce(total, "sum") / accelerator.reduce(there, "sum")
    rates = [group["lr"] for group in optimizer.param_groups]
    line = {"epoch": epoch + 1, **dict(zip(names, means.tolist(), strict=True)), "lr": rates[0]}
    if len(set(rates)) > 1:
        line |= {f"lr/{group}": rate for group, rate in enumerate(rates)}
    if not math.isfinite(line["loss"]):
        line["not_finite"] = _first_not_finite(past)
    return {**line, "seconds": time.perf_counter() - started}  # after reading the means, to include the GPU's work


def _first_not_finite(past: Sequence[Mapping[str, Tensor]]) -> str:
    """Which terms were not finite, in any process, in the first batch where one was not; empty for all, or none.

    All are not finite where the networks' outputs are not. One term spoils the others from the next batch on.
    """
    wrong = ([name for name, value in terms.items() if not value.isfinite().all()] for terms in past)
    own = next(((batch, names) for batch, names in enumerate(wrong, 1) if names), None)
    batch, names = min((found for found in gather_object([own]) if found), default=(0, []))
    if len(names) in (0, len(past[0])):
        return ""
    said = ", ".join(str(registry.lookup("loss", name)) for name in names)
    return f"in batch {batch}, {said} alone was not finite: change its arguments, leave it out, or "


def validate(accelerator: Accelerator, model: EcgModel, job: Job) -> dict[str, float]:
    """The macro AUC on the validation records, for the log."""
    started = time.perf_counter()
    scores = score_shared(accelerator, model, job.cohort, job.val_rows)
    return {
        "val_seconds": time.perf_counter() - started,
        "val_macro_auc": macro_auc(job.cohort.labels[job.val_rows], scores),
    }


def _progress(accelerator: Accelerator) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # drawing takes milliseconds of the training thread, by default ten times per second
    return Progress(*columns, disable=not accelerator.is_main_process, refresh_per_second=2)
