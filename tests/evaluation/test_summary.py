import json

import numpy as np
import pytest

from ecgzoo.errors import DataError
from ecgzoo.evaluation.bootstrap import bootstrap_ci
from ecgzoo.evaluation.calibration import expected_calibration_error
from ecgzoo.evaluation.metrics import brier_score, fmax, macro_auc, macro_average_precision, per_class_auc
from ecgzoo.evaluation.summary import evaluate_scores

CLASSES = ("CD", "HYP", "MI")


def predictions() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 3)) < 0.3).astype(np.uint8)
    labels[:, 1] = 0
    return labels, rng.random((80, 3)).astype(np.float32), np.arange(80) // 2


def test_evaluation_holds_every_figure_under_its_name():
    labels, scores, patients = predictions()
    found = evaluate_scores(labels, scores, CLASSES, patients, seed=3, num_resamples=50)
    auc = per_class_auc(labels, scores)
    assert found.records == 80
    assert found.positives == {"CD": labels[:, 0].sum(), "HYP": 0, "MI": labels[:, 2].sum()}
    assert found.per_class == {"CD": auc[0], "HYP": None, "MI": auc[2]}
    assert found.macro_auc == macro_auc(labels, scores)
    assert found.ci == bootstrap_ci(labels, scores, patients, num_resamples=50, seed=3)
    assert found.macro_average_precision == macro_average_precision(labels, scores)
    assert found.fmax == fmax(labels, scores)
    assert found.brier == brier_score(labels, scores)
    assert found.ece == expected_calibration_error(labels, scores)


def test_patients_may_be_a_list_and_must_all_be_known():
    labels, scores, patients = predictions()
    found = evaluate_scores(labels, scores, CLASSES, [f"p{k}" for k in patients], num_resamples=50)
    assert found.ci == evaluate_scores(labels, scores, CLASSES, patients, num_resamples=50).ci
    with pytest.raises(DataError, match="40 records have NaN or None as patient"):
        evaluate_scores(labels, scores, CLASSES, [*(f"p{k}" for k in range(40)), *[float("nan")] * 40])


def test_evaluation_survives_strict_json():
    labels, scores, patients = predictions()
    figures = evaluate_scores(labels, scores, CLASSES, patients, num_resamples=10).to_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_names_must_fit_the_columns():
    labels, scores, _ = predictions()
    for names in (("CD", "HYP"), ("CD", "CD", "MI"), ("CD", "CD", "HYP", "MI")):
        with pytest.raises(DataError, match="one distinct name per column"):
            evaluate_scores(labels, scores, names)


def test_a_subgroup_is_bool_for_each_record():
    labels, scores, _ = predictions()
    female = np.arange(80) % 4 > 0
    for given in (female.astype(np.uint8), np.flatnonzero(female), female[:60], female[:, None]):
        with pytest.raises(DataError, match=r"Subgroup female is .* expected bool of shape \(80,\)"):
            evaluate_scores(labels, scores, CLASSES, num_resamples=10, subgroups={"female": given})
    patients = (np.arange(80) // 2).tolist()
    found = evaluate_scores(labels, scores, CLASSES, patients, 0, 10, {"female": female.tolist()})
    assert found == evaluate_scores(labels, scores, CLASSES, np.array(patients), 0, 10, {"female": female})
    assert found.subgroups["female"]["records"] == 60


def test_an_aggregate_is_of_some_of_the_classes():
    labels, scores, _ = predictions()
    for members in (("CD", "AFIB"), ()):
        with pytest.raises(DataError, match="Aggregate any of .* expected some of the classes CD, HYP, MI"):
            evaluate_scores(labels, scores, CLASSES, num_resamples=10, aggregates={"any": members})
    found = evaluate_scores(labels, scores, np.array(CLASSES), num_resamples=10, aggregates={"any": ("CD", "MI")})
    assert set(found.aggregates) == {"any"}


def test_logits_are_refused():
    labels, scores, _ = predictions()
    with pytest.raises(DataError, match="expected probabilities"):
        evaluate_scores(labels, scores * 4 - 2, CLASSES)


def test_subgroups_are_judged_on_their_own_records_and_patients():
    rng = np.random.default_rng(1)
    labels = (rng.random((300, 2)) < 0.3).astype(np.uint8)
    scores, patients = rng.random((300, 2)), np.arange(300) // 3
    groups = {
        "fifty": np.arange(300) < 50,
        "forty-nine": np.arange(300) < 49,
        "scattered": rng.random(300) < 0.5,
        "healthy": ~labels.any(axis=1),
        "all ill": labels[:, 0] == 1,
    }
    assert all(groups[name].sum() >= 50 for name in ("healthy", "all ill"))
    found = evaluate_scores(labels, scores, ("A", "B"), patients, seed=4, num_resamples=30, subgroups=groups).subgroups
    assert set(found) == {"fifty", "scattered"}
    for name in found:
        those = groups[name]
        assert found[name] == {
            "records": those.sum(),
            "classes": 2,
            "macro_auc": macro_auc(labels[those], scores[those]),
            "ci": list(bootstrap_ci(labels[those], scores[those], patients[those], num_resamples=30, seed=4)),
        }
    single = evaluate_scores(labels, scores, ("A", "B"), None, 4, 30, {"fifty": groups["fifty"]}).subgroups["fifty"]
    assert single["ci"] == list(bootstrap_ci(labels[:50], scores[:50], None, num_resamples=30, seed=4))


def test_a_subgroup_says_of_how_many_classes_its_macro_auc_is():
    rng = np.random.default_rng(1)
    labels = (rng.random((300, 3)) < 0.3).astype(np.uint8)
    half = np.arange(300) < 150
    labels[half, 1] = 0
    found = evaluate_scores(labels, rng.random((300, 3)), CLASSES, num_resamples=30, subgroups={"a": half, "b": ~half})
    assert {name: group["classes"] for name, group in found.subgroups.items()} == {"a": 2, "b": 3}


def test_a_part_whose_interval_is_undefined_is_left_out():
    rng = np.random.default_rng(1)
    labels = (rng.random((120, 3)) < 0.3).astype(np.uint8)
    patients = np.repeat([0, 1], 60)
    labels[:, 2] = patients  # so its AUC is undefined in half of the resamples, and here in a little more
    those = {"one patient": patients == 0, "both": np.arange(120) % 3 > 0}
    found = evaluate_scores(
        labels, rng.random((120, 3)), CLASSES, patients, 0, 101, those, {"any MI": ("MI",), "CD or HYP": ("CD", "HYP")}
    )
    assert found.per_class_ci["MI"] is None
    assert set(found.subgroups) == {"both"}
    assert set(found.aggregates) == {"CD or HYP"}


def test_reliability_pools_the_classes_and_leaves_out_empty_bins():
    labels = np.array([[1, 0], [0, 0], [1, 1], [0, 1]])
    scores = np.array([[0.90, 0.01], [0.02, 0.03], [0.95, 0.90], [0.01, 0.70]])
    found = evaluate_scores(labels, scores, ("A", "B"), num_resamples=3).reliability
    expected = [[(0.01 + 0.03 + 0.02 + 0.01) / 4, 0.0, 4], [0.70, 1.0, 1], [0.90, 1.0, 2], [0.95, 1.0, 1]]
    np.testing.assert_allclose(found, expected)
    assert [type(count) for _, _, count in found] == [int] * 4
