"""``ecgzoo info``: one backbone, or one set of weights."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(help="a backbone, or weights: name.tag, a folder, hf-hub:org/name")],
    leads: Annotated[str, typer.Option(help="leads by name or number, for a backbone")] = "I",
    num_classes: Annotated[int, typer.Option(help="classes, for a backbone")] = 5,
) -> None:
    """Describe a backbone, or a model with its weights, as JSON."""
    from ecgzoo import registry
    from ecgzoo.create import create_model
    from ecgzoo.weights import load_pretrained

    is_weights = ":" in name.split("::")[-1] or Path(name).is_dir() or registry.has("weights", name)
    model = load_pretrained(name) if is_weights else create_model(name, leads, num_classes)
    values = {
        "weights_source": dataclasses.asdict(model.weights_source) if model.weights_source else None,
        **model.config.to_dict(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "num_features": model.num_features,
        "head_hidden_size": model.head_hidden_size,
        "feature_info": model.feature_info,
    }
    print(json.dumps(values, indent=2))
