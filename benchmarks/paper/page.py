"""From the grid's runs to docs/results.md: a verdict over seeds and patients, tables, plots.

python benchmarks/paper/page.py                      # the page, from what stands in results/
python benchmarks/paper/page.py --scores runs/paper  # the verdicts first, from the runs' own probabilities
"""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from grid import ARMS, ELSEWHERE, RESULTS, read_lines
from scipy.stats import binomtest

from ecgzoo.evaluate import macro_auc, paired_difference
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
    "bce plus": "labels alone, as in mvkt_plus.py: all statements too, any lead at first, 5 s crops, EMA, 30 epochs",
    "mvkt plus": "the same + MKD",
}


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
        for arm in [arm for arm in ARMS if arm != "bce"]:
            seeds = sorted(
                {line["seed"] for line in lines if (line["arm"], line["lead"]) == (arm, lead)}
                & {line["seed"] for line in lines if (line["arm"], line["lead"]) == ("bce", lead)}
            )
            if not seeds:
                continue
            pairs = [
                [np.load(scores / f"{name.replace(' ', '_')}_{lead}_{seed}.npz") for name in (arm, "bce")]
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
            found["verdicts"].setdefault(lead, {})[arm] = {
                "seeds": seeds,
                "difference": statistics.mean(each),
                "ci": [float(low), float(high)],
                "each": each,
                "sign_test_p": float(binomtest(sum(value > 0 for value in each), len(each)).pvalue),
                "gap_recovered": statistics.mean(each) / (found["teacher"]["macro_auc"] - baseline),
            }
    return {**found, "provenance": provenance()}


def render(lines: list[dict[str, Any]], summary: dict[str, Any]) -> str:
    """The page as Markdown."""
    first = lines[0]
    page = [
        "# Results",
        "",
        "What distillation from twelve leads gives a student of one. Written by `python benchmarks/paper/page.py` "
        "from `benchmarks/results/paper.jsonl`, one line a run, and `paper_summary.json`; nothing is typed by hand.",
        "",
        f"**{len(lines)} of the {WHOLE} runs of the grid are done; with one seed an arm, nothing is decided.**"
        if len(lines) < WHOLE
        else f"All {WHOLE} runs of the grid are done.",
        "",
        f"{first['data']}; trained on folds {first['folds']['train']}, the epoch chosen on fold "
        f"{first['folds']['val']}, judged on fold {first['folds']['test']}. Fold 10 was never read. "
        f"Student and teacher: {first['student']}, the teacher on 12 leads, macro AUC "
        f"{summary['teacher']['macro_auc']:.4f}. "
        f"{first['epochs']} epochs unless said. "
        "No arm was tuned: the weights of the terms are the published ones, everything else is the same for all but "
        "the plus arms, whose parts were chosen in single runs that looked at fold 9 too.",
        "",
    ]
    for lead in sorted({line["lead"] for line in lines}):
        page += [f"## Lead {lead}", "", *_arms(lines, summary, lead), "", *_classes(lines, lead), ""]
    page += ["![Difference from labels alone, by seed](results.png)", ""]
    return "\n".join(page)


def _arms(lines: list[dict[str, Any]], summary: dict[str, Any], lead: str) -> list[str]:
    rows = [
        "| arm | losses | seeds | macro AUC, mean (each) | minus labels alone | 95 % interval | sign test p "
        "| gap recovered |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for arm in ARMS:
        aucs = [line["macro_auc"] for line in lines if (line["arm"], line["lead"]) == (arm, lead)]
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
        runs = [line["per_class"] for line in lines if (line["arm"], line["lead"]) == (arm, lead)]
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
    axes.set(xlabel="macro AUC minus that of labels alone; 95 % interval of patients and seeds")
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})


def main() -> None:
    """Write the verdicts if scores are given, then the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, help="folder of the runs' probabilities, as grid.py leaves them")
    given = parser.parse_args()
    lines = read_lines(RESULTS / "paper.jsonl")
    if given.scores:
        write_json(RESULTS / "paper_summary.json", verdicts(lines, given.scores / "paper"))
    summary = json.loads((RESULTS / "paper_summary.json").read_text(encoding="utf-8"))
    write_text(DOCS / "results.md", render(lines, summary))
    write_atomic(DOCS / "results.png", lambda path: plot(summary, path))


if __name__ == "__main__":
    main()
