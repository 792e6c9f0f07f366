"""Bootstrap intervals over patients: patients are drawn, because two records of one patient are not independent.

With G patients, numbered by first appearance, each resample in turn draws ``default_rng(seed).integers(G, size=G)`` and
takes all records of each drawn patient, as often as the patient was drawn. The drawing depends only on `groups` and
`seed`, so two models on the same records get the same resamples.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from ecgzoo.errors import DataError
from ecgzoo.evaluation.metrics import check_scores, macro_auc

Metric = Callable[[np.ndarray, np.ndarray], float]

_CELLS_PER_CHUNK = 2**18  # records x resamples in memory: 2 MiB per array, for any number of resamples
# of the resamples. With one positive patient 37 % have no positive, with two 14 %, with three 5 %. The interval of the
# others says how much the negatives scatter, and not how another patient would score.
_MOST_UNDEFINED = 0.1


@dataclass(frozen=True, kw_only=True, eq=False)
class PairedDifference:
    """The difference of a metric between two models on the same records.

    Attributes:
        difference: ``metric(a) - metric(b)`` on all records.
        ci: percentile interval ``(low, high)`` of the difference over the resamples.
        resamples: the difference in each resample in which it is defined, at most ``[num_resamples]``.
    """

    difference: float
    ci: tuple[float, float]
    resamples: np.ndarray


def bootstrap_ci(
    y_true: np.ndarray,
    y_score: np.ndarray,
    groups: np.ndarray | None = None,
    metric: Metric = macro_auc,
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval ``(low, high)`` of a metric.

    A class without positives or without negatives in a resample is left out of that resample, as in :func:`macro_auc`.
    A resample in which the metric is undefined (it raises DataError or gives NaN) is left out of the interval.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: finite scores, ``[N, C]``.
        groups: the patient of each record, ``[N]``; None draws single records.
        metric: ``metric(y_true, y_score) -> float``. The macro AUC takes a fast path with the same result; any other
            is called once per resample.
        num_resamples: how many resamples.
        level: coverage of the interval, between 0 and 1.
        seed: seed of the drawing.

    Raises:
        DataError: there are fewer than two patients, `groups` does not fit the records, or the metric is undefined on
            all records or on more than a tenth of the resamples; or see
            :func:`ecgzoo.evaluation.metrics.check_scores`.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.
    """
    labels, scores = check_scores(y_true, y_score)
    metric(labels, scores)  # a metric that is undefined on all records is an error, before 1000 resamples are left out
    _, interval = _bootstrap(
        lambda counts: _resampled(metric, labels, scores, counts), len(labels), groups, num_resamples, level, seed
    )
    return interval


def bootstrap_aucs(
    y_true: np.ndarray,
    y_score: np.ndarray,
    groups: np.ndarray | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
) -> tuple[tuple[float, float], list[tuple[float, float] | None]]:
    """95 % intervals of the macro AUC and of the AUC of each class, from the same resamples.

    They equal those of :func:`bootstrap_ci` on all classes and on each class; None for a class for which it raises
    DataError, because more than a tenth of the resamples have no positive or no negative of it.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score: finite scores, ``[N, C]``.
        groups: see :func:`bootstrap_ci`.
        num_resamples: how many resamples.
        seed: seed of the drawing.

    Raises:
        DataError: see :func:`bootstrap_ci`.
    """
    labels, scores = check_scores(y_true, y_score)
    macro_auc(labels, scores)  # undefined on all records: an error, before 1000 resamples are drawn
    parts = _resamples(len(labels), groups, num_resamples, seed)
    aucs = np.concatenate([_weighted_aucs(labels, scores, counts.astype(np.float64)) for counts in parts], axis=1)
    _, interval = _defined_and_interval(_mean_of_defined(aucs))
    each: list[tuple[float, float] | None] = []
    for values in aucs:
        try:
            each.append(_defined_and_interval(values)[1])
        except DataError:
            each.append(None)
    return interval, each


def paired_difference(
    y_true: np.ndarray,
    y_score_a: np.ndarray,
    y_score_b: np.ndarray,
    groups: np.ndarray | None = None,
    metric: Metric = macro_auc,
    num_resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> PairedDifference:
    """``metric(a) - metric(b)`` of two models on the same records, with its paired bootstrap interval.

    Both models get the same resamples, so the difficulty of a resample cancels, and the interval is that of the
    difference, not of two separate metrics.

    Args:
        y_true: labels 0 or 1, ``[N, C]``.
        y_score_a: finite scores of model a, ``[N, C]``.
        y_score_b: finite scores of model b, ``[N, C]``.
        groups: the patient of each record, ``[N]``; None draws single records.
        metric: see ``bootstrap_ci``.
        num_resamples: how many resamples.
        level: coverage of the interval, between 0 and 1.
        seed: seed of the drawing.

    Raises:
        DataError: see ``bootstrap_ci``.
    """
    labels, scores_a = check_scores(y_true, y_score_a)
    _, scores_b = check_scores(y_true, y_score_b)
    difference = metric(labels, scores_a) - metric(labels, scores_b)
    differences, interval = _bootstrap(
        lambda counts: _resampled(metric, labels, scores_a, counts) - _resampled(metric, labels, scores_b, counts),
        len(labels),
        groups,
        num_resamples,
        level,
        seed,
    )
    return PairedDifference(difference=float(difference), ci=interval, resamples=differences)


def _bootstrap(
    statistic: Callable[[np.ndarray], np.ndarray],
    num_records: int,
    groups: np.ndarray | None,
    num_resamples: int,
    level: float,
    seed: int,
) -> tuple[np.ndarray, tuple[float, float]]:
    """The defined values of a statistic over the resamples, and their percentile interval.

    The statistic maps how often each record was drawn, ``[N, R]`` for R resamples, to ``[R]``.
    """
    values = np.concatenate([statistic(counts) for counts in _resamples(num_records, groups, num_resamples, seed)])
    return _defined_and_interval(values, level)


def _resamples(num_records: int, groups: np.ndarray | None, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """How often each record was drawn, ``[N, R]`` for R resamples at a time."""
    if num_resamples < 1:
        raise DataError(f"Found num_resamples={num_resamples}; expected at least 1, and 1000 for a stable interval.")
    patients = _patient_numbers(num_records, groups)
    num_patients = int(patients.max()) + 1
    if num_patients < 2:
        raise DataError(f"All {num_records} records are of one patient; a bootstrap over patients needs at least two.")
    rng = np.random.default_rng(seed)
    chunk = max(1, _CELLS_PER_CHUNK // num_records)
    for start in range(0, num_resamples, chunk):
        draws = rng.integers(num_patients, size=(min(chunk, num_resamples - start), num_patients))
        counts = np.stack([np.bincount(draw, minlength=num_patients) for draw in draws], axis=1)
        yield counts[patients]


def _defined_and_interval(values: np.ndarray, level: float = 0.95) -> tuple[np.ndarray, tuple[float, float]]:
    if not 0 < level < 1:
        raise DataError(f"Found level={level}; expected a coverage between 0 and 1, such as 0.95.")
    undefined = np.isnan(values)
    if undefined.mean() > _MOST_UNDEFINED:
        raise DataError(
            f"The metric is undefined on {undefined.sum()} of {len(values)} resamples: too few patients have "
            "positive or negative records. Evaluate on more patients or merge rare classes."
        )
    values = values[~undefined]
    low, high = np.quantile(values, ((1 - level) / 2, (1 + level) / 2))
    return values, (float(low), float(high))


def _patient_numbers(num_records: int, groups: np.ndarray | None) -> np.ndarray:
    """Patients numbered 0, 1, … by first appearance, so that renaming them does not change the resamples."""
    if groups is None:
        return np.arange(num_records)
    # of a list, NumPy would make one kind: NaN among texts would be the text nan, and 1 the text 1
    names = np.asarray(groups, None if hasattr(groups, "dtype") else object)
    if names.shape != (num_records,):
        raise DataError(f"Found groups of shape {names.shape}; expected one patient per record, [{num_records}].")
    try:
        unknown = names != names  # NaN
        if names.dtype.kind == "O":
            unknown |= np.array([name is None for name in names])
        if unknown.any():
            raise DataError(
                f"{unknown.sum()} records have NaN or None as patient and would count as one patient. "
                "Give each unknown patient a different number."
            )
        _, first, inverse = np.unique(names, return_index=True, return_inverse=True)
    except TypeError as error:
        raise DataError(
            f"The patients cannot be compared ({error}). Give all as numbers or all as text, and each unknown patient "
            "a different one."
        ) from error
    return np.argsort(np.argsort(first))[inverse]


def _resampled(metric: Metric, labels: np.ndarray, scores: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The metric ``[R]`` of each resample in `counts` ``[N, R]``; NaN if it is undefined."""
    if metric is macro_auc:
        return _mean_of_defined(_weighted_aucs(labels, scores, counts.astype(np.float64)))
    values = np.full(counts.shape[1], np.nan)
    for column in range(counts.shape[1]):
        rows = np.repeat(np.arange(len(labels)), counts[:, column])
        try:
            values[column] = metric(labels[rows], scores[rows])
        except DataError:
            continue
    return values


def _weighted_aucs(labels: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """AUC ``[C, R]`` of each class for each column of record weights ``[N, R]``; NaN without positives or negatives.

    For each positive, count the weight of the negatives with a lower score, plus half the weight of those with an equal
    score: the mean of the weight strictly below and of the weight at or below. One sort per class serves all columns.
    """
    aucs = np.full((labels.shape[1], weights.shape[1]), np.nan)
    for positive, score, auc in zip(labels.T, scores.T, aucs, strict=True):
        negatives = np.flatnonzero(~positive)
        negatives = negatives[np.argsort(score[negatives])]
        below = np.zeros((len(negatives) + 1, weights.shape[1]))  # row k: weight of the k lowest negatives
        np.cumsum(weights[negatives], axis=0, out=below[1:])
        lower = below[np.searchsorted(score[negatives], score[positive], side="left")]
        upper = below[np.searchsorted(score[negatives], score[positive], side="right")]
        wins = np.einsum("pr,pr->r", weights[positive], (lower + upper) / 2)
        pairs = weights[positive].sum(axis=0) * below[-1]
        np.divide(wins, pairs, out=auc, where=pairs > 0)
    return aucs


def _mean_of_defined(aucs: np.ndarray) -> np.ndarray:
    """The mean ``[R]`` over the classes of AUCs ``[C, R]`` that are not NaN; NaN if all are."""
    classes = (~np.isnan(aucs)).sum(axis=0)
    total = np.nansum(aucs, axis=0)
    means: np.ndarray = np.divide(total, classes, out=np.full_like(total, np.nan), where=classes > 0)
    return means
