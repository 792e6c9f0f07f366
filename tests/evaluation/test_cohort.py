"""A cohort's probabilities and subgroups, against records scored one by one."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch

from ecgzoo.create import create_model
from ecgzoo.data import Cohort
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import DataError, EcgZooWarning, SignalError
from ecgzoo.evaluation import evaluate, score_rows
from ecgzoo.evaluation.cohort import cohort_scores, seen_folds
from ecgzoo.model import EcgModel
from ecgzoo.weights.adapt import adapt

GOOD = load_synthetic(num_records=40)
FOLDS = np.arange(40, dtype=np.int16) % 4 + 1
COHORT = dataclasses.replace(GOOD, folds=FOLDS, patients=np.arange(40) + 100)


def model(cohort: Cohort = COHORT, **config: object) -> EcgModel:
    torch.manual_seed(0)
    made = create_model("xresnet1d18", ("V2", "I"), len(cohort.classes))
    made.config = dataclasses.replace(made.config, classes=cohort.classes, **config)
    return made.eval()


def test_rows_are_scored_in_their_order_by_lead_and_in_millivolts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecgzoo.evaluation.cohort.RECORDS_AT_ONCE", 3)
    # the store holds the records in another order than the cohort
    cohort, rows = dataclasses.replace(COHORT, positions=np.arange(40)[::-1].copy()), np.array([31, 2, 17, 5, 9, 30, 1])
    network = model(cohort)
    found = score_rows(network.train(), cohort, rows)
    assert not network.training
    at = [cohort.leads.index(lead) for lead in ("V2", "I")]
    expected = [
        network.score(torch.from_numpy(cohort.store[39 - row][None, at] / np.float32(1000)))[0].tolist() for row in rows
    ]
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert score_rows(network, cohort, rows[:0]).shape == (0, 5)


def test_scores_stand_beside_the_truth_of_their_records() -> None:
    network = model()
    found = evaluate(network, COHORT, [3, 1, 3])
    rows = np.flatnonzero((FOLDS == 1) | (FOLDS == 3))
    assert found.folds == (1, 3)
    assert found.classes == COHORT.classes
    np.testing.assert_array_equal(found.y_true, COHORT.labels[rows])
    np.testing.assert_array_equal(found.patients, COHORT.patients[rows])
    np.testing.assert_allclose(found.y_score, score_rows(network, COHORT, rows), rtol=1e-6)
    assert found.notes == ()


def test_records_without_labels_are_not_scored_as_negative() -> None:
    some = dataclasses.replace(COHORT, labels=COHORT.labels * (FOLDS != 4)[:, None], labelled=FOLDS != 4)
    assert evaluate(model(), some, [1, 3]).y_true.any()
    said = "10 records of fold 4 have no labels; expected labels .* Leave the fold out"
    with pytest.raises(DataError, match=said):
        evaluate(model(), some, [1, 4])
    with pytest.raises(DataError, match=said):
        cohort_scores(some, (4,), some.rows([4]), np.zeros((10, 5)))


def test_subgroups_are_of_sex_and_of_age_in_full_years() -> None:
    sexes = np.array([0, 1, 1, -1, 0, 1, 0, 1] * 5, np.int8)
    ages = np.array([39, 39.9, 40, 64, 64.9, 65, np.nan, 0] * 5, np.float32)
    rows = np.arange(2, 18)
    cohort = dataclasses.replace(COHORT, sexes=sexes, ages=ages)
    groups = cohort_scores(cohort, (1,), rows, np.zeros((16, 5))).subgroups
    expected = {
        "female": [1, 2, 5, 7],
        "male": [0, 4, 6],
        "under 40 years": [0, 1, 7],
        "40 to 64 years": [2, 3, 4],
        "65 years and over": [5],
    }
    assert {name: [row for row in rows if row % 8 in those] for name, those in expected.items()} == {
        name: rows[chosen].tolist() for name, chosen in groups.items()
    }
    without = dataclasses.replace(COHORT, sexes=None, ages=None)
    assert cohort_scores(without, (1,), rows, np.zeros((16, 5))).subgroups == {}


def test_the_figures_are_of_its_patients_and_subgroups() -> None:
    random, rows = np.random.default_rng(0), np.arange(600) % 40
    y_score = np.clip(0.5 * COHORT.labels[rows] + 0.6 * random.random((600, 5)), 0, 1)
    cohort = dataclasses.replace(COHORT, sexes=np.array([0, 1] * 20, np.int8), ages=None)
    scores = cohort_scores(cohort, (1,), rows, y_score)
    found = scores.evaluation(seed=1, num_resamples=20)
    assert set(found.subgroups) == {"female", "male"}
    assert found.ci != dataclasses.replace(scores, patients=np.arange(600)).evaluation(1, 20).ci
    assert found.ci != scores.evaluation(seed=2, num_resamples=20).ci
    assert found.ci != scores.evaluation(seed=1, num_resamples=21).ci


def test_folds_that_the_model_has_seen_are_named() -> None:
    training = {"data": COHORT.name, "train_folds": "1-2", "val_folds": "3"}
    network = model(training=training)
    assert seen_folds(network.config, COHORT) == ({1, 2}, {3})
    with pytest.warns(EcgZooWarning, match="these metrics do not hold for new records") as caught:
        notes = evaluate(network, COHORT, [2, 3, 4]).notes
    assert [note.split(":")[0] for note in notes] == [
        f"the model was trained on fold 2 of {COHORT.name}",
        f"the model was chosen on fold 3 of {COHORT.name}",
    ]
    assert [str(warning.message) for warning in caught] == list(notes)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert evaluate(network, COHORT, [4]).notes == ()


def test_the_same_records_under_another_name_are_known_by_their_fingerprint() -> None:
    folds = {"train_folds": "1", "val_folds": "2"}
    renamed = model(training={"data": "another", "data_fingerprint": COHORT.fingerprint, **folds})
    assert seen_folds(renamed.config, COHORT) == ({1}, {2})
    other = model(training={"data": "another", "data_fingerprint": "of another", **folds})
    assert seen_folds(other.config, COHORT) == (set(), set())
    for missing in folds:
        known = {name: value for name, value in folds.items() if name != missing}
        with pytest.raises(DataError, match="does not say on which folds"):
            seen_folds(model(training={"data": COHORT.name, **known}).config, COHORT)


def test_folds_that_its_teacher_or_its_start_has_seen_are_the_models() -> None:
    of = {"data": COHORT.name, "train_folds": "1", "val_folds": "2"}
    start = {**of, "train_folds": "3", "started_from": {**of, "unlabelled_folds": "4"}, "teacher": None}
    network = model(training={**of, "train_folds": "5", "started_from": start, "teacher": {**of, "train_folds": "6"}})
    assert seen_folds(network.config, COHORT) == ({1, 3, 4, 5, 6}, {2})
    elsewhere = model(training={"data": "another", "train_folds": "7", "val_folds": "8", "teacher": of})
    assert seen_folds(elsewhere.config, COHORT) == ({1}, {2})


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match=r"load it with ecgzoo\.load_pretrained"):
        evaluate("xresnet1d18", COHORT, [1])
    for folds in (9, "9", ["9"]):
        with pytest.raises(DataError, match="expected whole numbers"):
            evaluate(model(), COHORT, folds)
    with pytest.raises(DataError, match="those of synthetic/superdiagnostic"):
        evaluate(model(), dataclasses.replace(COHORT, classes=("A", "B", "C", "D", "E")), [1])
    with pytest.raises(SignalError, match="is at 500 Hz, the model at 100 Hz"):
        score_rows(model(), dataclasses.replace(COHORT, rate_hz=500.0), np.arange(2))
    with pytest.raises(SignalError, match="the model needs V2"):
        score_rows(model(), dataclasses.replace(COHORT, leads=("I", "II"), store=COHORT.store[:, :2]), np.arange(2))


def test_weights_for_other_leads_or_classes_have_seen_the_same_folds() -> None:
    of = {"data": COHORT.name, "train_folds": "1", "val_folds": "2", "teacher": None, "epochs": 3}
    network = model(training=of, license="CC-BY-NC-4.0")
    with pytest.warns(EcgZooWarning, match="Train it before use"):
        adapted = adapt(network, ("II",), 3)
    adapted.reset_classifier(5)
    kept = {name: value for name, value in of.items() if name != "epochs"}
    assert adapted.config.training == {"started_from": kept}
    assert adapted.config.license == "CC-BY-NC-4.0"
    assert seen_folds(adapted.config, COHORT) == ({1}, {2})
