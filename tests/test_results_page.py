"""docs/results.md is what its command makes of the committed runs."""

import dataclasses
import json
import runpy
from pathlib import Path

import numpy as np
import pytest

from benchmarks import choices, handheld
from benchmarks.paper import attempts, grid, negatives, page, tasks, unlabelled
from ecgzoo import Recipe
from ecgzoo.data.synthetic import load_synthetic

PROJECT = Path(__file__).parents[1]


def test_the_page_is_not_typed() -> None:
    results = PROJECT / "benchmarks" / "results"
    lines, fewer = (page.read_lines(results / f"{name}.jsonl") for name in ("paper", "paper_quick"))
    summary = json.loads((results / "paper_summary.json").read_text(encoding="utf-8"))
    shown = (PROJECT / "docs" / "results.md").read_text(encoding="utf-8")
    assert shown == page.render(lines, fewer, summary, *page.evidence())


def test_the_tables_of_where_distillation_helps_are_not_typed() -> None:
    shown = (PROJECT / "docs" / "distillation.md").read_text(encoding="utf-8")
    curve = json.loads((PROJECT / "benchmarks" / "results" / "unlabelled.json").read_text(encoding="utf-8"))
    for marker, table in (("tasks", tasks.table()), ("unlabelled", unlabelled.table(curve))):
        assert f"<!-- {marker} -->\n{table}<!-- /{marker} -->" in shown


def test_the_grid_runs_the_recipe_of_its_name() -> None:
    plus = runpy.run_path(str(PROJECT / "recipes" / "mvkt_plus.py"))["RECIPE"]
    arm = dataclasses.replace(grid.COMMON, **page.ARMS["mvkt plus"])
    others = ("data", "train_folds", "val_folds", "test_folds", "output", "compare", "aux_task")
    for field in dataclasses.fields(plus):
        if field.name not in others:
            assert getattr(plus, field.name) == getattr(arm, field.name), field.name


def test_students_of_the_grid_start_from_its_pretraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "ecgzoo.training.run.load_cohort", lambda name, root, task: load_synthetic(task=task, num_records=300)
    )
    common = dataclasses.replace(grid.COMMON, data="synthetic", student="xresnet1d_tiny", student_arguments=())
    fields = {**grid.ARMS["mvkt plus"], "aux_task": "diagnostic", "pretrain_epochs": 1}
    grid.pretrain_one(common, fields, 0, tmp_path)
    assert len(list((tmp_path / grid.PRETRAINED).glob("pretrained.*"))) == 1
    of_grid = json.loads((tmp_path / grid.PRETRAINED / "0" / "recipe.json").read_text())
    student = dataclasses.replace(common, **fields, precision=of_grid["precision"]).pretraining()
    assert student == {field: of_grid[field] for field in student}


def test_every_run_of_the_paper_names_a_second_task_where_a_loss_reads_it() -> None:
    def assert_named(recipe: Recipe) -> None:
        assert any(term.name == "aux" for term in recipe.loss_terms) == (recipe.aux_task is not None), recipe

    for given in (*attempts.TEACHERS.values(), *attempts.ATTEMPTS.values()):
        fields = {field: value for field, value in given.items() if field != "teacher"}
        assert_named(dataclasses.replace(grid.COMMON, **{**attempts.BASIS, **fields}))
    for fields in grid.ARMS.values():
        assert_named(dataclasses.replace(grid.COMMON, **fields))
    for task in tasks.TASKS:
        for arm in tasks.COMPARED:
            assert_named(dataclasses.replace(tasks.common_of(task, "DIR"), **tasks.fields_of(arm, task)))


def test_the_grid_ends_with_the_differences_of_the_page() -> None:
    results = PROJECT / "benchmarks" / "results"
    verdicts = json.loads((results / "paper_summary.json").read_text(encoding="utf-8"))["grid"]["verdicts"]
    rows = grid.summary(page.read_lines(results / "paper.jsonl")).splitlines()
    for lead, arm in (("I", "mkd"), ("I", "mvkt plus"), ("II", "kd")):
        (row,) = [row for row in rows if row.split()[:-3] == [lead, *arm.split()]]
        assert row.endswith(f"{verdicts[lead][arm]['difference']:+.4f}")


def test_lines_replace_those_of_the_same_run(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    grid.keep_lines(
        path, [{"arm": "bce", "seed": 0, "auc": 0.5}, {"arm": "bce", "seed": 1, "auc": 0.6}], ("arm", "seed")
    )
    grid.keep_lines(path, [{"arm": "bce", "seed": 0, "auc": 0.7}], ("arm", "seed"))
    assert [(line["seed"], line["auc"]) for line in grid.read_lines(path)] == [(0, 0.7), (1, 0.6)]


def test_verdicts_of_other_arms_stay_and_more_seeds_win() -> None:
    def verdict(*seeds: int) -> dict[str, object]:
        return {"seeds": list(seeds)}

    earlier = {"teacher": {}, "verdicts": {"I": {"mkd": verdict(0), "best": verdict(0)}, "II": {"best": verdict(0, 1)}}}
    now = {"teacher": {"macro_auc": 0.9}, "verdicts": {"I": {"best": verdict(0, 1)}, "II": {"best": verdict(5)}}}
    expected = {"I": {"mkd": verdict(0), "best": verdict(0, 1)}, "II": {"best": verdict(0, 1)}}
    assert tasks.merged(earlier, now) == {"teacher": {"macro_auc": 0.9}, "verdicts": expected}
    assert tasks.merged(None, now) == now


def test_the_curve_goes_on_after_its_pretraining(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = dataclasses.replace(unlabelled.COMMON, student="xresnet1d_tiny", student_arguments=())
    monkeypatch.setattr(unlabelled, "COMMON", tiny)
    monkeypatch.setattr(unlabelled, "cohort", lambda root: load_synthetic(num_records=160))
    monkeypatch.setitem(unlabelled.LABELLED, "7", "1-7")
    monkeypatch.setitem(unlabelled.ARMS["+ pretraining"], "pretrain_epochs", 1)
    unlabelled.pretrain_one(0, "", tmp_path)
    (there,) = (tmp_path / grid.PRETRAINED).glob("*.safetensors")
    written = there.stat().st_mtime_ns
    unlabelled.pretrain_one(0, "", tmp_path)
    assert there.stat().st_mtime_ns == written


def test_the_curve_keeps_the_rows_of_other_arms() -> None:
    kept = json.loads((PROJECT / "benchmarks" / "results" / "unlabelled.json").read_text(encoding="utf-8"))["arms"]
    assert unlabelled.merged({}) == kept
    row = {"each": [0.8, 0.9, 0.7]}
    found = unlabelled.merged({"1": {"MKD + CLT": row}})
    assert found.pop("1") == {**kept["1"], "MKD + CLT": row}
    assert found == {labelled: rows for labelled, rows in kept.items() if labelled != "1"}


@pytest.mark.parametrize("name", ["handheld", "handheld_distorted", "handheld_curves", "handheld_groups"])
def test_students_that_are_not_measured_again_keep_their_rows(name: str) -> None:
    kept = json.loads((PROJECT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))["rows"]
    assert handheld.with_kept(name, []) == kept
    row = {"data": kept[0]["data"], "student": handheld.STUDENTS[1]}
    others = [other for other in kept if other["student"] != row["student"]]
    found = handheld.with_kept(name, [row])
    assert [other for other in found if other != row] == others
    assert found.count(row) == 1


def test_negatives_are_judged_by_the_true_labels() -> None:
    random = np.random.default_rng(0)
    labels, answers = (random.random((30, 3)) < 0.4).astype(float), random.random((30, 3)) ** 2
    (row,) = [row for row in negatives.rows_of("1", answers, labels) if row["rule"] == "at most 0.2"]
    right = taken = negative = pairs = 0
    for one in range(30):
        for other in range(30):
            if one != other:
                pairs += 1
                chosen = sum(answers[one] * answers[other]) <= 0.2
                none_shared = not any(labels[one] * labels[other])
                taken += chosen
                negative += none_shared
                right += chosen and none_shared
    assert row["taken"] == pytest.approx(taken / pairs)
    assert row["share no diagnosis"] == pytest.approx(right / taken)
    assert row["found"] == pytest.approx(right / negative)
    assert row["without a choice"] == pytest.approx(negative / pairs)


def test_each_choice_changes_the_recipe_for_handhelds() -> None:
    kept = choices.COMMON
    changed = [dataclasses.replace(kept, **fields) for fields in choices.CHOICES.values()]
    assert changed[0] == kept
    assert len({str(recipe) for recipe in changed}) == len(changed)
    assert [term.name for term in changed[-1].transforms] == ["any_lead"]
