"""Put a trained model into the package, as the tag ``backbone.TAG``: python -m ecgzoo.weights.packaged FOLDER TAG."""

import sys
from pathlib import Path

from ecgzoo.weights import load_pretrained, save_pretrained


def main(folder: str, tag: str) -> None:
    """Write the model of `folder` again, verified, without the checkpoint and the log that lie beside it."""
    model = load_pretrained(folder)
    if model.config.training.get("revision", "dirty").endswith("dirty"):
        sys.exit(f"{folder} was trained from code that is in no commit; commit it and train again")
    name = f"{model.config.architecture}.{tag}"
    print(save_pretrained(model, Path(__file__).parent / name, source=name))


if __name__ == "__main__":
    main(*sys.argv[1:])
