"""For which of PTB-XL's six tasks does distillation help? The teacher, and students of leads I, II and V5.

    python -m benchmarks.paper.tasks --root DIR       # 3 seeds for lead I, one for II and V5; resumes in --output
    python -m benchmarks.paper.tasks --root DIR --tasks rhythm form --arms bce mkd --seeds 1

Three arms of grid.py: labels alone, the same with MKD, and the best recipe (mvkt_plus.py), which is pretrained for each
task, because each task has its own records; and MKD divided by the number of classes, which the best recipe of these
tasks takes too, because on fold 8 the sum was worse in four of them. The runs of the superdiagnostic task are those of
grid.py. Rhythm gets windows of eight seconds, because shorter ones show few beats. Each run writes its network, its
probabilities and a line of ``results.jsonl`` to ``--output``. At the end, lines and differences go to
``results/tasks.jsonl`` and ``results/tasks.json``, where they replace those of the same runs; the table is in
docs/distillation.md.
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks._report import write_between
from benchmarks.paper.grid import (
    ARMS,
    COMMON,
    RESULTS,
    in_parallel,
    keep_lines,
    need,
    pretrain_one,
    read_lines,
    run_one,
    train_teacher,
)
from benchmarks.paper.page import verdicts
from ecgzoo import Recipe
from ecgzoo.data.ptbxl import TASKS
from ecgzoo.files import write_json
from ecgzoo.provenance import provenance

LEADS = ("I", "II", "V5")
MEAN = "mkd=1,reduction=mean"
COMPARED: dict[str, dict[str, Any]] = {
    "bce": ARMS["bce"],
    "mkd": ARMS["mkd"],
    "mkd mean": {"losses": ("bce=1", MEAN)},
    "mvkt plus": {**ARMS["mvkt plus"], "losses": ("bce=1", MEAN, "aux=0.2")},
}
IN_GRID = "superdiagnostic"
LONG: dict[str, Any] = {"window_s": 8.0, "stride_s": 4.0}


def fields_of(arm: str, task: str) -> dict[str, Any]:
    """What an arm changes in the common recipe, for this task."""
    fields = {**COMPARED[arm], **(LONG if task == "rhythm" else {})}
    if task == "all":  # its own finer labels
        fields.pop("aux_task", None)
        fields["losses"] = tuple(term for term in fields["losses"] if not term.startswith("aux"))
    return fields


def common_of(task: str, root: str) -> Recipe:
    """The recipe of all runs of a task; its teacher is trained with this."""
    return replace(COMMON, task=task, root=root, **(LONG if task == "rhythm" else {}))


def run_task(task: str, arm: str, lead: str, seed: int, root: str, output: Path) -> dict[str, Any]:
    """Train and evaluate one student; return its line of the results."""
    common = common_of(task, root)
    return run_one(common, fields_of(arm, task), common.teacher, arm, lead, seed, output / task)


def train_one_teacher(task: str, root: str, output: Path) -> None:
    """The teacher of a task, and its probabilities on the test fold."""
    train_teacher(common_of(task, root), output / task)


def main() -> None:
    """Run what is missing, seed by seed, then write the differences."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="PTB-XL's folder")
    own = [task for task in TASKS if task != IN_GRID]
    parser.add_argument("--tasks", nargs="+", choices=own, default=own)
    parser.add_argument("--seeds", type=int, default=3, help="of lead I; the other leads have one")
    parser.add_argument("--leads", nargs="+", choices=LEADS, default=list(LEADS))
    parser.add_argument("--arms", nargs="+", choices=COMPARED, default=list(COMPARED))
    parser.add_argument("--output", type=Path, default=Path("runs/tasks"))
    parser.add_argument("--workers", type=int, default=2, help="number of parallel runs, one thread each")
    given = parser.parse_args()
    need(parser, Path(given.root) / "ptbxl_database.csv", "give PTB-XL's own folder as --root")
    log, root, output = given.output / "results.jsonl", given.root, given.output
    list(in_parallel(train_one_teacher, [(task, root, output) for task in given.tasks], given.workers))
    done = {(line["task"], line["arm"], line["lead"], line["seed"]) for line in read_lines(log)}
    missing = [
        (task, arm, lead, seed)
        for seed in range(given.seeds)
        for lead in given.leads
        if lead == "I" or seed == 0
        for task in given.tasks
        for arm in given.arms
        if (task, arm, lead, seed) not in done
    ]
    first = {
        (task, seed): (common_of(task, root), fields_of(arm, task), seed, output / task)
        for task, arm, _, seed in missing
        if "pretrain_epochs" in COMPARED[arm]
    }
    list(in_parallel(pretrain_one, list(first.values()), given.workers))
    for line in in_parallel(run_task, [(*run, root, output) for run in missing], given.workers):
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        print("{task}, {arm}, lead {lead}, seed {seed}: {macro_auc:.4f}".format_map(line))
    lines, path = read_lines(log), RESULTS / "tasks.json"
    keep_lines(RESULTS / "tasks.jsonl", lines, ("task", "arm", "lead", "seed"))
    kept = json.loads(path.read_text(encoding="utf-8"))["tasks"] if path.exists() else {}
    for task in {line["task"] for line in lines} & set(given.tasks):
        kept[task] = merged(kept.get(task), verdicts([line for line in lines if line["task"] == task], output / task))
    write_json(path, {"tasks": kept, **provenance()})
    write_between("tasks", {"docs/distillation.md": table()})


def merged(kept: dict[str, Any] | None, found: dict[str, Any]) -> dict[str, Any]:
    """The verdicts found now, and those of earlier runs: of the same arm and lead, the one with more seeds."""
    verdicts_of: dict[str, dict[str, Any]] = {**(kept["verdicts"] if kept else {})}
    for lead, arms in found["verdicts"].items():
        before = verdicts_of.get(lead, {})
        newer = {arm: new for arm, new in arms.items() if len(new["seeds"]) >= len(before.get(arm, new)["seeds"])}
        verdicts_of[lead] = {**before, **newer}
    return {"teacher": found["teacher"], "verdicts": verdicts_of}


def table() -> str:
    """The table as Markdown, from the files in results/."""
    lines = [*read_lines(RESULTS / "paper.jsonl"), *read_lines(RESULTS / "tasks.jsonl")]
    in_grid, own = (json.loads((RESULTS / f"{name}.json").read_text("utf-8")) for name in ("paper_summary", "tasks"))
    verdict_of = {IN_GRID: in_grid["grid"], **own["tasks"]}
    rows = [
        "| task (classes) | teacher, 12 leads | lead | labels alone | + MKD | + MKD / classes | best recipe |",
        "|---|---|---|---|---|---|---|",
    ]
    for task in (task for task in TASKS if task in verdict_of):
        found = verdict_of[task]
        for lead in LEADS:
            runs = [line for line in lines if (line["task"], line["arm"], line["lead"]) == (task, "bce", lead)]
            if not runs:
                continue
            alone, low, high = (statistics.mean(column) for column in zip(*map(_auc_and_ci, runs), strict=True))
            verdicts_of = found["verdicts"].get(lead, {})
            gains = [_gain(verdicts_of.get(arm)) for arm in COMPARED if arm != "bce"]
            rows.append(
                f"| {task} ({len(runs[0]['per_class'])}) | {found['teacher']['macro_auc']:.4f} | {lead} "
                f"| {alone:.4f} ({low:.3f} to {high:.3f}, {len(runs)}) | {' | '.join(gains)} |"
            )
    return "\n".join(rows) + "\n"


def _auc_and_ci(run: dict[str, Any]) -> tuple[float, float, float]:
    return run["macro_auc"], *run["ci"]


def _gain(verdict: dict[str, Any] | None) -> str:
    if verdict is None:
        return ""
    low, high = verdict["ci"]
    return f"{verdict['difference']:+.4f} ({low:+.4f} to {high:+.4f}, {len(verdict['seeds'])})"


if __name__ == "__main__":
    main()
