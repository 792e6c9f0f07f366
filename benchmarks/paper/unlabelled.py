"""What are records without labels worth? Labels of few folds, all other records without theirs; lead I.

    python -m benchmarks.paper.unlabelled --root DIR               # every arm, 3 seeds; resumes in --output
    python -m benchmarks.paper.unlabelled --root DIR --seeds 1
    python -m benchmarks.paper.unlabelled                          # only the table and the figure, from the results

Half a fold, one, two, four or all seven training folds have labels. The arms: labels alone; MKD + CLT on the labelled
records; the same with the other records, which learn from the teacher's output alone; the same after pretraining on
pairs of leads. The teacher of an arm knows the same labels. Networks that see few records are trained for 20 and for 50
epochs, and the number with the higher macro AUC on fold 8 counts. Fold 9 is for testing.
Each run writes its network, its probabilities and a line of ``results.jsonl`` to ``--output``. At the end, lines and
differences go to ``results/unlabelled.jsonl`` and ``results/unlabelled.json``, where they replace those of the same
runs; from there come ``docs/unlabelled.png`` and the table of docs/distillation.md.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np

from benchmarks._report import write_between
from benchmarks.paper import grid
from benchmarks.paper.grid import (
    PRETRAINED,
    RESULTS,
    in_parallel,
    keep_lines,
    need,
    read_lines,
    save_scores,
    train_student,
)
from benchmarks.paper.page import over_seeds
from ecgzoo import LEADS_12, Recipe, Run, load_cohort
from ecgzoo.data import Cohort
from ecgzoo.evaluation import macro_auc, paired_difference
from ecgzoo.files import write_atomic, write_json
from ecgzoo.provenance import provenance

DOCS = Path(__file__).parents[2] / "docs"
HALF = 11  # what the records of half the patients of fold 1 are called here
LABELLED = {"½": f"{HALF}", "1": f"1,{HALF}", "2": f"1-2,{HALF}", "4": f"1-4,{HALF}", "7": f"1-7,{HALF}"}
REST = {"½": "1-7", "1": "2-7", "2": "3-7", "4": "5-7", "7": ""}
# windows that do not overlap: with few labelled records, most of the time goes into the validation of each epoch
COMMON = replace(grid.COMMON, stride_s=grid.COMMON.window_s)
MVKT = ("bce=1", "mkd=1", "clt=0.8")
ARMS: dict[str, dict[str, Any]] = {
    "labels alone": {"losses": ("bce=1",)},
    "MKD + CLT": {"losses": MVKT},
    "+ records without labels": {"losses": MVKT},
    "+ pretraining": {"losses": MVKT, "pretrain_epochs": 60},
}
USES_REST = ("+ records without labels", "+ pretraining")
SHORT, LONG = 20, 50
AIMS = {"½": 0.6, "1": 0.75, "2": 0.8}  # share of what the missing labels bring, with the records without labels
FEW = ("½", "1", "2")  # folds at which networks on labelled records alone also get the long training


@cache
def cohort(root: str) -> Cohort:
    """PTB-XL, with a fold of its own for half the patients of fold 1."""
    whole = load_cohort("ptbxl", root, COMMON.task)
    patients = np.unique(whole.patients[whole.folds == 1])
    half = np.random.default_rng(0).permutation(patients)[: len(patients) // 2]
    folds = np.where((whole.folds == 1) & np.isin(whole.patients, half), HALF, whole.folds).astype(np.int16)
    return replace(whole, folds=folds, fingerprint=f"{whole.fingerprint}-half")


def runs_of(seed: int) -> list[tuple[str, str, int, int]]:
    """(arm, labelled, seed, epochs) of every student."""
    runs = []
    for labelled, rest in REST.items():
        for arm in ARMS:
            if arm == "+ records without labels" and not rest:
                continue  # all records have labels
            long = labelled in FEW and arm not in USES_REST
            runs += [(arm, labelled, seed, epochs) for epochs in ((SHORT, LONG) if long else (SHORT,))]
    return runs


def recipe_of(arm: str, labelled: str, seed: int, epochs: int, output: Path) -> Recipe:
    """The recipe of one student."""
    return replace(
        COMMON,
        **ARMS[arm],
        seed=seed,
        epochs=epochs,
        train_folds=LABELLED[labelled],
        unlabelled_folds=REST[labelled] if arm in USES_REST else "",
        output=output / f"{list(ARMS).index(arm)}_{labelled}_{seed}_{epochs}",
    )


def train_teacher(labelled: str, epochs: int, root: str, output: Path) -> tuple[str, int, float, float]:
    """Train a teacher on these labels; its macro AUC on the validation and the test fold."""
    recipe = replace(
        COMMON,
        losses=("bce=1",),
        student_arguments=(),
        student_leads=LEADS_12,
        train_folds=LABELLED[labelled],
        epochs=epochs,
        output=output / f"teacher_{labelled}_{epochs}",
    )
    run, teacher = train_student(recipe, output, cohort(root))
    scores = run.scores(teacher, recipe.judged_folds, run.judged_rows)
    return labelled, epochs, teacher.config.metrics["macro_auc"], macro_auc(scores.y_true, scores.y_score)


def pretrain_one(seed: int, root: str, output: Path) -> None:
    """The pretraining of a seed, which all numbers of labelled folds share."""
    recipe = recipe_of("+ pretraining", "7", seed, SHORT, output)
    folder = output / PRETRAINED
    recipe = replace(recipe, losses=("bce=1",), output=folder / str(seed), pretrain_folder=folder, resume=True)
    Run(recipe, cohort(root)).pretrained()


def run_one(
    arm: str, labelled: str, seed: int, epochs: int, teacher: tuple[Path, float], root: str, output: Path
) -> dict[str, Any]:
    """Train and evaluate one student; return its line of the results."""
    recipe = recipe_of(arm, labelled, seed, epochs, output)
    started = time.perf_counter()
    run, student = train_student(recipe, teacher[0], cohort(root))
    scores = run.scores(student, recipe.judged_folds, run.judged_rows)
    save_scores(scores, output / f"{Path(recipe.output).name}.npz")
    return {
        "arm": arm,
        "labelled": labelled,
        "seed": seed,
        "epochs": epochs,
        "folds": {"train": recipe.train_folds, "unlabelled": recipe.unlabelled_folds},
        "records": {"labelled": len(run.train_rows), "unlabelled": len(run.unlabelled_rows)},
        "losses": list(map(str, recipe.losses)),
        "teacher_macro_auc": teacher[1] if run.distills else None,
        "val_macro_auc": student.config.metrics["macro_auc"],
        "macro_auc": macro_auc(scores.y_true, scores.y_score),
        "best_epoch": student.config.training["best_epoch"],
        "seconds": time.perf_counter() - started,
        **provenance(),
    }


def main() -> None:
    """Train what is missing, then write the table and the figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="PTB-XL's folder; without it, nothing is trained")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    parser.add_argument("--output", type=Path, default=Path("runs/unlabelled"))
    parser.add_argument("--workers", type=int, default=2, help="number of parallel runs, one thread each")
    given = parser.parse_args()
    if given.root:
        need(parser, Path(given.root) / "ptbxl_database.csv", "give PTB-XL's own folder as --root")
        train(given.root, given.seeds, given.arms, given.output, given.workers)
        lines = read_lines(given.output / "results.jsonl")
        keep_lines(RESULTS / "unlabelled.jsonl", lines, ("arm", "labelled", "seed", "epochs"))
        write_json(RESULTS / "unlabelled.json", {"arms": merged(summary(lines, given.output)), **provenance()})
    need(parser, RESULTS / "unlabelled.json", "give --root, PTB-XL's folder")
    found = json.loads((RESULTS / "unlabelled.json").read_text(encoding="utf-8"))
    write_between("unlabelled", {"docs/distillation.md": table(found)})
    write_atomic(DOCS / "unlabelled.png", lambda path: plot(found, path))


def train(root: str, seeds: int, arms: Sequence[str], output: Path, workers: int) -> None:
    """Train the missing teachers, then seed by seed and arm by arm the missing students."""
    log = output / "results.jsonl"
    done = {(line["arm"], line["labelled"], line["seed"], line["epochs"]) for line in read_lines(log)}
    calls = [
        (labelled, epochs, root, output)
        for labelled in LABELLED
        for epochs in ((SHORT, LONG) if labelled in FEW else (SHORT,))
    ]
    best: dict[str, tuple[float, Path, float]] = {}
    for labelled, epochs, chosen, tested in in_parallel(train_teacher, calls, workers):
        folder = output / f"teacher_{labelled}_{epochs}" / "student"
        best[labelled] = max(best.get(labelled, (0.0, folder, 0.0)), (chosen, folder, tested))
    for seed in range(seeds):
        for arm in arms:
            missing = [run for run in runs_of(seed) if run[0] == arm and run not in done]
            if missing and "pretrain_epochs" in ARMS[arm]:
                pretrain_one(seed, root, output)
            for line in in_parallel(run_one, [(*run, best[run[1]][1:], root, output) for run in missing], workers):
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
                print("{arm}, labels of {labelled}, seed {seed}, {epochs} epochs: {macro_auc:.4f}".format_map(line))


def summary(lines: list[dict[str, Any]], output: Path) -> dict[str, Any]:
    """By arm and labelled folds: mean macro AUC, difference from labels alone with its interval, and the share.

    The share is the difference, divided by what the labels of all seven folds bring to labels alone. The interval
    covers patients, and seeds where there are several.
    """
    chosen: dict[tuple[str, str, int], dict[str, Any]] = {}
    for line in sorted(lines, key=lambda line: line["val_macro_auc"]):
        chosen[line["arm"], line["labelled"], line["seed"]] = line  # the last has the highest
    aucs = {key: line["macro_auc"] for key, line in chosen.items()}
    alone = "labels alone"

    def scores(arm: str, labelled: str, seed: int) -> Any:
        epochs = chosen[arm, labelled, seed]["epochs"]
        return np.load(output / f"{list(ARMS).index(arm)}_{labelled}_{seed}_{epochs}.npz")

    found: dict[str, Any] = {}
    for labelled in LABELLED:
        for arm in ARMS:
            seeds = [
                s
                for a, n, s in aucs
                if (a, n) == (arm, labelled) and {(alone, labelled, s), (alone, "7", s)} <= set(aucs)
            ]
            if not seeds:
                continue
            seeds.sort()
            one = chosen[arm, labelled, seeds[0]]
            row: dict[str, Any] = {
                "records": one["records"],
                "teacher_macro_auc": one["teacher_macro_auc"],
                "macro_auc": mean(aucs[arm, labelled, s] for s in seeds),
                "each": [aucs[arm, labelled, s] for s in seeds],
                "epochs": [chosen[arm, labelled, s]["epochs"] for s in seeds],
            }
            if arm != alone:
                pairs = [(scores(arm, labelled, seed), scores(alone, labelled, seed)) for seed in seeds]
                differences = [
                    paired_difference(a["y_true"], a["y_score"], b["y_score"], a["patients"], seed=0) for a, b in pairs
                ]
                gained = mean(aucs[arm, labelled, s] - aucs[alone, labelled, s] for s in seeds)
                missing = mean(aucs[alone, "7", s] - aucs[alone, labelled, s] for s in seeds)
                row |= {
                    "difference": gained,
                    "ci": over_seeds(differences),
                    "share": gained / missing if labelled != "7" else None,
                }
            found.setdefault(labelled, {})[arm] = row
    return found


def merged(found: dict[str, Any]) -> dict[str, Any]:
    """The rows found now, and those of earlier runs: of the same arm and labels, the one with more seeds."""
    path = RESULTS / "unlabelled.json"
    kept = json.loads(path.read_text(encoding="utf-8"))["arms"] if path.exists() else {}
    rows: dict[str, Any] = {}
    for labelled in LABELLED:
        for arm in ARMS:
            either = [rows_of[labelled][arm] for rows_of in (kept, found) if arm in rows_of.get(labelled, {})]
            if either:
                rows.setdefault(labelled, {})[arm] = max(reversed(either), key=lambda row: len(row["each"]))
    return rows


def table(found: dict[str, Any]) -> str:
    """The figure and the table as Markdown."""
    rows = [
        "![Macro AUC over the number of labelled records](unlabelled.png)",
        "",
        "| folds with labels (records) | arm | macro AUC, each seed | minus labels alone (95 % interval) "
        "| share of what the missing labels bring (aim) |",
        "|---|---|---|---|---|",
    ]
    for labelled, arms in found["arms"].items():
        for arm, row in arms.items():
            gain = f"{row['difference']:+.4f} ({row['ci'][0]:+.4f} to {row['ci'][1]:+.4f})" if "ci" in row else ""
            share = f"{round(row['share'], 2) + 0.0:.0%}" if row.get("share") is not None else ""  # + 0.0: no "-0%"
            share += f" ({AIMS[labelled]:.0%})" if arm in USES_REST and labelled in AIMS else ""
            each = ", ".join(f"{auc:.4f}" for auc in row["each"])
            rows.append(f"| {labelled} ({row['records']['labelled']}) | {arm} | {each} | {gain} | {share} |")
    return "\n".join(rows) + "\n"


def plot(found: dict[str, Any], path: Path) -> None:
    """Plot the macro AUC over the number of labelled records, a line per arm, a dot per seed."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for arm, marker in zip(ARMS, "osD^", strict=True):
        rows = [arms[arm] for arms in found["arms"].values() if arm in arms]
        if not rows:
            continue
        records = [row["records"]["labelled"] for row in rows]
        (line,) = axes.plot(records, [row["macro_auc"] for row in rows], marker=marker, label=arm)
        for number, row in zip(records, rows, strict=True):
            axes.plot([number] * len(row["each"]), row["each"], ".", color=line.get_color(), alpha=0.5)
    axes.set(xscale="log", xlabel="records with labels (folds)", ylabel="macro AUC, fold 9")
    counts = {folds: next(iter(arms.values()))["records"]["labelled"] for folds, arms in found["arms"].items()}
    axes.set_xticks(list(counts.values()), [f"{number:,} ({folds})" for folds, number in counts.items()])
    axes.set_xticks([], minor=True)
    axes.set_title("Lead I, five superclasses; a dot is a seed", fontsize=10)
    axes.legend(fontsize=8)
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
