"""Plots: nothing is cut off."""

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from ecgzoo.training.report import Report


def arm(macro: float, low: float, worst: float | None) -> dict:
    return {"macro_auc": macro, "ci": [low, macro + 0.01], "per_class": {"MI": 0.8, "CD": worst}, "leads": ["I"]}


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    kept: list[Figure] = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: kept.append(self))
    return kept


@pytest.mark.parametrize(
    ("arms", "start"),
    [
        ({"student": arm(0.8, 0.7, 0.6)}, 0.5),
        ({"student": arm(0.8, 0.7, 0.5)}, 0.5),
        ({"baseline": arm(0.8, 0.7, 0.6), "student": arm(0.8, 0.7, 0.3)}, 0.0),
        ({"student": arm(0.52, 0.45, 0.6)}, 0.0),  # of the interval
        ({"student": arm(0.8, 0.7, None)}, 0.5),  # a class without an AUC has no bar
        ({"student": arm(0.8, 0.8 + 2**-53, 0.6)}, 0.5),  # an end of the interval is the AUC itself, up to rounding
    ],
)
def test_the_axis_of_aucs_starts_at_0_if_one_is_below_a_half(
    figures: list[Figure], tmp_path: Path, arms: dict, start: float
) -> None:
    Report({"arms": arms, "data": "d", "judged": "test", "folds": [10]})._plot_comparison(tmp_path / "a.png")
    (axes,) = figures[0].axes
    assert axes.get_ylim() == (start, 1.0)
    heights = [bar.get_height() for bar in axes.patches]
    assert not any(height < start for height in heights)


@pytest.mark.parametrize("worst", [0.6, None])
def test_the_table_says_what_the_macro_auc_leaves_out(worst: float | None) -> None:
    values = {"data": "d", "records": 9, "judged": "test", "folds": [10], "seed": 0, "processes": 1}
    values |= {"precision": "fp32", "paired": {}, "gap_recovered": None, "arms": {"student": arm(0.8, 0.7, worst)}}
    table = Report(values).table()
    assert list(table.columns[0].cells) == ["student"]  # without a teacher it is not distilled
    said = str(table.caption)
    assert ("the macro AUC leaves out CD: no positive or no negative record" in said) == (worst is None)


@pytest.mark.parametrize("worst", [0.6, 0.4])
def test_the_curves_count_epochs_from_1_and_show_all(figures: list[Figure], tmp_path: Path, worst: float) -> None:
    (tmp_path / "student").mkdir()
    lines = [{"epoch": epoch, "val_macro_auc": auc, "bce": 0.5} for epoch, auc in ((1, worst), (2, 0.8))]
    (tmp_path / "student" / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    Report({"arms": {"student": {}}, "data": "d"})._plot_curves(tmp_path, tmp_path / "b.png")
    _, axes = figures[0].axes
    assert list(axes.lines[0].get_xdata()) == [1, 2]
    low, high = axes.get_ylim()
    assert high >= 0.8
    assert low == 0 if worst < 0.5 else 0.5 <= low < 0.6
