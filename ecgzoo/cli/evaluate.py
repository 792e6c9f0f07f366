"""``ecgzoo evaluate``: measure a model on the records of some folds."""

import dataclasses
import json
from argparse import ArgumentParser, Namespace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ecgzoo.cli.messages import cell


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--model", required=True, help="a folder, a name or name.tag of installed weights, or hf-hub:org/name"
    )
    parser.add_argument("--data", required=True, help="data set, as ecgzoo list --kind dataset names it")
    parser.add_argument("--folds", required=True, help="folds to measure on, such as 9 or 1-8,10")
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder with the data set's files")
    parser.add_argument("--task", help="labels (default: the task of the model)")
    parser.add_argument("--seed", type=int, default=0, help="random seed of the bootstrap (default: 0)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(given: Namespace) -> None:
    """Measure a model: macro AUC with its interval, and all other metrics."""
    from ecgzoo.config import left_out
    from ecgzoo.create import load_cohort
    from ecgzoo.data import parse_folds
    from ecgzoo.errors import DataError
    from ecgzoo.evaluation.cohort import evaluate
    from ecgzoo.provenance import provenance
    from ecgzoo.weights import load_pretrained

    if given.seed < 0:
        raise DataError(f"--seed {given.seed}: expected 0 or more")
    loaded = load_pretrained(given.model)
    cohort = load_cohort(given.data, given.root, given.task or loaded.config.task)
    scores = evaluate(loaded, cohort, parse_folds(given.folds), progress=not given.json)
    figures = scores.evaluation(given.seed)
    if given.json:
        values = {
            "model": given.model,
            "weights": dataclasses.asdict(loaded.weights_source) if loaded.weights_source else None,
            "data": cohort.title,
            "simulated": cohort.simulated,
            "data_fingerprint": cohort.fingerprint,
            "folds": list(scores.folds),
            "seed": given.seed,
            **figures.to_dict(),
            "notes": list(scores.notes),
            "provenance": provenance(),
        }
        print(json.dumps(values, indent=2))
        return
    missing = left_out(figures.per_class)
    table = Table(
        *("figure", "value"),
        title=f"{cell(given.model)} on {cell(cohort.title)}, folds {given.folds}, {figures.records} records",
        caption=cell(f"the {missing}") if missing else None,
    )
    table.add_row("macro AUC", f"{figures.macro_auc:.4f} ({figures.ci[0]:.4f} to {figures.ci[1]:.4f})")
    for name, auc in figures.per_class.items():
        interval = "{:.4f} to {:.4f}".format(*found) if (found := figures.per_class_ci[name]) else "no interval"
        said = "—" if auc is None else f"{auc:.4f} ({interval})"
        table.add_row(f"AUC {cell(name)}", f"{said}, {figures.positives[name]} positive")
    for name, of_any in figures.aggregates.items():
        table.add_row(f"AUC {cell(name)}", f"{of_any['auc']:.4f} ({of_any['ci'][0]:.4f} to {of_any['ci'][1]:.4f})")
    table.add_row("macro average precision", f"{figures.macro_average_precision:.4f}")
    table.add_row("Fmax", f"{figures.fmax:.4f}")
    table.add_row("Brier score", f"{figures.brier:.4f}")
    table.add_row("calibration error", f"{figures.ece:.4f}")
    defined = sum(auc is not None for auc in figures.per_class.values())
    for name, group in figures.subgroups.items():
        interval = "{:.4f} to {:.4f}".format(*group["ci"])
        fewer = f", {group['classes']} of the classes" * (group["classes"] < defined)
        said = f"{group['macro_auc']:.4f} ({interval}), {group['records']} records{fewer}"
        table.add_row(f"macro AUC, {cell(name)}", said)
    Console().print(table)
