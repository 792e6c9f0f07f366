"""Metrics with confidence intervals (NumPy and scikit-learn), and `evaluate`, which applies a model to a cohort."""

from ecgzoo.evaluation.bootstrap import PairedDifference, bootstrap_ci, paired_difference
from ecgzoo.evaluation.calibration import (
    ReliabilityCurve,
    expected_calibration_error,
    fit_temperature,
    reliability_curve,
)
from ecgzoo.evaluation.cohort import CohortScores, evaluate, score_rows
from ecgzoo.evaluation.metrics import brier_score, fmax, macro_auc, macro_average_precision, per_class_auc
from ecgzoo.evaluation.summary import Evaluation, evaluate_scores
from ecgzoo.evaluation.thresholds import (
    best_f1_threshold,
    decision_points,
    sensitivity_specificity,
    sensitivity_threshold,
)

__all__ = [
    "CohortScores",
    "Evaluation",
    "PairedDifference",
    "ReliabilityCurve",
    "best_f1_threshold",
    "bootstrap_ci",
    "brier_score",
    "decision_points",
    "evaluate",
    "evaluate_scores",
    "expected_calibration_error",
    "fit_temperature",
    "fmax",
    "macro_auc",
    "macro_average_precision",
    "paired_difference",
    "per_class_auc",
    "reliability_curve",
    "score_rows",
    "sensitivity_specificity",
    "sensitivity_threshold",
]
