"""README's figures are those of benchmarks/results, and these are of what is packaged."""

import json
from pathlib import Path

import pytest

import ecgzoo
from benchmarks import students
from benchmarks.paper import page
from ecgzoo.data.synthetic import load_synthetic

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RESULTS = ROOT / "benchmarks" / "results"
ROWS = json.loads((RESULTS / "students.json").read_text(encoding="utf-8"))["rows"]


def between(text: str, marker: str) -> str:
    return text.partition(f"<!-- {marker} -->\n")[2].partition(f"<!-- /{marker} -->")[0]


def test_every_packaged_model_was_measured() -> None:
    assert [row["weights"] for row in ROWS] == students.packaged()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["weights"])
def test_a_row_is_what_the_package_holds(row: dict[str, object]) -> None:
    model = ecgzoo.load_pretrained(row["weights"])
    of_model = {**students.of_config(row["weights"], model.config), **students.sizes(row["weights"], model)}
    assert {name: row[name] for name in of_model} == of_model


def test_the_tables_are_not_typed() -> None:
    for name, table in students.tables(ROWS).items():
        assert between((ROOT / name).read_text(encoding="utf-8"), "students") == table


def test_the_table_stays_short_however_many_models_there_are() -> None:
    row = ROWS[0]
    many = [
        {**row, "task": f"task {task}", "leads": lead, "macro AUC": 0.5 + task / 100}
        for task in range(9)
        for lead in ("I", 12)
    ]
    twice = [*many, *({**other, "macro AUC": other["macro AUC"] + 0.001} for other in many)]
    shown = students.best(twice)
    assert len(shown) == students.MOST_ROWS
    assert {other["leads"] for other in shown} == {"I"}
    assert [other["macro AUC"] for other in shown] == sorted(
        (other["macro AUC"] for other in twice[-18::2]), reverse=True
    )[:8]


def test_the_headline_is_not_typed() -> None:
    summary = json.loads((RESULTS / "paper_summary.json").read_text(encoding="utf-8"))
    assert between(README, "headline") == page.headline(summary["grid"], summary["fewer"])


def test_the_simulated_heart_has_what_readme_says() -> None:
    heart = load_synthetic(num_records=1)
    assert [name for name, there in zip(heart.classes, heart.labels[0], strict=True) if there] == ["MI"]


def test_readme_is_short_and_its_picture_small() -> None:
    assert len(README.splitlines()) < 120
    assert (ROOT / "docs" / "picture.png").stat().st_size < 150_000
