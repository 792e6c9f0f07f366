"""Add a trained model to the package as ``backbone.TAG``: python -m ecgzoo.weights.packaged FOLDER TAG."""

import sys
from pathlib import Path

from ecgzoo.weights import load_pretrained, save_pretrained


def main(folder: str, tag: str) -> None:
    """Load the model in `folder`, verify it and save it in the package, without its checkpoint and log."""
    model = load_pretrained(folder)
    trained = model.config.training
    made_by = (trained, trained.get("calibrated_with", trained))
    if any(by.get("revision", "dirty").endswith("dirty") for by in made_by):
        sys.exit(f"{folder} was made with code that was not committed; commit it and make it again")
    name = f"{model.config.architecture}.{tag}"
    print(save_pretrained(model, Path(__file__).parent / name, source=name))


if __name__ == "__main__":
    main(*sys.argv[1:])
