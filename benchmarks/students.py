"""How accurate is each packaged model, and what does it cost?

    python -m benchmarks.students    # make students

Macro AUC, interval and folds come from the config. ``ms`` is the CPU time of ``model.predict`` on one thread for a
simulated 10 s record, from millivolts to a `Prediction`. ``MB`` is the size of the weight file. Writes
``results/students.json`` and the tables between the markers in README.md (the best model for each task and leads) and
recipes/README.md (all models).
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

SEED = 0  # for the simulated record
MOST_ROWS = 8
ROUNDS = 40
HEAD = ("weights", "task (classes)", "leads", "macro AUC (95 % interval)", "data, folds", "parameters", "MB", "ms")

Row = Mapping[str, Any]


def packaged() -> list[str]:
    """Names of the weights that come with ecgzoo itself."""
    return [name for name in registry.names("weights") if registry.lookup("weights", name).built_in]


def of_config(name: str, config: ModelConfig) -> dict[str, Any]:
    """The columns that come from the config of packaged weights."""
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
    """Number of parameters, and MB of the weight file."""
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "MB": (PACKAGED / name / "model.safetensors").stat().st_size / 1e6,
    }


def simulated() -> Record:
    """The first heart of the simulated cohort, twelve leads, 10 s at 100 Hz."""
    cohort = load_synthetic(num_records=1, seed=SEED)
    return Record(cohort.signals()[0].astype(np.float32) / 1000, cohort.leads, cohort.rate_hz, "a simulated heart")


def cpu_ms(call: Callable[[], object]) -> float:
    """CPU time of a call on one thread: the minimum of `ROUNDS`, as in timeit, so other processes matter little."""
    times = []
    for _ in range(ROUNDS):
        start = time.process_time()
        call()
        times.append(time.process_time() - start)
    return min(times) * 1e3


def measure(name: str) -> dict[str, Any]:
    """One row of the table: config, size and time."""
    model = ecgzoo.load_pretrained(name)
    record = simulated()
    return {
        **of_config(name, model.config),
        **sizes(name, model),
        "ms": cpu_ms(partial(model.predict, record)),
        "seed": SEED,
    }


def best(rows: Sequence[Row]) -> list[Row]:
    """The best model for each task and leads, single-lead students first; at most `MOST_ROWS`."""
    first: dict[tuple[str, str], Row] = {}
    for row in ordered(rows):
        first.setdefault((row["task"], str(row["leads"])), row)
    return list(first.values())[:MOST_ROWS]


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Single-lead students first, then by macro AUC."""
    return sorted(rows, key=lambda row: (isinstance(row["leads"], int), -row["macro AUC"]))


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown, with notes that explain the figures."""
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
    note = "† Epoch, temperature and thresholds were chosen on the same fold, so the macro AUC is slightly too high.\n"
    return (
        "\n".join(lines)
        + "\n\n"
        + note * chosen
        + "ms: CPU time of one thread for a 10 s record, from millivolts to findings.\n"
    )


def tables(rows: Sequence[Row]) -> dict[str, str]:
    """The table for each page."""
    return {"README.md": table(best(rows)), "recipes/README.md": table(ordered(rows))}


def main() -> None:
    """Measure, print the table, write the JSON and the pages."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    rows = [measure(name) for name in track(packaged(), "weights")]
    report("students", "macro AUC from the config; ms: CPU time of a 10 s record on one thread", rows)
    write_between("students", tables(rows))


if __name__ == "__main__":
    main()
