"""The training loop: one student, perhaps a teacher, any losses, on Accelerate."""

import json
import math
import time
import warnings
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torch.optim.lr_scheduler import OneCycleLR

from ecgzoo.create import create_loss
from ecgzoo.data import Cohort
from ecgzoo.training.batches import TrainingRecords
from ecgzoo.training.mixup import mixed
from ecgzoo.training.recipe import LossTerm, Recipe
from ecgzoo.training.state import load_state, save_state
from ecgzoo.training.sync_bn import synchronize
from ecgzoo.training.views import any_lead, windowed_view
from ecgzoo.errors import RecipeError, WeightsError
from ecgzoo.evaluation import macro_auc
from ecgzoo.evaluation.cohort import RECORDS_AT_ONCE, score_rows
from ecgzoo.files import write_text
from ecgzoo.losses.contract import Batch, DataInfo, Loss, View
from ecgzoo.model import EcgModel

CHECKPOINT, LOG = "checkpoint.safetensors", "log.jsonl"


class Learner(nn.Module):
    """The student and its loss terms as one module, so that one wrapper synchronizes the gradients of both."""

    def __init__(
        self, student: EcgModel, losses: dict[str, Loss], weights: dict[str, float], compiled: bool = False
    ) -> None:
        super().__init__()
        self.view = torch.compile(student.view) if compiled else student.view
        self.student = student
        self.losses = losses
        # registers their parameters and buffers; a module's name holds no full stop, a loss's may
        self.terms = nn.ModuleDict({name.replace(".", "_"): loss for name, loss in losses.items()})
        self.weights = weights

    def forward(self, millivolts: Tensor, teacher: View | None, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum of the terms, and each for the log."""
        view = self.view(millivolts)
        # ties in the classifier, which no term may read: DDP wants every gradient
        total = 0 * view.logits.float().sum()
        parts = {}
        for name, loss in self.losses.items():
            value = loss(view, teacher, batch)
            total = total + self.weights[name] * value
            parts[name] = value.detach()
            parts |= {f"{name}/{extra}": scalar.detach() for extra, scalar in loss.extras.items()}
        return total, {"loss": total.detach(), **parts}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What `fit` is to train.

    Attributes:
        name: for the progress bar and the tracker.
        student: the network that learns, in memory only.
        teacher: the frozen network it learns from, if any.
        terms: the objective.
        cohort: the records.
        auxiliary: labels of the training records in a second task, for losses that use them.
        train_rows: those to learn from.
        val_rows: those on which the best epoch is chosen.
        recipe: how.
        folder: for the checkpoint and the log.
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
    auxiliary: np.ndarray | None = None


def fit(accelerator: Accelerator, job: Job) -> dict[str, Any]:
    """Train ``job.student`` and leave the weights of its best epoch in it; return that epoch's log line.

    A checkpoint is written whole after every epoch, and a run that finds one continues as if it had not stopped:
    everything random in an epoch depends on (seed, epoch) alone.

    Raises:
        RecipeError: the loss stopped being a number, or the processes drifted apart.
        DataError: the validation folds have no class with both outcomes.
    """
    from timm.utils import ModelEmaV3

    recipe, student, teacher, cohort = job.recipe, job.student, job.teacher, job.cohort
    device, processes, process = accelerator.device, accelerator.num_processes, accelerator.process_index

    used = {*student.config.leads, *(teacher.config.leads if teacher else ())}
    leads = [lead for lead in cohort.leads if lead in used or recipe.any_lead]
    records = TrainingRecords(
        cohort,
        job.train_rows,
        [cohort.leads.index(lead) for lead in leads],
        student.config.window,
        recipe.batch_size,
        device,
    )
    student_leads = torch.tensor(student.lead_positions(tuple(leads), cohort.title), device=device)
    teacher_leads = torch.tensor(teacher.lead_positions(tuple(leads), cohort.title) if teacher else [], device=device)

    auxiliary = None if job.auxiliary is None else torch.from_numpy(job.auxiliary).to(device).float()
    data = DataInfo(cohort.classes, torch.from_numpy(cohort.labels[job.train_rows]), auxiliary)
    losses = {
        term.name: create_loss(term.name, student.info, teacher.info if teacher else None, data, term.params)
        for term in job.terms
    }
    learner = Learner(student, losses, {term.name: term.weight for term in job.terms}, recipe.compile).to(device)
    if processes > 1:
        synchronize(learner, device)
    teacher_runs = any(need.startswith("teacher.") for loss in losses.values() for need in loss.requires)
    if teacher is not None:
        teacher = folded(teacher).to(device)
    ema = ModelEmaV3(student, decay=recipe.ema_decay, use_warmup=True) if recipe.ema_decay else None
    judged: EcgModel = ema.module if ema else student

    optimizer, set_lr = make_optimizer(learner, recipe, len(records))
    with warnings.catch_warnings():
        # accelerate 1.15 can pass on no other name for it yet
        warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
        wrapped, optimizer = accelerator.prepare(learner, optimizer)

    parameters = list(learner.parameters())

    history: list[dict[str, Any]] = []
    best_line: dict[str, Any] | None = None
    best_weights: dict[str, Tensor] = {}
    if (job.folder / CHECKPOINT).exists():
        state = load_state(job.folder / CHECKPOINT)
        restore(learner, optimizer, ema, state, job.folder / CHECKPOINT)
        history, best_line, best_weights = state["history"], state["best_line"], state["best_weights"]

    with _progress(accelerator) as progress:
        bar = progress.add_task(job.name, total=recipe.epochs * len(records), completed=len(history) * len(records))
        for epoch in range(len(history), recipe.epochs):
            if recipe.patience and best_line and epoch - best_line["epoch"] > recipe.patience:
                break
            torch.manual_seed(int(np.random.SeedSequence([recipe.seed, epoch, process]).generate_state(1)[0]))
            wrapped.train()
            started = time.perf_counter()
            share = recipe.any_lead if epoch < recipe.epochs / 2 and len(student.config.leads) == 1 else 0.0
            sums: dict[str, Tensor] = {}
            for step, (millivolts, batch) in enumerate(records.epoch(recipe.seed, epoch, process, processes)):
                if auxiliary is not None:
                    batch = replace(batch, auxiliary=auxiliary[batch.index])
                if recipe.mixup:
                    millivolts, batch = mixed(millivolts, batch, recipe.mixup)
                view = None
                if teacher is not None and teacher_runs:
                    with torch.no_grad(), accelerator.autocast():
                        view = windowed_view(teacher, millivolts.index_select(1, teacher_leads))
                shown = (
                    any_lead(millivolts, student_leads, share) if share else millivolts.index_select(1, student_leads)
                )
                total, parts = wrapped(shown, view, batch)
                accelerator.backward(total)
                if recipe.clip_grad:
                    nn.utils.clip_grad_norm_(parameters, recipe.clip_grad, foreach=True)
                optimizer.step()
                optimizer.zero_grad()
                for loss in losses.values():
                    loss.after_backward()
                done = epoch * len(records) + step + 1
                set_lr(done)
                if ema:
                    ema.update(student, step=done)
                sums = {name: sums.get(name, 0) + value for name, value in parts.items()}
                progress.advance(bar)
            _check_in_step(accelerator, learner, job.name)
            means = accelerator.reduce(torch.stack(list(sums.values())).float(), "mean") / len(records)
            line = {
                "epoch": epoch,
                **dict(zip(sums, means.tolist(), strict=True)),
                "lr": optimizer.param_groups[0]["lr"],
            }
            line["seconds"] = time.perf_counter() - started  # after the means were read, so a GPU's work is in it
            if not math.isfinite(line["loss"]):
                raise RecipeError(f"{job.name}: the loss is {line['loss']} in epoch {epoch}; lower --lr")
            scores = score_shared(accelerator, judged, cohort, job.val_rows)
            line["val_seconds"] = time.perf_counter() - started - line["seconds"]
            line["val_macro_auc"] = macro_auc(cohort.labels[job.val_rows], scores)
            history.append(line)
            if best_line is None or line["val_macro_auc"] > best_line["val_macro_auc"]:
                best_line = line
                best_weights = {name: tensor.detach().clone() for name, tensor in judged.backbone.state_dict().items()}
            progress.update(
                bar, description=f"{job.name}  loss {line['loss']:.3f}  val AUC {line['val_macro_auc']:.4f}"
            )
            accelerator.log({f"{job.name}/{name}": value for name, value in line.items()}, step=epoch)
            if accelerator.is_main_process:
                save_state(
                    job.folder / CHECKPOINT,
                    {
                        "learner": learner.state_dict(),
                        "optimizer": optimizer.state_dict(),
                        "ema": ema.module.state_dict() if ema else None,
                        "history": history,
                        "best_line": best_line,
                        "best_weights": best_weights,
                    },
                )
                write_text(job.folder / LOG, "".join(json.dumps(entry) + "\n" for entry in history))
            accelerator.wait_for_everyone()
    assert best_line is not None  # there is at least one epoch
    student.backbone.load_state_dict(best_weights)
    student.eval()
    return best_line


def _check_in_step(accelerator: Accelerator, learner: Learner, name: str) -> None:
    """Weights, banks and Z must be the same in all processes: the exact sum of each tensor is compared."""
    if accelerator.num_processes > 1:
        sums = torch.stack([tensor.double().nansum() for tensor in learner.state_dict().values()])
        if not (accelerator.gather(sums[None]) == sums).all():
            raise RecipeError(f"{name}: the processes have drifted apart; a loss must update its buffers in all alike")


def score_shared(accelerator: Accelerator, model: EcgModel, cohort: Cohort, rows: np.ndarray) -> np.ndarray:
    """`score_rows`, its chunks dealt out to the processes: the same chunks, and so the same figures, for any number."""
    processes = accelerator.num_processes
    if processes == 1:
        return score_rows(model, cohort, rows)
    chunk = np.arange(len(rows)) // RECORDS_AT_ONCE % processes
    mine = score_rows(model, cohort, rows[chunk == accelerator.process_index])
    most = max(int((chunk == p).sum()) for p in range(processes))
    padded = torch.zeros(most, model.num_classes, dtype=torch.float64, device=accelerator.device)
    padded[: len(mine)] = torch.from_numpy(mine)
    gathered = accelerator.gather(padded).unflatten(0, (processes, most)).cpu().numpy()
    scores = np.empty((len(rows), model.num_classes))
    for p in range(processes):
        scores[chunk == p] = gathered[p, : int((chunk == p).sum())]
    return scores


def folded(model: EcgModel) -> EcgModel:
    """A frozen copy in eval mode, each batch norm merged into the convolution before it."""
    copy = deepcopy(model).eval().requires_grad_(False)
    for sequence in [module for module in copy.modules() if type(module) is nn.Sequential]:
        for number in range(len(sequence) - 1):
            conv, norm = sequence[number], sequence[number + 1]
            if isinstance(conv, nn.Conv1d) and isinstance(norm, (nn.BatchNorm1d, nn.BatchNorm2d)):
                sequence[number], sequence[number + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    return copy.requires_grad_(False)


def make_optimizer(
    module: nn.Module, recipe: Recipe, steps_per_epoch: int
) -> tuple[torch.optim.Optimizer, Callable[[int], None]]:
    """The optimiser, and a function that sets the learning rate after so many steps, which has no state to save.

    Raises:
        RecipeError: timm has no such optimiser or schedule, or the two do not go together.
    """
    from timm.optim import create_optimizer_v2
    from timm.scheduler import create_scheduler_v2

    try:
        # one kernel for all parameters, where torch has one
        fused: dict[str, Any] = {"fused": True} if recipe.opt in ("adam", "adamw", "sgd") else {}
        optimizer = create_optimizer_v2(module, opt=recipe.opt, lr=recipe.lr, weight_decay=recipe.weight_decay, **fused)
        if recipe.sched != "onecycle":
            scheduler, _ = create_scheduler_v2(
                optimizer,
                recipe.sched,
                num_epochs=recipe.epochs,
                step_on_epochs=False,
                updates_per_epoch=steps_per_epoch,
            )
            assert scheduler is not None
            return optimizer, scheduler.step_update
        cycle = OneCycleLR(  # timm has none
            optimizer,
            max_lr=recipe.lr,
            total_steps=recipe.epochs * steps_per_epoch + 1,
            cycle_momentum=any(name in optimizer.defaults for name in ("momentum", "betas")),
        )
    except (AssertionError, ImportError, ValueError, RuntimeError) as error:
        raise RecipeError(
            f"opt {recipe.opt!r} with sched {recipe.sched!r} cannot be had ({error}); "
            "take an optimiser that timm knows, and onecycle or a schedule that timm knows"
        ) from error

    def set_lr(done: int) -> None:
        cycle.last_epoch = done - 1
        cycle.step()

    return optimizer, set_lr


def restore(learner: nn.Module, optimizer: Any, ema: Any, state: dict[str, Any], path: Path) -> None:
    """Load what a checkpoint at `path` holds of them.

    Raises:
        WeightsError: it is of another learner.
    """
    try:
        learner.load_state_dict(state["learner"])
        optimizer.load_state_dict(state["optimizer"])
        if ema:
            ema.module.load_state_dict(state["ema"])
    except (RuntimeError, ValueError, KeyError) as error:
        raise WeightsError(f"{path} does not fit this recipe ({error}); delete it to start anew") from error


def _progress(accelerator: Accelerator) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # drawing takes milliseconds from the training thread, ten times a second by default
    return Progress(*columns, disable=not accelerator.is_main_process, refresh_per_second=2)
