"""Decision thresholds of one class: a record is called positive if its score reaches the threshold.

Choose them on the validation fold, never on the records on which they are then evaluated.
"""

import numpy as np

from ecgzoo.errors import DataError
from ecgzoo.evaluation.metrics import check_scores


def best_f1_threshold(y_true: np.ndarray, y_score: np.ndarray) -> float:
    """The threshold with the highest F1; if there are several, the largest. It is one of the scores.

    Args:
        y_true: labels 0 or 1 of one class, ``[N]``.
        y_score: any finite scores, higher for more likely, ``[N]``.

    Raises:
        DataError: the class has no positive; or see :func:`ecgzoo.evaluation.metrics.check_scores`.
    """
    labels, scores = _check_class(y_true, y_score)
    descending = np.argsort(-scores)
    labels, scores = labels[descending], scores[descending]
    # Equal scores get the same decision, so only the last of equal scores can be a threshold.
    cuts = np.flatnonzero(np.append(scores[1:] != scores[:-1], True))
    hits = np.cumsum(labels)[cuts]
    f1 = 2 * hits / (cuts + 1 + labels.sum())
    return float(scores[cuts[np.argmax(f1)]])


def sensitivity_threshold(y_true: np.ndarray, y_score: np.ndarray, sensitivity: float = 0.9) -> float:
    """The largest threshold that reaches `sensitivity`. It is the score of a positive record.

    Args:
        y_true: labels 0 or 1 of one class, ``[N]``.
        y_score: any finite scores, higher for more likely, ``[N]``.
        sensitivity: share of the positives that must be called, above 0 and at most 1.

    Raises:
        DataError: the class has no positive, `sensitivity` is out of range; or see
            :func:`ecgzoo.evaluation.metrics.check_scores`.
    """
    if not 0 < sensitivity <= 1:
        raise DataError(f"Found sensitivity={sensitivity}; expected a share above 0 and at most 1.")
    labels, scores = _check_class(y_true, y_score)
    positives = np.sort(scores[labels])[::-1]
    # Compare k/P with the share, not k with share * P: in floating point, 0.07 * 100 is above 7.
    reached = np.arange(1, len(positives) + 1) / len(positives)
    return float(positives[np.searchsorted(reached, sensitivity)])


def decision_points(y_true: np.ndarray, y_score: np.ndarray) -> dict[str, float]:
    """The thresholds of one class, with the names of ``ModelConfig.thresholds``.

    ``f1`` is the flag. ``screening`` reaches a sensitivity of 0.9. Between ``lower`` and ``upper`` a score is
    uncertain: ``lower`` is the smaller of ``f1`` and ``screening``, and ``upper`` is the larger of ``f1`` and the score
    that 5 % of the negatives reach.

    Args:
        y_true: labels 0 or 1 of one class, ``[N]``.
        y_score: any finite scores, higher for more likely, ``[N]``.

    Raises:
        DataError: the class has no positive or no negative; or see
            :func:`ecgzoo.evaluation.metrics.check_scores`.
    """
    labels, scores = _check_class(y_true, y_score)
    if labels.all():
        raise DataError(f"All {len(labels)} records are positive for this class, so no threshold can be chosen.")
    f1, screening = best_f1_threshold(y_true, y_score), sensitivity_threshold(y_true, y_score)
    few_false_alarms = float(np.quantile(scores[~labels], 0.95, method="higher"))
    return {"f1": f1, "screening": screening, "lower": min(f1, screening), "upper": max(f1, few_false_alarms)}


def sensitivity_specificity(y_true: np.ndarray, y_score: np.ndarray, threshold: float) -> dict[str, float]:
    """Sensitivity and specificity of one class at `threshold`.

    Args:
        y_true: labels 0 or 1 of one class, ``[N]``; both must occur.
        y_score: any finite scores, higher for more likely, ``[N]``.
        threshold: a record is called positive if its score reaches it.

    Raises:
        DataError: the class has no positive or no negative, the threshold is NaN; or see
            :func:`ecgzoo.evaluation.metrics.check_scores`.
    """
    labels, scores = _check_class(y_true, y_score)
    if labels.all():
        raise DataError(f"All {len(labels)} records are positive for this class, so it has no specificity.")
    if np.isnan(threshold):
        raise DataError("The threshold is NaN, which no score reaches; expected a number.")
    called = scores >= threshold
    return {"sensitivity": float(called[labels].mean()), "specificity": float((~called[~labels]).mean())}


def _check_class(y_true: np.ndarray, y_score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if np.ndim(y_true) != 1 or np.ndim(y_score) != 1:
        raise DataError(
            f"Found labels of shape {np.shape(y_true)} and scores of shape {np.shape(y_score)}; "
            "expected one class, both [records]. Pass one column at a time."
        )
    labels, scores = check_scores(np.asarray(y_true)[:, None], np.asarray(y_score)[:, None])
    if not labels.any():
        raise DataError(
            f"None of the {len(labels)} records is positive for this class, so no threshold can be chosen. "
            "Use more records or leave the class out."
        )
    return labels[:, 0], scores[:, 0]
