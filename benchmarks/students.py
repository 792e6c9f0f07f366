"""What does each packaged model give, and what does it cost?

    python -m benchmarks.students    # make students

Macro AUC, interval and folds are those of its config. ``ms`` is the CPU time of one thread for a simulated 10 s record,
from millivolts to a `Prediction`, all of ``model.predict``; ``MB`` is the file of weights. Writes
``results/students.json`` and the tables between the markers in README.md (the best of each task and leads) and
recipes/README.md (all).
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from rich.progress import track

import ecgzoo
from benchmarks._report import report, write_between
from ecgzoo import registry
from ecgzoo.builtins import PACKAGED
from ecgzoo.config import ModelConfig
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.model import EcgModel
from ecgzoo.signal import Record

SEED = 0  # of the simulated record
MOST_ROWS = 8
ROUNDS = 40
HEAD = ("weights", "task (classes)", "leads", "macro AUC (95 % interval)", "data, folds", "parameters", "MB", "ms")

Row = Mapping[str, Any]


def packaged() -> list[str]:
    """Names of the weights that come with ecgzoo itself."""
    return [name for name in registry.names("weights") if registry.lookup("weights", name).built_in]


def of_config(name: str, config: ModelConfig) -> dict[str, Any]:
    """What the config of packaged weights says."""
    metrics = config.metrics
    return {
        "weights": name,
        "task": config.task,
        "classes": config.num_classes,
        "leads": len(config.leads) if len(config.leads) > 3 else ", ".join(config.leads),
        "macro AUC": metrics["macro_auc"],
        "low": metrics["ci"][0],
        "high": metrics["ci"][1],
        "data": metrics["data"],
        "folds": ", ".join(map(str, metrics["folds"])),
        "chosen on these folds": metrics.get("chosen_on_these_folds", False),
    }


def sizes(name: str, model: EcgModel) -> dict[str, Any]:
    """Parameters, and MB of the file."""
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "MB": (PACKAGED / name / "model.safetensors").stat().st_size / 1e6,
    }


def simulated() -> Record:
    """The first heart of the simulated cohort, twelve leads, 10 s at 100 Hz."""
    cohort = load_synthetic(num_records=1, seed=SEED)
    return Record(cohort.signals()[0].astype(np.float32) / 1000, cohort.leads, cohort.rate_hz, "a simulated heart")


def cpu_ms(call: Callable[[], object]) -> float:
    """CPU time of a call on one thread, the fastest of `ROUNDS` as timeit has it: other processes hardly count."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times) * 1e3


def measure(name: str) -> dict[str, Any]:
    """One row: what its config says, its size, its time."""
    model = ecgzoo.load_pretrained(name)
    record = simulated()
    return {
        **of_config(name, model.config),
        **sizes(name, model),
        "ms": cpu_ms(partial(model.predict, record)),
        "seed": SEED,
    }


def best(rows: Sequence[Row]) -> list[Row]:
    """The best of each task and leads, those of fewest leads first: at most `MOST_ROWS`."""
    first: dict[tuple[str, str], Row] = {}
    for row in ordered(rows):
        first.setdefault((row["task"], str(row["leads"])), row)
    return list(first.values())[:MOST_ROWS]


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Single-lead students first, then by macro AUC."""
    return sorted(rows, key=lambda row: (isinstance(row["leads"], int), -row["macro AUC"]))


def table(rows: Sequence[Row]) -> str:
    """Rows as Markdown, and what the figures are of."""
    lines = ["| " + " | ".join(HEAD) + " |", "|---" * len(HEAD) + "|"]
    for row in rows:
        cells = (
            f"`{row['weights']}`",
            f"{row['task']} ({row['classes']})",
            row["leads"],
            f"{row['macro AUC']:.3f} ({row['low']:.3f}–{row['high']:.3f})",
            f"{row['data']}, {row['folds']}{'†' if row['chosen on these folds'] else ''}",
            f"{row['parameters'] / 1e6:.2f} M",
            f"{row['MB']:.1f}",
            f"{row['ms']:.0f}",
        )
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    chosen = any(row["chosen on these folds"] for row in rows)
    note = "† Epoch, temperature and thresholds were chosen on the same fold, so the figure is slightly too high.\n"
    return (
        "\n".join(lines)
        + "\n\n"
        + note * chosen
        + "ms: a 10 s record, from millivolts to findings, CPU time of one thread.\n"
    )


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """By page, the table on it."""
    return {"README.md": table(best(rows)), "recipes/README.md": table(ordered(rows))}


def main() -> None:
    """Measure, print, write the JSON and the pages."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    rows = [measure(name) for name in track(packaged(), "weights")]
    report("students", "macro AUC as its config has it; ms: CPU time of a 10 s record on one thread", rows)
    write_between("students", tables(rows))


if __name__ == "__main__":
    main()
