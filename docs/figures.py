"""Writes the tables between ``<!-- figures: NAME -->`` and ``<!-- end -->`` in docs/*.md, from benchmarks/results.

python docs/figures.py
"""

import json
import math
import re
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
RESULTS = DOCS.parent / "benchmarks" / "results"
PLACE = re.compile(r"<!-- figures: (\w+) -->\n(.*?)<!-- end -->", re.DOTALL)


def results(name: str) -> tuple[list[dict[str, Any]], str]:
    """The rows of a benchmark, and the versions and machine that made them."""
    found = json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))
    made = ", ".join(f"{what} {found[what]}" for what in ("ecgzoo", "revision", "python", "torch", "machine"))
    return found["rows"], f"`benchmarks/results/{name}.json`: {made}, {found['cpus']} CPUs."


def table(*lines: Iterable[object]) -> str:
    """Markdown; the first line is the head."""
    head, *rows = [f"| {' | '.join(map(str, line))} |" for line in lines]
    return "\n".join([head, re.sub(r"[^|]+", "---", head), *rows]) + "\n"


def faults() -> str:
    """For each kind of fault: cases, lost cases, slowest case, largest growth of memory."""
    rows, made = results("faults")
    kinds: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        kind, _, what = row["fault"].partition(": ")
        kinds.setdefault("killed in training" if what.startswith("training") else kind, []).append(row)
    lines = (
        (
            kind,
            f"{sum(row['tried'] for row in some):,}",
            sum(row["lost"] for row in some),
            f"{max(row['slowest s'] for row in some):.1f} s",
            f"{max(row['growth MB'] for row in some):.0f} MB",
        )
        for kind, some in kinds.items()
    )
    return table(("fault", "tried", "lost", "slowest case", "memory, at most"), *lines) + f"\n{made}\n"


def negatives() -> str:
    """How well rules for records without labels find pairs that share no diagnosis."""
    rows, made = results("negatives")
    rules = list(dict.fromkeys(row["rule"] for row in rows))
    found = {(row["labelled folds"], row["rule"]): row for row in rows}
    lines = (
        (
            folds,
            *(f"{found[folds, rule]['share no diagnosis']:.0%}, {found[folds, rule]['found']:.0%}" for rule in rules),
            f"{found[folds, rules[0]]['without a choice']:.0%}",
        )
        for folds in dict.fromkeys(row["labelled folds"] for row in rows)
    )
    return table(("teacher's labels, folds", *rules, "all pairs"), *lines) + f"\n{made}\n"


def quality() -> str:
    """Refused recordings of lead I: the ones that should be refused and the ones that should not."""
    rows, made = results("quality")
    lines = (
        (row["question"].removeprefix("lead I, ").removesuffix(": refused"), f"{row['n']:,}", f"{row['2.5 s']:.1%}")
        for row in rows
        if row["question"].startswith("lead I, ") and row["question"].endswith(": refused")
    )
    return table(("lead I of PTB-XL's fold 9", "recordings", "refused"), *lines) + f"\n{made}\n"


def quality_handheld() -> str:
    """Refused handheld recordings by class, and how well the quality tells noise from the rest."""
    rows, made = results("quality")
    lines = [
        (
            AF2017[row["question"].removeprefix("AF-2017, ").removesuffix(": refused")],
            row["n"],
            f"{row['5.0 s']:.0%} ({row['95 %'][0]:.0%} to {row['95 %'][1]:.0%})",
        )
        for row in rows
        if row["question"].startswith("AF-2017, ")
    ]
    (noise,) = [row for row in rows if row["question"].startswith("AF-2017: AUC")]
    low, high = noise["95 %"]
    told = f"AUC of the quality, noise against the rest: {noise['5.0 s']:.3f} ({low:.3f} to {high:.3f})."
    return table(("class in AF-2017", "recordings", "refused (95 % interval)"), *lines) + f"\n{told}\n\n{made}\n"


AF2017 = {"N": "normal", "A": "atrial fibrillation", "O": "other rhythms", "~": "too noisy to read"}


def speed() -> str:
    """Times that a user notices."""
    (startup, *one), (students, *two), (ingest, *three), (day, *four) = map(
        results, ("startup", "students", "ingest", "long_events")
    )
    lines = [(row["what"], f"{row['seconds']:.2f} s") for row in startup if row["limit"]]
    lines += [
        (f"`{row['weights']}`, 10 s: a prediction", f"{row['ms']:.0f} ms of CPU")
        for row in students
        if row["weights"].endswith("ptbxl_super_i")
    ]
    lines += [(f"PTB-XL, {row['records']:,} recordings: first use", f"{row['ingest s']:.1f} s") for row in ingest]
    lines += [
        (f"{row['what']}: all windows, events and hours", f"{row['CPU s']:.0f} s of CPU, {row['threads']} threads")
        for row in day
    ]
    made = "\n".join(f"- {said}" for said in (*one, *two, *three, *four))
    return table(("what", "time"), *lines) + f"\n{made}\n"


def handheld() -> str:
    """External recordings, lead I."""
    rows, made = results("handheld")
    lines = (
        (
            row["data"],
            f"`{row['student'].partition('.')[2]}`",
            f"{row['label']} against {row['against']}",
            row["recordings"],
            f"{row['positives']} of {row['records']}",
            f"{row['auc']:.3f} ({row['low']:.3f} to {row['high']:.3f})",
        )
        for row in rows
    )
    head = ("data", "student", "question", "recordings", "positives", "AUC (95 % interval)")
    return table(head, *lines) + f"\n{made}\n"


def by_student(name: str, what: str, cell: Callable[[dict[str, Any]], str]) -> str:
    """A line for each value of `what` in the results `name`, a column for each student; `cell` makes text of a row."""
    rows, made = results(name)
    students = list(dict.fromkeys(row["student"] for row in rows))
    found = {(row[what], row["student"]): cell(row) for row in rows}
    lines = (
        (value, *(found.get((value, student), "") for student in students))
        for value in dict.fromkeys(row[what] for row in rows)
    )
    head = (what, *(f"`{student.removeprefix('xresnet1d18.')}`" for student in students))
    return table(head, *lines) + f"\n{made}\n"


def handheld_distorted() -> str:
    """What distortions of fold 9 cost."""
    return by_student(
        "handheld_distorted", "distortion", lambda row: f"{row['macro AUC']:.4f}, {row['finding changed']:.1%}"
    )


def handheld_groups() -> str:
    """Macro AUC by sex and age."""
    return by_student(
        "handheld_groups",
        "group",
        lambda row: f"{row['macro_auc']:.3f} ({row['ci'][0]:.3f} to {row['ci'][1]:.3f}), {row['records']}",
    )


def choices(task: str) -> str:
    """What each part of the recipe for handhelds does to a student of this task."""
    rows, made = results(f"choices_{task}")
    distorted = [name for name in rows[0]["frequent"] if name != "as recorded"]
    lines = (
        (
            row["choice"],
            f"{row['macro AUC']['as recorded']:.4f}",
            f"{row['frequent']['as recorded']:.4f}",
            f"{sum(row['frequent'][name] for name in distorted) / len(distorted):.4f}",
            "{1:.4f} ({0})".format(*min(row["frequent"].items(), key=lambda item: item[1])),
        )
        for row in rows
    )
    frequent = f"{rows[0]['frequent classes']} frequent"
    head = ("recipe", f"{rows[0]['classes']} classes", frequent, f"mean of {len(distorted)} distortions", "lowest")
    return table(head, *lines) + f"\n{made}\n"


AIMS = {"rhythm_i": 0.972, "all_i": 0.895, "all_ii": 0.895}  # macro AUC of fold 9
AIMS_AF2017 = {
    ("AF or flutter", "normal"): 0.993,
    ("AF or flutter", "normal and other rhythms"): 0.987,
    ("AF or flutter", "everything"): 0.965,
    ("normal", "the rest"): 0.9,
}
COSTLY = ("gain 0.5", "gain 2", "inverted", "wander of 0.5 mV at 0.3 Hz", "noise of 10 %")
MOST_LOST = 0.005  # macro AUC
MOST_CHANGED = {  # share of recordings in which a finding of the superclasses may change
    **dict.fromkeys(("offset of 1 mV", "offset of -1 mV", "wander of 0.5 mV at 0.3 Hz"), 0.02),
    **dict.fromkeys(("gain 0.7", "gain 1.4"), 0.1),
}


def handheld_targets() -> str:
    """What the students were meant to reach on handhelds, and by how much they miss it."""
    outside, students, distorted = (results(name)[0] for name in ("handheld", "students", "handheld_distorted"))
    whole = {row["weights"]: (row["macro AUC"], row["low"], row["high"]) for row in students}
    af2017 = {
        (row["student"], row["label"], row["against"]): (row["auc"], row["low"], row["high"])
        for row in outside
        if (row["data"], row["recordings"]) == ("af2017", "all")
    }
    found = {(row["student"], row["distortion"]): row for row in distorted}
    reached = [(tag, "macro AUC, fold 9", least, whole[_tag(tag)]) for tag, least in AIMS.items()]
    reached += [
        (tag, f"AF-2017: {label} against {against}", least, af2017[_tag(tag), label, against])
        for tag in ("rhythm_i", "all_i")
        for (label, against), least in AIMS_AF2017.items()
    ]
    lines = [
        (
            f"`ptbxl_{tag}`",
            what,
            f"at least {least}",
            f"{auc:.4f} ({low:.3f} to {high:.3f})",
            _missed(least - auc, ".4f"),
        )
        for tag, what, least, (auc, low, high) in reached
    ]
    for tag in ("rhythm_i", "all_i", "super_i"):
        clean = found[_tag(tag), "as recorded"]["macro AUC"]
        lost, name = max((clean - found[_tag(tag), name]["macro AUC"], name) for name in COSTLY)
        what = "macro AUC lost by gain of 0.5 or 2, inversion, wander or noise"
        shown = f"{lost:.4f} ({name})"
        lines.append((f"`ptbxl_{tag}`", what, f"at most {MOST_LOST}", shown, _missed(lost - MOST_LOST, ".4f")))
    for name, most in MOST_CHANGED.items():
        changed = found[_tag("super_i"), name]["finding changed"]
        what = f"recordings with a changed finding: {name}"
        lines.append(("`ptbxl_super_i`", what, f"at most {most:.0%}", f"{changed:.1%}", _missed(changed - most, ".1%")))
    return table(("student", "what", "aim", "measured (95 % interval)", "missed by"), *lines)


def _tag(name: str) -> str:
    return f"xresnet1d18.ptbxl_{name}"


def _missed(by: float, form: str) -> str:
    return format(by, form) if by > 0 else ""


def explain() -> str:
    """Where attributions lie."""
    rows, made = results("explain")
    lines = (
        (
            row["network"],
            f"{row['share in QRS–T']:.0%} ({row['low']:.0%} to {row['high']:.0%})",
            f"{row['of the signal']:.0%}",
            f"{row['of the time']:.0%}",
            f"{row['told apart by lead, AUC']:.2f}",
        )
        for row in rows
    )
    head = (
        "network",
        "attribution in QRS–T (95 % interval)",
        "absolute signal in QRS–T",
        "time in QRS–T",
        "place of the infarction, AUC",
    )
    return table(head, *lines) + f"\n{made}\n"


def export() -> str:
    """Every packaged student in every format."""
    rows, made = results("export")
    lines = (
        (
            f"`{row['student']}`",
            row["format"],
            f"{row['MB']:.3f}",
            f"{row['ms']:.2f}" + (" (one window)" if row["samples"] != max(other["samples"] for other in rows) else ""),
            f"{row['MB in use']:.0f}",
            "—" if row["AUC difference"] is None else f"{row['largest difference']:.1e}",
            "—" if row["AUC difference"] is None else f"{row['AUC difference']:+.4f}",
            "—" if row["flipped"] is None else f"{row['flipped']:.2%}" + ("" if row["kept"] else ": not written"),
        )
        for row in rows
    )
    head = ("student", "format", "MB", "ms", "MB in use", "largest difference", "macro AUC", "findings that differ")
    return table(head, *lines) + f"\n{made}\n"


def backbones() -> str:
    """What each backbone costs."""
    rows, made = results("backbones")
    return table(BACKBONE_HEAD, *map(_backbone, rows)) + f"\n{made}\n"


def backbone_students() -> str:
    """Those that were trained as students of lead I, the best first."""
    rows, made = results("backbones")
    rows = sorted((row for row in rows if "macro AUC" in row), key=lambda row: -row["macro AUC"])
    lines = (
        (*_backbone(row), row["epochs"], f"{row['macro AUC']:.3f} ({row['low']:.3f} to {row['high']:.3f})")
        for row in rows
    )
    head = (*BACKBONE_HEAD, "epochs", "macro AUC (95 % interval)")
    return table(head, *lines) + f"\n{made}\n" if rows else "None has been trained yet.\n"


BACKBONE_HEAD = ("backbone", "rule", "parameters", "MMACs", "ms", "samples per step")


def _backbone(row: dict[str, Any]) -> tuple[object, ...]:
    size = f"{row['parameters'] / 1e6:.2f} M"
    costs = (f"{row['MMACs']:.1f}", f"{row['ms']:.1f}", row["samples per step"])
    return (f"`{row['backbone']}`", row["rule"].replace("_", " "), size, *costs)


SCALE = {  # figures of benchmarks/scale.py, and what they are
    "import CPU s": "import, without reading files",
    "import MB": "import: memory",
    "store MB": "store on disk",
    "open CPU s": "open",
    "verify CPU s": "open after a copy: every digest",
    "first batch CPU s": "from nothing to the first batch",
    "batches CPU s": "epoch: drawing batches only",
    "batches MB": "epoch: memory with the batches",
    "student CPU s": "epoch: a student alone",
    "MVKT CPU s": "epoch: MVKT",
    "MVKT MB": "epoch: memory with MVKT",
    "checkpoint MB": "checkpoint of MVKT",
    "scores CPU s": "scores of fold 10",
    "bootstrap CPU s": "bootstrap of fold 10, 1,000 resamples",
    "evaluation MB": "evaluation: memory",
}
TEN_MILLION = 10**7


def scale() -> str:
    """How time and memory grow with the number of records, and what that gives at ten million."""
    if not (RESULTS / "scale.json").exists():
        return "Not measured yet.\n"
    rows, made = results("scale")
    text = ""
    for leads in sorted({row["leads"] for row in rows}):
        its = sorted((row for row in rows if row["leads"] == leads), key=lambda row: row["records"])
        lines = [
            (what, *(_amount(row.get(name), name) for row in its), *_growth(name, its))
            for name, what in SCALE.items()
            if any(row.get(name) for row in its)
        ]
        counts = [f"{row['records']:,}" for row in its]
        head = (f"{'twelve leads' if leads == 12 else 'one lead'}, records:", *counts, "exponent", f"{TEN_MILLION:,}")
        text += table(head, *lines) + "\n"
    return f"{text}{made}\n"


def _growth(name: str, rows: list[dict[str, Any]]) -> tuple[str, str]:
    """The exponent between the two largest numbers of records, and the figure that follows for ten million."""
    known = [row for row in rows if row.get(name)]
    if len(known) < 2:
        return "", ""
    few, many = known[-2:]
    exponent = math.log(many[name] / few[name]) / math.log(many["records"] / few["records"])
    return f"{exponent:.2f}", _amount(many[name] * (TEN_MILLION / many["records"]) ** exponent, name)


def _amount(value: float | None, name: str) -> str:
    """With its unit: MB or GB, seconds or hours."""
    if value is None:
        return ""
    unit, larger, times = ("MB", "GB", 1000) if name.endswith("MB") else ("s", "h", 3600)
    return f"{value / times:,.1f} {larger}" if value > 3 * times else f"{value:,.{0 if value >= 10 else 2}f} {unit}"


FIGURES = {
    "backbones": backbones,
    "backbone_students": backbone_students,
    "choices_all": partial(choices, "all"),
    "choices_rhythm": partial(choices, "rhythm"),
    "explain": explain,
    "export": export,
    "faults": faults,
    "handheld": handheld,
    "handheld_distorted": handheld_distorted,
    "handheld_groups": handheld_groups,
    "handheld_targets": handheld_targets,
    "negatives": negatives,
    "quality": quality,
    "quality_handheld": quality_handheld,
    "scale": scale,
    "speed": speed,
}


def render(text: str) -> str:
    """The page with its tables filled in."""
    return PLACE.sub(lambda place: f"<!-- figures: {place[1]} -->\n{FIGURES[place[1]]()}<!-- end -->", text)


def main() -> None:
    """Write the tables into the pages."""
    for page in DOCS.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        if (rendered := render(text)) != text:
            page.write_text(rendered, encoding="utf-8")
            print(page)


if __name__ == "__main__":
    main()
