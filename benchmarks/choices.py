"""Why the recipe for handhelds is what it is: one change at a time, measured on fold 8 and its distortions.

    python -m benchmarks.choices --root DIR                  # resumes in --output
    python -m benchmarks.choices --root DIR --task all

Students of lead I on labels alone: `recipes/handheld.py`, and the same with one part changed or left out, trained on
folds 1 to 7. Fold 8, as recorded and distorted as in benchmarks/handheld.py, is for choosing: the epoch, too. Folds 9
and 10 and recordings of other devices are not read.

PTB-XL names the device of some of its records, and the statement SVARR (supraventricular arrhythmia) was written for
those of one device only. So the last column is how well the probability of SVARR tells this device from the others,
among records without SVARR: 0.5 for a student that knows nothing about devices.
Writes ``results/choices_<task>.json``; `python docs/figures.py` writes the tables of docs/handheld.md.
"""

import argparse
import csv
import importlib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks._report import report
from benchmarks.handheld import AS_RECORDED, AT_ONCE, DISTORTIONS
from benchmarks.paper.grid import in_parallel, need, train_student
from ecgzoo import Recipe, load_cohort
from ecgzoo.data import Cohort
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
    "none of the three": {"transforms": without("polarity", "noise", "filter", "resample")},
    "none of the three, drift kept": {
        "transforms": without("polarity", "noise", "filter", "resample"),
        "highpass_hz": 0.0,
    },
}
FEW = 20  # a class with fewer positives gets no finding
SHORTCUT, DEVICE = "SVARR", "CS100"


@cache
def cohort(root: str, task: str) -> Cohort:
    """PTB-XL."""
    return load_cohort("ptbxl", root, task)


@cache
def devices(root: str) -> dict[int, str]:
    """The device of each record, empty if not known."""
    with (Path(root) / "ptbxl_database.csv").open(encoding="utf-8", newline="") as file:
        return {int(float(row["ecg_id"])): row["device"].strip() for row in csv.DictReader(file)}


def device_auc(score: np.ndarray, present: np.ndarray, device: np.ndarray) -> tuple[float, int, int]:
    """AUC ``[n]`` of `score` for DEVICE against other known devices, in records without `present`; both counts."""
    among = (device != "") & ~present
    own = np.char.startswith(device[among].astype(str), DEVICE)
    (found,) = per_class_auc(own[:, None], score[among][:, None])
    return float(found), int(own.sum()), int((~own).sum())


def run_one(choice: str, root: str, task: str, output: Path) -> dict[str, Any]:
    """Train a student, and measure it on the validation fold and its distortions."""
    folder = output / "".join(letter if letter.isalnum() else "_" for letter in choice)
    recipe = replace(COMMON, **CHOICES[choice], root=root, task=task, output=folder)
    data = cohort(root, task)
    run, student = train_student(recipe, output, data)
    rows = run.val_rows
    student.eval()
    signals = data.signals(rows)[:, student.lead_positions(data.leads, data.title)] / 1000.0
    labels = data.labels[rows]
    frequent = labels.sum(0) >= FEW
    scores = {}
    for name, change in DISTORTIONS.items():
        x = torch.from_numpy(change(signals).astype(np.float32))
        scores[name] = torch.cat([student.score(some) for some in x.split(AT_ONCE)]).double().numpy()
    each = {name: per_class_auc(labels, score) for name, score in scores.items()}
    at = student.config.classes.index(SHORTCUT)
    named = np.array([devices(root).get(int(number), "") for number in data.record_ids[rows]])
    told, own, others = device_auc(scores[AS_RECORDED][:, at], labels[:, at] > 0, named)
    return {
        "choice": choice,
        "records": len(rows),
        "classes": int((labels.sum(0) > 0).sum()),
        "frequent classes": int(frequent.sum()),
        "epochs": recipe.epochs,
        "macro AUC": {name: float(np.nanmean(aucs)) for name, aucs in each.items()},
        "frequent": {name: float(np.nanmean(aucs[frequent])) for name, aucs in each.items()},
        SHORTCUT: {"AUC": float(each[AS_RECORDED][at]), "positives": int(labels[:, at].sum())},
        "device": {"AUC": told, "records": own, "of other devices": others},
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
    report(f"choices_{given.task}", f"lead I of PTB-XL's fold 8, {given.task}", rows)


if __name__ == "__main__":
    main()
