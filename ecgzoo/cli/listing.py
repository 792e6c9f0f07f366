"""``ecgzoo list``: what there is, and which distribution provides it."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ecgzoo import registry
from ecgzoo.plugins import KINDS, load_plugins


def command(
    pattern: Annotated[str, typer.Argument(help="shell pattern, such as 'xresnet*'")] = "*",
    kind: Annotated[str, typer.Option(help="backbone, loss or dataset; all if not given")] = "",
) -> None:
    """List backbones, losses and data sets."""
    table = Table("kind", "name", "from", "what")
    for shown in [kind] if kind else ["backbone", "loss", "dataset"]:
        for name in registry.names(shown, pattern):
            found = registry.lookup(shown, name)
            table.add_row(shown, name, f"{found.distribution} {found.version}", found.spec.summary)
    console = Console()
    console.print(table)
    for failure in load_plugins().failures:
        console.print(f"left out: {failure}")
    for shown in KINDS:
        for conflict in registry.conflicts(shown):
            console.print(
                f"{shown} {conflict.name} of {conflict.refused} is reached as {conflict.refused}::{conflict.name}; "
                f"{conflict.kept} keeps the bare name"
            )
