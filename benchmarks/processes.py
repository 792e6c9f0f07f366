"""Do several processes pay? Two processes of one thread against one process of two threads, on CPUs.

The engine trains the same arm on simulated records: a teacher on twelve leads, or a lead-I student with BCE + MKD +
CLT. Batch norms of two processes take their statistics from the batch of both (``synchronized``) or from their own
records (``per-process``). All variants are started at once and wait for their turn, epoch by epoch. Records per second
are those of the fastest tenth of the steps, because the machines are shared. CPU seconds are those of all processes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from rich.progress import track

from benchmarks._report import CHECKOUT, report

RECORDS, BATCH = 1280, 64  # training records of an epoch
VARIANTS = {  # processes, threads of each, batch norms
    "one process, 2 threads": (1, 2, "synchronized"),
    "one process, 1 thread": (1, 1, "synchronized"),
    "two, synchronized": (2, 1, "synchronized"),
    "two, per process": (2, 1, "per-process"),
}
LOSSES = {"teacher": ("bce=1",), "mvkt": ("bce=1", "mkd=1", "clt=0.8")}


def work(arm: str, batch_norm: Any, folder: Path, epochs: int) -> None:
    """Run in each process of a variant: train with the engine, each epoch when ``folder/go-EPOCH`` appears."""
    from ecgzoo import Recipe, Run, create_model, create_teacher
    from ecgzoo.data.synthetic import load_synthetic
    from ecgzoo.signal import LEADS_12
    from ecgzoo.training import loop

    train_epoch, process = loop.train_epoch, os.environ["RANK"]

    def in_turn(
        accelerator: Any, wrapped: Any, feed: Any, state: Any, recipe: Any, schedule: Any, _: Any
    ) -> dict[str, Any]:
        (folder / f"ready-{state.epochs}-{process}").touch()
        while not (folder / f"go-{state.epochs}").exists():
            time.sleep(0.01)
        cpu, ends = time.process_time(), [time.perf_counter()]
        line = train_epoch(
            accelerator, wrapped, feed, state, recipe, schedule, lambda: ends.append(time.perf_counter())
        )
        took = {"steps": np.diff(ends).tolist(), "cpu": time.process_time() - cpu}
        (folder / f"took-{state.epochs}-{process}").write_text(json.dumps(took))
        return line

    recipe = Recipe(
        losses=LOSSES[arm], epochs=epochs, batch_size=BATCH, batch_norm=batch_norm, output=folder / "run", lr=1e-3
    )
    run = Run(recipe, load_synthetic(num_records=RECORDS * 3 // 2))
    teacher = create_teacher("xresnet1d18") if arm == "mvkt" else None
    job = loop.Job(
        name=arm,
        student=create_model("xresnet1d18", ("I",) if teacher else LEADS_12),
        teacher=teacher,
        terms=recipe.loss_terms,
        cohort=run.cohort,
        train_rows=run.train_rows[:RECORDS],
        val_rows=run.val_rows[:BATCH],
        recipe=recipe,
        folder=folder / arm,
    )
    with mock.patch.object(loop, "train_epoch", in_turn):
        loop.fit(run.accelerator, job)


def start(arm: str, variant: str, folder: Path, epochs: int) -> subprocess.Popen[bytes]:
    """Start the processes of a variant; they wait before their first epoch."""
    processes, threads, batch_norm = VARIANTS[variant]
    folder.mkdir()
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    command = [*launch, "-m", "benchmarks.processes", "--work", arm, batch_norm, str(folder), str(epochs)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL)


def wait_for(started: subprocess.Popen[bytes], folder: Path, prefix: str, processes: int) -> list[Path]:
    """The file of every process with this prefix, once all are there; or none, if the processes have ended."""
    while len(found := list(folder.glob(f"{prefix}-*"))) < processes:
        if started.poll() is not None:
            if started.returncode:
                raise SystemExit(f"a process ended with {started.returncode}; see above")
            return []
        time.sleep(0.01)
    return found


def measure(arm: str, epochs: int, scratch: Path) -> dict[str, tuple[list[float], list[float]]]:
    """For each variant, seconds of each step and CPU seconds of each epoch; the first epoch warms up."""
    started = {variant: start(arm, variant, scratch / variant, epochs) for variant in VARIANTS}
    found: dict[str, tuple[list[float], list[float]]] = {variant: ([], []) for variant in VARIANTS}
    for variant, running in started.items():
        wait_for(running, scratch / variant, "ready-0", VARIANTS[variant][0])
    for epoch in track(range(epochs), arm):
        for variant, running in started.items():
            folder, processes = scratch / variant, VARIANTS[variant][0]
            (folder / f"go-{epoch}").touch()
            wait_for(running, folder, f"ready-{epoch + 1}", processes)  # after validation and checkpoint
            if epoch:
                took = [json.loads(path.read_text()) for path in folder.glob(f"took-{epoch}-*")]
                found[variant][0].extend(took[0]["steps"])
                found[variant][1].append(sum(one["cpu"] for one in took))
    return found


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=20, help="of each variant; the first warms up")
    parser.add_argument("--arms", nargs="+", choices=LOSSES, default=list(LOSSES))
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        arm, batch_norm, folder, epochs = arguments.work
        work(arm, batch_norm, Path(folder), int(epochs))
        return
    rows = []
    for arm in arguments.arms:
        with tempfile.TemporaryDirectory() as scratch:
            found = measure(arm, arguments.epochs, Path(scratch))
        speeds = {variant: BATCH / float(np.quantile(steps, 0.1)) for variant, (steps, _) in found.items()}
        alone = next(iter(speeds.values()))
        for variant, speed in speeds.items():
            row = {"arm": arm, "variant": variant, "records per second": speed, "times one process": speed / alone}
            cpu = min(found[variant][1]) / RECORDS * 1000
            rows.append(row | {"at least 0.8": speed >= 0.8 * alone, "CPU seconds per 1,000 records": cpu})
    report("processes", "two processes at least 0.8 times one process of two threads", rows)


if __name__ == "__main__":
    main()
