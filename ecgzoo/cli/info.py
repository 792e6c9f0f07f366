"""``ecgzoo info``: one backbone, or one folder of weights."""

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    name: Annotated[str, typer.Argument(help="a backbone's name, or a folder of weights")],
    leads: Annotated[str, typer.Option(help="leads by name or number, for a backbone")] = "I",
    num_classes: Annotated[int, typer.Option(help="classes, for a backbone")] = 5,
) -> None:
    """Describe a backbone, or the model in a folder, as JSON."""
    from ecgzoo.create import create_model
    from ecgzoo.weights import load_pretrained

    model = load_pretrained(name) if Path(name).is_dir() else create_model(name, leads, num_classes)
    values = {
        **model.config.to_dict(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "num_features": model.num_features,
        "head_hidden_size": model.head_hidden_size,
        "feature_info": model.feature_info,
    }
    print(json.dumps(values, indent=2))
