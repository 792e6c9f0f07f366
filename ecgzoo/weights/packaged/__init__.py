"""Weights that come with ecgzoo: one folder ``backbone.tag`` each, written by the commands in ``recipes/README.md``."""

from pathlib import Path


def folder(name: str) -> Path:
    """Where the packaged weights `name` lie."""
    return Path(__file__).parent / name
