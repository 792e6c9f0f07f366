"""Writes docs/results.md and the headline of README.md from the runs: verdicts over seeds and patients, tables, plots.

python -m benchmarks.paper.page                      # the page, from the files in results/
python -m benchmarks.paper.page --scores runs/paper  # first copy the lines of the runs and compute the verdicts
"""

import argparse
import json
import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest

from benchmarks._report import write_between
from benchmarks.paper.attempts import ATTEMPTS, TEACHERS
from benchmarks.paper.grid import ARMS, ELSEWHERE, RESULTS, need, read_lines
from ecgzoo.evaluation import PairedDifference, macro_auc, paired_difference
from ecgzoo.files import write_atomic, write_json, write_text
from ecgzoo.provenance import provenance

WHOLE = 5 * len(ARMS) + 2 * 3 * len(ELSEWHERE)
DOCS = Path(__file__).parents[2] / "docs"
MEANINGS = {
    "bce": "labels alone",
    "kd": "+ vanilla KD (softmax)",
    "mkd": "+ MKD, T = 1",
    "clt": "+ CLT, weight 0.8",
    "published": "+ MKD + CLT as published: T = 1, Z not updated, about 1,024 sampled negatives",
    "mvkt": "+ MKD + CLT over the whole bank, Z averaged",
    "bce plus": "mvkt_plus.py without its teacher: 120 epochs on pairs of leads first; finer labels, 5 s crops, EMA",
    "mvkt plus": "mvkt_plus.py: the same + MKD",
    "mvkt long": "finer labels, 5 s crops, EMA, 40 epochs, half of them on any lead; + MKD",
    "bce mixup": "mvkt long without its teacher, with mixup",
    "mkd mixup": "bce mixup, MKD instead of labels (both at 90d16f4, where a teacher saw the whole crop at once)",
}
WITHOUT_TEACHER = {"mvkt plus": "bce plus", "mkd mixup": "bce mixup"}


def verdicts(lines: list[dict[str, Any]], scores: Path) -> dict[str, Any]:
    """By lead and arm: the mean over seeds of the difference from labels alone, its interval, a sign test.

    The interval covers patients and seeds (`over_seeds`).
    """
    teacher = np.load(scores / "teacher.npz")
    teacher_auc = macro_auc(teacher["y_true"], teacher["y_score"])
    found: dict[str, Any] = {"teacher": {"macro_auc": teacher_auc, "leads": 12}, "verdicts": {}}
    arms = [*ARMS, *sorted({line["arm"] for line in lines} - set(ARMS))]
    for lead in sorted({line["lead"] for line in lines}):
        for arm, base in [*((arm, "bce") for arm in arms if arm != "bce"), *WITHOUT_TEACHER.items()]:
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
            each = [difference.difference for difference in differences]
            baseline = statistics.mean(macro_auc(b["y_true"], b["y_score"]) for _, b in pairs)
            found["verdicts"].setdefault(lead, {})[arm if base == "bce" else f"{arm} against {base}"] = {
                "seeds": seeds,
                "difference": statistics.mean(each),
                "ci": over_seeds(differences),
                "each": each,
                "sign_test_p": float(binomtest(sum(value > 0 for value in each), len(each)).pvalue),
                "ensemble": macro_auc(pairs[0][0]["y_true"], np.mean([a["y_score"] for a, _ in pairs], axis=0)),
                "gap_recovered": statistics.mean(each) / gap if (gap := teacher_auc - baseline) > 0 else None,
            }
    return found


def over_seeds(differences: Sequence[PairedDifference]) -> list[float]:
    """The 95 % interval of their mean: each resample draws patients, the same for every seed, and seeds.

    Resampling S seeds shows (S − 1)/S of their variance; with one seed the interval is of patients alone.
    """
    resamples = np.stack([difference.resamples for difference in differences])
    drawn = np.random.default_rng(0).integers(len(differences), size=resamples.shape)
    ends: list[float] = np.quantile(np.take_along_axis(resamples, drawn, axis=0).mean(axis=0), [0.025, 0.975]).tolist()
    return ends


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
        "This page shows what a single-lead student gains by distillation from twelve leads. "
        "`python -m benchmarks.paper.page` writes it from `benchmarks/results/`: `paper.jsonl` and `paper_quick.jsonl` "
        "(one line per run), `paper_summary.json`, `attempts.jsonl`, `truth.json` and `external.json`. Nothing is "
        "typed by hand.",
        "",
        *_verdict(summary["grid"], summary["fewer"]),
        "",
        "## The grid",
        "",
        f"An arm is one way to train a student. The grid has {len(lines)} of {WHOLE} runs on {first['data']}. "
        f"Folds {first['folds']['train']} are for "
        f"training, fold {first['folds']['val']} is for choosing the epoch, and fold {first['folds']['test']} is for "
        f"testing. Fold 10 was never read. Student and teacher are {first['student']}; the teacher reads 12 leads and "
        f"has a macro AUC of {summary['grid']['teacher']['macro_auc']:.4f}. Runs have {first['epochs']} epochs unless "
        "the table says otherwise.",
        "",
        "No arm was tuned, except plus, long and mixup. The weights of the losses are the published ones. Learning "
        "rate, batch size and, unless the table says otherwise, epochs are the same for all arms. Plus, long and mixup "
        f"were chosen by the attempts below on fold {first['folds']['val']}, and by a few early runs that also looked "
        f"at fold {first['folds']['test']}. For the effect of the teacher, compare mvkt plus with bce plus: they "
        "differ only in the teacher. The intervals cover patients and seeds, but the seeds not fully: resampling S "
        "seeds shows (S - 1)/S of their variance.",
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
        f"These runs are for lead I, with teacher and students trained on folds {lines[0]['folds']['train']} only. The "
        f"teacher's macro AUC is {summary['teacher']['macro_auc']:.4f}. Command: `python -m benchmarks.paper.grid "
        "--root DIR --quick`; `--arms` and `--seeds` add more runs.",
        "",
        *_arms(lines, summary, "I"),
    ]


def _verdict(summary: dict[str, Any], fewer: dict[str, Any]) -> list[str]:
    found = summary["verdicts"]["I"]
    plus, teachers_part = found["mvkt plus"], found["mvkt plus against bce plus"]
    published = found["published"]
    wins = "beats" if plus["ci"][0] > 0 else "does not reliably beat"
    return [
        f"**On lead I with five superclasses, `recipes/mvkt_plus.py --aux-task all` {wins} labels alone by "
        f"{_signed(plus)} macro AUC, {plus['gap_recovered']:.1%} of the gap to the teacher.** "
        f"Compared with the same recipe without the teacher it gains {_signed(teachers_part)}. This part comes from "
        f"distillation{'' if teachers_part['ci'][0] > 0 else ', but may be chance'}. The rest comes from pretraining "
        "on pairs of leads, longer crops, finer labels and averaged weights. MKD + CLT as published gain "
        f"{_signed(published)} over labels alone; with two training folds MKD + CLT over the whole bank (all training "
        "records) gain "
        f"{_signed(fewer['verdicts']['I']['mvkt'])}. The aim of a quarter of the gap is "
        f"{'reached' if plus['gap_recovered'] >= 0.25 else 'not reached, and no attempt below comes close'}. The "
        f"averaged probabilities of all {len(plus['seeds'])} students of the recipe have a macro AUC of "
        f"{plus['ensemble']:.4f}, the teacher has {summary['teacher']['macro_auc']:.4f}. So differences between seeds "
        "explain little of the remaining gap.",
    ]


def headline(summary: dict[str, Any], fewer: dict[str, Any]) -> str:
    """The summary in README.md."""
    found = summary["verdicts"]["I"]
    plus, teachers_part = found["mvkt plus"], found["mvkt plus against bce plus"]
    published, scarce = found["published"], fewer["verdicts"]["I"]["mvkt"]
    text = (
        f"**On lead I, the best recipe gains {_signed(plus)} macro AUC over training on labels alone. This is "
        f"{plus['gap_recovered']:.0%} of the gap to the twelve-lead teacher.** The teacher itself contributes only "
        f"{_signed(teachers_part)}{_unsure(teachers_part)}. The rest comes from pretraining on pairs of leads, finer "
        "labels, longer crops and averaged weights. The published losses, MKD (per class) + CLT (contrastive), gain "
        f"{_signed(published)}{_unsure(published)}. With two training folds instead of seven, MKD + CLT over all "
        f"training records gain {_signed(scarce)}{_unsure(scarce)}. "
        "All of it for the five superclasses of PTB-XL, fold 9; 95 % intervals over patients and seeds."
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
        f"The attempts are for lead I, trained on folds {first['folds']['train']}. The epoch was chosen **and** tested "
        f"on fold {first['folds']['val']}, so use these figures to compare attempts, not as a measure of performance. "
        "The basis is labels + MKD + the finer labels as a second task, with 20 epochs of 2.5-second crops. The "
        f"standard deviation over seeds of labels alone is {noise:.4f} (lead I, fold 9). "
        "`python -m benchmarks.paper.attempts` runs the attempts. An attempt with a revision in brackets runs only at "
        "that revision: most of these options did not help and were removed.",
        "",
        "| attempt | what it changes | seeds | macro AUC, fold 8 | minus basis |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"Macro AUC of the teachers trained for these attempts, on the same fold: {others}.",
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
        "## Simulated hearts with known truth",
        "",
        "These records are simulated, not measured. The table shows how much of each disease is visible in lead I, as "
        "a share of its noise-free change in the lead that shows it best. The next columns are AUCs: of the teacher, "
        "of a lead-I student trained on four times the records (an estimate of what can be learned from lead I), and "
        "of students trained on 4,000 records without and with the teacher (mean of three seeds). Command: "
        "`python -m benchmarks.paper.truth`.",
        "",
        "A student also learns the teacher's mistakes. For some diseases the teacher, trained on 4,000 records, has a "
        f"lower AUC than the student with four times the records ({', '.join(unsure)}). There MKD changes the AUC by "
        f"{statistics.mean(gain[name] for name in unsure):+.3f} on average, and for the other diseases by "
        f"{statistics.mean(gain[name] for name in sure):+.3f}.",
        "",
        "| AUC | share in lead I | teacher, 12 leads | 4× records | labels alone | + MKD | + CLT | + MKD + CLT |",
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
        "The models were not retrained. CPSC 2018 has 12 leads at 500 Hz; its classes are mapped to superclasses where "
        "they agree. The AF Challenge 2017 has handheld recordings at 300 Hz, treated as lead I; the task is normal "
        "rhythm against the rest. The samples are small, so the intervals are wide. mv_global and window_z are two "
        f"students that differ only in normalization; their macro AUCs on PTB-XL's fold 8 are {twins}. Command: "
        "`python -m benchmarks.paper.external`. Students of the rhythms and of all labels do much better on these "
        "recordings: [handhelds](handheld.md#external-recordings).",
        "",
        "| data | model | class | positives | AUC | 95 % interval |",
        "|---|---|---|---|---|---|",
        *rows,
        "",
        "![Effect of amplitude and baseline wander](external.png)",
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
        shown = "— | — | — | —"
        if verdict:
            gap = "—" if verdict["gap_recovered"] is None else f"{verdict['gap_recovered']:.1%}"
            shown = (
                f"{verdict['difference']:+.4f} | {verdict['ci'][0]:+.4f} to {verdict['ci'][1]:+.4f} | "
                f"{verdict['sign_test_p']:.2f} | {gap}"
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
    """Plot each arm's difference from labels alone: one dot per seed, a bar for the interval."""
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
    """The results of attempts.py, truth.py and external.py."""
    truth, external = (
        json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")) for name in ("truth", "external")
    )
    return read_lines(RESULTS / "attempts.jsonl"), truth, external


def main() -> None:
    """Write the verdicts if ``--scores`` is given, then the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scores", type=Path, help="the --output folder of grid.py")
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
            need(parser, RESULTS / name, "give --scores, the --output folder of benchmarks/paper/grid.py")
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
