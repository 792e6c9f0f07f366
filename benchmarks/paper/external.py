"""Students of PTB-XL on external data sets, without retraining, and the effect of amplitude and wander.

    python -m benchmarks.paper.external --data DIR --runs runs/paper
    python -m benchmarks.paper.external --data DIR    # the packaged models again; the figures of the twins are kept

DIR contains ``cpsc2018/`` (75 records of 12 leads) and ``af2017/`` (150 handheld recordings of one lead). The models
are the packaged ones, and two students of attempts.py (the twins) that differ only in normalization. Writes
``results/external.json`` and ``docs/external.png``.

The nine classes of CPSC are mapped to PTB-XL's superclasses where they agree: Normal is NORM; LBBB, RBBB and I-AVB are
CD; STD and STE are STTC. AF, PAC and PVC are rhythms without a superclass, so records with no other class are left out.
In af2017, N is NORM and the other classes (A, O, ~) are not.
"""

import argparse
import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track

import ecgzoo
from benchmarks.paper.grid import RESULTS, need
from ecgzoo.evaluation import bootstrap_ci, macro_auc
from ecgzoo.files import write_atomic, write_json
from ecgzoo.model import EcgModel
from ecgzoo.provenance import provenance
from ecgzoo.signal import Record

DOCS = Path(__file__).parents[2] / "docs"
SUPERCLASS = {"Normal": "NORM", "LBBB": "CD", "RBBB": "CD", "I-AVB": "CD", "STD": "STTC", "STE": "STTC"}
PACKAGED = {
    "teacher, 12 leads": "xresnet1d18.ptbxl_super_12",
    "xresnet1d18, lead I": "xresnet1d18.ptbxl_super_i",
    "resnet1d18, lead I": "resnet1d18.ptbxl_super_i",
    "xresnet1d18, lead II": "xresnet1d18.ptbxl_super_ii",
}
TWINS = {"mv_global": "try_basis_0", "window_z": "try_window_z_for_mv_global_0"}
SCALES = (0.25, 0.5, 0.7, 1.0, 1.4, 2.0, 4.0)
WANDERS_MV = (0.0, 0.1, 0.2, 0.5, 1.0)
WANDER_HZ = 0.3


def read_cpsc(folder: Path) -> tuple[list[Record], dict[str, np.ndarray]]:
    """The records with a superclass, and for each superclass which records have it."""
    records, found = [], []
    for header in sorted(folder.glob("*.hea")):
        (line,) = [line for line in header.read_text(encoding="utf-8").splitlines() if line.startswith("#Dx:")]
        if classes := {SUPERCLASS[code] for code in line[4:].strip().split(",") if code in SUPERCLASS}:
            records.append(ecgzoo.read_record(header.with_suffix("")))
            found.append(classes)
    return records, {name: np.array([name in classes for classes in found]) for name in ("NORM", "CD", "STTC")}


def read_af(folder: Path) -> tuple[list[Record], dict[str, np.ndarray]]:
    """The handheld recordings, with their lead as lead I (right hand to left hand), and which are normal."""
    with (folder / "REFERENCE.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    records = [replace(ecgzoo.read_record(folder / name), leads=("I",)) for name, _ in rows]
    return records, {"NORM": np.array([kind == "N" for _, kind in rows])}


def judge(
    model: EcgModel, records: list[Record], truth: dict[str, np.ndarray], scale: float = 1.0, wander_mv: float = 0.0
) -> dict[str, Any]:
    """AUC and interval by class, for records scaled by `scale` plus a slow sine with peak `wander_mv`."""
    model.eval()
    scores = []
    for record in records:
        seconds = np.arange(record.signal.shape[1]) / record.rate_hz
        signal = scale * record.signal + wander_mv * np.sin(2 * np.pi * WANDER_HZ * seconds)
        scores.append(model.score(torch.from_numpy(signal.astype(np.float32))[None])[0].double().numpy())
    figures = {}
    for name, true in truth.items():
        column = np.stack(scores)[:, [model.config.classes.index(name)]]
        figures[name] = {
            "auc": macro_auc(true[:, None], column),
            "ci": list(bootstrap_ci(true[:, None], column)),
            "records": len(true),
            "positives": int(true.sum()),
        }
    return figures


def main() -> None:
    """Evaluate every model on every set, then the twins on copies with other amplitudes and wander."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, help="output of attempts.py, with the twins")
    given = parser.parse_args()
    for path in ("cpsc2018", "af2017/REFERENCE.csv"):
        need(parser, given.data / path, "give the folder that contains cpsc2018 and af2017 as --data")
    runs = {kind: given.runs / "paper" / run / "student" for kind, run in TWINS.items()} if given.runs else {}
    for run in runs.values():
        need(parser, run, "first train the students with benchmarks/paper/attempts.py")
    sets = {"cpsc2018": read_cpsc(given.data / "cpsc2018"), "af2017": read_af(given.data / "af2017")}
    models = {name: ecgzoo.load_pretrained(tag) for name, tag in PACKAGED.items()}
    twins = {kind: ecgzoo.load_pretrained(run) for kind, run in runs.items()}
    as_recorded: dict[str, Any] = {}
    changed: list[dict[str, Any]] = []
    for set_name, (records, truth) in sets.items():
        for name, model in track({**models, **twins}.items(), set_name):
            if not set(model.config.leads) <= set(records[0].leads):
                continue
            own = [record.select(model.config.leads).resample(model.config.rate_hz) for record in records]
            as_recorded.setdefault(set_name, {})[name] = judge(model, own, truth)
            if name in twins:
                changes = [{"scale": scale} for scale in SCALES] + [{"wander_mv": mv} for mv in WANDERS_MV]
                changed += [
                    {"data": set_name, "normalization": name, **change, **judge(model, own, truth, **change)}
                    for change in changes
                ]
    validation = {kind: twin.config.metrics["macro_auc"] for kind, twin in twins.items()}
    results: dict[str, Any] = {"changed": changed, "twins_on_fold_8": validation, "twins_made_with": provenance()}
    if not twins:
        before = json.loads((RESULTS / "external.json").read_text(encoding="utf-8"))
        results = {name: before[name] for name in results}
        for set_name, figures in as_recorded.items():
            figures |= {name: before["as_recorded"][set_name][name] for name in TWINS}
    write_json(RESULTS / "external.json", {"as_recorded": as_recorded, **results, **provenance()})
    write_atomic(DOCS / "external.png", lambda path: plot(results["changed"], path))
    print(json.dumps(as_recorded, indent=1))


def plot(changed: list[dict[str, Any]], path: Path) -> None:
    """Plot the AUC of NORM against scale and wander, by set and normalization."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.5), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name, label in zip(
        panels, ("scale", "wander_mv"), ("amplitude, times", f"wander at {WANDER_HZ} Hz, mV peak"), strict=True
    ):
        for data, marker in (("cpsc2018", "o"), ("af2017", "s")):
            for kind, style in (("mv_global", "-"), ("window_z", "--")):
                points = [p for p in changed if name in p and (p["data"], p["normalization"]) == (data, kind)]
                axes.errorbar(
                    [p[name] for p in points],
                    [p["NORM"]["auc"] for p in points],
                    yerr=np.transpose([np.abs(np.subtract(p["NORM"]["ci"], p["NORM"]["auc"])) for p in points]),
                    label=f"{data}, {kind}",
                    marker=marker,
                    linestyle=style,
                    capsize=2,
                )
        axes.set_xlabel(label)
    panels[0].set(xscale="log", ylabel="AUC of NORM, 95 % interval")
    panels[0].set_xticks(SCALES, [f"{scale:g}" for scale in SCALES], minor=False)
    panels[0].set_xticks([], minor=True)
    panels[0].legend(fontsize=8)
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
