"""``ecgzoo plugins``: what each plugin provides, failures and name conflicts; ``--check`` runs conformance checks."""

import dataclasses
import json
import sys
import traceback
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from ecgzoo import registry
from ecgzoo.cli.messages import cell
from ecgzoo.errors import RegistryError, did_you_mean, printable
from ecgzoo.plugins import KINDS, load_plugins


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--check", metavar="NAME", help="check a plugin, by distribution, or one registered name")
    parser.add_argument("--root", type=Path, metavar="DIR", help="folder of a data set's files, for --check")


def run(given: Namespace) -> None:
    """List the installed plugins, what each provides, and which failed; or check one.

    A check that fails exits with status 1.
    """
    if given.check:
        check(given.check, given.root, given.json)
        return
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
        available = [(kind, spec.name) for kind, spec in plugin.provides if not spec.unavailable]
        provides = [
            f"{kind}: {', '.join(_shown([name for provided, name in available if provided == kind]))}"
            for kind in dict.fromkeys(kind for kind, _ in available)
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
        if registry.strict():
            for line in "".join(traceback.format_exception(failure.exception)).splitlines():
                console.print(f"  {printable(line)}", markup=False, highlight=False, soft_wrap=True)
    for conflict in conflicts:
        keeps = f"{conflict.kept} keeps the bare name" if conflict.kept else "several plugins provide the bare name"
        refused = f"{conflict.refused}::{conflict.name}"
        console.print(
            printable(f"{conflict.kind} {conflict.name} of {conflict.refused} is {refused}; {keeps}"),
            markup=False,
            soft_wrap=True,
        )


def _shown(names: Sequence[str]) -> list[str]:
    """`names`, with one entry for each family such as ``timm/``, which may have hundreds."""
    families = Counter(name.rpartition("/")[0] for name in names if "/" in name)
    members = [f"{family}/* ({count} names)" for family, count in families.items()]
    return [name for name in names if "/" not in name] + members


def check(name: str, root: Path | None, as_json: bool) -> None:
    """Run the conformance checks on what a distribution provides, or on what is called `name`; exit 1 on failure.

    Raises:
        RegistryError: nothing has this name.
    """
    from ecgzoo.testing import assert_nothing_overdue
    from ecgzoo.testing import check as check_one

    loaded = load_plugins()
    failed = [failure for failure in loaded.failures if failure.distribution == name]
    of_name = [plugin for plugin in loaded.plugins if plugin.distribution == name]
    things = [(kind, f"{name}::{spec.name}") for plugin in of_name for kind, spec in plugin.provides]
    if not (of_name or failed):
        things = [(kind, name) for kind in KINDS if registry.has(kind, name)]
    if not (things or of_name or failed):
        known = {name for kind in KINDS for name in registry.names(kind)}
        known |= {plugin.distribution for plugin in loaded.plugins}
        known |= {failure.distribution for failure in loaded.failures}
        raise RegistryError(f"no plugin and no registered name is {name!r}. {did_you_mean(name, known)}")
    rows = [("plugin", failure.entry, [str(failure)], list[str]()) for failure in failed]
    for kind, thing in things:
        with redirect_stdout(sys.stderr):  # what a plugin prints must not get into the JSON
            findings = check_one(kind, thing, root)
        kept = f"{len(findings.clauses)} check{'s' * (len(findings.clauses) != 1)}"
        notes = [f"{what}: {note}" for what, note in findings.notes.items()]
        rows.append((kind, thing, findings.failures, [kept, *notes]))
    if of_name:
        try:
            assert_nothing_overdue(name)
        except AssertionError as error:
            rows.append(("plugin", name, [str(error)], []))
    passed = not any(failures for _, _, failures, _ in rows)
    if as_json:
        names = ("kind", "name", "failures", "notes")
        print(json.dumps({"passed": passed, "checked": [dict(zip(names, row, strict=True)) for row in rows]}, indent=2))
    else:
        table = Table(*(Column(title, overflow="fold") for title in ("kind", "name", "result", "what was found")))
        for kind, thing, failures, notes in rows:
            result = ("[red]failed[/red]" if failures else "passed", "\n".join(map(cell, [*failures, *notes])))
            table.add_row(kind, cell(thing.removeprefix(f"{name}::")), *result)
        Console().print(table)
    if not passed:
        sys.exit(1)
