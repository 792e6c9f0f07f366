"""How well do the students work on devices and people that they have not seen?

    python -m benchmarks.handheld --root PTBXL --data DIR

The packaged students of lead I are tested on three data sets. Nothing was chosen on these results.

- The handheld recordings of the AF Challenge 2017 (DIR/af2017): atrial fibrillation or flutter against normal, against
  normal and other rhythms, and against everything; normal against the rest; with and without the quality check.
- Lead I of twelve-lead recordings from another hospital (DIR/cpsc2018).
- PTB-XL's fold 9 with the distortions of a handheld device: macro AUC, and the share of records in which any finding
  changes.

Writes results/handheld.json and docs/handheld.png; `python docs/figures.py` writes the tables.
"""

import argparse
import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from scipy.signal import butter, resample, sosfiltfilt

import ecgzoo
from benchmarks._report import CHECKOUT, report
from ecgzoo.aggregates import with_aggregates
from ecgzoo.evaluation import bootstrap_ci, macro_auc
from ecgzoo.files import write_atomic
from ecgzoo.model import EcgModel
from ecgzoo.signal import Record

STUDENTS = ("xresnet1d18.ptbxl_rhythm_i", "xresnet1d18.ptbxl_all_i", "xresnet1d18.ptbxl_super_i")
FOLD = 9
SEED = 0
AT_ONCE = 64
AF, NORMAL = "AFIB_AFLT", ("SR", "NORM")  # a student's class for normal is the first of NORMAL that it has
# CPSC's names, and the PTB-XL statements with the same meaning
CPSC = {"AF": ("AFIB", "AFLT"), "LBBB": ("CLBBB", "ILBBB"), "RBBB": ("CRBBB", "IRBBB"), "I-AVB": ("1AVB",)}
Signals = np.ndarray  # millivolts [records, leads, samples] at 100 Hz
RATE_HZ = 100.0


def wander(x: Signals) -> Signals:
    """Add a sine of 0.5 mV at 0.3 Hz, with a random phase for each record."""
    phase = np.random.default_rng(SEED).uniform(0, 2 * np.pi, (len(x), 1, 1))
    return np.asarray(x + 0.5 * np.sin(2 * np.pi * 0.3 * np.arange(x.shape[2]) / RATE_HZ + phase))


def noise(x: Signals) -> Signals:
    """Add white noise with a tenth of the record's standard deviation."""
    return np.asarray(x + 0.1 * x.std(2, keepdims=True) * np.random.default_rng(SEED).standard_normal(x.shape))


def band(x: Signals) -> Signals:
    """Keep the frequency band of a handheld device, 0.5 to 40 Hz, with a zero-phase filter."""
    return np.asarray(sosfiltfilt(butter(2, (0.5, 40), "bandpass", fs=RATE_HZ, output="sos"), x))


def clock(share: float) -> Callable[[Signals], Signals]:
    """Simulate a wrong clock: resample to more or fewer samples, and keep at most the original number."""
    return lambda x: np.asarray(resample(x, round(x.shape[2] * (1 + share)), axis=2))[:, :, : x.shape[2]]


def gain(factor: float) -> Callable[[Signals], Signals]:
    """Multiply the amplitude by a factor."""
    return lambda x: factor * x


DISTORTIONS: dict[str, Callable[[Signals], Signals]] = {
    "as recorded": lambda x: x,
    "offset of 1 mV": lambda x: x + 1.0,
    "offset of -1 mV": lambda x: x - 1.0,
    "wander of 0.5 mV at 0.3 Hz": wander,
    "noise of 10 %": noise,
    "0.5 to 40 Hz": band,
    "inverted": lambda x: -x,
    **{f"gain {factor:g}": gain(factor) for factor in (0.5, 0.7, 1.4, 2.0)},
    "clock 3 % slow": clock(0.03),
    "clock 3 % fast": clock(-0.03),
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


def distorted(models: Mapping[str, EcgModel], root: Path) -> list[dict[str, Any]]:
    """Macro AUC on the fold, and the share of records in which any finding differs from the undistorted record."""
    rows = []
    for tag, model in models.items():
        cohort = ecgzoo.load_cohort("ptbxl", root, model.config.task)
        those = cohort.rows([FOLD])
        signals = cohort.signals(those)[:, model.lead_positions(cohort.leads, cohort.title)] / 1000.0
        findings: list[tuple[Any, ...]] = []
        for name, change in track(DISTORTIONS.items(), tag):
            changed = torch.from_numpy(change(signals).astype(np.float32))
            probabilities = torch.cat([model.score(some) for some in changed.split(AT_ONCE)]).double().numpy()
            now = [
                tuple(model.findings(row).values())
                for row in with_aggregates(probabilities, model.config.classes, model.config.aggregates)
            ]
            findings = findings or now
            rows.append(
                {
                    "data": f"ptbxl, fold {FOLD}",
                    "student": tag,
                    "distortion": name,
                    "macro AUC": macro_auc(cohort.labels[those], probabilities),
                    "finding changed": float(np.mean([a != b for a, b in zip(findings, now, strict=True)])),
                    "records": len(those),
                }
            )
    return rows


def main() -> None:
    """Test the students on all three data sets."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="PTB-XL's folder")
    parser.add_argument("--data", type=Path, required=True, help="folder that contains af2017 and cpsc2018")
    given = parser.parse_args()
    models = {tag: ecgzoo.load_pretrained(tag).eval() for tag in STUDENTS if tag in ecgzoo.list_pretrained()}
    rows = distorted(models, given.root)
    report("handheld_distorted", "macro AUC of PTB-XL's fold 9, on which thresholds were chosen", rows)
    write_atomic(CHECKOUT / "docs" / "handheld.png", lambda path: plot(rows, path))
    outside = af2017(models, given.data / "af2017") + cpsc2018(models, given.data / "cpsc2018")
    report("handheld", "lead I; 95 % intervals over recordings; nothing was chosen on these", outside)


def plot(rows: list[dict[str, Any]], path: Path) -> None:
    """Plot the loss of macro AUC for each distortion and student."""
    from matplotlib.figure import Figure

    students = list(dict.fromkeys(row["student"] for row in rows))
    names = list(DISTORTIONS)
    figure = Figure(figsize=(9, 4.5), layout="constrained")
    cost, flips = figure.subplots(1, 2, sharey=True)
    for number, student in enumerate(students):
        own = {row["distortion"]: row for row in rows if row["student"] == student}
        place = np.arange(len(names)) + 0.25 * (number - (len(students) - 1) / 2)
        lost = [own[names[0]]["macro AUC"] - own[name]["macro AUC"] for name in names]
        cost.barh(place, lost, height=0.22, label=student.removeprefix("xresnet1d18."))
        flips.barh(place, [100 * own[name]["finding changed"] for name in names], height=0.22)
    cost.set_yticks(range(len(names)), names)
    cost.invert_yaxis()
    cost.set_xlabel("loss of macro AUC")
    flips.set_xlabel("records with a changed finding, %")
    cost.legend(fontsize=8)
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
