"""``ecgzoo plugins``: who provides what, who failed, who collides. It never fails itself."""

import dataclasses
import json
from argparse import ArgumentParser, Namespace
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from ecgzoo import registry
from ecgzoo.cli.messages import cell
from ecgzoo.errors import printable
from ecgzoo.plugins import KINDS, load_plugins


def add_arguments(parser: ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(given: Namespace) -> None:
    """List installed plugins: distribution, version, what each provides; those left out, with their error."""
    loaded = load_plugins()
    conflicts = [conflict for kind in KINDS for conflict in registry.conflicts(kind)]
    if given.json:
        values: dict[str, Any] = {
            "plugins": [
                {
                    "distribution": plugin.distribution,
                    "version": plugin.version,
                    "entry": plugin.entry,
                    "provides": [{"kind": kind, **dataclasses.asdict(spec)} for kind, spec in plugin.provides],
                }
                for plugin in loaded.plugins
            ],
            "failures": [
                {key: getattr(failure, key) for key in ("distribution", "version", "entry", "phase", "error")}
                for failure in loaded.failures
            ],
            "conflicts": [dataclasses.asdict(conflict) for conflict in conflicts],
        }
        print(json.dumps(values, indent=2, default=str))
        return
    table = Table(*(Column(title, overflow="fold") for title in ("distribution", "version", "entry", "provides")))
    for plugin in loaded.plugins:
        provides = [
            f"{kind}: {', '.join(spec.name for provided, spec in plugin.provides if provided == kind)}"
            for kind in dict.fromkeys(kind for kind, _ in plugin.provides)
        ]
        source = map(cell, (plugin.distribution, plugin.version, plugin.entry))
        table.add_row(*source, "\n".join(map(cell, provides)) or "nothing")
    for failure in loaded.failures:
        cells = (failure.distribution, failure.version, failure.entry, f"failed at {failure.phase}")
        table.add_row(*map(cell, cells), style="red")
    console = Console()
    console.print(table)
    for failure in loaded.failures:
        console.print(f"left out: {printable(failure)}", markup=False, soft_wrap=True)
    for conflict in conflicts:
        keeps = f"{conflict.kept} keeps the bare name" if conflict.kept else "several plugins provide the bare name"
        refused = f"{conflict.refused}::{conflict.name}"
        console.print(
            printable(f"{conflict.kind} {conflict.name} of {conflict.refused} is {refused}; {keeps}"),
            markup=False,
            soft_wrap=True,
        )
