"""``ecgzoo info``: one backbone, or one set of weights."""

import dataclasses
import json
from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("name", help="a backbone, or weights: name.tag, a folder, hf-hub:org/name")
    parser.add_argument("--leads", default="I", help="leads by name or number, for a backbone")
    parser.add_argument("--num-classes", type=int, default=5, help="classes, for a backbone")


def run(given: Namespace) -> None:
    """Describe a backbone, or a model with its weights, as JSON."""
    from ecgzoo import registry
    from ecgzoo.create import create_model
    from ecgzoo.weights import load_pretrained
    from ecgzoo.weights.resolve import is_folder

    name = given.name
    is_weights = ":" in name.split("::")[-1] or is_folder(Path(name)) or registry.has("weights", name)
    model = load_pretrained(name) if is_weights else create_model(name, given.leads, given.num_classes)
    values = {
        "weights_source": dataclasses.asdict(model.weights_source) if model.weights_source else None,
        **model.config.to_dict(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "num_features": model.num_features,
        "head_hidden_size": model.head_hidden_size,
        "feature_info": model.feature_info,
    }
    print(json.dumps(values, indent=2))
