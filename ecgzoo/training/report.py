"""The report of a run: every arm on the same test records and paired differences, as JSON, table and plots."""

import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from ecgzoo.config import left_out
from ecgzoo.data import Cohort
from ecgzoo.errors import RecipeError, printable
from ecgzoo.evaluation import CohortScores, paired_difference
from ecgzoo.files import parse_json, read_bytes, write_atomic, write_json
from ecgzoo.provenance import provenance
from ecgzoo.training.recipe import Recipe, plugin_versions

TITLES = {
    "teacher": "teacher",
    "baseline": "student, labels alone",
    "student": "student, distilled",
}

LOG_BYTES = 16 << 20


@dataclass(frozen=True)
class Report:
    """The results of a run.

    Attributes:
        values: the content of ``results.json``.
    """

    values: Mapping[str, Any]

    def table(self) -> Table:
        """The comparison, for a terminal."""
        values = self.values
        folds = ", ".join(map(str, values["folds"]))
        processes = values["processes"]
        per_class = next(iter(values["arms"].values()))["per_class"]  # those left out are the same in every arm
        missing = left_out(per_class)
        table = Table(
            title=f"{escape(printable(values['data']))}, {values['records']} records of {values['judged']} folds "
            f"{folds}, seed {values['seed']}",
            caption=f"{processes} process{'es' * (processes > 1)}, {values['precision']}; bootstrap over patients"
            + escape(printable(f"; the {missing}")) * bool(missing),
        )
        for column in ("", "leads", "macro AUC", "95 % interval"):
            table.add_column(column)
        for arm, figures in values["arms"].items():
            table.add_row(
                escape(printable(_title(arm, values["arms"]))),
                _shown(figures["leads"]),
                f"{figures['macro_auc']:.4f}",
                "{:.4f} to {:.4f}".format(*figures["ci"]),
            )
        table.add_section()
        for pair, figures in values["paired"].items():
            low, high = figures["ci"]
            table.add_row(
                escape(printable(pair.replace("-", " − "))),
                "",
                f"{figures['difference']:+.4f}",
                f"{low:+.4f} to {high:+.4f}",
            )
        if values["gap_recovered"] is not None:
            table.add_row("gap recovered", "", f"{values['gap_recovered']:.1%}", "")
        return table

    def write(self, folder: Path) -> None:
        """Write ``results.json``, ``curves.png`` and ``comparison.png`` into `folder`."""
        write_json(folder / "results.json", self.values)
        write_atomic(folder / "comparison.png", self._plot_comparison)
        write_atomic(folder / "curves.png", lambda path: self._plot_curves(folder, path))

    def _plot_comparison(self, path: Path) -> None:
        from matplotlib.figure import Figure

        arms = self.values["arms"]
        figure = Figure(figsize=(8, 4), layout="constrained")
        axes = figure.add_subplot()
        shown = []
        classes = ["macro", *next(iter(arms.values()))["per_class"]]
        for number, (arm, figures) in enumerate(arms.items()):
            aucs = [figures["macro_auc"], *figures["per_class"].values()]
            heights = [math.nan if auc is None else auc for auc in aucs]  # no bar for a class without AUC
            places = [place + (number - (len(arms) - 1) / 2) * 0.27 for place in range(len(classes))]
            axes.bar(places, heights, width=0.25, label=f"{_title(arm, arms)} ({_shown(figures['leads'])})")
            low, high = figures["ci"]
            shown += [low, *heights]
            # an end of the interval may be the AUC itself, up to rounding; matplotlib refuses a negative length
            ends = [[max(heights[0] - low, 0.0)], [max(high - heights[0], 0.0)]]
            axes.errorbar(places[0], heights[0], ends, color="black", capsize=3, linewidth=1)
        axes.set_xticks(range(len(classes)), classes, rotation=0 if len(classes) < 10 else 90)
        axes.set(
            ylabel="AUC",
            ylim=(_axis_start(shown), 1.0),
            title=f"{self.values['data']}, {self.values['judged']} folds {', '.join(map(str, self.values['folds']))}",
        )
        figure.legend(loc="outside lower center", ncols=len(arms))
        figure.savefig(path, format="png", dpi=120)

    def _plot_curves(self, folder: Path, path: Path) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.5), layout="constrained")
        figure.suptitle(self.values["data"])
        loss_axes, auc_axes = figure.subplots(1, 2)
        for arm in self.values["arms"]:
            log = folder / arm / "log.jsonl"
            if not log.exists():  # a teacher that was loaded, not trained
                continue
            lines, title = _read_log(log), _title(arm, self.values["arms"])
            epochs = [line["epoch"] for line in lines]
            if all("bce" in line for line in lines):  # the only term that all arms have
                loss_axes.plot(epochs, [line["bce"] for line in lines], label=title)
            aucs = [line["val_macro_auc"] for line in lines]
            auc_axes.plot(epochs, aucs, label=title)
            if not _axis_start(aucs):
                auc_axes.set_ylim(bottom=0.0)
        loss_axes.set(xlabel="epoch", ylabel="BCE on training crops (nats)")
        auc_axes.set(xlabel="epoch", ylabel="macro AUC on validation folds")
        for axes in (loss_axes, auc_axes):
            axes.xaxis.get_major_locator().set_params(integer=True)
            if axes.lines:
                axes.legend()
        figure.savefig(path, format="png", dpi=120)


def _title(arm: str, arms: Container[str]) -> str:
    return "student" if arm == "student" and "teacher" not in arms else TITLES.get(arm, arm)


def _axis_start(aucs: Sequence[float]) -> float:
    """The lower limit of an axis of `aucs`: 0.5, or lower if one of them is below."""
    return 0.0 if any(auc < 0.5 for auc in aucs) else 0.5


def _read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a ``log.jsonl``, one per epoch.

    Raises:
        RecipeError: it is not a log of a run.
    """
    try:
        lines = [parse_json(line) for line in read_bytes(path, LOG_BYTES).splitlines()]
        if not lines or not all(
            isinstance(line[name], int | float)
            for line in lines
            for name in ("epoch", "val_macro_auc", *({"bce"} & line.keys()))
        ):
            raise ValueError("a line holds no numbers")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RecipeError(
            f"{path} is damaged ({error}); delete it and continue with --resume; its curve will be left out"
        ) from error
    return lines


def make_report(
    cohort: Cohort,
    recipe: Recipe,
    scores: Mapping[str, CohortScores],
    leads: Mapping[str, tuple[str, ...]],
    processes: int,
) -> Report:
    """Metrics of each arm, the paired difference of each two arms, and the share of the gap that was recovered.

    ``gap_recovered`` is (student − baseline) / (teacher − baseline) in macro AUC; None if there is no gap.
    """
    arms = {
        arm: {
            "leads": list(leads[arm]),
            "folds": list(scored.folds),
            "seed": recipe.seed,
            **scored.evaluation(recipe.seed).to_dict(),
        }
        for arm, scored in scores.items()
    }
    paired = {}
    for b, a in combinations(sorted(scores, key=_rank), 2):
        found = paired_difference(
            scores[a].y_true, scores[a].y_score, scores[b].y_score, scores[a].patients, seed=recipe.seed
        )
        paired[f"{a}-{b}"] = {"difference": found.difference, "ci": list(found.ci)}
    gap = None
    if set(TITLES) <= set(arms):
        teacher, baseline, student = (arms[arm]["macro_auc"] for arm in ("teacher", "baseline", "student"))
        gap = (student - baseline) / (teacher - baseline) if teacher > baseline else None
    first = next(iter(scores.values()))
    return Report(
        {
            "data": cohort.title,
            "simulated": cohort.simulated,
            "data_fingerprint": cohort.fingerprint,
            "notes": list(cohort.notes),
            "task": cohort.task,
            "folds": list(first.folds),
            "judged": "test" if recipe.test_folds else "validation",
            "records": len(first.y_true),
            "seed": recipe.seed,
            "arms": arms,
            "paired": paired,
            "gap_recovered": gap,
            "recipe": recipe.to_dict(),
            "processes": processes,
            "precision": recipe.precision,
            "provenance": {**provenance(), "plugins": plugin_versions(recipe)},
        }
    )


def _rank(arm: str) -> tuple[int, str]:
    """Sort key of an arm. Differences are student − baseline, teacher − baseline and teacher − student."""
    order = ("baseline", "student", "teacher")
    return (order.index(arm) if arm in order else len(order), arm)


def _shown(leads: list[str]) -> str:
    return ", ".join(leads) if len(leads) <= 3 else f"{len(leads)} leads"
