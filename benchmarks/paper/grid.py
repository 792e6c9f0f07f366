"""What improves a single-lead student? Every arm, lead and seed; finished runs are not repeated.

    python -m benchmarks.paper.grid --root DIR            # lead I: every arm, 5 seeds; II and V5: four arms, 3 seeds
    python -m benchmarks.paper.grid --root DIR --leads I --arms bce mkd --seeds 2
    python -m benchmarks.paper.grid --root DIR --quick    # make paper-quick

All arms share one teacher. Folds 1 to 7 are for training, 8 for choosing the epoch, 9 for testing. Except plus, long
and mixup, no arm was tuned: the weights of the terms are the published ones, and everything else is the same for all.
Each run writes its network, its probabilities and a line of ``results.jsonl`` to ``--output``.
`benchmarks.paper.page --scores` copies the lines to benchmarks/results and writes docs/results.md.
"""

import argparse
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path
from statistics import mean
from typing import Any, TypeVar

import numpy as np
import torch
from rich.progress import track

from ecgzoo import Recipe, Run
from ecgzoo.data import Cohort
from ecgzoo.evaluation.cohort import CohortScores
from ecgzoo.files import write_text
from ecgzoo.model import EcgModel
from ecgzoo.provenance import provenance

Result = TypeVar("Result")
RESULTS = Path(__file__).parents[1] / "results"
# what mvkt_plus.py adds; the arm without a teacher shows which part of the gain is distillation
PLUS = {"aux_task": "all", "pretrain_epochs": 120, "window_s": 5.0, "stride_s": 2.5, "ema_decay": 0.998}
# an earlier version without pretraining: twice the epochs, half of them on any lead
LONG = {
    "aux_task": "all",
    "transforms": ("any_lead=0.7",),
    "window_s": 5.0,
    "stride_s": 2.5,
    "ema_decay": 0.998,
    "epochs": 40,
}
MIXED = {**LONG, "transforms": ("mixup=0.2", "any_lead=0.7")}
ARMS: dict[str, dict[str, Any]] = {
    "bce": {"losses": ("bce=1",)},
    "kd": {"losses": ("bce=1", "kd=1")},
    "mkd": {"losses": ("bce=1", "mkd=1")},
    "clt": {"losses": ("bce=1", "clt=0.8")},
    # the published code: T = 1, Z fixed at its first estimate, about 1,024 sampled negatives (of 1,700 drawn records)
    "published": {"losses": ("bce=1", "mkd=1", "clt=0.8,z_momentum=1,max_rows=1700")},
    "mvkt": {"losses": ("bce=1", "mkd=1", "clt=0.8")},
    "bce plus": {"losses": ("bce=1", "aux=0.2"), **PLUS},
    "mvkt plus": {"losses": ("bce=1", "mkd=1", "aux=0.2"), **PLUS},
    "mvkt long": {"losses": ("bce=1", "mkd=1", "aux=0.2"), **LONG},
    "bce mixup": {"losses": ("bce=1", "aux=0.2"), **MIXED},
    "mkd mixup": {"losses": ("mkd=1", "aux=0.2"), **MIXED},
}
IN_FULL, ELSEWHERE = "I", ("bce", "kd", "mvkt", "mvkt plus")
PRETRAINED = "pretrained"
COMMON = Recipe(
    data="ptbxl",
    train_folds="1-7",
    val_folds="8",
    test_folds="9",
    student_arguments={"drop_rate": 0},
    epochs=20,
    compare=False,
)


def main() -> None:
    """Run the missing parts of the grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="PTB-XL's folder (default: use the simulated cohort)")
    parser.add_argument("--leads", nargs="+", default=["I", "II", "V5"])
    parser.add_argument("--arms", nargs="+", choices=ARMS)
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--output", default="runs/paper")
    parser.add_argument("--workers", type=int, default=2, help="number of parallel runs, one thread each")
    parser.add_argument("--quick", action="store_true", help="two training folds, lead I; default: 3 arms, 2 seeds")
    given = parser.parse_args()
    if given.root:
        need(parser, Path(given.root) / "ptbxl_database.csv", "give PTB-XL's own folder as --root")
    common = (
        COMMON if given.root else replace(COMMON, data="synthetic", train_folds="1-8", val_folds="9", test_folds="10")
    )
    arms = {
        arm: {**fields, "aux_task": "diagnostic"} if "aux_task" in fields and not given.root else fields
        for arm, fields in ARMS.items()
    }
    common, name = replace(common, root=given.root), "paper"
    if given.quick:
        common, name = replace(common, train_folds="1-2"), "paper_quick"
        given.leads, given.arms, given.seeds = ["I"], given.arms or ["bce", "mkd", "mvkt"], given.seeds or 2
    output = Path(given.output) / (name + ("" if given.root else "_synthetic"))
    log = output / "results.jsonl"
    done = {(line["arm"], line["lead"], line["seed"]) for line in read_lines(log)}
    teacher = train_teacher(common, output).config.architecture
    # seed by seed, so that a stopped grid has complete seeds
    missing = [
        (common, arms[arm], teacher, arm, lead, seed, output)
        for seed in range(given.seeds or 5)
        for lead in given.leads
        if given.seeds or lead == IN_FULL or seed < 3
        for arm in given.arms or (ARMS if lead == IN_FULL else ELSEWHERE)
        if (arm, lead, seed) not in done
    ]
    first = {seed: (common, fields, seed, output) for _, fields, *_, seed, _ in missing if "pretrain_epochs" in fields}
    list(in_parallel(pretrain_one, list(first.values()), given.workers))  # once per seed, for all arms and leads
    for line in in_parallel(run_one, missing, given.workers):
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print("{arm}, lead {lead}, seed {seed}: {macro_auc:.4f} in {seconds:.0f} s".format_map(line))
    print(summary(read_lines(log)))


def summary(lines: list[dict[str, Any]]) -> str:
    """Mean macro AUC over the seeds of each arm and lead, and its difference from labels alone with the same seeds."""
    aucs: dict[tuple[str, str], dict[int, float]] = {}
    for line in sorted(lines, key=lambda line: (line["lead"], list(ARMS).index(line["arm"]))):
        aucs.setdefault((line["lead"], line["arm"]), {})[line["seed"]] = line["macro_auc"]
    text = ["lead arm         seeds  macro AUC  minus labels alone"]
    for (lead, arm), found in aucs.items():
        base = aucs.get((lead, "bce"), {})
        gains = [found[seed] - base[seed] for seed in found.keys() & base.keys()]
        gain = f"{mean(gains):+.4f}" if gains and arm != "bce" else ""
        text.append(f"{lead:4} {arm:11} {len(found):5}  {mean(found.values()):9.4f}  {gain}".rstrip())
    return "\n".join(text)


def in_parallel(function: Callable[..., Result], calls: Sequence[tuple[Any, ...]], workers: int) -> Iterator[Result]:
    """Yield the results of `calls` as they finish; the first error stops all.

    With networks this small, two runs of one thread each use two cores better than one run of two threads.
    """
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _one_quiet_thread) as pool:
        futures = [pool.submit(function, *call) for call in calls]
        try:
            for future in track(as_completed(futures), "runs", total=len(futures)):
                yield future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _one_quiet_thread() -> None:
    """Set up a worker without output: the progress bars of parallel runs would overwrite each other."""
    torch.set_num_threads(1)
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115 # open until the process ends


def train_teacher(common: Recipe, output: Path) -> EcgModel:
    """The teacher of all arms: twelve leads, labels alone, seed 0."""
    recipe = replace(common, losses=("bce=1",), student_arguments=(), output=output / "teacher", resume=True)
    run = Run(recipe)
    teacher = run.train("teacher", recipe.teacher_network, recipe.loss_terms, is_teacher=True)
    save_scores(run.scores(teacher, recipe.judged_folds, run.judged_rows), output / "teacher.npz")
    return teacher


def pretrain_one(common: Recipe, fields: dict[str, Any], seed: int, output: Path) -> None:
    """Pretrain the student from which the arms with these fields start, unless already done."""
    alone = {**fields, "losses": ("bce=1",), "aux_task": None}  # pretraining depends on neither
    recipe = replace(common, **alone, seed=seed, resume=True)
    folder = output / PRETRAINED
    Run(replace(recipe, output=folder / str(seed), pretrain_folder=folder)).pretrained()


def run_one(
    common: Recipe, fields: dict[str, Any], teacher: str, arm: str, lead: str, seed: int, output: Path
) -> dict[str, Any]:
    """Train and evaluate one student; return its line of the results."""
    name = f"{arm.replace(' ', '_')}_{lead}_{seed}"
    recipe = replace(common, **fields, seed=seed, student_leads=(lead,), output=output / name)
    started = time.perf_counter()
    run, student = train_student(recipe, output / "teacher" / "teacher")
    scores = run.scores(student, recipe.judged_folds, run.judged_rows)
    seconds = time.perf_counter() - started
    save_scores(scores, output / f"{name}.npz")
    evaluation = scores.evaluation(seed)
    return {
        "arm": arm,
        "lead": lead,
        "task": recipe.task,
        "data": run.cohort.title,
        "seed": seed,
        "student": recipe.student,
        "teacher": teacher if run.distills else None,
        "folds": {"train": recipe.train_folds, "val": recipe.val_folds, "test": recipe.test_folds},
        "losses": list(map(str, recipe.losses)),
        "macro_auc": evaluation.macro_auc,
        "ci": list(evaluation.ci),
        "per_class": evaluation.per_class,
        "epochs": recipe.epochs,
        "best_epoch": student.config.training["best_epoch"],
        "seconds": seconds,
        **provenance(),
    }


def train_student(recipe: Recipe, teacher: Path, cohort: Cohort | None = None) -> tuple[Run, EcgModel]:
    """Train a student, with the teacher in that folder if a loss uses a teacher."""
    distills = any(term.name not in ("bce", "aux") for term in recipe.loss_terms)
    kept = Path(recipe.output).parent / PRETRAINED
    given = replace(recipe, teacher_weights=teacher if distills else None, pretrain_folder=kept, resume=True)
    run = Run(given, cohort)
    return run, run.student(run.teacher() if run.distills else None)


def folder_name(text: str) -> str:
    """The text with an underscore for everything but letters and digits."""
    return "".join(letter if letter.isalnum() else "_" for letter in text)


def save_scores(scores: CohortScores, path: Path) -> None:
    """Write probabilities, labels and patients, for paired comparisons."""
    np.savez(path, y_score=scores.y_score, y_true=scores.y_true, patients=scores.patients)


def keep_lines(path: Path, lines: list[dict[str, Any]], key: Sequence[str]) -> None:
    """Write lines into a results file, in place of those of the same run; `key` are the fields that name a run."""
    kept = {tuple(line[field] for field in key): line for line in [*read_lines(path), *lines]}
    write_text(path, "".join(json.dumps(line) + "\n" for line in kept.values()))


def need(parser: argparse.ArgumentParser, path: Path, what: str) -> None:
    """End the command with a one-line error if `path` is missing or an empty file; `what` says how to get it."""
    if not path.exists() or (path.is_file() and not path.stat().st_size):
        parser.error(f"{path} is missing: {what}")


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a results file; empty if the file does not exist."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
