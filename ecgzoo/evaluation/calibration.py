"""Calibration: does a class predicted with probability 0.3 occur in three of ten records?"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import logit

from ecgzoo.errors import DataError
from ecgzoo.evaluation.metrics import check_scores

LOG_TEMPERATURES = (-3.0, 3.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class ReliabilityCurve:
    """Predicted against observed frequency, for each class.

    Attributes:
        edges: bin edges from 0 to 1, ``[bins + 1]``; a bin includes its lower edge, the last bin also 1.
        counts: records in each bin, ``[C, bins]``.
        predicted: mean probability in each bin, ``[C, bins]``; NaN if the bin is empty.
        observed: share of positives in each bin, ``[C, bins]``; NaN if the bin is empty.
    """

    edges: np.ndarray
    counts: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray


def reliability_curve(y_true: np.ndarray, y_score: np.ndarray, num_bins: int = 15) -> ReliabilityCurve:
    """Mean probability and share of positives in `num_bins` bins of equal width, for plotting.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: probabilities from 0 to 1, ``[N, C]``.
        num_bins: bins between 0 and 1.

    Raises:
        DataError: fewer than one bin, or a score is not a probability; or see
            :func:`ecgzoo.evaluation.metrics.check_scores`.
    """
    labels, scores = check_scores(y_true, y_score, probabilities=True)
    if num_bins < 1:
        raise DataError(f"Found num_bins={num_bins}; expected at least 1.")
    shape = (labels.shape[1], num_bins)
    edges = np.linspace(0.0, 1.0, num_bins + 1)
    # One bincount over all classes: each class has its own `num_bins` cells.
    cells = (np.digitize(scores, edges[1:-1]) + num_bins * np.arange(labels.shape[1])).ravel()
    counts = np.bincount(cells, minlength=shape[0] * num_bins).reshape(shape)
    predicted = np.bincount(cells, weights=scores.ravel(), minlength=shape[0] * num_bins).reshape(shape)
    observed = np.bincount(cells, weights=labels.ravel(), minlength=shape[0] * num_bins).reshape(shape)
    with np.errstate(invalid="ignore"):
        return ReliabilityCurve(edges=edges, counts=counts, predicted=predicted / counts, observed=observed / counts)


def fit_temperature(y_true: np.ndarray, y_score: np.ndarray) -> float:
    """The T from 0.05 to 20 for which ``σ(logit(p)/T)`` has the least negative log-likelihood, one for all classes.

    It is 1 if the likelihood still grows towards 0.05, as it does where a few records are told apart without a mistake:
    they say nothing about how sure a prediction may be, and such a T would make nearly every probability 0 or 1.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: probabilities from 0 to 1, ``[N, C]``.

    Raises:
        DataError: a score is not a probability; or see :func:`ecgzoo.evaluation.metrics.check_scores`.

    Source: Guo et al., arXiv 1706.04599, section 4.2, with one Bernoulli variable per class.
    """
    labels, scores = check_scores(y_true, y_score, probabilities=True)
    logits = logit(np.clip(scores, 1e-7, 1 - 1e-7))

    def loss(log_temperature: float) -> float:
        scaled = logits / np.exp(log_temperature)
        return float(np.mean(np.logaddexp(0, scaled) - labels * scaled))

    best = minimize_scalar(loss, bounds=LOG_TEMPERATURES, method="bounded", options={"xatol": 1e-6}).x
    return 1.0 if best - LOG_TEMPERATURES[0] < 1e-3 else float(np.exp(best))


def expected_calibration_error(y_true: np.ndarray, y_score: np.ndarray, num_bins: int = 15) -> float:
    """Mean over classes of ``Σ_bins count/N · |observed - predicted|``, bins of equal width; 0 is best.

    Each class is a separate yes-or-no question, so the probability of the class is binned, not the confidence in the
    top class.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: probabilities from 0 to 1, ``[N, C]``.
        num_bins: bins between 0 and 1. More bins give a larger error on the same records, so report the number.

    Raises:
        DataError: see :func:`reliability_curve`.

    Source: Guo et al., arXiv 1706.04599, eq. 3; by class as in Kull et al., arXiv 1910.12656.
    """
    curve = reliability_curve(y_true, y_score, num_bins)
    gaps = np.where(curve.counts > 0, np.abs(curve.observed - curve.predicted), 0.0)
    return float(np.mean(np.sum(gaps * curve.counts, axis=1)) / len(y_true))
