"""The model card, rendered from the config: nothing in it is typed by hand."""

from ecgzoo.config import ModelConfig


def render_card(config: ModelConfig) -> str:
    """Markdown for the folder's README.md."""
    lines = [
        "---",
        "library_name: ecgzoo",
        "tags: [ecg, " + ("single-lead" if len(config.leads) == 1 else "multi-lead") + "]",
        "---",
        "",
        f"# {config.architecture} on lead{'s' * (len(config.leads) > 1)} {', '.join(config.leads)}",
        "",
        "**Research use only. Not a medical device.**",
        "",
    ]
    if config.training.get("simulated"):
        lines += ["**Trained on a *simulated* cohort: it has never seen a patient's recording.**", ""]
    lines += [
        f"- input: millivolts at {config.rate_hz:g} Hz, leads {', '.join(config.leads)}, "
        f"normalised by ({config.normalisation.mean_mv:.5f}, {config.normalisation.std_mv:.5f}) mV",
        f"- windows: {config.window_s:g} s every {config.stride_s:g} s, aggregated by {config.aggregation}",
        f"- task: {config.task}, labels {', '.join(config.labels)}",
    ]
    lines += [f"- {name}: {value}" for name, value in sorted(config.training.items())]
    if config.metrics:
        low, high = config.metrics["ci"]
        simulated = " (simulated)" if config.metrics.get("simulated") else ""
        lines += [
            "",
            "## Measured",
            "",
            f"Macro AUC {config.metrics['macro_auc']:.4f} (95 % interval {low:.4f} to {high:.4f}, patients resampled) "
            f"on {config.metrics['records']} records of {config.metrics['data']}{simulated}, folds "
            f"{', '.join(map(str, config.metrics['folds']))}.",
            "",
            "| class | AUC |",
            "|---|---|",
        ]
        lines += [
            f"| {name} | {'—' if auc is None else format(auc, '.4f')} |"
            for name, auc in config.metrics["per_class"].items()
        ]
    lines += [
        "",
        "## Load",
        "",
        "```python",
        "import ecgzoo",
        "",
        'model = ecgzoo.load_pretrained("FOLDER")',
        "```",
        "",
    ]
    return "\n".join(lines)
