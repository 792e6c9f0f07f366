"""Weights that come with ecgzoo, one folder ``backbone.tag`` each; ``recipes/README.md`` has the commands for them."""

from pathlib import Path


def folder(name: str) -> Path:
    """The folder of the packaged weights `name`."""
    return Path(__file__).parent / name
