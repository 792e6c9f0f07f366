from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from ecgzoo.errors import DataError
from ecgzoo.evaluation.bootstrap import bootstrap_aucs, bootstrap_ci, paired_difference
from ecgzoo.evaluation.metrics import brier_score, macro_auc


def predictions(
    seed: int, records: int = 60, classes: int = 3, share: float = 0.4, decimals: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Labels and tied probabilities; the first two records give every class both outcomes."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((records, classes)) < share).astype(np.uint8)
    labels[0], labels[1] = 0, 1
    return labels, np.clip(np.round(rng.random((records, classes)) * 0.8 + 0.2 * labels, decimals), 0, 1)


def drawn_rows(groups: list[int], num_resamples: int, seed: int) -> list[list[int]]:
    """The rows of each resample, patient by drawn patient, as the module documents the drawing."""
    patients = list(dict.fromkeys(groups))
    draws = np.random.default_rng(seed).integers(len(patients), size=(num_resamples, len(patients)))
    return [[row for k in draw for row, group in enumerate(groups) if group == patients[k]] for draw in draws]


def macro_auc_of_copies(labels: np.ndarray, scores: np.ndarray) -> float:
    """scikit-learn on explicitly repeated records, leaving out classes that lost an outcome."""
    both = [c for c in range(labels.shape[1]) if 0 < labels[:, c].sum() < len(labels)]
    return float(np.mean([roc_auc_score(labels[:, c], scores[:, c]) for c in both])) if both else float("nan")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("share", [0.4, 0.02])
def test_interval_equals_that_of_explicitly_repeated_patients(seed, share):
    labels, scores = predictions(seed, share=share)
    groups = np.random.default_rng(seed).integers(25, size=60).tolist()
    values = [macro_auc_of_copies(labels[rows], scores[rows]) for rows in drawn_rows(groups, 100, seed=7)]
    if share < 0.1:
        resampled = [labels[rows] for rows in drawn_rows(groups, 100, seed=7)]
        assert any((part.max(axis=0) == 0).any() for part in resampled), "some class must lose its positives"
    expected = np.nanquantile(values, [0.05, 0.95])
    found = bootstrap_ci(labels, scores, np.array(groups), num_resamples=100, level=0.9, seed=7)
    np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), decimals=st.integers(0, 3))
def test_one_resample_is_the_weighted_auc_of_scikit_learn(seed, decimals):
    labels, scores = predictions(seed, decimals=decimals)
    weights = np.bincount(np.random.default_rng(seed).integers(60, size=60), minlength=60)
    expected = np.mean([roc_auc_score(labels[:, c], scores[:, c], sample_weight=weights) for c in range(3)])
    found = bootstrap_ci(labels, scores, num_resamples=1, seed=seed)
    assert found == pytest.approx((expected, expected), abs=1e-12)


def test_every_metric_gets_the_same_resamples_as_the_fast_path():
    labels, scores = predictions(1)
    groups = np.arange(60) // 3

    def slow_macro_auc(y_true, y_score):
        return macro_auc(y_true, y_score)

    fast = bootstrap_ci(labels, scores, groups, num_resamples=100)
    assert bootstrap_ci(labels, scores, groups, slow_macro_auc, num_resamples=100) == pytest.approx(fast, abs=1e-12)
    values = [brier_score(labels[rows], scores[rows]) for rows in drawn_rows(groups.tolist(), 100, seed=3)]
    found = bootstrap_ci(labels, scores, groups, brier_score, num_resamples=100, seed=3)
    assert found == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-12)


def test_resamples_past_one_chunk_go_on_with_the_same_draws():
    labels, scores = predictions(2, records=4001, classes=1)
    values = [
        macro_auc_of_copies(labels[rows], scores[rows])
        for rows in np.random.default_rng(5).integers(4001, size=(80, 4001))
    ]
    found = bootstrap_ci(labels, scores, num_resamples=80, seed=5)
    assert found == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-12)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_intervals_are_reproducible_contain_the_estimate_and_ignore_names(seed):
    labels, scores = predictions(seed, records=150)
    low, high = bootstrap_ci(labels, scores, num_resamples=200, seed=seed)
    assert (low, high) == bootstrap_ci(labels, scores, num_resamples=200, seed=seed)
    assert (low, high) != bootstrap_ci(labels, scores, num_resamples=200, seed=seed + 1)
    assert low < macro_auc(labels, scores) < high
    own_group = np.random.default_rng(seed).permutation(150)
    assert (low, high) == bootstrap_ci(labels, scores, own_group, num_resamples=200, seed=seed)
    named = np.array([f"patient {number}" for number in own_group])
    assert (low, high) == bootstrap_ci(labels, scores, named, num_resamples=200, seed=seed)
    inner_low, inner_high = bootstrap_ci(labels, scores, num_resamples=200, level=0.5, seed=seed)
    assert low < inner_low < inner_high < high


def test_repeated_records_of_a_patient_do_not_narrow_the_interval():
    labels, scores = predictions(3)
    once = bootstrap_ci(labels, scores)
    tenfold = bootstrap_ci(np.tile(labels, (10, 1)), np.tile(scores, (10, 1)), np.tile(np.arange(60), 10))
    assert tenfold == pytest.approx(once, abs=1e-12)


@pytest.mark.parametrize("metric", [macro_auc, brier_score])
def test_a_model_does_not_differ_from_itself(metric):
    labels, scores = predictions(4)
    same = paired_difference(labels, scores, scores, np.arange(60) // 2, metric, num_resamples=100)
    assert (same.difference, same.ci) == (0.0, (0.0, 0.0))
    assert not same.resamples.any()


@pytest.mark.parametrize("metric", [macro_auc, brier_score])
def test_paired_difference_takes_the_same_patients_for_both(metric):
    labels, a = predictions(5)
    b = np.round(np.clip(a + np.random.default_rng(6).normal(0, 0.1, a.shape), 0, 1), 2)
    groups = (np.arange(60) // 2).tolist()
    rows_of_resamples = drawn_rows(groups, 100, seed=9)
    values = np.array([metric(labels[rows], a[rows]) - metric(labels[rows], b[rows]) for rows in rows_of_resamples])
    found = paired_difference(labels, a, b, np.array(groups), metric, num_resamples=100, seed=9)
    assert found.difference == pytest.approx(metric(labels, a) - metric(labels, b), abs=1e-12)
    assert found.ci == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-12)
    np.testing.assert_allclose(found.resamples, values, atol=1e-12)
    swapped = paired_difference(labels, b, a, np.array(groups), metric, num_resamples=100, seed=9)
    assert swapped.ci == pytest.approx((-found.ci[1], -found.ci[0]), abs=1e-12)


def test_resamples_without_a_defined_metric_are_left_out_until_they_are_many():
    labels, scores = np.zeros((20, 1), dtype=int), np.linspace(0, 1, 20)[:, None]
    labels[[5, 15]] = 1
    values = [macro_auc_of_copies(labels[rows], scores[rows]) for rows in drawn_rows(list(range(20)), 200, seed=0)]
    assert 0 < np.isnan(values).mean() < 0.5
    expected = tuple(np.nanquantile(values, [0.025, 0.975]))
    assert bootstrap_ci(labels, scores, num_resamples=200) == pytest.approx(expected, abs=1e-12)
    slow = bootstrap_ci(labels, scores, metric=lambda truth, score: macro_auc(truth, score), num_resamples=200)
    assert slow == pytest.approx(expected, abs=1e-12)
    with pytest.raises(DataError, match="undefined on 10 of 10 resamples"):
        bootstrap_ci(labels, scores, metric=lambda truth, score: float("nan"), num_resamples=10)


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({"groups": np.arange(59)}, r"groups of shape \(59,\)"),
        ({"groups": np.zeros(60)}, "of one patient"),
        ({"groups": np.append(np.arange(58.0), [np.nan, np.nan])}, "2 records have NaN or None as patient"),
        ({"groups": np.array([*"ab" * 28, None, None, np.nan, "c"], object)}, "3 records have NaN or None as patient"),
        ({"groups": [*"ab" * 28, "c", "d", float("nan"), float("nan")]}, "2 records have NaN or None as patient"),
        ({"groups": [*range(59), "1"]}, "patients cannot be compared"),
        (
            {"groups": np.array([*range(59), "a"], object)},
            "patients cannot be compared .*all as numbers or all as text",
        ),
        ({"num_resamples": 0}, "num_resamples=0"),
        ({"level": 95}, "level=95"),
        ({"level": 0.0}, "level=0.0"),
    ],
)
def test_settings_that_make_no_sense_are_named(arguments, found):
    labels, scores = predictions(0)
    with pytest.raises(DataError, match=found):
        bootstrap_ci(labels, scores, **arguments)
    with pytest.raises(DataError, match=found):
        paired_difference(labels, scores, scores, **arguments)


def test_unusable_input_is_named():
    labels, scores = predictions(0)
    with pytest.raises(DataError, match="No class has both"):
        bootstrap_ci(np.ones((60, 3)), scores)
    with pytest.raises(DataError, match="not 0 or 1"):
        bootstrap_ci(labels + 1, scores)
    with pytest.raises(DataError, match="shape"):
        paired_difference(labels, scores, scores[:, :2])


def test_patients_that_pandas_does_not_know_are_refused():
    pandas = pytest.importorskip("pandas")
    labels, scores = predictions(0)
    for kind in ("string", object):
        patients = pandas.Series([*"ab" * 29, "c", None], dtype=kind)
        with pytest.raises(DataError, match="patient"):
            bootstrap_ci(labels, scores, patients)
    named = pandas.Series([*"ab" * 29, "c", "d"], dtype="string")
    numbered = np.array([*[0, 1] * 29, 2, 3])
    assert bootstrap_ci(labels, scores, named) == bootstrap_ci(labels, scores, numbered)


def test_two_patients_are_enough():
    labels, scores = predictions(0)
    groups = np.arange(60) % 2
    values = [macro_auc_of_copies(labels[rows], scores[rows]) for rows in drawn_rows(groups.tolist(), 30, seed=0)]
    found = bootstrap_ci(labels, scores, groups, num_resamples=30)
    assert found == pytest.approx(tuple(np.quantile(values, [0.025, 0.975])), abs=1e-12)


def test_a_tenth_of_the_resamples_may_be_undefined():
    labels, scores = predictions(0)
    for undefined in (1, 2):
        values = iter([0.5, *[float("nan")] * undefined, *[0.5] * 10])  # the first is on all records
        with pytest.raises(DataError, match="undefined on 2 of 10") if undefined == 2 else nullcontext():
            found = bootstrap_ci(labels, scores, metric=lambda *_, given=values: next(given), num_resamples=10)
            assert found == (0.5, 0.5)


@pytest.mark.parametrize("outcome", [0, 1])
def test_one_or_two_patients_of_an_outcome_give_no_interval(outcome: int):
    """Whether one of them was drawn says nothing of how another would score: the interval was far too narrow."""
    rng = np.random.default_rng(0)
    patients, scores = np.arange(400) // 2, rng.random((400, 1))
    for those, defined in ((1, False), (2, False), (4, True)):
        labels = np.full((400, 1), 1 - outcome)
        labels[: 2 * those] = outcome
        with nullcontext() if defined else pytest.raises(DataError, match="too few patients"):
            low, high = bootstrap_ci(labels, scores, patients)
            assert low < high
        beside = np.column_stack([labels, rng.random(400) < 0.5])
        _, (interval, _) = bootstrap_aucs(beside, np.repeat(scores, 2, axis=1), patients)
        assert (interval is not None) == defined


def test_a_thousand_resamples_and_95_percent_if_not_said_otherwise():
    labels, scores = predictions(0)
    said = bootstrap_ci(labels, scores, None, macro_auc, 1000, 0.95, 0)
    assert bootstrap_ci(labels, scores) == said
    assert paired_difference(labels, scores, 1 - scores).resamples.shape == (1000,)


def test_intervals_of_all_classes_at_once_are_those_of_each_alone():
    rng = np.random.default_rng(4)
    labels = (rng.random((200, 4)) < [0.3, 0.1, 0.5, 0.002]).astype(int)
    labels[:, 3] = 0
    labels[:4, 3] = 1  # four positive patients: none of them in one resample of fifty
    labels[:, 1] = 0
    scores, patients = rng.random((200, 4)), rng.integers(0, 150, 200)
    macro, each = bootstrap_aucs(labels, scores, patients, num_resamples=60, seed=5)
    assert macro == bootstrap_ci(labels, scores, patients, num_resamples=60, seed=5)
    for k in (0, 2, 3):
        assert each[k] == bootstrap_ci(labels[:, [k]], scores[:, [k]], patients, num_resamples=60, seed=5)
    assert each[1] is None
