"""Simulated hearts with known truth: how much of a disease is visible in lead I, and how much distillation transfers.

    python -m benchmarks.paper.truth

There are 20,000 simulated records. Teacher and students are trained on folds 1 and 2 (4,000 records); fold 9 is for
choosing the epoch and fold 10 for testing. The entry "at most" estimates what a lead-I student could learn: a student
on labels alone, trained longer and on folds 1 to 8. The share of a disease in a lead is its noise-free change there, as
root mean square over a beat, divided by the change in the lead where it is largest. Writes ``results/truth.json`` and
``docs/truth.png``.
"""

import argparse
import statistics
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.paper.grid import ARMS, COMMON, RESULTS, in_parallel, train_student
from ecgzoo.data import Cohort
from ecgzoo.data.synthetic import lesion_changes, load_synthetic
from ecgzoo.evaluation import macro_auc
from ecgzoo.files import write_atomic, write_json
from ecgzoo.provenance import provenance
from ecgzoo.signal import LEADS_12

DOCS = Path(__file__).parents[2] / "docs"
FEW = replace(
    COMMON, data="synthetic", task="diagnostic", train_folds="1-2", val_folds="9", test_folds="10", stride_s=2.5
)
LABELS_ALONE = ("bce=1",)
TEACHER = replace(FEW, losses=LABELS_ALONE, student_arguments=(), student_leads=LEADS_12)
STUDENTS = {
    "at most": replace(FEW, train_folds="1-8", epochs=40, losses=LABELS_ALONE),
    **{
        f"{arm} {seed}": replace(FEW, seed=seed, **ARMS[arm])
        for seed in range(3)
        for arm in ("bce", "mkd", "clt", "mvkt")
    },
}


@cache
def cohort() -> Cohort:
    """The records of all runs, simulated once per process."""
    return load_synthetic(task="diagnostic", num_records=20_000)


def per_class(name: str, output: Path) -> tuple[str, dict[str, float]]:
    """Train and evaluate one network; return its name, and its AUC by lesion and macro AUC on the test fold."""
    recipe = TEACHER if name == "teacher" else STUDENTS[name]
    recipe = replace(recipe, output=output / name.replace(" ", "_"))
    run, student = train_student(recipe, output / "teacher" / "student", cohort())
    scores = run.scores(student, recipe.judged_folds, run.judged_rows)
    aucs = {label: macro_auc(scores.y_true[:, [k]], scores.y_score[:, [k]]) for k, label in enumerate(scores.classes)}
    return name, {**aucs, "macro AUC": macro_auc(scores.y_true, scores.y_score)}


def main() -> None:
    """Train the teacher, then its students; write the figures and the plot."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=Path("runs/truth"))
    parser.add_argument("--workers", type=int, default=2, help="number of parallel runs, one thread each")
    given = parser.parse_args()
    found: dict[str, dict[str, float]] = {}
    for names in (["teacher"], list(STUDENTS)):  # the students learn from the teacher
        found |= in_parallel(per_class, [(name, given.output) for name in names], given.workers)
    rms = {lesion: np.sqrt((change**2).mean(axis=1)) for lesion, change in lesion_changes().items()}
    results: dict[str, Any] = {
        "in_lead_i": {lesion: float(sizes[0] / sizes.max()) for lesion, sizes in rms.items()},
        "auc": {
            lesion: {
                "teacher": found["teacher"][lesion],
                "at most": found["at most"][lesion],
                **{arm: [found[f"{arm} {seed}"][lesion] for seed in range(3)] for arm in ("bce", "mkd", "clt", "mvkt")},
            }
            for lesion in found["teacher"]
        },
        **provenance(),
    }
    write_json(RESULTS / "truth.json", results)
    write_atomic(DOCS / "truth.png", lambda path: plot(results, path))


def plot(results: dict[str, Any], path: Path) -> None:
    """Plot the AUC of every lesion, with the most visible in lead I on the right, and the gains from distillation."""
    from matplotlib.figure import Figure

    lesions = sorted(results["in_lead_i"], key=results["in_lead_i"].__getitem__)
    places = range(len(lesions))
    auc = {
        arm: [statistics.mean(np.atleast_1d(results["auc"][lesion][arm])) for lesion in lesions]
        for arm in ("teacher", "at most", "bce", "mkd", "clt", "mvkt")
    }
    figure = Figure(figsize=(9, 7), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    names = {
        "teacher": "teacher, 12 leads",
        "at most": "lead I, four times the records",
        "bce": "lead I, labels alone",
        "mvkt": "lead I, MKD + CLT",
    }
    for arm, marker in zip(names, "^v.x", strict=True):
        above.plot(places, auc[arm], marker, label=names[arm])
    above.bar(places, [results["in_lead_i"][lesion] for lesion in lesions], color="0.9", label="share in lead I")
    above.set(ylabel="AUC; share of the largest lead's change", ylim=(0, 1.02))
    above.legend(fontsize=8, loc="lower right")
    width = 0.2
    for number, arm in enumerate(("at most", "mkd", "clt", "mvkt")):
        gains = np.subtract(auc[arm], auc["bce"])
        below.bar(np.add(places, (number - 1.5) * width), gains, width, label=names.get(arm, f"lead I, {arm.upper()}"))
    below.axhline(0, color="grey", linewidth=1)
    below.set_ylabel("AUC, minus labels alone")
    below.set_xticks(places, [lesion.replace(" ", "\n") for lesion in lesions], fontsize=8)
    below.legend(fontsize=8)
    figure.suptitle("Simulated hearts, mean of three seeds", fontsize=10)
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
