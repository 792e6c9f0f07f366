"""docs/results.md is what its command makes of the committed runs."""

import json
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]


def test_the_page_is_not_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PROJECT / "benchmarks" / "paper")
    import page

    results = PROJECT / "benchmarks" / "results"
    lines = page.read_lines(results / "paper.jsonl")
    summary = json.loads((results / "paper_summary.json").read_text(encoding="utf-8"))
    shown = (PROJECT / "docs" / "results.md").read_text(encoding="utf-8")
    assert shown == page.render(lines, summary, *page.evidence())
    for name in ("page", "grid", "attempts"):
        sys.modules.pop(name)
