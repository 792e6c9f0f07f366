import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score, recall_score

from ecgzoo.errors import DataError
from ecgzoo.evaluation.thresholds import (
    best_f1_threshold,
    decision_points,
    sensitivity_specificity,
    sensitivity_threshold,
)


def predictions(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels with at least one positive, and scores with ties that need not be probabilities."""
    rng = np.random.default_rng(seed)
    labels = (rng.random(rng.integers(1, 30)) < 0.4).astype(np.uint8)
    labels[0] = 1
    return labels, np.round(rng.normal(size=labels.size) + labels, 1)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_best_f1_threshold_is_the_largest_of_the_best(seed):
    labels, scores = predictions(seed)
    f1 = {threshold: f1_score(labels, scores >= threshold) for threshold in np.unique(scores)}
    chosen = best_f1_threshold(labels, scores)
    assert f1[chosen] == pytest.approx(max(f1.values()), abs=1e-12)
    assert all(value < f1[chosen] - 1e-12 for threshold, value in f1.items() if threshold > chosen)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), sensitivity=st.sampled_from([0.01, 0.5, 0.75, 0.9, 1.0]))
def test_sensitivity_threshold_is_the_largest_that_reaches_it(seed, sensitivity):
    labels, scores = predictions(seed)
    chosen = sensitivity_threshold(labels, scores, sensitivity)
    assert recall_score(labels, scores >= chosen) >= sensitivity
    assert recall_score(labels, scores >= np.nextafter(chosen, np.inf)) < sensitivity


def test_sensitivity_is_not_lost_to_rounding():
    # 0.07 * 100 is 7.000000000000001 in floating point; seven of a hundred positives are enough.
    scores = np.arange(100.0)
    assert sensitivity_threshold(np.ones(100), scores, 0.07) == 93.0


def test_thresholds_of_single_precision_scores_call_the_record_they_came_from():
    labels, scores = np.array([0, 1, 1]), np.array([0.05, 0.1, 0.7], dtype=np.float32)
    assert (scores >= best_f1_threshold(labels, scores)).tolist() == [False, True, True]
    assert (scores >= sensitivity_threshold(labels, scores, 1.0)).tolist() == [False, True, True]


@pytest.mark.parametrize("choose", [best_f1_threshold, sensitivity_threshold])
@pytest.mark.parametrize(
    ("labels", "scores", "found"),
    [
        ([0, 0], [0.1, 0.2], "None of the 2 records is positive"),
        ([[0], [1]], [[0.1], [0.2]], "one class"),
        ([0, 1], [0.1, np.nan], "not finite"),
        ([0, 1, 1], [0.1, 0.2], "shape"),
        ([0, 5], [0.1, 0.2], "the first is 5"),
    ],
)
def test_unusable_input_is_named(choose, labels, scores, found):
    with pytest.raises(DataError, match=found):
        choose(np.asarray(labels), np.asarray(scores))


@pytest.mark.parametrize("sensitivity", [0.0, -0.1, 1.1, 90, float("nan")])
def test_sensitivity_out_of_range_is_refused(sensitivity):
    with pytest.raises(DataError, match="sensitivity="):
        sensitivity_threshold(np.array([0, 1]), np.array([0.1, 0.2]), sensitivity)


def test_decision_points_by_hand() -> None:
    labels = np.array([0] * 20 + [1] * 10)
    scores = np.concatenate([np.arange(20) / 40, [0.2, 0.5, 0.6, 0.7, 0.8, 0.82, 0.84, 0.86, 0.88, 0.9]])
    points = decision_points(labels, scores)
    assert points["f1"] == 0.5  # all but one positive, no negative
    assert points["screening"] == 0.5  # nine of ten positives
    assert points["lower"] == 0.5
    assert points["upper"] == 0.5  # one negative of twenty reaches 0.475, below the flag
    assert sensitivity_specificity(labels, scores, 0.5) == {"sensitivity": 0.9, "specificity": 1.0}
    assert sensitivity_specificity(labels, scores, 0.45) == {"sensitivity": 0.9, "specificity": 0.9}


def test_the_upper_end_is_a_score_that_a_negative_has() -> None:
    labels = np.array([0] * 10 + [1] * 2)
    scores = np.array([0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.5, 0.7, 0.6, 0.65])
    # 95 % of ten negatives end between the ninth, 0.5, and the tenth
    assert decision_points(labels, scores) == {"f1": 0.6, "screening": 0.6, "lower": 0.6, "upper": 0.7}


def test_the_uncertain_zone_holds_the_flag() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, 400)
    scores = np.clip(0.3 * labels + random.uniform(0, 0.7, 400), 0, 1)
    points = decision_points(labels, scores)
    assert points["lower"] <= points["f1"] <= points["upper"]
    assert points["lower"] <= points["screening"]
    assert (scores[labels == 1] >= points["screening"]).mean() >= 0.9
    assert (scores[labels == 0] >= points["upper"]).mean() <= 0.06


def test_a_rate_of_nothing_is_an_error() -> None:
    with pytest.raises(DataError, match="All 3 records are positive for this class, so it has no specificity"):
        sensitivity_specificity(np.ones(3, int), np.array([0.1, 0.2, 0.3]), 0.2)
    with pytest.raises(DataError, match="threshold is NaN"):
        sensitivity_specificity(np.array([0, 1]), np.array([0.1, 0.2]), float("nan"))


def test_decision_points_need_both_outcomes() -> None:
    for labels in (np.zeros(3, int), np.ones(3, int)):
        with pytest.raises(DataError, match="no threshold can be chosen"):
            decision_points(labels, np.array([0.1, 0.2, 0.3]))
