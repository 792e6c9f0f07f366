"""How much of a training epoch is neither forward, backward nor optimizer step?

This trains lead-I students on 2.5 s crops of the simulated cohort with the real engine. For comparison it times bare
loops: the same networks, precision and optimizer on prepared tensors, once with the losses of the arm and once with BCE
instead. Rounds alternate; ratios are ratios of medians. The engine's epoch includes its checkpoint, which is a large
share because the epoch has few steps. Validation consists of forward passes and has a separate column.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from rich.progress import track

from benchmarks._report import report
from ecgzoo import Batch, DataInfo, LossTerm, Recipe, Run, create_model, create_teacher
from ecgzoo.backbones.fold import folded
from ecgzoo.training import state
from ecgzoo.training.checkpoint import save_state
from ecgzoo.training.distiller import create_losses
from ecgzoo.training.loop import Job, fit
from ecgzoo.training.terms import parse_term

ROUNDS, STEPS, BATCH, CROP = 7, 40, 64, 250
LOSSES = {"bce": ("bce=1",), "mvkt": ("bce=1", "mkd=1", "clt=0.8")}


def engine_seconds(run: Run, losses: tuple[str, ...], folder: Path) -> tuple[float, float, float]:
    """Seconds of steps, checkpoint and validation in one epoch of the engine, for a new student."""
    job = Job(
        name="engine",
        student=create_model("xresnet1d18", ("I",)),
        teacher=create_teacher("xresnet1d18") if len(losses) > 1 else None,
        terms=[parse_term(LossTerm, text) for text in losses],
        cohort=run.cohort,
        train_rows=run.train_rows[: STEPS * BATCH],
        val_rows=run.val_rows,
        recipe=run.recipe,
        folder=folder,
    )
    written = []

    def timed(path: Path, tree: dict[str, Any]) -> None:
        start = time.perf_counter()
        save_state(path, tree)
        written.append(time.perf_counter() - start)

    with mock.patch.object(state, "save_state", timed):
        line = fit(run.accelerator, job)
    return line["seconds"], sum(written), line["val_seconds"]


def bare_seconds(run: Run, losses: tuple[str, ...], with_teacher: bool) -> float:
    """Seconds of the same number of bare steps: teacher forward, student forward, `losses`, backward, optimizer."""
    student = create_model("xresnet1d18", ("I",)).train()
    teacher = folded(create_teacher("xresnet1d18")) if with_teacher else None
    data = DataInfo(tuple("abcde"), torch.randint(0, 2, (STEPS * BATCH, 5)))
    built = create_losses(losses, student, teacher, data)
    parameters = [*student.parameters(), *(p for _, loss in built.values() for p in loss.parameters())]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, fused=True)
    one, twelve = torch.randn(BATCH, 1, CROP) * 0.2, torch.randn(BATCH, 12, CROP) * 0.2
    start = time.perf_counter()
    for step in range(STEPS):
        index = torch.arange(step * BATCH, (step + 1) * BATCH)
        batch = Batch(data.labels[index].float(), index)
        with run.accelerator.autocast():
            view = None
            if teacher is not None:
                with torch.no_grad():
                    view = teacher.view(twelve).full_precision(("logits", "embedding"))
            seen = student.view(one).full_precision(("logits", "embedding"))
        values = [weight * loss(seen, view, batch) for weight, loss in built.values()]
        torch.stack(values).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        for _, loss in built.values():
            loss.after_backward()
    return time.perf_counter() - start


def main() -> None:
    """Print the table and write the JSON."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Recipe(epochs=1, batch_size=BATCH, output=f"{scratch}/run"))
        for name, losses in LOSSES.items():
            times: dict[str, list[float]] = {key: [] for key in ("steps", "epoch", "bare", "nets", "validation")}
            for number in track(range(ROUNDS + 1), name):
                times["nets"].append(bare_seconds(run, ("bce=1",), len(losses) > 1))
                times["bare"].append(bare_seconds(run, losses, len(losses) > 1))
                seconds, saving, val_seconds = engine_seconds(run, losses, Path(scratch) / f"{name}{number}")
                times["steps"].append(seconds)
                times["epoch"].append(seconds + saving)
                times["validation"].append(val_seconds)
            medians = {key: statistics.median(values[1:]) for key, values in times.items()}  # the first warms up
            rows.append(
                {
                    "losses": name,
                    "training records": STEPS * BATCH,
                    "step ms": medians["steps"] / STEPS * 1e3,
                    "bare ms": medians["bare"] / STEPS * 1e3,
                    "overhead": 1 - medians["bare"] / medians["epoch"],
                    "<= 0.10": 1 - medians["bare"] / medians["epoch"] <= 0.10,
                    "bare ms with BCE": medians["nets"] / STEPS * 1e3,
                    "step / that": medians["steps"] / medians["nets"],
                    "limit": 1.05 if name == "bce" else 1.10,
                    "met": medians["steps"] / medians["nets"] <= (1.05 if name == "bce" else 1.10),
                    "validation s": medians["validation"],
                    "precision": run.recipe.precision,
                    "threads": torch.get_num_threads(),
                }
            )
    report(
        "engine_overhead",
        "overhead of an epoch, its checkpoint included, at most 0.10; "
        "a step at most 1.05 times (bce) and 1.10 times (mvkt) a bare step with BCE only",
        rows,
    )


if __name__ == "__main__":
    main()
