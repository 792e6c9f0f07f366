"""docs/results.md is what its command makes of the committed runs."""

import dataclasses
import json
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

PROJECT = Path(__file__).parents[1]


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(PROJECT / "benchmarks" / "paper")
    import page

    yield page
    for name in ("page", "grid", "attempts"):
        sys.modules.pop(name)


def test_the_page_is_not_typed(page: ModuleType) -> None:
    results = PROJECT / "benchmarks" / "results"
    lines, fewer = (page.read_lines(results / f"{name}.jsonl") for name in ("paper", "paper_quick"))
    summary = json.loads((results / "paper_summary.json").read_text(encoding="utf-8"))
    shown = (PROJECT / "docs" / "results.md").read_text(encoding="utf-8")
    assert shown == page.render(lines, fewer, summary, *page.evidence())


def test_the_grid_runs_the_recipe_of_its_name(page: ModuleType) -> None:
    plus = runpy.run_path(str(PROJECT / "recipes" / "mvkt_plus.py"))["RECIPE"]
    arm = dataclasses.replace(sys.modules["grid"].COMMON, **page.ARMS["mvkt plus"])
    others = ("data", "train_folds", "val_folds", "test_folds", "output", "compare", "aux_task")
    for field in dataclasses.fields(plus):
        if field.name not in others:
            assert getattr(plus, field.name) == getattr(arm, field.name), field.name


def test_the_grid_ends_with_the_differences_of_the_page(page: ModuleType) -> None:
    results = PROJECT / "benchmarks" / "results"
    verdicts = json.loads((results / "paper_summary.json").read_text(encoding="utf-8"))["grid"]["verdicts"]
    rows = sys.modules["grid"].summary(page.read_lines(results / "paper.jsonl")).splitlines()
    for lead, arm in (("I", "mkd"), ("I", "mvkt plus"), ("II", "kd")):
        (row,) = [row for row in rows if row.split()[:-3] == [lead, *arm.split()]]
        assert row.endswith(f"{verdicts[lead][arm]['difference']:+.4f}")
