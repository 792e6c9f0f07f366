import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from ecgzoo.errors import DataError
from ecgzoo.evaluation.calibration import expected_calibration_error, fit_temperature, reliability_curve


def predictions(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.random((60, 3)) ** 2
    return (rng.random((60, 3)) < scores).astype(np.uint8), scores


@pytest.mark.parametrize("num_bins", [1, 5, 15])
def test_reliability_curve_agrees_with_scikit_learn(num_bins):
    labels, scores = predictions(0)
    curve = reliability_curve(labels, scores, num_bins)
    assert curve.counts.sum(axis=1).tolist() == [60, 60, 60]
    for c in range(3):
        observed, predicted = calibration_curve(labels[:, c], scores[:, c], n_bins=num_bins)
        filled = curve.counts[c] > 0
        np.testing.assert_allclose(curve.observed[c][filled], observed, atol=1e-12)
        np.testing.assert_allclose(curve.predicted[c][filled], predicted, atol=1e-12)
        assert np.isnan(curve.observed[c][~filled]).all()
        assert np.isnan(curve.predicted[c][~filled]).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), num_bins=st.integers(1, 20))
def test_error_follows_its_definition(seed, num_bins):
    labels, scores = predictions(seed)
    errors = []
    for truth, score in zip(labels.T, scores.T, strict=True):
        error = 0.0
        for k in range(num_bins):
            inside = (score >= k / num_bins) & (score < (k + 1) / num_bins)
            if inside.any():
                error += inside.sum() / len(score) * abs(truth[inside].mean() - score[inside].mean())
        errors.append(error)
    assert expected_calibration_error(labels, scores, num_bins) == pytest.approx(np.mean(errors), abs=1e-12)


def test_bins_hold_their_lower_edge_and_the_last_holds_one():
    curve = reliability_curve(np.array([[0], [1], [1], [1]]), np.array([[0.0], [0.5], [0.75], [1.0]]), num_bins=4)
    np.testing.assert_array_equal(curve.edges, [0, 0.25, 0.5, 0.75, 1])
    assert curve.counts.tolist() == [[1, 0, 1, 2]]


def test_known_errors():
    half = np.full((4, 1), 0.5)
    assert expected_calibration_error(np.array([[0], [1], [0], [1]]), half) == 0.0
    assert expected_calibration_error(np.array([[1], [1], [1], [1]]), half) == 0.5
    certain = np.array([[0, 1], [1, 0]])
    assert expected_calibration_error(certain, certain) == 0.0
    assert expected_calibration_error(certain, 1 - certain) == 1.0


def test_unusable_input_is_named():
    labels, scores = predictions(0)
    with pytest.raises(DataError, match="num_bins=0"):
        reliability_curve(labels, scores, 0)
    with pytest.raises(DataError, match="expected probabilities"):
        expected_calibration_error(labels, scores + 0.5)


def test_temperature_undoes_a_known_one() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (4000, 2))
    labels = (rng.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    for temperature in (0.5, 1.0, 3.0):
        overconfident = 1 / (1 + np.exp(-logits * temperature))
        assert fit_temperature(labels, overconfident) == pytest.approx(temperature, rel=0.05)


def test_temperature_is_the_best_of_a_grid() -> None:
    labels, scores = predictions(3)
    found = fit_temperature(labels, scores)

    def loss(temperature: float) -> float:
        total = 0.0
        for label, score in zip(labels.ravel().tolist(), scores.ravel().tolist(), strict=True):
            score = min(max(score, 1e-7), 1 - 1e-7)
            odds = (score / (1 - score)) ** (1 / temperature)
            total -= np.log(odds / (1 + odds) if label else 1 / (1 + odds))
        return total

    assert all(loss(found) <= loss(found * factor) for factor in (0.7, 0.9, 0.99, 1.01, 1.1, 1.4))


def test_records_that_are_told_apart_without_a_mistake_choose_no_temperature() -> None:
    labels = np.array([[1], [1], [0], [0], [0]], np.uint8)
    scores = np.array([[0.9], [0.7], [0.2], [0.3], [0.1]])
    assert fit_temperature(labels, scores) == 1
    assert fit_temperature(labels, scores - 0.05) == 1
    one_mistake = np.array([[0.9], [0.45], [0.2], [0.3], [0.1]])
    assert 0.06 < fit_temperature(labels, one_mistake) < 1


def test_certain_probabilities_count_as_nearly_certain() -> None:
    labels, scores = predictions(4)
    scores[:4, 0], scores[4:8, 0] = 1.0, 0.0  # some of them wrong
    labels[:8, 0] = [1, 1, 1, 0, 0, 0, 0, 1]
    nearly = np.clip(scores, 1e-7, 1 - 1e-7)
    found = fit_temperature(labels, scores)
    assert 1 < found < np.exp(3)
    assert found == pytest.approx(fit_temperature(labels, nearly), rel=1e-6)


def test_bins_are_fifteen_if_not_said_otherwise() -> None:
    labels, scores = predictions(5)
    assert len(reliability_curve(labels, scores).edges) == 16
    assert expected_calibration_error(labels, scores) == expected_calibration_error(labels, scores, 15)
