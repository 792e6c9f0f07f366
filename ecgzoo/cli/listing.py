"""``ecgzoo list``: what is registered, and which distribution provides it."""

from argparse import ArgumentParser, Namespace

from rich.cells import cell_len
from rich.console import Console
from rich.table import Column, Table

from ecgzoo import registry
from ecgzoo.cli.messages import cell
from ecgzoo.plugins import KINDS


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("pattern", nargs="?", default="*", help="shell pattern, such as 'xresnet*'")
    parser.add_argument("--kind", default="", help=f"{', '.join(KINDS)}; all if not given")
    parser.add_argument("--pretrained", action="store_true", help="list weights only; same as --kind weights")


def run(given: Namespace) -> None:
    """List backbones, losses, transforms, readers, data sets, weights and recipes."""
    console, table = Console(), Table(*(Column(title, overflow="fold") for title in ("kind", "name", "from", "what")))
    kind = "weights" if given.pretrained else given.kind
    for shown in [kind] if kind else KINDS:
        for name in registry.names(shown, given.pattern):
            found = registry.lookup(shown, name)
            what = found.spec.summary
            if found.spec.deprecated_by:
                what += f" (deprecated: use {found.spec.deprecated_by})"
            table.add_row(shown, *map(cell, (name, f"{found.distribution} {found.version}", what)))
        for family, number in registry.families(shown).items() if given.pattern == "*" else ():
            table.add_row(shown, cell(family), "", f"{number} more; list them with: ecgzoo list '{cell(family)}'")
    # people copy a name: it stays in one line, or is folded where the terminal is too narrow, but never cut
    names = table.columns[1]
    names.no_wrap = max(map(cell_len, map(str, names.cells)), default=0) <= console.width // 2
    console.print(table)
