"""What every benchmark shares: a table on the terminal, and the same figures as JSON beside their provenance."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from ecgzoo.files import write_json
from ecgzoo.provenance import provenance

RESULTS = Path(__file__).parent / "results"


def report(name: str, limit: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print `rows` and write ``results/<name>.json``; `limit` says what the figures are held against."""
    table = Table(*rows[0], title=name, caption=limit)
    for row in rows:
        table.add_row(*(f"{value:.4g}" if isinstance(value, float) else str(value) for value in row.values()))
    Console().print(table)
    write_json(RESULTS / f"{name}.json", {"limit": limit, "rows": [dict(row) for row in rows], **provenance()})
