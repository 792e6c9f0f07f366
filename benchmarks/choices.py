"""Why the recipe for handhelds is what it is: one change at a time, measured on fold 8 and its distortions.

    python -m benchmarks.choices --root DIR                  # resumes in --output
    python -m benchmarks.choices --root DIR --task all --choices "as handheld.py" "none of the three"

Students of lead I on labels alone: `recipes/handheld.py`, and the same with one part changed or left out, trained on
folds 1 to 7. Fold 8, as recorded and distorted as in benchmarks/handheld.py, is for choosing: the epoch, too. Folds 9
and 10 and recordings of other devices are not read.
Writes ``results/choices_<task>.json``; `python docs/figures.py` writes the tables of docs/handheld.md.
"""

import argparse
import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import write
from benchmarks.handheld import AS_RECORDED, DISTORTIONS, probabilities_of
from benchmarks.paper.grid import folder_name, in_parallel, need, train_student
from ecgzoo import Recipe
from ecgzoo.config import LEAST_POSITIVES
from ecgzoo.evaluation import per_class_auc

HANDHELD: Recipe = importlib.import_module("ecgzoo.recipes.handheld").RECIPE
COMMON = replace(HANDHELD, data="ptbxl", train_folds="1-7", val_folds="8", test_folds="", epochs=10, stride_s=2.0)
ANY_LEAD, *TRANSFORMS = map(str, HANDHELD.transforms)


def without(*names: str) -> tuple[str, ...]:
    """The transforms of the recipe but these."""
    return (ANY_LEAD, *(term for term in TRANSFORMS if term.partition("=")[0] not in names))


CHOICES: dict[str, dict[str, Any]] = {
    "as handheld.py": {},
    "windows of 4 s": {"window_s": 4.0},
    "amplitude kept": {"normalization": "mv_global"},
    "drift kept": {"highpass_hz": 0.0},
    "no inversion": {"transforms": without("polarity")},
    "no noise": {"transforms": without("noise")},
    "no band, no rate error": {"transforms": without("filter", "resample")},
    "none of the three": {"transforms": (ANY_LEAD,)},
    "none of the three, drift kept": {"transforms": (ANY_LEAD,), "highpass_hz": 0.0},
}


def run_one(choice: str, root: str, task: str, output: Path) -> dict[str, Any]:
    """Train a student, and measure it on the validation fold and its distortions."""
    recipe = replace(COMMON, **CHOICES[choice], root=root, task=task, output=output / folder_name(choice))
    run, student = train_student(recipe, output)
    data, rows = run.cohort, run.val_rows
    student.eval()
    signals = data.signals(rows)[:, student.lead_positions(data.leads, data.title)] / 1000.0
    labels = data.labels[rows]
    frequent = labels.sum(0) >= LEAST_POSITIVES
    each = {}
    for name, change in DISTORTIONS.items():
        each[name] = per_class_auc(labels, probabilities_of(student, change(signals)))
    return {
        "choice": choice,
        "records": len(rows),
        "classes": int((labels.sum(0) > 0).sum()),
        "frequent classes": int(frequent.sum()),
        "epochs": recipe.epochs,
        "macro AUC": {name: float(np.nanmean(aucs)) for name, aucs in each.items()},
        "frequent": {name: float(np.nanmean(aucs[frequent])) for name, aucs in each.items()},
    }


def main() -> None:
    """Train and measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="PTB-XL's folder")
    parser.add_argument("--task", choices=("rhythm", "all"), default="rhythm")
    parser.add_argument("--choices", nargs="+", choices=CHOICES, default=list(CHOICES))
    parser.add_argument("--output", type=Path, default=Path("runs/choices"))
    parser.add_argument("--workers", type=int, default=2, help="number of parallel runs, one thread each")
    given = parser.parse_args()
    need(parser, Path(given.root) / "ptbxl_database.csv", "give PTB-XL's own folder as --root")
    output = given.output / given.task
    calls = [(choice, given.root, given.task, output) for choice in given.choices]
    found = {row["choice"]: row for row in in_parallel(run_one, calls, given.workers)}
    rows = [found[choice] for choice in given.choices]
    write(f"choices_{given.task}", f"lead I of PTB-XL's fold 8, {given.task}", rows)
    for row in rows:
        print(
            "{choice:30} {:.4f}, lowest {:.4f}".format(
                row["macro AUC"][AS_RECORDED], min(row["macro AUC"].values()), **row
            )
        )


if __name__ == "__main__":
    main()
