"""Shared by all benchmarks: a table on the terminal, and the same figures as JSON with their provenance."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ecgzoo.files import write_json, write_text
from ecgzoo.provenance import provenance

CHECKOUT = Path(__file__).parents[1]  # the directory in which `-m benchmarks.…` and `from benchmarks import …` work
RESULTS = CHECKOUT / "benchmarks" / "results"


def report(name: str, limit: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print `rows` and write ``results/<name>.json``; `limit` describes the limit of the figures."""
    show(name, limit, rows)
    write(name, limit, rows)


def write(name: str, limit: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Only write ``results/<name>.json``."""
    write_json(RESULTS / f"{name}.json", {"limit": limit, "rows": [dict(row) for row in rows], **provenance()})


def show(name: str, limit: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Only print `rows`."""
    table = Table(*rows[0], title=name, caption=limit)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console(width=150).print(table)  # a pipe would get 80


def write_between(marker: str, texts: Mapping[str, str]) -> None:
    """Replace the text between ``<!-- marker -->`` and ``<!-- /marker -->`` in pages of the checkout.

    Args:
        marker: name of the markers.
        texts: the new text for each page.
    """
    for name, text in texts.items():
        page = CHECKOUT / name
        before, begin, rest = page.read_text(encoding="utf-8").partition(f"<!-- {marker} -->\n")
        _, end, after = rest.partition(f"<!-- /{marker} -->")
        if not end:
            raise SystemExit(f"{name} has no <!-- {marker} --> followed by <!-- /{marker} -->; add both markers")
        write_text(page, f"{before}{begin}{text}{end}{after}")


def peak_growth_mb(call: Callable[[], object]) -> float:
    """Growth of this process's peak memory during `call`, in MB (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = _status_kb("VmRSS")
    call()
    return (_status_kb("VmHWM") - before) / 1024


def memory_mb() -> float:
    """This process's memory now, in MB (Linux)."""
    return _status_kb("VmRSS") / 1024


def _status_kb(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1])
