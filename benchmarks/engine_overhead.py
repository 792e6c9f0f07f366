"""How much of a training epoch is neither forward, backward nor optimiser step?

Trains lead-I students on 2.5 s crops of the simulated cohort with the real engine, and beside it times the bare loop:
the same networks and optimiser on tensors that lie ready. Rounds alternate, and the ratio is that of the medians.
Validation and the checkpoint, once an epoch, are not in the ratio; validation has a column of its own.
"""

import statistics
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from _report import report
from rich.progress import track

from ecgzoo.create import create_model, create_teacher
from ecgzoo.distill import LossTerm, Recipe, Run
from ecgzoo.distill.engine import Job, fit
from ecgzoo.model import EcgModel

ROUNDS, STEPS, BATCH, CROP = 5, 30, 64, 250
LOSSES = {"bce": ("bce=1",), "mvkt": ("bce=1", "mkd=1", "clt=0.8")}


def engine_seconds(run: Run, losses: tuple[str, ...], folder: Path) -> tuple[float, float]:
    """Seconds of one epoch of the engine and of its validation, for a fresh student."""
    job = Job(
        name="engine",
        student=create_model("xresnet1d18", ("I",)),
        teacher=create_teacher("xresnet1d18") if len(losses) > 1 else None,
        terms=[LossTerm.parse(text) for text in losses],
        cohort=run.cohort,
        train_rows=run.train_rows[: STEPS * BATCH],
        val_rows=run.val_rows,
        recipe=run.recipe,
        folder=folder,
    )
    line = fit(run.accelerator, job)
    return line["seconds"], line["val_seconds"]


def bare_seconds(teacher: EcgModel | None) -> float:
    """Seconds of as many bare steps: teacher forward, student forward, backward, optimiser."""
    student = create_model("xresnet1d18", ("I",)).train()
    optimizer = torch.optim.AdamW(student.parameters(), lr=1e-3)
    x, labels = torch.randn(BATCH, 1, CROP) * 0.2, torch.randint(0, 2, (BATCH, 5)).float()
    leads_12 = torch.randn(BATCH, 12, CROP) * 0.2
    start = time.perf_counter()
    for _ in range(STEPS):
        if teacher is not None:
            with torch.no_grad():
                teacher(leads_12)
        F.binary_cross_entropy_with_logits(student(x), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
    return time.perf_counter() - start


def main() -> None:
    """Print the table and write the JSON."""
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        run = Run(Recipe(epochs=1, batch_size=BATCH, output=f"{scratch}/run"))
        for name, losses in LOSSES.items():
            teacher = create_teacher("xresnet1d18") if len(losses) > 1 else None
            engine, validation, bare = [], [], []
            for number in track(range(ROUNDS + 1), name):
                bare.append(bare_seconds(teacher))
                seconds, val_seconds = engine_seconds(run, losses, Path(scratch) / f"{name}{number}")
                engine.append(seconds)
                validation.append(val_seconds)
            medians = [statistics.median(times[1:]) for times in (engine, bare, validation)]  # the first warms up
            rows.append(
                {
                    "losses": name,
                    "engine ms a step": medians[0] / STEPS * 1e3,
                    "bare ms a step": medians[1] / STEPS * 1e3,
                    "ratio": medians[0] / medians[1],
                    "overhead of an epoch": 1 - medians[1] / medians[0],
                    "validation s": medians[2],
                    "threads": torch.get_num_threads(),
                }
            )
    report("engine_overhead", "overhead at most 0.10 of a training epoch (bce)", rows)


if __name__ == "__main__":
    main()
