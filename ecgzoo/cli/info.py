"""``ecgzoo info``: describe the model that ``predict --model`` uses, or a backbone."""

import dataclasses
import json
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from ecgzoo.cli.messages import cell
from ecgzoo.errors import RegistryError, WeightsError, did_you_mean


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", help="as for predict --model: name, name.tag, a folder, or hf-hub:org/name")
    parser.add_argument("--leads", help="describe the untrained backbone with these leads, by name or number")
    parser.add_argument("--num-classes", type=int, help="describe the untrained backbone with this number of classes")
    parser.add_argument("--json", action="store_true", help="print JSON, with every field of the config")


def run(given: Namespace) -> None:
    """Describe the model that predict --model NAME uses: leads, windows, classes, thresholds, metrics, origin.

    A backbone without trained weights, or with --leads or --num-classes, is described as it is before training.
    """
    from ecgzoo.create import create_model
    from ecgzoo.weights import load_pretrained

    untrained = given.leads is not None or given.num_classes is not None or not _has_weights(given.name)
    model = (
        create_model(given.name, given.leads or "I", given.num_classes) if untrained else load_pretrained(given.name)
    )
    values = {
        "weights_source": dataclasses.asdict(model.weights_source) if model.weights_source else None,
        **model.config.to_dict(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "num_features": model.num_features,
        "head_hidden_size": model.head_hidden_size,
        "feature_info": model.feature_info,
    }
    if given.json:
        print(json.dumps(values, indent=2))
        return
    table = Table(Column(overflow="fold"), Column(overflow="fold"), show_header=False)
    try:
        for name, text in _rows(values):
            table.add_row(name, cell(text))
        labels = _labels(values, model.config.labels) if model.config.classes else None
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{given.name}: the config's metrics or training cannot be shown ({error!r}); --json prints them as is"
        ) from error
    console = Console()
    console.print(table)
    if labels:
        console.print(labels)


def _has_weights(name: str) -> bool:
    """Whether `name` stands for trained weights; False for a backbone that has none.

    Raises:
        RegistryError: it stands for neither.
    """
    from ecgzoo import registry
    from ecgzoo.weights.resolve import is_folder, lookup_weights

    if ":" in name.rpartition("::")[2] or is_folder(Path(name)) or registry.has("weights", name):
        return True
    if not registry.has("backbone", name):
        known = {*registry.names("backbone"), *registry.names("weights")}
        missing = registry.to_install("backbone", name.partition(".")[0])
        raise RegistryError(
            f"{name!r} is not a folder, and no backbone and no weights have this name. "
            f"{missing or did_you_mean(name, known)}"
        )
    try:
        lookup_weights(name)
    except WeightsError:
        return False
    return True


def _rows(values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    source, normalization, training = values["weights_source"], values["normalization"], values["training"]
    yield "backbone", f"{values['architecture']}, {values['parameters']:,} parameters"
    yield "weights", f"{source['origin']}: {source['location']}" if source else "none: untrained"
    if source:
        yield "sha256", source["sha256"]
    yield "leads", ", ".join(values["leads"])
    yield "input", f"{values['units']} at {values['rate_hz']:g} Hz"
    yield (
        "windows",
        f"{values['window_s']:g} s every {values['stride_s']:g} s, probabilities by {values['aggregation']}",
    )
    yield (
        "normalization",
        (
            f"one mean ({normalization['mean_mv']:.5f} mV) and deviation ({normalization['std_mv']:.5f} mV)"
            if normalization["kind"] == "mv_global"
            else "the mean and deviation of each window"
        )
        + (f", without what is slower than {hertz:g} Hz" if (hertz := normalization["highpass_hz"]) else ""),
    )
    if not values["classes"]:
        yield "classes", f"{values['num_classes']}, without names"
        return
    yield "task", str(values["task"])
    yield "temperature", f"{values['temperature']:.4g}, chosen on {values['calibrated_on'] or 'no records'}"
    yield from _measured(values["metrics"])
    if not training:
        yield "training", "not recorded"
    for name, value in training.items():
        if name != "recipe":
            yield f"training, {cell(name)}", value if isinstance(value, str) else json.dumps(value)
    yield "license", values["license"]
    yield "intended use", values["intended_use"]


def _measured(metrics: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if not metrics:
        yield "measured", "not recorded"
        return
    low, high = metrics["ci"]
    simulated = " (simulated)" if metrics.get("simulated") else ""
    chosen = "; epoch and thresholds were chosen on these records" if metrics.get("chosen_on_these_folds") else ""
    yield (
        "macro AUC",
        f"{metrics['macro_auc']:.4f} (95 % interval {low:.4f} to {high:.4f}) on {metrics['records']} records of "
        f"{metrics['data']}{simulated}, folds {', '.join(map(str, metrics['folds']))}{chosen}",
    )
    for name, group in metrics.get("subgroups", {}).items():
        low, high = group["ci"]
        said = f"{group['macro_auc']:.4f} ({low:.4f} to {high:.4f}), {group['records']} records"
        yield f"macro AUC, {cell(name)}", said


def _labels(values: Mapping[str, Any], labels: Sequence[str]) -> Table:
    """One row per label: what it means, its AUC, and where its calibrated probability becomes which finding."""
    titles = "label", "meaning", "AUC", "uncertain from", "present from"
    table = Table(*(Column(title, overflow="fold") for title in titles))
    aucs = dict(values["metrics"].get("per_class", {}))
    aucs |= {name: of_any["auc"] for name, of_any in values["metrics"].get("aggregates", {}).items()}
    for name in labels:
        points, auc = values["thresholds"].get(name), aucs.get(name)
        limits = ["no finding", "no finding"]
        if points:
            never = points["lower"] >= points["upper"]
            limits = ["never" if never else f"{points['lower']:.3f}", f"{max(points['f1'], points['upper']):.3f}"]
        meaning = values["class_info"].get(name, {}).get("name", "—")
        table.add_row(*map(cell, (name, meaning, "—" if auc is None else f"{auc:.4f}", *limits)))
    return table
