"""Apply a model to the records of a cohort, window by window, and measure it."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from rich.progress import track

from ecgzoo.data import Cohort
from ecgzoo.data.cohort import MICROVOLTS_PER_MILLIVOLT
from ecgzoo.errors import DataError, SignalError
from ecgzoo.evaluate.summary import Evaluation, evaluate_scores
from ecgzoo.model import EcgModel

RECORDS_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class CohortScores:
    """A model's probabilities on the records of some folds, beside the truth.

    Attributes:
        folds: which.
        y_true: labels ``[n, C]``.
        y_score: probabilities ``[n, C]``.
        patients: ``[n]``.
        classes: names of the columns.
    """

    folds: tuple[int, ...]
    y_true: np.ndarray
    y_score: np.ndarray
    patients: np.ndarray
    classes: tuple[str, ...]

    def evaluation(self, seed: int = 0, num_resamples: int = 1000) -> Evaluation:
        """Every figure, with intervals from resampled patients."""
        return evaluate_scores(self.y_true, self.y_score, self.classes, self.patients, seed, num_resamples)


def score_rows(model: EcgModel, cohort: Cohort, rows: np.ndarray, progress: bool = False) -> np.ndarray:
    """Probabilities ``[len(rows), C]`` of the cohort's records at `rows`; the model is left in eval mode.

    Raises:
        SignalError: the cohort lacks one of the model's leads, or has another rate.
    """
    if cohort.rate_hz != model.config.rate_hz:
        raise SignalError(
            f"{cohort.title} is at {cohort.rate_hz:g} Hz, the model at {model.config.rate_hz:g} Hz; "
            "use a model for that rate"
        )
    positions = model.lead_positions(cohort.leads, cohort.title)
    device = model.mean_mv.device
    model.eval()
    chunks = [rows[i : i + RECORDS_AT_ONCE] for i in range(0, len(rows), RECORDS_AT_ONCE)]
    scores = [
        model.score(torch.from_numpy(cohort.signals(chunk)[:, positions]).to(device) / MICROVOLTS_PER_MILLIVOLT).cpu()
        for chunk in track(chunks, f"score {cohort.title}", transient=True, disable=not progress)
    ]
    return torch.cat(scores).double().numpy() if scores else np.empty((0, model.num_classes))


def evaluate(model: EcgModel, cohort: Cohort, folds: Iterable[int], progress: bool = False) -> CohortScores:
    """Score the records of `folds`; ``.evaluation()`` of the result holds the figures (docs/method.md §5).

    Raises:
        DataError: a fold without records, or labels that are not the model's.
        SignalError: leads or rate do not fit.
    """
    if model.config.labels != cohort.classes:
        raise DataError(
            f"the model's classes are {', '.join(model.config.labels) or '(none: it was never trained)'}; those of "
            f"{cohort.title} are "
            f"{', '.join(cohort.classes)}. Choose the task that the model was trained for."
        )
    folds = tuple(sorted(set(folds)))
    rows = cohort.rows(folds)
    return CohortScores(
        folds=folds,
        y_true=cohort.labels[rows],
        y_score=score_rows(model, cohort, rows, progress),
        patients=cohort.patients[rows],
        classes=cohort.classes,
    )
