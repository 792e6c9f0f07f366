"""What does CLT add to a training step as the number of records grows, and up to which number can it be exact?

A step of the recipe `mvkt` on one thread: the teacher on twelve leads, the lead-I student, BCE + MKD, backward pass and
optimizer; then CLT with its banks. ``exact`` compares with all records, ``drawn`` as `CLT` does by default above
``max_rows``. CPU time, in alternating rounds, the lower quartile.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch
from rich.progress import track

from benchmarks._report import report
from benchmarks.clt import BATCH, ours, some_labels
from ecgzoo import Batch, DataInfo, create_model, create_teacher
from ecgzoo.training.distiller import Distiller, create_losses
from ecgzoo.training.run import has_bf16

CASES = {"exact": (10_000, 17_418, 20_000, 50_000, 200_000), "drawn": (10_000, 17_418, 100_000, 1_000_000)}


def networks() -> Callable[[], None]:
    """Return a function that takes one step without CLT."""
    student, teacher = create_model("xresnet1d18", ("I",)).train(), create_teacher("xresnet1d18")
    labels = some_labels(BATCH)
    data = DataInfo(tuple("abcde"), labels)
    distiller = Distiller(student, teacher, create_losses(("bce=1", "mkd=1"), student, teacher, data)).train()
    optimizer = torch.optim.AdamW(distiller.parameters(), lr=1e-3, fused=True)
    one, twelve = torch.randn(BATCH, 1, 250) * 0.2, torch.randn(BATCH, 12, 250) * 0.2

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            loss, _ = distiller(one, twelve, Batch(labels, torch.arange(BATCH)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dtype = torch.bfloat16 if has_bf16() else torch.float32
    steps: dict[tuple[str, int], Callable[[], None]] = {("without CLT", 0): networks()}
    for name, sizes in CASES.items():
        for size in sizes:
            arguments = {"max_rows": size} if name == "exact" else {}
            steps[name, size] = ours(some_labels(size), "nce", dtype, **arguments)
    times: dict[tuple[str, int], list[float]] = {case: [] for case in steps}
    for number in track(range(rounds + 2), "rounds"):
        for case, step in steps.items():
            start = time.thread_time()
            step()
            if number > 1:  # the first two warm up
                times[case].append(time.thread_time() - start)
    quartiles = {case: float(np.quantile(seconds, 0.25)) for case, seconds in times.items()}
    alone, small = quartiles["without CLT", 0], quartiles["drawn", 10_000]
    rows = [
        {
            "CLT": name,
            "records": size,
            "CPU ms of CLT": 1e3 * seconds if size else 0.0,
            "times the step without": 1 + seconds / alone if size else 1.0,
            "at most 1.5": not size or seconds <= 0.5 * alone,
            "records per second, times those at 10,000": (alone + small) / (alone + seconds) if size else "",
        }
        for (name, size), seconds in quartiles.items()
    ]
    limit = "a step at most 1.5 times one without CLT; at 1,000,000 records at least 0.7 times the speed at 10,000"
    report("clt_step", limit, rows)


if __name__ == "__main__":
    main()
