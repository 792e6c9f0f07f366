"""Does CLT's rule for records without labels find pairs that share no diagnosis?

    python -m benchmarks.paper.negatives --root DIR --runs runs/unlabelled

The teachers of unlabelled.py answer for records of the folds whose labels they did not see. A pair of records counts as
negative if the expected number of shared diagnoses, computed from these answers, is at most a limit (CLT's
``share_limit``). The true labels then say how many of these pairs share no diagnosis, and how many pairs without a
shared diagnosis were found. Rounded answers are the other rule that suggests itself: present if above one half.
Writes ``results/negatives.json``; `python docs/figures.py` writes the table.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import ecgzoo
from benchmarks._report import report
from benchmarks.handheld import probabilities_of
from benchmarks.paper.grid import need
from benchmarks.paper.unlabelled import COMMON, LABELLED, LONG, REST, SHORT, cohort
from ecgzoo.data import parse_folds
from ecgzoo.model import EcgModel

RECORDS, SEED = 1_500, 0
LIMITS = (0.02, 0.05, 0.1, 0.2, 0.5)


def judged(taken: np.ndarray, shared: np.ndarray) -> dict[str, float]:
    """How right and how complete the pairs `taken` ``[n, n]`` as negatives are; `shared`: pairs that share a label."""
    pairs = ~np.eye(len(shared), dtype=bool)
    taken, negative = taken[pairs], ~shared[pairs]
    return {
        "taken": float(taken.mean()),
        "share no diagnosis": float(negative[taken].mean()),
        "found": float(taken[negative].mean()),
        "without a choice": float(negative.mean()),
    }


def rows_of(labelled: str, answers: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    """A row for each rule, from the teacher's probabilities and the true labels ``[n, C]``."""
    shared = labels @ labels.T > 0
    expected, rounded = answers @ answers.T, (answers > 0.5).astype(float)
    rules = {f"at most {limit:g}": expected <= limit for limit in LIMITS} | {"rounded": rounded @ rounded.T == 0}
    about = {"labelled folds": labelled, "records": len(labels)}
    return [{**about, "rule": rule, **judged(taken, shared)} for rule, taken in rules.items()]


def best_teacher(labelled: str, runs: Path) -> EcgModel:
    """The teacher of these labels with the highest macro AUC on the validation fold, as unlabelled.py chooses it."""
    folders = [runs / f"teacher_{labelled}_{epochs}" / "student" for epochs in (SHORT, LONG)]
    teachers = [ecgzoo.load_pretrained(folder) for folder in folders if folder.exists()]
    return max(teachers, key=lambda teacher: teacher.config.metrics["macro_auc"]).eval()


def main() -> None:
    """Measure every teacher."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="PTB-XL's folder")
    parser.add_argument("--runs", type=Path, default=Path("runs/unlabelled"), help="--output of unlabelled.py")
    given = parser.parse_args()
    labelled_folds = [labelled for labelled in LABELLED if REST[labelled]]
    for labelled in labelled_folds:
        need(parser, given.runs / f"teacher_{labelled}_{SHORT}", "first train with benchmarks/paper/unlabelled.py")
    data = cohort(str(given.root))
    rows = []
    for labelled in labelled_folds:
        teacher = best_teacher(labelled, given.runs)
        rest = data.rows(parse_folds(REST[labelled]))
        some = np.sort(np.random.default_rng(SEED).choice(rest, RECORDS, replace=False))
        leads = teacher.lead_positions(data.leads, data.title)
        answers = probabilities_of(teacher, data.signals(some)[:, leads] / 1000)
        rows += rows_of(labelled, answers, data.labels[some].astype(float))
    report("negatives", f"{COMMON.task}; records of folds whose labels the teacher did not see", rows)


if __name__ == "__main__":
    main()
