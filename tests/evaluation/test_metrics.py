import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, brier_score_loss, roc_auc_score

from ecgzoo.errors import DataError
from ecgzoo.evaluation.metrics import brier_score, fmax, macro_auc, macro_average_precision, per_class_auc

ALL_METRICS = (macro_auc, per_class_auc, macro_average_precision, fmax, brier_score)


def predictions(seed: int, records: int = 40, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Labels and tied probabilities; the first two records give every class both outcomes."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((records, classes)) < 0.3).astype(np.uint8)
    labels[0], labels[1] = 0, 1
    return labels, np.clip(np.round(rng.random((records, classes)) * 0.8 + 0.2 * labels, 1), 0, 1)


def pairwise_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    positives, negatives = scores[labels == 1], scores[labels == 0]
    wins = sum((p > n) + 0.5 * (p == n) for p, n in itertools.product(positives, negatives))
    return wins / (len(positives) * len(negatives))


@pytest.mark.parametrize("seed", range(5))
def test_auc_is_the_share_of_pairs_in_the_right_order(seed):
    labels, scores = predictions(seed)
    expected = [pairwise_auc(labels[:, c], scores[:, c]) for c in range(4)]
    np.testing.assert_allclose(per_class_auc(labels, scores), expected, atol=1e-12)
    assert macro_auc(labels, scores) == pytest.approx(np.mean(expected), abs=1e-12)
    assert macro_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)


def test_classes_with_one_outcome_are_left_out_of_the_means():
    labels, scores = predictions(0)
    labels[:, 1], labels[:, 3] = 0, 1
    auc = per_class_auc(labels, scores)
    assert np.isnan(auc).tolist() == [False, True, False, True]
    assert macro_auc(labels, scores) == macro_auc(labels[:, [0, 2]], scores[:, [0, 2]])
    assert macro_average_precision(labels, scores) == macro_average_precision(labels[:, [0, 2]], scores[:, [0, 2]])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_macro_auc_sees_only_the_order_within_each_class(seed):
    labels, scores = predictions(seed)
    expected = macro_auc(labels, scores)
    mapped = np.stack([scores[:, 0] * 7 - 3, np.exp(scores[:, 1]), scores[:, 2] ** 3, np.arctan(scores[:, 3])], axis=1)
    assert macro_auc(labels, mapped) == pytest.approx(expected, abs=1e-12)
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    assert macro_auc(labels[shuffled], scores[shuffled]) == pytest.approx(expected, abs=1e-12)
    assert macro_auc(labels, -scores) == pytest.approx(1 - expected, abs=1e-12)
    np.testing.assert_allclose(per_class_auc(1 - labels, scores), 1 - per_class_auc(labels, scores), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_average_precision_and_brier_agree_with_scikit_learn(seed):
    labels, scores = predictions(seed)
    assert macro_average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores))
    expected = np.mean([brier_score_loss(labels[:, c], scores[:, c]) for c in range(4)])
    assert brier_score(labels, scores) == pytest.approx(expected, abs=1e-12)


def fmax_by_loops(labels: np.ndarray, scores: np.ndarray) -> float:
    best = 0.0
    for threshold in [k / 100 for k in range(101)]:
        precisions, recalls = [], []
        for truth, score in zip(labels, scores, strict=True):
            called = {c for c, value in enumerate(score) if value >= threshold}
            present = {c for c, value in enumerate(truth) if value == 1}
            if called:
                precisions.append(len(called & present) / len(called))
            if present:
                recalls.append(len(called & present) / len(present))
        if precisions and sum(precisions) > 0:
            precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
            best = max(best, 2 * precision * recall / (precision + recall))
    return best


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), ceiling=st.sampled_from([1.0, 0.3]))
def test_fmax_follows_its_definition(seed, ceiling):
    labels, _ = predictions(seed)
    # Off the grid of thresholds, and informative, so that the best threshold is not 0.
    noise = np.random.default_rng(seed).random(labels.shape)
    scores = ceiling * (0.6 * noise + 0.4 * labels)
    assert (labels.sum(axis=1) == 0).any(), "records without a label belong to the test"
    assert fmax(labels, scores) == pytest.approx(fmax_by_loops(labels, scores), abs=1e-12)


def test_fmax_averages_over_records_before_the_harmonic_mean():
    labels = np.array([[1, 0, 0], [1, 1, 0], [0, 0, 1]])
    scores = np.array([[0.9, 0.1, 0.1], [0.9, 0.1, 0.1], [0.1, 0.1, 0.1]])
    # From 0.11 to 0.90: two records are called, both right; recalls 1, 1/2 and 0.
    assert fmax(labels, scores) == pytest.approx(2 * 1 * 0.5 / 1.5)
    assert fmax(labels, labels) == 1.0


def test_fmax_may_call_every_class_at_threshold_zero():
    labels = np.array([[1, 0], [1, 0]])
    assert fmax(labels, np.array([[0.0, 1.0], [0.0, 1.0]])) == pytest.approx(2 * 0.5 / 1.5)


@pytest.mark.parametrize("metric", ALL_METRICS)
@pytest.mark.parametrize(
    ("labels", "scores", "found"),
    [
        ([0, 1], [0.1, 0.2], r"\(2,\)"),
        ([[0, 1]], [[0.1], [0.2]], r"\(1, 2\).*\(2, 1\)"),
        (np.zeros((0, 3)), np.zeros((0, 3)), r"\(0, 3\)"),
        ([[0], [2], [3]], [[0.1], [0.2], [0.3]], "2 labels are not 0 or 1, the first is 2"),
        ([[0.0], [np.nan]], [[0.1], [0.2]], "1 labels are not 0 or 1, the first is nan"),
        ([[0, 1], [1, 0]], [[0.1, 0.2], [0.3, np.nan]], "1 scores.*nan at record 1, class 1"),
        ([[0, 1], [1, 0]], [[0.1, np.inf], [0.3, 0.1]], "1 scores.*inf at record 0, class 1"),
    ],
)
def test_unusable_input_is_named(metric, labels, scores, found):
    with pytest.raises(DataError, match=found):
        metric(np.asarray(labels), np.asarray(scores))


@pytest.mark.parametrize("scores", [[[0.1, 0.2], [0.3]], [["0.1", "?"], ["0.2", "0.3"]]])
def test_what_is_no_array_of_numbers_is_named(scores):
    with pytest.raises(DataError, match="cannot be read as arrays of numbers"):
        macro_auc([[0, 1], [1, 0]], scores)


@pytest.mark.parametrize("metric", [fmax, brier_score])
@pytest.mark.parametrize("scores", [[[-0.5], [1.0]], [[0.0], [1.5]]])
def test_logits_are_refused_where_probabilities_are_needed(metric, scores):
    with pytest.raises(DataError, match="expected probabilities"):
        metric(np.array([[0], [1]]), np.array(scores))


@pytest.mark.parametrize("metric", [macro_auc, macro_average_precision])
def test_nothing_to_rank_is_an_error(metric):
    with pytest.raises(DataError, match="No class has both"):
        metric(np.array([[0, 1], [0, 1]]), np.array([[0.1, 0.2], [0.3, 0.4]]))


def test_fmax_without_any_label_is_an_error():
    with pytest.raises(DataError, match="None of the 3 records has a label"):
        fmax(np.zeros((3, 2)), np.zeros((3, 2)))
