"""How well do the students work on devices and people that they have not seen?

    python -m benchmarks.handheld --root PTBXL --data DIR
    python -m benchmarks.handheld --root PTBXL --data DIR --before FOLDER…   # also former weights
    python -m benchmarks.handheld --root PTBXL --students --before FOLDER…   # only these; the other rows are kept

The former weights are in the history, in folders that are named like the packaged ones:
`git archive REVISION ecgzoo/weights/packaged/NAME | tar -x`; docs/handheld.md has the revisions.

The packaged students of lead I are tested on three data sets. Nothing was chosen on the first two; the students' epochs
and thresholds were chosen on the third.

- The handheld recordings of the AF Challenge 2017 (DIR/af2017): atrial fibrillation or flutter against normal, against
  normal and other rhythms, and against everything; normal against the rest; with and without the quality check.
- Lead I of twelve-lead recordings from another hospital (DIR/cpsc2018).
- PTB-XL's fold 9 with the distortions of a handheld device: macro AUC, and the share of records in which any finding
  changes; the macro AUC over the strength of a distortion; and the macro AUC by sex and age.

Writes results/handheld*.json and docs/handheld*.png; `python docs/figures.py` writes the tables.
"""

import argparse
import csv
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from scipy.signal import butter, resample, sosfiltfilt

import ecgzoo
from benchmarks._report import CHECKOUT, RESULTS, report
from ecgzoo.aggregates import with_aggregates
from ecgzoo.evaluation import bootstrap_ci, macro_auc
from ecgzoo.files import write_atomic
from ecgzoo.model import EcgModel
from ecgzoo.signal import Record

BEFORE = {  # former weights, and what they are called
    "xresnet1d18.ptbxl_all_i": "ptbxl_all_i before inversion and noise",
    "xresnet1d18.ptbxl_super_i": "ptbxl_super_i before drift removal",
}
STUDENTS = ("xresnet1d18.ptbxl_rhythm_i", "xresnet1d18.ptbxl_all_i", "xresnet1d18.ptbxl_super_i")
FOLD = 9
SEED = 0
AT_ONCE = 64
CURVES = slice(None, None, 3)  # every third record is enough for a curve
AF, NORMAL = "AFIB_AFLT", ("SR", "NORM")  # a student's class for normal is the first of NORMAL that it has
# CPSC's names, and the PTB-XL statements with the same meaning
CPSC = {"AF": ("AFIB", "AFLT"), "LBBB": ("CLBBB", "ILBBB"), "RBBB": ("CRBBB", "IRBBB"), "I-AVB": ("1AVB",)}
Signals = np.ndarray  # millivolts [records, leads, samples] at 100 Hz
RATE_HZ = 100.0


def wander(amplitude_mv: float) -> Callable[[Signals], Signals]:
    """Add a sine at 0.3 Hz, with a random phase for each record."""

    def changed(x: Signals) -> Signals:
        phase = np.random.default_rng(SEED).uniform(0, 2 * np.pi, (len(x), 1, 1))
        return np.asarray(x + amplitude_mv * np.sin(2 * np.pi * 0.3 * np.arange(x.shape[2]) / RATE_HZ + phase))

    return changed


def noise(share: float) -> Callable[[Signals], Signals]:
    """Add white noise, in proportion to the record's standard deviation."""
    return lambda x: np.asarray(
        x + share * x.std(2, keepdims=True) * np.random.default_rng(SEED).standard_normal(x.shape)
    )


def band(highest_hz: float) -> Callable[[Signals], Signals]:
    """Keep 0.5 Hz to `highest_hz`, the frequency band of a handheld device, with a zero-phase filter."""
    return lambda x: np.asarray(sosfiltfilt(butter(2, (0.5, highest_hz), "bandpass", fs=RATE_HZ, output="sos"), x))


def offset(millivolts: float) -> Callable[[Signals], Signals]:
    """Add a constant."""
    return lambda x: x + millivolts


def clock(share: float) -> Callable[[Signals], Signals]:
    """Simulate a wrong clock: resample to more or fewer samples, and keep at most the original number."""
    return lambda x: np.asarray(resample(x, round(x.shape[2] * (1 + share)), axis=2))[:, :, : x.shape[2]]


def gain(factor: float) -> Callable[[Signals], Signals]:
    """Multiply the amplitude by a factor."""
    return lambda x: factor * x


AS_RECORDED = "as recorded"
DISTORTIONS: dict[str, Callable[[Signals], Signals]] = {
    AS_RECORDED: gain(1.0),
    "offset of 1 mV": offset(1.0),
    "offset of -1 mV": offset(-1.0),
    "wander of 0.5 mV at 0.3 Hz": wander(0.5),
    "noise of 10 %": noise(0.1),
    "0.5 to 40 Hz": band(40),
    "inverted": gain(-1.0),
    **{f"gain {factor:g}": gain(factor) for factor in (0.5, 0.7, 1.4, 2.0)},
    "clock 3 % slow": clock(0.03),
    "clock 3 % fast": clock(-0.03),
}
# of the curves: the distortion as a function of its strength, and the strengths
STRENGTHS: dict[str, tuple[Callable[[float], Callable[[Signals], Signals]], tuple[float, ...]]] = {
    "gain (negative: inverted)": (gain, (-2, -1, -0.5, 0.25, 0.5, 1, 2, 4)),
    "offset, mV": (offset, (-1, -0.5, -0.2, 0, 0.2, 0.5, 1)),
    "wander at 0.3 Hz, mV": (wander, (0, 0.1, 0.25, 0.5, 1)),
    "white noise, share of deviation": (noise, (0, 0.1, 0.2, 0.4, 0.8)),
    "upper end of the band, Hz": (band, (10, 15, 20, 30, 40)),
    "clock error, share": (clock, (-0.1, -0.05, -0.03, 0, 0.03, 0.05, 0.1)),
}


def auc(true: np.ndarray, score: np.ndarray) -> dict[str, Any]:
    """AUC of one label ``[n]`` and its interval over records."""
    low, high = bootstrap_ci(true[:, None], score[:, None], seed=SEED)
    return {
        "auc": macro_auc(true[:, None], score[:, None]),
        "low": low,
        "high": high,
        "positives": int(true.sum()),
        "records": len(true),
    }


def column(model: EcgModel, probabilities: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """The probability of any of the classes `names`, from probabilities ``[n, C]``."""
    return with_aggregates(probabilities, model.config.classes, {"any": names})[:, -1]


def probabilities_of(model: EcgModel, millivolts: Signals) -> np.ndarray:
    """Probabilities ``[n, C]`` of millivolts ``[n, leads, samples]`` at the model's rate, without the quality check."""
    x = torch.from_numpy(millivolts.astype(np.float32))
    return torch.cat([model.score(some) for some in x.split(AT_ONCE)]).double().numpy()


def scored(model: EcgModel, records: list[Record]) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities ``[n, C]`` of all records, and which records pass the quality check."""
    said, readable = [], []
    for record in track(records, model.config.task or ""):
        prediction = model.predict(record)
        readable.append(prediction.unreadable is None)
        said.append(prediction if readable[-1] else model.predict(record, insist=True))
    return np.array([one.probabilities for one in said])[:, : model.num_classes], np.array(readable)


def af2017(models: Mapping[str, EcgModel], folder: Path) -> list[dict[str, Any]]:
    """Rows for af2017; its lead is treated as lead I, because the electrodes are held in both hands."""
    with (folder / "REFERENCE.csv").open(encoding="utf-8", newline="") as file:
        names, kinds = map(np.array, zip(*csv.reader(file), strict=True))
    records = [replace(ecgzoo.read_record(folder / name), leads=("I",)) for name in names]
    rows = []
    for tag, model in models.items():
        probabilities, readable = scored(model, records)
        normal = next(name for name in NORMAL if name in model.config.classes)
        asked = [("normal", "the rest", kinds == "N", kinds != "", column(model, probabilities, (normal,)))]
        if AF in model.config.aggregates:
            chance = column(model, probabilities, model.config.aggregates[AF])
            against = {"normal": "AN", "normal and other rhythms": "ANO", "everything": "ANO~"}
            asked += [
                ("AF or flutter", name, kinds == "A", np.isin(kinds, list(those)), chance)
                for name, those in against.items()
            ]
        for what, versus, true, among, score in asked:
            for quality, kept in (("all", among), ("readable", among & readable)):
                rows.append(
                    {"data": "af2017", "student": tag, "label": what, "against": versus, "recordings": quality}
                    | auc(true[kept], score[kept])
                )
    refused = {f"refused {kind}": f"{(~readable)[kinds == kind].sum()} of {(kinds == kind).sum()}" for kind in "ANO~"}
    print(refused)
    return rows


def cpsc2018(models: Mapping[str, EcgModel], folder: Path) -> list[dict[str, Any]]:
    """Rows for cpsc2018: each label that a student has, against all other recordings."""
    headers = sorted(folder.glob("*.hea"))
    records = [ecgzoo.read_record(header.with_suffix("")) for header in headers]
    said = [
        {
            code
            for line in header.read_text(encoding="utf-8").splitlines()
            if line.startswith("#Dx:")
            for code in line[4:].strip().split(",")
        }
        for header in headers
    ]
    rows = []
    for tag, model in models.items():
        asked = {name: classes for name, classes in CPSC.items() if set(classes) <= set(model.config.classes)}
        if asked:
            probabilities, _ = scored(model, records)
        for name, classes in asked.items():
            true = np.array([name in codes for codes in said])
            rows.append(
                {"data": "cpsc2018", "student": tag, "label": name, "against": "everything", "recordings": "all"}
                | auc(true, column(model, probabilities, classes))
            )
    return rows


def on_the_fold(models: Mapping[str, EcgModel], root: Path) -> tuple[list[dict[str, Any]], ...]:
    """Rows for fold 9: for the distortions, for their strengths, and by sex and age.

    A changed finding is one that differs from the finding in the undistorted record.
    """
    distorted: list[dict[str, Any]] = []
    curves: list[dict[str, Any]] = []
    groups: list[dict[str, Any]] = []
    for tag, model in models.items():
        cohort = ecgzoo.load_cohort("ptbxl", root, model.config.task)
        rows = cohort.rows([FOLD])
        signals = cohort.signals(rows)[:, model.lead_positions(cohort.leads, cohort.title)] / 1000.0

        about = {"data": f"ptbxl, fold {FOLD}", "student": tag}
        found: list[tuple[Any, ...]] = []
        for name, change in track(DISTORTIONS.items(), tag):
            scores = probabilities_of(model, change(signals))
            now = [
                tuple(model.findings(row).values())
                for row in with_aggregates(scores, model.config.classes, model.config.aggregates)
            ]
            found = found or now
            distorted.append(
                {
                    **about,
                    "distortion": name,
                    "macro AUC": macro_auc(cohort.labels[rows], scores),
                    "finding changed": float(np.mean([a != b for a, b in zip(found, now, strict=True)])),
                    "records": len(rows),
                }
            )
        for name, (distortion, strengths) in track(STRENGTHS.items(), f"{tag}, curves"):
            for strength in strengths:
                scores = probabilities_of(model, distortion(strength)(signals[CURVES]))
                lost = {"strength": strength, "macro AUC": macro_auc(cohort.labels[rows][CURVES], scores)}
                curves.append({**about, "distortion": name, **lost})
        evaluation = ecgzoo.evaluate(model, cohort, folds=[FOLD]).evaluation(SEED)
        for name, group in evaluation.subgroups.items():
            groups.append({**about, "group": name, **group})
    return distorted, curves, groups


def main() -> None:
    """Test the students on all three data sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="PTB-XL's folder")
    parser.add_argument("--data", type=Path, help="folder that contains af2017 and cpsc2018")
    parser.add_argument(
        "--students", nargs="*", choices=STUDENTS, default=list(STUDENTS), help="packaged students to measure"
    )
    parser.add_argument(
        "--before", type=Path, nargs="+", default=[], help=f"folders of former weights, named {' or '.join(BEFORE)}"
    )
    given = parser.parse_args()
    if unknown := [folder.name for folder in given.before if folder.name not in BEFORE]:
        parser.error(f"--before: {unknown[0]} is none of {', '.join(BEFORE)}")
    if given.students and not given.data:
        parser.error("--data is needed for the packaged students")
    models = {tag: ecgzoo.load_pretrained(tag).eval() for tag in given.students}
    shown = {**models, **{BEFORE[folder.name]: ecgzoo.load_pretrained(folder).eval() for folder in given.before}}
    limit = "macro AUC of PTB-XL's fold 9, on which thresholds were chosen"
    of_fold = ("handheld_distorted", "handheld_curves", "handheld_groups")
    measured = on_the_fold(shown, given.root)
    rows, curves, groups = (with_kept(name, some) for name, some in zip(of_fold, measured, strict=True))
    report("handheld_distorted", limit, rows)
    report("handheld_curves", limit, curves)
    report("handheld_groups", limit, groups)
    if models:
        outside = af2017(models, given.data / "af2017") + cpsc2018(models, given.data / "cpsc2018")
        about = "lead I; 95 % intervals over recordings; nothing was chosen on these"
        report("handheld", about, with_kept("handheld", outside))
    # after the results, whose revision would be "dirty" with another picture
    write_atomic(CHECKOUT / "docs" / "handheld.png", lambda path: plot(rows, path))
    write_atomic(CHECKOUT / "docs" / "handheld_curves.png", lambda path: plot_curves(curves, path))


def with_kept(name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows, and those of the other students in ``results/<name>.json``, student by student in each data set."""
    path = RESULTS / f"{name}.json"
    before = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    measured = {row["student"] for row in rows}
    order = [*STUDENTS, *BEFORE.values()]
    rows = [*(row for row in before if row["student"] in set(order) - measured), *rows]
    return sorted(rows, key=lambda row: (row["data"], order.index(row["student"])))


def plot_curves(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot the change of macro AUC over the strength of each distortion, a line per student."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), layout="constrained")
    panels = figure.subplots(2, 3, sharey=True)
    whole = {  # a gain of 1 changes nothing
        row["student"]: row["macro AUC"]
        for row in rows
        if row["distortion"].startswith("gain") and row["strength"] == 1
    }
    for axes, name in zip(panels.flat, STRENGTHS, strict=True):
        for student, undistorted in whole.items():
            own = [row for row in rows if (row["distortion"], row["student"]) == (name, student)]
            change = [row["macro AUC"] - undistorted for row in own]
            axes.plot([row["strength"] for row in own], change, marker=".", label=_short(student), **_style(student))
        axes.axhline(0, color="grey", linewidth=0.5)
        axes.set_xlabel(name)
    for axes in panels[:, 0]:
        axes.set_ylabel("change of macro AUC")
    figure.suptitle("Lead I, every third record of PTB-XL's fold 9", fontsize=10)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


def _style(student: str) -> dict[str, str]:
    """A color per student; former weights have that of their successor, dashed."""
    successor = next((tag for tag, former in BEFORE.items() if former == student), student)
    return {"color": f"C{STUDENTS.index(successor)}", "linestyle": "-" if successor == student else "--"}


def _short(student: str) -> str:
    return student.removeprefix("xresnet1d18.")


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot the loss of macro AUC and the changed findings for each distortion and student."""
    from matplotlib.figure import Figure

    students = list(dict.fromkeys(row["student"] for row in rows))
    names = [name for name in DISTORTIONS if name != AS_RECORDED]
    figure = Figure(figsize=(9, 6), layout="constrained")
    cost, flips = figure.subplots(1, 2, sharey=True)
    height = 0.8 / len(students)
    for number, student in enumerate(students):
        own = {row["distortion"]: row for row in rows if row["student"] == student}
        place = np.arange(len(names)) + height * (number - (len(students) - 1) / 2)
        style = _style(student)
        look = {"height": 0.9 * height, "color": style["color"], "alpha": 1.0 if style["linestyle"] == "-" else 0.4}
        lost = [own[AS_RECORDED]["macro AUC"] - own[name]["macro AUC"] for name in names]
        cost.barh(place, lost, label=_short(student), **look)
        flips.barh(place, [100 * own[name]["finding changed"] for name in names], **look)
    cost.set_yticks(range(len(names)), names)
    cost.invert_yaxis()
    cost.set_xlabel("loss of macro AUC")
    flips.set_xlabel("records with a changed finding, %")
    figure.suptitle("Lead I, PTB-XL's fold 9", fontsize=10)
    figure.legend(*cost.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
