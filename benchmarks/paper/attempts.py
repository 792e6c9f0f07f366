"""What could improve a lead-I student? One change at a time, tested on fold 8; fold 9 is not read.

    python -m benchmarks.paper.attempts --root DIR --output runs/paper

Run grid.py first, because its teacher is used here. The basis is labels + MKD + the finer labels of the second task,
with 20 epochs of 2.5-second crops; each attempt changes the listed fields. The epoch is chosen on fold 8 too, for all
attempts. Each line of ``results/attempts.jsonl`` names the revision at which it ran, because options that did not help
were removed from the library.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.paper.grid import ARMS, COMMON, RESULTS, folder_name, in_parallel, need, read_lines, train_student
from ecgzoo import Recipe
from ecgzoo.provenance import provenance
from ecgzoo.signal import LEADS_12

BASIS: dict[str, Any] = {"losses": ("bce=1", "mkd=1", "aux=0.2"), "aux_task": "all"}
TEACHERS: dict[str, dict[str, Any]] = {
    "teacher, averaged weights": {
        "student_leads": LEADS_12,
        "losses": ("bce=1",),
        "aux_task": None,
        "ema_decay": 0.998,
    },
    "teacher, finer labels": {"student_leads": LEADS_12, "losses": ("bce=1", "aux=0.2"), "aux_task": "all"},
    "assistant of I, II, V2": {"student_leads": ("I", "II", "V2"), "losses": ("bce=1", "mkd=1"), "aux_task": None},
    "assistant of I, larger": {**BASIS, "student": "xresnet1d50", "student_arguments": ()},
}
ATTEMPTS: dict[str, dict[str, Any]] = {
    "basis": {},
    "no finer labels": {"losses": ("bce=1", "mkd=1"), "aux_task": None},
    "no teacher": {"losses": ("bce=1", "aux=0.2")},
    "dropout as published": {"student_arguments": ()},
    "MKD, T = 2": {"losses": ("bce=1", "mkd=1,temperature=2", "aux=0.2")},
    "MKD, T = 4": {"losses": ("bce=1", "mkd=1,temperature=4", "aux=0.2")},
    "MKD, mean over classes": {"losses": ("bce=1", "mkd=1,reduction=mean", "aux=0.2")},
    "MKD, weight 4": {"losses": ("bce=1", "mkd=4", "aux=0.2")},
    "MKD in place of labels": {"losses": ("mkd=1", "aux=0.2")},
    "+ CLT": {"losses": ("bce=1", "mkd=1", "aux=0.2", "clt=0.8")},
    "+ CLT, weight 0.1": {"losses": ("bce=1", "mkd=1", "aux=0.2", "clt=0.1")},
    "+ CLT, InfoNCE": {"losses": ("bce=1", "mkd=1", "aux=0.2", "clt=0.2,critic=infonce")},
    "+ DIST": {"losses": ("bce=1", "mkd=1", "aux=0.2", "dist=1")},
    "+ SimKD": {"losses": ("bce=1", "mkd=1", "aux=0.2", "simkd=1")},
    "+ attention transfer": {"losses": ("bce=1", "mkd=1", "aux=0.2", "at=1")},
    "+ relational KD": {"losses": ("bce=1", "mkd=1", "aux=0.2", "rkd=1")},
    "+ FitNet hint": {"losses": ("bce=1", "mkd=1", "aux=0.2", "fitnet=0.1")},
    "teacher with averaged weights": {"teacher": "teacher, averaged weights"},
    "teacher with finer labels": {"teacher": "teacher, finer labels"},
    "assistant of leads I, II, V2": {"teacher": "assistant of I, II, V2"},
    "a larger assistant of lead I": {"teacher": "assistant of I, larger"},
    "averaged weights": {"ema_decay": 0.998},
    "5 s crops": {"window_s": 5.0, "stride_s": 2.5},
    "10 s crops": {"window_s": 10.0, "stride_s": 10.0},
    "40 epochs": {"epochs": 40},
    "together": ARMS["mvkt long"],
    "together, mixup, MKD in place of labels, teacher's own windows": ARMS["mkd mixup"],
    "evaluation windows every 0.5 s": {"stride_s": 0.5},
    "any lead at first": {"transforms": ("any_lead=0.7",)},
    "window_z for mv_global": {"normalization": "window_z"},
    "mixup": {"transforms": ("mixup=0.2",)},
    "60 epochs of pairs of leads": {"pretrain_epochs": 60},
    "60 epochs of pairs of leads, 5 s crops, averaged weights": {**ARMS["mvkt plus"], "pretrain_epochs": 60},
    "120 epochs of pairs of leads, 5 s crops, averaged weights": ARMS["mvkt plus"],
    "120 epochs of pairs of leads, 5 s crops, averaged weights, 40 epochs": {**ARMS["mvkt plus"], "epochs": 40},
    "240 epochs of pairs of leads, 5 s crops, averaged weights": {**ARMS["mvkt plus"], "pretrain_epochs": 240},
    "together, 60 epochs of pairs of leads": {**ARMS["mvkt long"], "pretrain_epochs": 60},
    "together, 120 epochs of pairs of leads": {**ARMS["mvkt long"], "pretrain_epochs": 120},
}


def run_one(common: Recipe, name: str, fields: dict[str, Any], seed: int, output: Path) -> dict[str, Any]:
    """Train one student and return its metrics on the validation fold."""
    changes = {field: value for field, value in fields.items() if field != "teacher" and value != BASIS.get(field)}
    fields = {**BASIS, "seed": seed, **fields}
    teacher = fields.pop("teacher", "teacher")
    folder = output / ("teacher/teacher" if teacher == "teacher" else f"{_folder(teacher, 0)}/student")
    recipe = replace(common, **fields, test_folds="", output=output / _folder(name, seed))
    run, student = train_student(recipe, folder)
    epochs = read_lines(run.folder / "student" / "log.jsonl")
    return {
        "attempt": name,
        "seed": seed,
        "changes": changes,
        "teachers": [teacher] if run.distills else [],
        "folds": {"train": recipe.train_folds, "val": recipe.val_folds},
        "val_macro_auc": student.config.metrics["macro_auc"],
        "per_class": student.config.metrics["per_class"],
        "epochs": recipe.epochs,
        "best_epoch": student.config.training["best_epoch"],
        "seconds": sum(epoch["seconds"] + epoch["val_seconds"] for epoch in epochs),
        **provenance(),
    }


def _folder(name: str, seed: int) -> str:
    return folder_name(f"try {name} {seed}")


def main() -> None:
    """Run the missing attempts: first the teachers, then the students."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, help="PTB-XL's folder")
    parser.add_argument("--output", default="runs/paper")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--attempts", nargs="+", choices=ATTEMPTS, default=list(ATTEMPTS))
    parser.add_argument("--workers", type=int, default=2, help="number of parallel runs, one thread each")
    given = parser.parse_args()
    common, output = replace(COMMON, root=given.root), Path(given.output) / "paper"
    need(parser, Path(given.root) / "ptbxl_database.csv", "give PTB-XL's own folder as --root")
    need(parser, output / "teacher/teacher/config.json", "first train the teacher with benchmarks/paper/grid.py")
    log = RESULTS / "attempts.jsonl"
    done = {(line["attempt"], line["seed"]) for line in read_lines(log)}
    used = {ATTEMPTS[attempt].get("teacher") for attempt in given.attempts}
    for runs in (
        [(name, fields, 0) for name, fields in TEACHERS.items() if name in used],
        [(name, ATTEMPTS[name], seed) for seed in given.seeds for name in given.attempts],
    ):
        missing = [(common, *run, output) for run in runs if (run[0], run[2]) not in done]
        for line in in_parallel(run_one, missing, given.workers):
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            print("{attempt}, seed {seed}: {val_macro_auc:.4f} in {seconds:.0f} s".format_map(line))


if __name__ == "__main__":
    main()
