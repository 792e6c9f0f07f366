"""From the runs to docs/results.md and the headline of README.md: a verdict over seeds and patients, tables, plots.

python -m benchmarks.paper.page                      # the page, from what stands in results/
python -m benchmarks.paper.page --scores runs/paper  # first the lines and the verdicts, from what the runs left there
"""

import argparse
import json
import statistics
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from benchmarks._report import write_between
from benchmarks.paper.attempts import ATTEMPTS, TEACHERS
from benchmarks.paper.grid import ARMS, ELSEWHERE, RESULTS, need, read_lines
from ecgzoo.evaluation import macro_auc, paired_difference
from ecgzoo.files import write_atomic, write_json, write_text
from ecgzoo.provenance import provenance

WHOLE = 5 * len(ARMS) + 2 * 3 * len(ELSEWHERE)
DOCS = Path(__file__).parents[2] / "docs"
MEANINGS = {
    "bce": "labels alone",
    "kd": "+ vanilla KD (softmax)",
    "mkd": "+ MKD, T = 1",
    "clt": "+ CLT, weight 0.8",
    "published": "+ MKD + CLT as published: T = 1, Z kept, about 1,024 sampled negatives",
    "mvkt": "+ MKD + CLT over the whole bank, Z averaged",
    "bce plus": "mvkt_plus.py without its teacher: first 120 epochs of pairs of leads; finer labels, 5 s crops, EMA",
    "mvkt plus": "mvkt_plus.py: the same + MKD",
    "mvkt long": "finer labels, 5 s crops, EMA, 40 epochs, half of them on any lead; + MKD",
    "bce mixup": "as mvkt long without its teacher, with mixup",
    "mkd mixup": "as bce mixup, MKD in place of labels (both at 90d16f4, where a teacher saw the whole crop at once)",
}
WITHOUT_TEACHER = {"mvkt plus": "bce plus", "mkd mixup": "bce mixup"}


def verdicts(lines: list[dict[str, Any]], scores: Path) -> dict[str, Any]:
    """By lead and arm: the mean over seeds of the difference from labels alone, its interval, a sign test.

    The interval is of patients and seeds together: each resample draws patients, the same for every seed, and seeds.
    """
    teacher = np.load(scores / "teacher.npz")
    found: dict[str, Any] = {
        "teacher": {"macro_auc": macro_auc(teacher["y_true"], teacher["y_score"]), "leads": 12},
        "verdicts": {},
    }
    for lead in sorted({line["lead"] for line in lines}):
        for arm, base in [*((arm, "bce") for arm in ARMS if arm != "bce"), *WITHOUT_TEACHER.items()]:
            seeds = sorted(_seeds(lines, arm, lead) & _seeds(lines, base, lead))
            if not seeds:
                continue
            pairs = [
                [np.load(scores / f"{name.replace(' ', '_')}_{lead}_{seed}.npz") for name in (arm, base)]
                for seed in seeds
            ]
            differences = [
                paired_difference(a["y_true"], a["y_score"], b["y_score"], a["patients"], seed=0) for a, b in pairs
            ]
            resamples = np.stack([difference.resamples for difference in differences])
            drawn = np.random.default_rng(0).integers(len(seeds), size=resamples.shape)
            low, high = np.quantile(np.take_along_axis(resamples, drawn, axis=0).mean(axis=0), [0.025, 0.975])
            each = [difference.difference for difference in differences]
            baseline = statistics.mean(macro_auc(b["y_true"], b["y_score"]) for _, b in pairs)
            found["verdicts"].setdefault(lead, {})[arm if base == "bce" else f"{arm} against {base}"] = {
                "seeds": seeds,
                "difference": statistics.mean(each),
                "ci": [float(low), float(high)],
                "each": each,
                "sign_test_p": float(binomtest(sum(value > 0 for value in each), len(each)).pvalue),
                "ensemble": macro_auc(pairs[0][0]["y_true"], np.mean([a["y_score"] for a, _ in pairs], axis=0)),
                "gap_recovered": statistics.mean(each) / (found["teacher"]["macro_auc"] - baseline),
            }
    return found


def _seeds(lines: list[dict[str, Any]], arm: str, lead: str) -> set[int]:
    return {line["seed"] for line in _runs(lines, arm, lead)}


def _runs(lines: list[dict[str, Any]], arm: str, lead: str) -> list[dict[str, Any]]:
    found = [line for line in lines if (line["arm"], line["lead"]) == (arm, lead)]
    return sorted(found, key=lambda line: line["seed"])


def render(
    lines: list[dict[str, Any]],
    fewer: list[dict[str, Any]],
    summary: dict[str, Any],
    attempts: list[dict[str, Any]],
    truth: dict[str, Any],
    external: dict[str, Any],
) -> str:
    """The page as Markdown."""
    first = lines[0]
    page = [
        "# Results",
        "",
        "What distillation from twelve leads gives a student of one. Written by `python -m benchmarks.paper.page` "
        "from `benchmarks/results/`: `paper.jsonl` and `paper_quick.jsonl`, one line a run, `paper_summary.json`, "
        "`attempts.jsonl`, `truth.json` and `external.json`. Nothing is typed by hand.",
        "",
        *_verdict(summary["grid"], summary["fewer"]),
        "",
        "## The grid",
        "",
        f"{len(lines)} of {WHOLE} runs. {first['data']}; trained on folds {first['folds']['train']}, the epoch chosen "
        f"on fold {first['folds']['val']}, judged on fold {first['folds']['test']}. Fold 10 was never read. "
        f"Student and teacher: {first['student']}, the teacher on 12 leads, macro AUC "
        f"{summary['grid']['teacher']['macro_auc']:.4f}. {first['epochs']} epochs unless said.",
        "",
        "The budget of tuning was the same for every arm: none. The weights of the terms are the published ones, and "
        "learning rate, batch and, unless said, epochs are alike. Plus, long and mixup alone were chosen, by the "
        f"attempts below on fold {first['folds']['val']} and by a few early runs that looked at fold "
        f"{first['folds']['test']} too; so look at mvkt plus beside bce plus: they differ in the teacher alone. "
        "An interval is of patients and seeds together.",
        "",
    ]
    for lead in sorted({line["lead"] for line in lines}):
        page += [f"### Lead {lead}", "", *_arms(lines, summary["grid"], lead), "", *_classes(lines, lead), ""]
    page += ["![Difference from labels alone, by seed](results.png)", "", *_fewer(fewer, summary["fewer"]), ""]
    page += [*_attempts(attempts, lines), "", *_truth(truth), "", *_external(external), ""]
    return "\n".join(page)


def _fewer(lines: list[dict[str, Any]], summary: dict[str, Any]) -> list[str]:
    return [
        "## With fewer records",
        "",
        f"Lead I again, teacher and students trained on folds {lines[0]['folds']['train']}; the teacher's macro AUC is "
        f"{summary['teacher']['macro_auc']:.4f}. `python -m benchmarks.paper.grid --root DIR --quick`, with `--arms` "
        "and `--seeds` for more of it.",
        "",
        *_arms(lines, summary, "I"),
    ]


def _verdict(summary: dict[str, Any], fewer: dict[str, Any]) -> list[str]:
    found = summary["verdicts"]["I"]
    plus, teachers_part = found["mvkt plus"], found["mvkt plus against bce plus"]
    published = found["published"]
    wins = "beats" if plus["ci"][0] > 0 else "does not surely beat"
    return [
        f"**Lead I, five superclasses: `recipes/mvkt_plus.py` {wins} labels "
        f"alone, by {_signed(plus)}, {plus['gap_recovered']:.1%} of the gap to the "
        "teacher.** "
        f"Against the same recipe without the teacher it gains {_signed(teachers_part)}: that part is distillation"
        f"{'' if teachers_part['ci'][0] > 0 else ', if it is more than chance'}; the rest is learning from pairs of "
        "leads before the labels, longer crops, finer labels and averaged weights. MKD + CLT as published give "
        f"{_signed(published)} over labels alone; with two training folds MKD + CLT give "
        f"{_signed(fewer['verdicts']['I']['mvkt'])}. The aim of a quarter of the gap is "
        f"{'reached' if plus['gap_recovered'] >= 0.25 else 'not reached, and no attempt below comes near it'}: the "
        f"averaged probabilities of all {len(plus['seeds'])} students of the recipe have {plus['ensemble']:.4f}, the "
        f"teacher {summary['teacher']['macro_auc']:.4f}, so chance of a seed explains little of what is left.",
    ]


def headline(summary: dict[str, Any], fewer: dict[str, Any]) -> str:
    """What README.md says of it."""
    found = summary["verdicts"]["I"]
    plus, teachers_part = found["mvkt plus"], found["mvkt plus against bce plus"]
    published, scarce = found["published"], fewer["verdicts"]["I"]["mvkt"]
    text = (
        f"**On lead I the best recipe gains {_signed(plus)} macro AUC over training on labels alone. That is "
        f"{plus['gap_recovered']:.0%} of the gap to the teacher of twelve leads.** The teacher's part of it is only "
        f"{_signed(teachers_part)}{_unsure(teachers_part)}; the rest comes from learning from pairs of leads first, "
        "finer labels, longer crops and averaged weights. The published losses, MKD + CLT, give "
        f"{_signed(published)}{_unsure(published)}; with two training folds in place of seven, {_signed(scarce)}"
        f"{_unsure(scarce)}. Five superclasses of PTB-XL, fold 9; in brackets 95 % intervals over patients and seeds."
    )
    return "\n".join(textwrap.wrap(text, 120, break_on_hyphens=False)) + "\n"


def _unsure(verdict: dict[str, Any]) -> str:
    return "" if verdict["ci"][0] > 0 else ", which may be chance"


def _signed(verdict: dict[str, Any]) -> str:
    ends = f"{verdict['ci'][0]:+.4f} to {verdict['ci'][1]:+.4f}"
    return f"{verdict['difference']:+.4f} ({ends}, {len(verdict['seeds'])} seeds)"


def _attempts(lines: list[dict[str, Any]], grid: list[dict[str, Any]]) -> list[str]:
    noise = statistics.stdev(run["macro_auc"] for run in _runs(grid, "bce", "I"))
    by_name: dict[str, list[dict[str, Any]]] = {}
    for line in lines:
        by_name.setdefault(line["attempt"], []).append(line)
    means = {name: statistics.mean(line["val_macro_auc"] for line in runs) for name, runs in by_name.items()}
    teachers = [name for name in means if name in TEACHERS or "student_leads" in by_name[name][0]["changes"]]
    students = [name for name in means if name not in teachers]
    basis = means["basis"]
    first = by_name["basis"][0]
    gone = {name: f" (at {by_name[name][0]['revision']})" for name in students if name not in ATTEMPTS}
    rows = []
    for name in sorted(students, key=means.__getitem__, reverse=True):
        one, seeds = by_name[name][0], len(by_name[name])
        changes = {
            **one["changes"],
            **({"teachers": one["teachers"]} if one["teachers"] not in ([], ["teacher"]) else {}),
        }
        rows.append(
            f"| {name}{gone.get(name, '')} | `{json.dumps(changes)}` | {seeds} | {means[name]:.4f} "
            f"| {means[name] - basis:+.4f} |"
        )
    others = "; ".join(f"{name} {means[name]:.4f}" for name in teachers)
    return [
        "## Attempts at a better student",
        "",
        f"Lead I, trained on folds {first['folds']['train']}, epoch chosen **and** judged on fold "
        f"{first['folds']['val']}: for choosing, not for quoting. The basis is labels + MKD + the finer labels as a "
        "second task, 20 epochs of 2.5-second crops. The seed moves labels alone by "
        f"{noise:.4f} (standard deviation, lead I, fold 9). `python -m benchmarks.paper.attempts` runs them; one "
        "with a revision beside its name runs there alone: most such options did not hold and are gone.",
        "",
        "| attempt | what it changes | seeds | macro AUC, fold 8 | minus basis |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"Teachers trained for these, on the same fold: {others}.",
    ]


def _truth(truth: dict[str, Any]) -> list[str]:
    auc, share = truth["auc"], truth["in_lead_i"]
    rows = []
    for lesion in [*sorted(share, key=share.__getitem__), "normal", "macro AUC"]:
        figures = [f"{auc[lesion][arm]:.3f}" for arm in ("teacher", "at most")]
        figures += [f"{statistics.mean(auc[lesion][arm]):.3f}" for arm in ("bce", "mkd", "clt", "mvkt")]
        seen = f"{share[lesion]:.2f}" if lesion in share else ""
        rows.append(f"| {lesion} | {seen} | {' | '.join(figures)} |")
    gain = {lesion: statistics.mean(auc[lesion]["mkd"]) - statistics.mean(auc[lesion]["bce"]) for lesion in share}
    unsure = [lesion for lesion in share if auc[lesion]["teacher"] < auc[lesion]["at most"]]
    sure = [lesion for lesion in share if lesion not in unsure]
    return [
        "## Where the truth is known",
        "",
        "Simulated hearts (no heart was measured): how much of each disease lies in lead I, as a share of its "
        "noise-free change in the lead that shows it best; what a student of lead I learns from 4,000 records with and "
        "without a teacher, mean of three seeds; and what can be learnt there, from four times the records. "
        "`python -m benchmarks.paper.truth`.",
        "",
        "A student also takes over what its teacher does not know. Where the teacher of 4,000 records knows less than "
        f"lead I could tell ({', '.join(unsure)}), MKD gives {statistics.mean(gain[name] for name in unsure):+.3f} in "
        f"the mean; everywhere else {statistics.mean(gain[name] for name in sure):+.3f}.",
        "",
        "| AUC | share in lead I | teacher, 12 leads | at most | labels alone | + MKD | + CLT | + MKD + CLT |",
        "|---|---|---|---|---|---|---|---|",
        *rows,
        "",
        "![AUC by disease and how much of it lead I sees](truth.png)",
    ]


def _external(external: dict[str, Any]) -> list[str]:
    rows = [
        f"| {data} | {model} | {name} | {figures['positives']} of {figures['records']} | {figures['auc']:.3f} "
        f"| {figures['ci'][0]:.3f} to {figures['ci'][1]:.3f} |"
        for data, models in external["as_recorded"].items()
        for model, classes in models.items()
        for name, figures in classes.items()
    ]
    twins = ", ".join(f"{kind} {auc:.4f}" for kind, auc in external["twins_on_fold_8"].items())
    return [
        "## External data sets",
        "",
        "Without retraining: CPSC 2018 (12 leads, 500 Hz; classes mapped where they agree) and the AF Challenge 2017 "
        "(handheld, 300 Hz, taken for lead I; normal rhythm against the rest). The samples are small, the intervals "
        "wide. mv_global and window_z are twins that differ in nothing else; macro AUC on PTB-XL's fold 8: "
        f"{twins}. `python -m benchmarks.paper.external`.",
        "",
        "| data | model | class | positives | AUC | 95 % interval |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "![What amplitude and wander do](external.png)",
    ]


def _arms(lines: list[dict[str, Any]], summary: dict[str, Any], lead: str) -> list[str]:
    rows = [
        "| arm | losses | seeds | macro AUC, mean (each) | minus labels alone | 95 % interval | sign test p "
        "| gap recovered |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm in ARMS:
        aucs = [run["macro_auc"] for run in _runs(lines, arm, lead)]
        if not aucs:
            continue
        verdict = summary["verdicts"].get(lead, {}).get(arm)
        shown = (
            f"{verdict['difference']:+.4f} | {verdict['ci'][0]:+.4f} to {verdict['ci'][1]:+.4f} | "
            f"{verdict['sign_test_p']:.2f} | {verdict['gap_recovered']:.1%}"
            if verdict
            else "— | — | — | —"
        )
        each = ", ".join(f"{auc:.4f}" for auc in aucs)
        rows.append(f"| {arm} | {MEANINGS[arm]} | {len(aucs)} | {statistics.mean(aucs):.4f} ({each}) | {shown} |")
    return rows


def _classes(lines: list[dict[str, Any]], lead: str) -> list[str]:
    names = list(lines[0]["per_class"])
    rows = [f"| AUC, mean over seeds | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"]
    for arm in ARMS:
        runs = [run["per_class"] for run in _runs(lines, arm, lead)]
        if runs:
            means = [f"{statistics.mean(run[name] for run in runs):.4f}" for name in names]
            rows.append(f"| {arm} | {' | '.join(means)} |")
    return rows


def plot(summary: dict[str, Any], path: Path) -> None:
    """Each arm's difference from labels alone: every seed a dot, the interval a bar."""
    from matplotlib.figure import Figure

    shown = [(lead, arm, found) for lead, arms in summary["verdicts"].items() for arm, found in arms.items()]
    figure = Figure(figsize=(7, 1 + 0.35 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    axes.axvline(0, color="grey", linewidth=1)
    for place, (_, _, found) in enumerate(reversed(shown)):
        axes.plot(found["ci"], [place, place], color="tab:blue")
        axes.plot(found["each"], [place] * len(found["each"]), ".", color="tab:orange")
        axes.plot(found["difference"], place, "|", color="tab:blue", markersize=14)
    axes.set_yticks(range(len(shown)), [f"lead {lead}: {arm}" for lead, arm, _ in reversed(shown)])
    axes.set(xlabel="macro AUC, minus labels alone (bar: 95 % interval)")
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


def evidence() -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """What attempts.py, truth.py and external.py found."""
    truth, external = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in ("truth", "external")
    )
    return read_lines(RESULTS / "attempts.jsonl"), truth, external


def main() -> None:
    """Write the verdicts if scores are given, then the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, help="what grid.py left in its --output")
    given = parser.parse_args()
    parts = {"grid": "paper", "fewer": "paper_quick"}
    if given.scores:
        for name in parts.values():
            for file in ("results.jsonl", "teacher.npz"):
                quick = " --quick" * (name == "paper_quick")
                need(parser, given.scores / name / file, f"first run benchmarks/paper/grid.py --root DIR{quick}")
    for name in ("truth.json", "external.json", "attempts.jsonl"):
        need(parser, RESULTS / name, f"first run benchmarks/paper/{Path(name).stem}.py")
    if not given.scores:
        for name in ("paper.jsonl", "paper_quick.jsonl", "paper_summary.json"):
            need(parser, RESULTS / name, "give --scores, the output of benchmarks/paper/grid.py")
    if given.scores:
        found = {}
        for part, name in parts.items():
            left = given.scores / name
            write_text(RESULTS / f"{name}.jsonl", (left / "results.jsonl").read_text(encoding="utf-8"))
            found[part] = verdicts(read_lines(RESULTS / f"{name}.jsonl"), left)
        write_json(RESULTS / "paper_summary.json", {**found, "provenance": provenance()})
    lines, fewer = (read_lines(RESULTS / f"{name}.jsonl") for name in ("paper", "paper_quick"))
    summary = json.loads((RESULTS / "paper_summary.json").read_text(encoding="utf-8"))
    write_text(DOCS / "results.md", render(lines, fewer, summary, *evidence()))
    write_between("headline", {"README.md": headline(summary["grid"], summary["fewer"])})
    write_atomic(DOCS / "results.png", lambda path: plot(summary["grid"], path))


if __name__ == "__main__":
    main()
