"""What a user of an exported file must know, as JSON values by name (docs/export.md)."""

from importlib.metadata import version
from typing import Any

from ecgzoo.model import EcgModel
from ecgzoo.weights.folder import unchanged_sha256

CONTRACT = 1  # increased when a file's input, output or metadata change their meaning
USE = "research use only"


def metadata(model: EcgModel, samples: int | None) -> dict[str, Any]:
    """The metadata of an exported `model`; `samples` is the length of its input, or None for any from a window on."""
    config, source, sha256 = model.config, model.weights_source, unchanged_sha256(model)
    return {
        "contract": CONTRACT,
        "use": USE,
        "tag": source.location.partition(" ")[0] if source and sha256 and source.origin == "packaged" else None,
        "architecture": config.architecture,
        "sha256": sha256,
        "ecgzoo": version("ecgzoo"),
        "license": config.license,
        "units": config.units,
        "leads": list(config.leads),
        "rate_hz": config.rate_hz,
        "samples": samples,
        "window": config.window,
        "stride": config.stride,
        "aggregation": config.aggregation,
        "temperature": config.temperature,
        "labels": list(config.labels),
        "names": {label: config.class_info.get(label, {}).get("name", label) for label in config.labels},
        "aggregates": {name: list(members) for name, members in config.aggregates.items()},
        "thresholds": {label: dict(points) for label, points in config.thresholds.items()},
    }
