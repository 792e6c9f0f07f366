"""``ecgzoo predict``: a model on one recording."""

import json
from pathlib import Path
from typing import Annotated

import typer


def command(
    record: Annotated[Path, typer.Argument(help="WFDB record, with or without its extension")],
    model: Annotated[str, typer.Option(help="a folder, a name or name.tag of installed weights, or hf-hub:org/name")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """Apply a model to a recording. Research use only."""
    from ecgzoo.weights import load_pretrained

    prediction = load_pretrained(model).predict(record)
    print(json.dumps(prediction.to_dict(), indent=2) if as_json else prediction)
