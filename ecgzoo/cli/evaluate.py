"""``ecgzoo evaluate``: a model on the records of some folds."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def command(
    model: Annotated[str, typer.Option(help="a folder, a name or name.tag of installed weights, or hf-hub:org/name")],
    data: Annotated[str, typer.Option(help="registered data set")],
    folds: Annotated[str, typer.Option(help="such as 9 or 1-8,10")],
    root: Annotated[Path | None, typer.Option(help="folder that holds the data set's files")] = None,
    task: Annotated[str, typer.Option(help="label set; the model's own if not given")] = "",
    seed: Annotated[int, typer.Option(help="of the bootstrap")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Measure a model: macro AUC with its interval, and every other figure."""
    from ecgzoo.create import load_cohort
    from ecgzoo.data import parse_folds
    from ecgzoo.evaluation.cohort import evaluate
    from ecgzoo.provenance import provenance
    from ecgzoo.weights import load_pretrained

    loaded = load_pretrained(model)
    cohort = load_cohort(data, root, task or loaded.config.task)
    scores = evaluate(loaded, cohort, parse_folds(folds), progress=not as_json)
    figures = scores.evaluation(seed)
    if as_json:
        values = {
            "model": model,
            "weights": dataclasses.asdict(loaded.weights_source) if loaded.weights_source else None,
            "data": cohort.title,
            "simulated": cohort.simulated,
            "data_fingerprint": cohort.fingerprint,
            "folds": list(scores.folds),
            "seed": seed,
            **figures.to_dict(),
            "provenance": provenance(),
        }
        print(json.dumps(values, indent=2))
        return
    table = Table("figure", "value", title=f"{model} on {cohort.title}, folds {folds}, {figures.records} records")
    table.add_row("macro AUC", f"{figures.macro_auc:.4f} ({figures.ci[0]:.4f} to {figures.ci[1]:.4f})")
    for name, auc in figures.per_class.items():
        table.add_row(f"AUC {name}", "—" if auc is None else f"{auc:.4f}")
    table.add_row("macro average precision", f"{figures.macro_average_precision:.4f}")
    table.add_row("Fmax", f"{figures.fmax:.4f}")
    table.add_row("Brier score", f"{figures.brier:.4f}")
    table.add_row("calibration error", f"{figures.ece:.4f}")
    for name, group in figures.subgroups.items():
        interval = "{:.4f} to {:.4f}".format(*group["ci"])
        table.add_row(f"macro AUC, {name}", f"{group['macro_auc']:.4f} ({interval}), {group['records']} records")
    Console().print(table)
