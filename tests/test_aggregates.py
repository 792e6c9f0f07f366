"""Labels that mean "any of these classes"."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

import ecgzoo
from ecgzoo.aggregates import with_aggregates
from ecgzoo.config import LEAST_AUC, LEAST_POSITIVES
from ecgzoo.data import check_cohort
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import DataError, WeightsError
from ecgzoo.evaluation import evaluate_scores
from ecgzoo.evaluation.calibrate import calibrate
from ecgzoo.evaluation.cohort import CohortScores

CLASSES, ANY = ("A", "B", "C"), {"A_B": ("A", "B")}


def test_of_labels_the_union_of_probabilities_the_chance_of_any() -> None:
    random = np.random.default_rng(0)
    labels = (random.random((50, 3)) < 0.3).astype(np.uint8)
    union = with_aggregates(labels, CLASSES, ANY)
    assert union.dtype == np.uint8
    np.testing.assert_array_equal(union[:, :3], labels)
    np.testing.assert_array_equal(union[:, 3], labels[:, 0] | labels[:, 1])
    chances = random.random((50, 3))
    drawn = np.random.default_rng(1).random((20_000, 1, 3)) < chances[None, :5]
    np.testing.assert_allclose(
        with_aggregates(chances, CLASSES, ANY)[:5, 3], (drawn[..., 0] | drawn[..., 1]).mean(0), atol=0.015
    )
    np.testing.assert_array_equal(with_aggregates(chances, CLASSES, {}), chances)


def test_their_figures_stand_beside_the_macro_auc_and_not_in_it() -> None:
    random = np.random.default_rng(0)
    labels, scores = (random.random((200, 3)) < 0.3).astype(np.uint8), random.random((200, 3))
    figures = evaluate_scores(labels, scores, CLASSES, aggregates=ANY, num_resamples=20)
    assert figures.macro_auc == evaluate_scores(labels, scores, CLASSES, num_resamples=20).macro_auc
    found = figures.aggregates["A_B"]
    assert found["positives"] == int((labels[:, 0] | labels[:, 1]).sum())
    chance = 1 - (1 - scores[:, 0]) * (1 - scores[:, 1])
    assert found["auc"] == pytest.approx(roc_auc_score(labels[:, 0] | labels[:, 1], chance))
    assert found["ci"][0] < found["auc"] < found["ci"][1]


def model_of(classes: tuple[str, ...], aggregates: dict[str, tuple[str, ...]]) -> ecgzoo.EcgModel:
    model = ecgzoo.create_student("resnet1d18", num_classes=len(classes))
    return ecgzoo.EcgModel(
        model.backbone, dataclasses.replace(model.config, classes=classes, aggregates=aggregates, task="t")
    )


def test_a_finding_needs_twenty_positives_to_choose_its_threshold(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = np.zeros((300, 3), np.uint8)
    labels[:LEAST_POSITIVES, 0] = 1
    labels[50 : 50 + LEAST_POSITIVES - 1, 1] = 1
    labels[100:103, 2] = 1
    scores = np.clip(0.2 + 0.4 * labels + 0.2 * random.random((300, 3)), 0, 1)
    given = CohortScores(
        folds=(9,),
        y_true=labels,
        y_score=scores,
        patients=np.arange(300),
        classes=CLASSES,
        subgroups={},
        aggregates={"B_C": ("B", "C")},
    )
    model = model_of(CLASSES, {"B_C": ("B", "C")})
    calibrate(model, lambda _: given, "some records", {"data": "some"}, seed=0)
    assert set(model.config.thresholds) == {"A", "B_C"}
    assert model.config.metrics["aggregates"]["B_C"]["positives"] == LEAST_POSITIVES + 2
    assert model.config.metrics["per_class_ci"]["A"][0] > LEAST_AUC
    saved = ecgzoo.load_pretrained(ecgzoo.save_pretrained(model, tmp_path))
    assert saved.config.aggregates == {"B_C": ("B", "C")}
    assert "| B_C | 22 |" in (tmp_path / "README.md").read_text()
    record = ecgzoo.Record(
        signal=random.normal(size=(1, 1000)).astype(np.float32), leads=("I",), rate_hz=100.0, source="noise"
    )
    said = saved.predict(record, insist=True)
    assert said.classes == (*CLASSES, "B_C")
    assert set(said.findings) == {"A", "B_C"}
    assert said.probabilities[3] == pytest.approx(1 - (1 - said.probabilities[1]) * (1 - said.probabilities[2]))


def test_an_aggregate_whose_interval_is_undefined_has_no_findings() -> None:
    random = np.random.default_rng(0)
    patients = np.repeat([0, 1], 60)  # one has B and C; both are drawn in a little less than half of the resamples
    labels = np.stack([random.random(120) < 0.4, patients, patients], axis=1).astype(np.uint8)
    given = CohortScores(
        folds=(9,),
        y_true=labels,
        y_score=np.clip(0.2 + 0.4 * labels + 0.2 * random.random((120, 3)), 0, 1),
        patients=patients,
        classes=CLASSES,
        subgroups={"one patient": patients == 0},
        aggregates={"B_C": ("B", "C")},
    )
    model = model_of(CLASSES, {"B_C": ("B", "C")})
    calibrate(model, lambda _: given, "some records", {"data": "some"}, seed=1)
    assert set(model.config.thresholds) == {"A"}
    assert model.config.metrics["aggregates"] == model.config.metrics["subgroups"] == {}


def test_a_second_calibration_starts_from_the_probabilities_of_the_network() -> None:
    random = np.random.default_rng(0)
    labels = (random.random((300, 3)) < 0.4).astype(np.uint8)
    logits = 4 * (labels - 0.5) + 3 * random.standard_normal((300, 3))

    def score(model: ecgzoo.EcgModel) -> CohortScores:
        y_score = 1 / (1 + np.exp(-logits / model.config.temperature))
        return CohortScores(
            folds=(9,), y_true=labels, y_score=y_score, patients=np.arange(300), classes=CLASSES, subgroups={}
        )

    model = model_of(CLASSES, {})
    calibrate(model, score, "some records", {"data": "some"}, seed=0)
    once = model.config
    calibrate(model, score, "some records", {"data": "some"}, seed=0)
    assert abs(once.temperature - 1) > 0.05
    assert model.config == once


@pytest.mark.parametrize("aggregates", [{"A": ("B",)}, {"X": ()}, {"X": ("Z",)}])
def test_an_aggregate_of_what_is_not_there_is_refused(aggregates: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(WeightsError, match="aggregate"):
        model_of(CLASSES, aggregates)


@pytest.mark.parametrize("aggregates", [{"CD": ("MI",)}, {"X": ()}, {"X": ("Z",)}])
def test_a_cohorts_aggregate_too(aggregates: dict[str, tuple[str, ...]]) -> None:
    cohort = dataclasses.replace(load_synthetic(num_records=60), aggregates=aggregates)
    with pytest.raises(DataError, match="aggregate"):
        check_cohort(cohort)


def test_a_label_that_the_leads_do_not_show_gives_no_finding(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = (random.random((400, 2)) < 0.2).astype(np.uint8)
    scores = np.clip(0.2 + np.array([0.4, 0.05]) * labels + 0.2 * random.random((400, 2)), 0, 1)
    given = CohortScores(
        folds=(9,), y_true=labels, y_score=scores, patients=np.arange(400), classes=("A", "B"), subgroups={}
    )
    model = model_of(("A", "B"), {})
    calibrate(model, lambda _: given, "some records", {"data": "some"}, seed=0)
    low, high = model.config.metrics["per_class_ci"]["B"]
    assert low < roc_auc_score(labels[:, 1], scores[:, 1]) < high
    assert "B" in model.config.thresholds
    assert low > LEAST_AUC
    weaker = dataclasses.replace(given, y_score=np.where([True, False], scores, random.random((400, 2))))
    calibrate(model, lambda _: weaker, "some records", {"data": "some"}, seed=0)
    assert set(model.config.thresholds) == {"A"}
    ecgzoo.save_pretrained(model, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "**Labels with findings: 1 of 2.** A." in card
    assert "These do not work on lead I (the 95 % interval of their AUC reaches 0.6 or less)" in card


def test_many_records_of_one_patient_give_no_finding(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = (random.random((400, 2)) < 0.2).astype(np.uint8)
    patients = np.where(labels[:, 1] == 1, 0, np.arange(400))
    given = CohortScores(
        folds=(9,),
        y_true=labels,
        y_score=np.clip(0.2 + 0.4 * labels + 0.2 * random.random((400, 2)), 0, 1),
        patients=patients,
        classes=("A", "B"),
        subgroups={},
    )
    model = model_of(("A", "B"), {})
    calibrate(model, lambda _: given, "some records", {"data": "some"}, seed=0)
    assert set(model.config.thresholds) == {"A"}
    ecgzoo.save_pretrained(model, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "too few patients with or without them for an interval of their AUC, and give no finding: B." in card
    assert "do not work" not in card


def test_a_card_says_what_the_macro_auc_leaves_out(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    labels = (random.random((400, 2)) < [0.2, 0]).astype(np.uint8)
    given = CohortScores(
        folds=(9,), y_true=labels, y_score=random.random((400, 2)), patients=np.arange(400), classes=CLASSES[:2],
        subgroups={},
    )  # fmt: skip
    model = model_of(CLASSES[:2], {})
    calibrate(model, lambda _: given, "some records", {"data": "some"}, seed=0)
    ecgzoo.save_pretrained(model, tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert "The macro AUC leaves out B: no positive or no negative record." in card
