"""The model card and its calibration plot, generated from the config; nothing in them is typed by hand."""

import html
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from ecgzoo.config import LEAST_AUC, LEAST_POSITIVES, THRESHOLDS, ModelConfig, left_out
from ecgzoo.errors import printable
from ecgzoo.weights.layout import CALIBRATION_PLOT

FAILURES_OF_NORMALIZATION = {
    "mv_global": "A wrong gain shifts the probabilities: the input must be in millivolts and is not rescaled.",
    "window_z": "Each window is rescaled: the model does not see the amplitude, and findings that need it are worse.",
}
WANDER = "Strong baseline wander shifts the probabilities: it is not removed."
FAILURES = (
    "Swapped electrodes give a valid recording of other leads. A prediction notes a lead I or II that is likely "
    "inverted, and corrects nothing.",
    "The figures of this card say nothing about other data sets, devices or patients.",
    "Labels contain errors: they are what readers wrote. A record may have more than one label.",
)


def render_card(config: ModelConfig, source: str) -> str:
    """Markdown for the folder's README.md, with metadata for the Hub; its example loads the model from `source`."""
    unknown = "none, the hearts are simulated" if config.training.get("simulated") else "not given"
    data_license = config.training.get("data_license") or unknown
    leads = _leads(config)
    lines = [
        "---",
        _metadata(config).to_yaml(),
        "---",
        "",
        f"# {_plain(config.architecture)} on {leads}",
        "",
        "**Research use only, not a medical device.** " + _plain(config.intended_use),
        "",
    ]
    if config.training.get("simulated"):
        lines += ["**Trained on a *simulated* cohort, without any recording of a patient.**", ""]
    lines += _usable(config)
    if config.classes:
        lines += [
            "## Load",
            "",
            "```python",
            "import ecgzoo",
            "",
            f"model = ecgzoo.load_pretrained({json.dumps(_line(source), ensure_ascii=False)})",
            'print(model.predict("RECORD"))  # a file, or an ecgzoo.Record',
            "```",
            "",
        ]
    lines += [
        "## Input and output",
        "",
        f"- input: {leads} in millivolts at {config.rate_hz:g} Hz, "
        + "normalized in the network by "
        + (
            f"one mean ({config.normalization.mean_mv:.5f} mV) and deviation ({config.normalization.std_mv:.5f} mV)"
            if config.normalization.kind == "mv_global"
            else "the mean and deviation of each window"
        )
        + (
            f", after removing everything slower than {hertz:g} Hz"
            if (hertz := config.normalization.highpass_hz)
            else ""
        ),
        f"- windows of {config.window_s:g} s every {config.stride_s:g} s, aggregated by {config.aggregation}",
        f"- output: one probability per label of the task {_plain(config.task)}, calibrated with temperature "
        f"{config.temperature:.4f}",
        "",
        *_labels(config),
        *_measured(config),
        *_training(config.training),
        "## Known failures",
        "",
        f"- {FAILURES_OF_NORMALIZATION[config.normalization.kind]}",
        *(f"- {failure}" for failure in (*([] if config.normalization.highpass_hz else [WANDER]), *FAILURES)),
        "",
        "## License",
        "",
        f"Weights: {_plain(config.license)}. Training recordings: {_plain(data_license)}.",
        "",
    ]
    return "\n".join(lines)


def _metadata(config: ModelConfig) -> ModelCardData:
    """The metadata that the Hub reads."""
    metrics, results = config.metrics, []
    if metrics:
        simulated = " (simulated)" if metrics.get("simulated") else ""
        result = EvalResult(
            task_type="other",
            task_name=f"ECG classification, {_line(config.task)}",
            dataset_type=_line(metrics["data"]),
            dataset_name=f"{_line(metrics['data'])}{simulated}",
            dataset_split=_line(_folds(metrics)),
            metric_type="roc_auc",
            metric_name="macro AUC",
            metric_value=round(metrics["macro_auc"], 4),
        )
        results.append(result)
    return ModelCardData(
        library_name="ecgzoo",
        license=_line(config.license).lower(),
        tags=[
            "ecg",
            "electrocardiogram",
            "single-lead" if len(config.leads) == 1 else "multi-lead",
            _line(config.architecture),
        ],
        pipeline_tag="other",
        model_name=f"{_line(config.architecture)}-{'-'.join(config.leads)}",
        eval_results=results or None,
    )


def _labels(config: ModelConfig) -> list[str]:
    if not config.classes:
        return []
    rows = []
    for label in config.labels:
        info, points = config.class_info.get(label, {}), config.thresholds.get(label, {})
        shown = [f"{points[name]:.3f}" if points else "—" for name in THRESHOLDS]
        rows.append(
            [label, info.get("name", "—"), ", ".join(info.get("scp", [])) or "—", info.get("snomed", "—"), *shown]
        )
    return [
        "## Labels and thresholds",
        "",
        *_table(
            ["label", "meaning", "SCP-ECG", "SNOMED CT", "flag", "screening", "uncertain from", "present from"], rows
        ),
        "",
        "A probability below both of the last two thresholds means absent. The flag is the threshold with the highest "
        "F1, screening the one with a sensitivity of 0.9. "
        f"Thresholds and temperature were chosen on {_plain(config.calibrated_on)}."
        if config.thresholds
        else "No thresholds were chosen.",
        "",
    ]


def _measured(config: ModelConfig) -> list[str]:
    metrics = config.metrics
    if not metrics:
        return []
    low, high = metrics["ci"]
    simulated = " (simulated)" if metrics.get("simulated") else ""
    chosen = " The epoch, the temperature and the thresholds were chosen on these same records." * bool(
        metrics.get("chosen_on_these_folds")
    )
    without = left_out(metrics.get("per_class", {}))
    missing = f" The {_plain(without)}." * bool(without)
    rows = []
    positives = _by_label(metrics, "positives", "positives")
    aucs = _by_label(metrics, "per_class", "auc")
    intervals = _by_label(metrics, "per_class_ci", "ci")
    # labels that the leads show best come first
    for label, auc in sorted(aucs.items(), key=lambda item: -(intervals.get(item[0]) or [0])[0]):
        at = metrics.get("at_thresholds", {}).get(label)
        points = (
            [f"{at[name][what]:.3f}" for name in ("f1", "screening") for what in ("sensitivity", "specificity")]
            if at
            else []
        )
        interval = intervals.get(label)
        shown = "{:.3f} to {:.3f}".format(*interval) if interval else "—"
        rows.append([label, positives[label], "—" if auc is None else f"{auc:.4f}", shown, *(points or ["—"] * 4)])
    columns = [
        "label",
        "positives",
        "AUC",
        "95 % interval",
        "sensitivity (flag)",
        "specificity (flag)",
        "sensitivity (screening)",
        "specificity (screening)",
    ]
    lines = [
        "## Measured",
        "",
        f"Macro AUC **{metrics['macro_auc']:.4f}** (95 % interval {low:.4f} to {high:.4f}, bootstrap over patients) on "
        f"{_plain(metrics['records'])} records of {_plain(metrics['data'])}{simulated}, "
        f"{_plain(_folds(metrics))}.{chosen}{missing}",
        "",
        *_table(columns, rows),
        "",
        f"Macro average precision {metrics['macro_average_precision']:.4f}, Fmax {metrics['fmax']:.4f}, Brier score "
        f"{metrics['brier']:.4f}, calibration error {metrics['ece']:.4f}.",
        "",
    ]
    if groups := metrics.get("subgroups"):
        rows = [
            [name, _of_subgroup(group, metrics), f"{group['macro_auc']:.4f}", "{:.4f} to {:.4f}".format(*group["ci"])]
            for name, group in groups.items()
        ]
        lines += [*_table(["records of", "number", "macro AUC", "95 % interval"], rows), ""]
    if metrics.get("reliability"):
        lines += [f"![Predicted against observed frequency]({CALIBRATION_PLOT})", ""]
    return lines


def _by_label(metrics: Mapping[str, Any], of_classes: str, of_aggregate: str) -> dict[str, Any]:
    """One figure of every class and aggregate; older configs do not have all."""
    aggregates = {name: figures[of_aggregate] for name, figures in metrics.get("aggregates", {}).items()}
    return {**metrics.get(of_classes, {}), **aggregates}


def _of_subgroup(group: Mapping[str, Any], metrics: Mapping[str, Any]) -> str:
    """Its records, and how many classes its macro AUC is of, if it lacks some; older configs do not say."""
    of_all = sum(auc is not None for auc in metrics.get("per_class", {}).values())
    classes = group.get("classes", of_all)
    return f"{group['records']} ({classes} of {of_all} classes)" if classes < of_all else str(group["records"])


def _usable(config: ModelConfig) -> list[str]:
    """Which labels give findings, and why the others do not."""
    if not config.metrics.get("per_class_ci"):
        return []
    positives = _by_label(config.metrics, "positives", "positives")
    intervals = _by_label(config.metrics, "per_class_ci", "ci")
    found = [label for label in config.labels if label in config.thresholds]
    few = [label for label in config.labels if label not in found and positives.get(label, 0) < LEAST_POSITIVES]
    rest = [label for label in config.labels if label not in found and label not in few]
    weak = [label for label in rest if intervals.get(label)]
    alone = [label for label in rest if not intervals.get(label)]
    lines = [f"**Labels with findings: {len(found)} of {len(config.labels)}.** {_plain(', '.join(found) or 'none')}."]
    if weak:
        lines.append(
            f"These do not work on {_leads(config)} (the 95 % interval of their AUC reaches {LEAST_AUC:g} or "
            f"less), and give no finding: {_plain(', '.join(weak))}."
        )
    if few:
        lines.append(
            f"These had fewer than {LEAST_POSITIVES} positive records, too few to say, and give no finding: "
            f"{_plain(', '.join(few))}."
        )
    if alone:
        lines.append(
            "These had too few patients with or without them for an interval of their AUC, and give no finding: "
            f"{_plain(', '.join(alone))}."
        )
    return [part for line in lines for part in (line, "")]


def _training(training: Mapping[str, Any]) -> list[str]:
    if not training:
        return []
    shown = {name: value for name, value in training.items() if name != "recipe"}
    return [
        "## Training",
        "",
        *(
            f"- {_plain(name)}: {_plain(value if isinstance(value, str) else json.dumps(value))}"
            for name, value in shown.items()
        ),
        "",
        *(["```json", json.dumps(training["recipe"]), "```", ""] if "recipe" in training else []),
    ]


def _leads(config: ModelConfig) -> str:
    return f"lead{'s' * (len(config.leads) > 1)} {', '.join(config.leads)}"


def _folds(metrics: Mapping[str, Any]) -> str:
    return f"fold{'s' * (len(metrics['folds']) > 1)} {', '.join(map(str, metrics['folds']))}"


def _line(text: object) -> str:
    """`text` in one printable line."""
    return printable(" ".join(str(text).split()))


def _plain(text: object) -> str:
    """`text` in one line of Markdown that is neither HTML nor an image."""
    return html.escape(_line(text), quote=False).replace("![", "!\\[")


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    def cell(value: object) -> str:
        return _plain(value).replace("|", "\\|")

    return [f"| {' | '.join(map(cell, row))} |" for row in (columns, ["---"] * len(columns), *rows)]


def plot_calibration(config: ModelConfig) -> bytes:
    """Predicted against observed frequency, all labels together, as PNG."""
    from matplotlib.figure import Figure

    predicted, observed, counts = zip(*config.metrics["reliability"], strict=True)
    figure = Figure(figsize=(4.5, 4.5), layout="constrained")
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=1)
    axes.scatter(predicted, observed, s=[10 + 190 * count / max(counts) for count in counts])
    title = f"{_line(config.metrics['data'])}, {_folds(config.metrics)}, ECE {config.metrics['ece']:.3f}"
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="predicted probability", ylabel="observed frequency", title=title)
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=100, metadata={"Software": None})
    return drawn.getvalue()
