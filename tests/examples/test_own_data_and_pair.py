"""examples/own_data.py and own_pair.py run, on few records."""

import dataclasses
import runpy
from pathlib import Path

import numpy as np
import pytest

import ecgzoo
from ecgzoo.data.synthetic import load_synthetic

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> ecgzoo.Cohort:
    cohort = load_synthetic(num_records=300)
    monkeypatch.setattr(ecgzoo, "load_cohort", lambda *_: cohort)
    return cohort


def test_own_data(few: ecgzoo.Cohort, tmp_path: Path) -> None:
    script = runpy.run_path(str(EXAMPLES / "own_data.py"))
    prediction = script["main"](records=240, epochs=1, output=tmp_path / "run")
    assert prediction.leads == ("I",)
    assert prediction.classes == few.classes
    assert len(prediction.probabilities) == 5
    config = ecgzoo.load_pretrained(tmp_path / "run" / "student").config
    assert (config.training["data"], config.task) == ("my_data", "superclasses")
    assert config.training["teacher"]["leads"] == ["I", "II", "V2"]
    # a patient with several records has them in one fold
    patients = np.arange(300) // 3
    cohort = script["make_cohort"](few.signals()[:, :3] / 1000, few.labels, patients)
    assert all(len(set(cohort.folds[patients == patient])) == 1 for patient in range(100))
    assert set(cohort.folds) == set(range(1, 11))


@pytest.mark.parametrize(("sample_mv", "found"), [(40.0, "got 40 mV"), (np.nan, "repair NaN")])
def test_own_data_refuses_what_int16_cannot_hold(few: ecgzoo.Cohort, sample_mv: float, found: str) -> None:
    millivolts = few.signals()[:, :3] / 1000
    millivolts[7, 1, 20] = sample_mv
    with pytest.raises(ecgzoo.DataError, match=found):
        runpy.run_path(str(EXAMPLES / "own_data.py"))["make_cohort"](millivolts, few.labels, few.patients)


def test_own_data_refuses_labels_that_nobody_knows(few: ecgzoo.Cohort) -> None:
    """They became 0, and so negative."""
    labels = np.where(np.arange(len(few))[:, None] == 7, np.nan, few.labels)
    cohort = runpy.run_path(str(EXAMPLES / "own_data.py"))["make_cohort"](
        few.signals()[:, :3] / 1000, labels, few.patients
    )
    with pytest.raises(ecgzoo.DataError, match="labels of 1 records are NaN"):
        ecgzoo.data.check_cohort(cohort)


def test_own_pair(few: ecgzoo.Cohort, tmp_path: Path) -> None:
    script = runpy.run_path(str(EXAMPLES / "own_pair.py"))
    recipe = dataclasses.replace(
        script["RECIPE"], epochs=1, output=tmp_path / "run", teacher="xresnet1d18", compare=False
    )
    student = script["main"](recipe, few)
    assert (student.config.architecture, student.config.leads) == ("resnet1d18", ("I", "II"))
    assert student.config.training["optimizer"] == "slower_body"
    assert student.config.training["teacher"]["architecture"] == "xresnet1d18"


@pytest.mark.parametrize("name", ["own_data.py", "own_pair.py"])
def test_they_are_one_screen(name: str) -> None:
    assert len((EXAMPLES / name).read_text(encoding="utf-8").splitlines()) <= 60
