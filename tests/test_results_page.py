"""docs/results.md is what its command makes of the committed runs."""

import dataclasses
import json
import runpy
from pathlib import Path

from benchmarks.paper import grid, page

PROJECT = Path(__file__).parents[1]


def test_the_page_is_not_typed() -> None:
    results = PROJECT / "benchmarks" / "results"
    lines, fewer = (page.read_lines(results / f"{name}.jsonl") for name in ("paper", "paper_quick"))
    summary = json.loads((results / "paper_summary.json").read_text(encoding="utf-8"))
    shown = (PROJECT / "docs" / "results.md").read_text(encoding="utf-8")
    assert shown == page.render(lines, fewer, summary, *page.evidence())


def test_the_grid_runs_the_recipe_of_its_name() -> None:
    plus = runpy.run_path(str(PROJECT / "recipes" / "mvkt_plus.py"))["RECIPE"]
    arm = dataclasses.replace(grid.COMMON, **page.ARMS["mvkt plus"])
    others = ("data", "train_folds", "val_folds", "test_folds", "output", "compare", "aux_task")
    for field in dataclasses.fields(plus):
        if field.name not in others:
            assert getattr(plus, field.name) == getattr(arm, field.name), field.name


def test_the_grid_ends_with_the_differences_of_the_page() -> None:
    results = PROJECT / "benchmarks" / "results"
    verdicts = json.loads((results / "paper_summary.json").read_text(encoding="utf-8"))["grid"]["verdicts"]
    rows = grid.summary(page.read_lines(results / "paper.jsonl")).splitlines()
    for lead, arm in (("I", "mkd"), ("I", "mvkt plus"), ("II", "kd")):
        (row,) = [row for row in rows if row.split()[:-3] == [lead, *arm.split()]]
        assert row.endswith(f"{verdicts[lead][arm]['difference']:+.4f}")
