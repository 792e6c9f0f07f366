"""The pictures of README.md (the input of a student, its prediction, the gain from distillation) and of docs/show.md.

    python -m benchmarks.picture    # make picture

On the left are the simulated heart of `benchmarks.students` and the packaged student's prediction. On the right is
lead I of the grid behind docs/results.md. Writes ``docs/picture.png``. Of the simulated heart too: ``docs/show.png``,
``docs/strip.png`` and, where Chromium is installed, ``docs/report.png``.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import ecgzoo
from benchmarks._report import CHECKOUT, RESULTS
from benchmarks.paper.grid import read_lines
from benchmarks.students import simulated
from ecgzoo.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome") or ""
STUDENT = "xresnet1d18.ptbxl_super_i"
TEACHER = "xresnet1d18.ptbxl_super_12"
LEAD, SHOWN_S, TALLEST_MV = "I", 5.0, (-0.5, 1.0)
ARMS = {"bce": "labels alone", "bce plus": "better recipe,\nno teacher", "mvkt plus": "better recipe,\ndistilled"}
COLOURS = {"present": "#b3261e", "uncertain": "#e09a2b", "absent": "#9aa4ad"}
INK, PAPER, GRID, BLUE = "#1d2329", "#fff7f5", "#f0b8b0", "#2b6cb0"


def strip(axes: "Axes", record: ecgzoo.Record) -> None:
    """Draw a lead on ECG paper: 25 mm/s and 10 mm/mV, a line every mm and a darker one every 5 mm."""
    signal = record.select(LEAD).signal[0, : round(SHOWN_S * record.rate_hz)]
    low, high = TALLEST_MV
    axes.set(xlim=(0, SHOWN_S), ylim=TALLEST_MV, facecolor=PAPER, aspect=0.04 / 0.1)
    axes.set_xticks(np.arange(0, SHOWN_S, 0.2))
    axes.set_xticks(np.arange(0, SHOWN_S, 0.04), minor=True)
    axes.set_yticks(np.arange(low, high + 0.1, 0.5))
    axes.set_yticks(np.arange(low, high + 0.05, 0.1), minor=True)
    axes.grid(which="major", color=GRID, linewidth=0.9)
    axes.grid(which="minor", color=GRID, linewidth=0.3)
    axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
    axes.plot(np.arange(len(signal)) / record.rate_hz, signal, color=INK, linewidth=1.2)
    axes.set_title("lead I of a simulated heart (25 mm/s, 10 mm/mV)", loc="left")


def answer(axes: "Axes", student: ecgzoo.EcgModel, record: ecgzoo.Record) -> None:
    """Draw a bar for the probability of each class, in the colour of its finding."""
    prediction = student.predict(record)
    ranked = sorted(zip(prediction.probabilities, prediction.classes, strict=True))
    for place, (probability, name) in enumerate(ranked):
        finding = prediction.findings[name]
        axes.barh(place, probability, color=COLOURS[finding], height=0.65)
        axes.text(probability + 0.02, place, f"{probability:.2f} {finding}", va="center", fontsize=9)
    axes.set_yticks(range(len(ranked)), [f"{student.config.class_info[name]['name']} ({name})" for _, name in ranked])
    axes.set(xlim=(0, 1.3), xticks=[])
    axes.set_title("what the packaged student says", loc="left")


def aucs(axes: "Axes", lines: list[dict[str, Any]], teacher: float) -> None:
    """Draw macro AUC by arm: a dot per seed, a bar for the mean interval over patients, a line for the teacher."""
    for place, arm in enumerate(ARMS):
        runs = [line for line in lines if (line["arm"], line["lead"]) == (arm, LEAD)]
        found = [run["macro_auc"] for run in runs]
        ends = [statistics.mean(run["ci"][end] for run in runs) for end in (0, 1)]
        axes.plot(ends, [-place] * 2, color=BLUE, linewidth=7, alpha=0.3, solid_capstyle="butt")
        axes.plot(found, [-place] * len(found), ".", color=BLUE, markersize=5)
        axes.text(ends[1] + 0.002, -place, f"{statistics.mean(found):.3f}", va="center")
    axes.axvline(teacher, color=INK, linestyle="--", linewidth=1.2)
    axes.text(teacher - 0.002, 0.55, f"teacher, 12 leads: {teacher:.3f}", ha="right", va="center")
    axes.set_yticks([-place for place in range(len(ARMS))], list(ARMS.values()))
    axes.set(xlim=(0.82, 0.945), ylim=(-len(ARMS) + 0.5, 0.85))
    axes.set_title("macro AUC, lead I, PTB-XL fold 9", loc="left")
    axes.set_xlabel(f"dots: {len(found)} seeds; bars: 95 % interval over patients", fontsize=9)


def draw(path: Path) -> None:
    """Draw all three panels on a white background, readable on a dark page too."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    record = simulated()
    summary = json.loads((RESULTS / "paper_summary.json").read_text(encoding="utf-8"))
    with rc_context({"text.color": INK, "axes.labelcolor": INK, "xtick.color": INK, "ytick.color": INK}):
        figure = Figure(figsize=(11, 4.0), facecolor="white", layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
        grid = figure.add_gridspec(2, 2, width_ratios=(1.2, 1), height_ratios=(1, 1.5))
        above, below, right = (
            figure.add_subfigure(part).add_subplot() for part in (grid[0, 0], grid[1, 0], grid[:, 1])
        )
        strip(above, record)
        answer(below, ecgzoo.load_pretrained(STUDENT), record)
        aucs(right, read_lines(RESULTS / "paper.jsonl"), summary["grid"]["teacher"]["macro_auc"])
        for axes in (below, right):
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(path, format="png", dpi=130, metadata={"Software": None})


def shown(path: Path, record: ecgzoo.Record, model: str, explain: str | None) -> None:
    """A picture as `Record.plot` makes it, small enough for a page."""
    figure = record.plot(model=ecgzoo.load_pretrained(model), explain=explain)
    figure.savefig(path, format="png", dpi=90, metadata={"Software": None})
    of_few_colours(path, path)


def of_few_colours(drawn: Path, path: Path) -> None:
    """Half of the bytes, or less."""
    from PIL import Image

    Image.open(drawn).convert("RGB").quantize(192).save(path, format="png", optimize=True)


def with_faults() -> ecgzoo.Record:
    """Half a minute of lead I whose electrode falls off, and which has a gap."""
    lead = simulated().select(LEAD)
    signal = np.tile(lead.signal, 3)
    signal[0, 1250:1750] = signal[0, 1250]
    signal[0, 2600:2650] = np.nan
    return replace(lead, signal=signal, source="a simulated heart; the electrode falls off")


def photograph(path: Path) -> None:
    """The report of the simulated heart, as Chromium shows it."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        ecgzoo.write_report(simulated(), ecgzoo.load_pretrained(STUDENT), page)
        command = [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--window-size=900,1150",
        ]
        subprocess.run([*command, f"--screenshot={folder}/report.png", page.as_uri()], check=True, capture_output=True)
        of_few_colours(Path(folder) / "report.png", path)


def main() -> None:
    """Write the pictures."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    docs = CHECKOUT / "docs"
    write_atomic(docs / "picture.png", draw)
    write_atomic(docs / "show.png", lambda path: shown(path, simulated(), TEACHER, "MI"))
    write_atomic(docs / "strip.png", lambda path: shown(path, with_faults(), STUDENT, None))
    if CHROMIUM:
        write_atomic(docs / "report.png", photograph)


if __name__ == "__main__":
    main()
