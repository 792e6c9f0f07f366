"""Pretraining without labels: recognize which two leads come from the same heart."""

import hashlib
import json
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from rich.progress import track
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ecgzoo.data import Cohort
from ecgzoo.errors import RecipeError, WeightsError
from ecgzoo.model import EcgModel
from ecgzoo.training.batches import TrainingRecords
from ecgzoo.training.checkpoint import load_state, save_state
from ecgzoo.training.optimizer import make_optimizer
from ecgzoo.training.processes import on_main
from ecgzoo.training.recipe import Recipe
from ecgzoo.training.state import restore

BATCH, WIDTH, TEMPERATURE = 256, 128, 0.1


def pair_loss(a: Tensor, b: Tensor) -> Tensor:
    """InfoNCE of embeddings ``[B, D]``, in both directions; equal rows are from the same heart.

    ℓ = −(1/2B) Σᵢ [log softmaxⱼ(⟨aᵢ, bⱼ⟩/τ)ᵢ + log softmaxⱼ(⟨bᵢ, aⱼ⟩/τ)ᵢ] with ‖a‖ = ‖b‖ = 1 and τ = 0.1: CLOCS across
    leads and segments (Kiyasseh et al., arXiv 2005.13249), with positives from one record instead of one patient.
    """
    similar = normalize(a) @ normalize(b).T / TEMPERATURE
    own = torch.arange(len(a), device=a.device)
    return (cross_entropy(similar, own) + cross_entropy(similar.T, own)) / 2


def random_lead(crops: Tensor) -> Tensor:
    """One random lead of each of the crops ``[B, leads, T]``: ``[B, 1, T]``."""
    batch, leads, _ = crops.shape
    drawn = torch.randint(leads, (batch,), device=crops.device)
    return crops[torch.arange(batch, device=crops.device), drawn][:, None]


def pretrain(
    accelerator: Accelerator, student: EcgModel, cohort: Cohort, rows: np.ndarray, recipe: Recipe, folder: Path
) -> None:
    """Pretrain the weights of a student with one lead, in place, for ``recipe.pretrain_epochs``; labels are not used.

    The two views of a record are the two halves of a crop, each in a random lead, so that no beat is in both. The
    result does not depend on the student's lead. With several processes, each does the same work, because the student
    learns by comparison with all other records of a batch. Optimizer and schedule are those of the recipe, with one
    batch per step (the schedule plateau never lowers the rate here, because there are no labels).

    The weights are saved in `folder` after every epoch, in a file named by a hash of all they depend on. A later call
    with the same recipe continues there, or loads the finished weights.

    Raises:
        RecipeError: the loss became NaN or infinite, or there are too few records.
        SignalError: a crop is longer than the records.
        WeightsError: the file cannot be read.
    """
    device, half = accelerator.device, student.config.window // 2
    every_lead = list(range(len(cohort.leads)))
    batch_size = min(BATCH, len(rows))
    records = TrainingRecords(cohort, rows, every_lead, 2 * half, batch_size, device)
    student.to(device).train()
    width = student.info.head_hidden_size
    projection = nn.Sequential(nn.Linear(width, WIDTH), nn.ReLU(), nn.Linear(WIDTH, WIDTH)).to(device)
    learner = nn.ModuleList([student, projection])
    optimizer, schedule = make_optimizer(learner, replace(recipe, epochs=recipe.pretrain_epochs), len(records))
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "fp16")  # else it does nothing
    depends = {
        **recipe.pretraining(),  # without lead, losses, teacher, and which records have labels
        **{"cohort": cohort.fingerprint, "records": hashlib.sha256(cohort.record_ids[rows].tobytes()).hexdigest()},
        **{"batch": batch_size, "temperature": TEMPERATURE},
        **{"network": student.config.architecture, "arguments": dict(student.config.arguments)},
    }
    name = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
    path, done = folder / f"pretrained.{name}.safetensors", 0
    if path.exists():
        state = load_state(path)
        restore(learner, optimizer, state, path)
        if not isinstance(state.get("epochs"), int):
            raise WeightsError(f"{path} does not say after which epoch it was written; delete it to start again")
        scaler.load_state_dict(state.get("scaler", {}))
        done = state["epochs"]
    if bool((accelerator.gather(torch.tensor([done], device=device)) != done).any()):
        raise RecipeError(f"{path} was changed by another run while this one started; continue with --resume")
    for epoch in track(range(done, recipe.pretrain_epochs), "pairs of leads", disable=not accelerator.is_main_process):
        torch.manual_seed(int(np.random.SeedSequence([recipe.seed, epoch]).generate_state(1)[0]))
        for step, (millivolts, _) in enumerate(records.epoch(recipe.seed, epoch)):
            with accelerator.autocast():
                a, b = (projection(student.view(random_lead(crop)).embedding) for crop in millivolts.split(half, dim=2))
            loss = pair_loss(a.float(), b.float())
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad()
            schedule.after_step(epoch * len(records) + step + 1)
        if not loss.isfinite():
            raise RecipeError(
                f"pretraining: the loss is {loss.item()} in epoch {epoch + 1} of {recipe.pretrain_epochs}; lower --lr"
            )
        accelerator.wait_for_everyone()  # before the file that all started from changes
        tree = {"learner": learner.state_dict(), "optimizer": optimizer.state_dict(), "epochs": epoch + 1}
        tree["scaler"] = scaler.state_dict()
        on_main(accelerator, partial(save_state, path, tree))  # complete, so if two runs write it, the last one counts
    for tensor in student.state_dict().values():  # GPUs may round differently
        broadcast(tensor)
