"""``ecgzoo list``: what there is, and which distribution provides it."""

from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ecgzoo import registry
from ecgzoo.plugins import KINDS


def command(
    pattern: Annotated[str, typer.Argument(help="shell pattern, such as 'xresnet*'")] = "*",
    kind: Annotated[str, typer.Option(help=f"{', '.join(KINDS)}; all if not given")] = "",
    pretrained: Annotated[bool, typer.Option("--pretrained", help="weights only, as --kind weights")] = False,
) -> None:
    """List backbones, losses, data sets, weights and recipes."""
    # a name is folded, not cut: it is there to be copied
    table = Table(*(Column(title, overflow="fold") for title in ("kind", "name", "from", "what")))
    kind = "weights" if pretrained else kind
    for shown in [kind] if kind else KINDS:
        for name in registry.names(shown, pattern):
            found = registry.lookup(shown, name)
            what = found.spec.summary
            if found.spec.deprecated_by:
                what += f" (deprecated: use {found.spec.deprecated_by})"
            table.add_row(shown, *map(escape, (name, f"{found.distribution} {found.version}", what)))
    Console().print(table)
