"""What does each backbone cost, and how good is it as a student that reads lead I?

    python -m benchmarks.backbones                           # all that are not measured yet; --again for all
    python -m benchmarks.backbones 'timm/mobilenet*' resnet1d18
    python -m benchmarks.backbones --train timm/test_resnet timm/ghostnet_050 --root DIR

Parameters are those with 1 lead and 5 classes. MACs (multiplications with an addition) and ms are of one signal of
1 × 1000 samples, 10 s at 100 Hz; ms is CPU time of one thread. ``--train`` trains students on the labels of PTB-XL's
folds 1 to 8 (``recipes/baseline.py``, one seed), and notes the macro AUC on fold 9, which also chose the epoch. Writes
``results/backbones.json`` after each backbone, so a stopped run continues; ``docs/figures.py`` shows it in
``docs/backbones.md``.
"""

import argparse
import json
import statistics
import time
from typing import Any

import torch
from rich.progress import track
from torch.utils.flop_counter import FlopCounterMode

import ecgzoo
from benchmarks._report import RESULTS
from ecgzoo import Recipe, Run, registry
from ecgzoo.files import write_json
from ecgzoo.provenance import provenance

ROUNDS, SAMPLES = 15, 1000
EVERYTHING = ("*", "timm/*")


@torch.no_grad()
def measured(name: str) -> dict[str, Any]:
    """One row of the table."""
    network = ecgzoo.create_student(name).backbone.eval().requires_grad_(False)  # the counter hooks into gradients
    x = torch.randn(1, 1, SAMPLES)
    counter = FlopCounterMode(display=False)
    with counter:
        network(x)
    seconds = []
    for _ in range(ROUNDS):
        start = time.process_time()
        network(x)
        seconds.append(time.process_time() - start)
    return {
        "backbone": name,
        "rule": getattr(network, "about", {}).get("rule", "exact") if "/" in name else "",
        "parameters": sum(tensor.numel() for tensor in network.parameters()),
        "MMACs": counter.get_total_flops() / 2e6,
        "ms": statistics.median(seconds) * 1e3,
        "samples per step": network.feature_info[-1]["reduction"],
    }


def trained(name: str, root: str) -> dict[str, Any]:
    """Macro AUC and its interval on fold 9, of a student of lead I."""
    recipe = Recipe(
        losses=("bce=1",),
        data="ptbxl",
        root=root,
        student=name,
        student_leads=("I",),
        train_folds="1-8",
        val_folds="9",
        test_folds="",
        output=f"runs/backbones/{name.replace('/', '_')}",
        resume=True,
    )
    run = Run(recipe)
    metrics = run.train("baseline", recipe.student_network, recipe.loss_terms).config.metrics
    return {
        "macro AUC": metrics["macro_auc"],
        "low": metrics["ci"][0],
        "high": metrics["ci"][1],
        "epochs": recipe.epochs,
    }


def read() -> dict[str, dict[str, Any]]:
    """The rows of earlier runs."""
    file = RESULTS / "backbones.json"
    rows = json.loads(file.read_text(encoding="utf-8"))["rows"] if file.exists() else []
    return {row["backbone"]: row for row in rows}


def main() -> None:
    """Measure or train, and write the JSON and the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("patterns", nargs="*", default=EVERYTHING)
    parser.add_argument("--again", action="store_true", help="also those that are measured")
    parser.add_argument("--train", nargs="+", default=[], metavar="NAME", help="train these instead")
    parser.add_argument("--root", help="folder of PTB-XL, for --train")
    given = parser.parse_args()
    if given.train and not given.root:
        parser.error("--train reads PTB-XL: give its folder as --root DIR")
    torch.set_num_threads(1)
    rows = read()
    names = given.train or [name for pattern in given.patterns for name in registry.names("backbone", pattern)]
    for name in track(names, "backbones"):
        if given.train:
            rows[name] = {**(rows.get(name) or measured(name)), **trained(name, given.root)}
        elif given.again or name not in rows:
            kept: dict[str, Any] = {
                key: rows[name][key] for key in ("macro AUC", "low", "high", "epochs") if key in rows.get(name, {})
            }
            rows[name] = {**measured(name), **kept}
        else:
            continue
        values = {"limit": "", "rows": [rows[name] for name in sorted(rows)], **provenance()}
        write_json(RESULTS / "backbones.json", values)
    print(f"{len(rows)} backbones in {RESULTS / 'backbones.json'}; python docs/figures.py writes the page")


if __name__ == "__main__":
    main()
