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


def test_evaluation_survives_strict_json():
    labels, scores, patients = predictions()
    figures = evaluate_scores(labels, scores, CLASSES, patients, num_resamples=10).to_dict()
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures


def test_names_must_fit_the_columns():
    labels, scores, _ = predictions()
    for names in (("CD", "HYP"), ("CD", "CD", "MI"), ("CD", "CD", "HYP", "MI")):
        with pytest.raises(DataError, match="one distinct name a column"):
            evaluate_scores(labels, scores, names)


def test_logits_are_refused():
    labels, scores, _ = predictions()
    with pytest.raises(DataError, match="expected probabilities"):
        evaluate_scores(labels, scores * 4 - 2, CLASSES)
