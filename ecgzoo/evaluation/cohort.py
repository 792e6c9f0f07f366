"""Apply a model to the records of a cohort, window by window, and compute its metrics."""

import operator
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from rich.markup import escape
from rich.progress import track

from ecgzoo.aggregates import with_aggregates
from ecgzoo.config import ModelConfig
from ecgzoo.data import Cohort, check_cohort, parse_folds
from ecgzoo.data.cohort import MICROVOLTS_PER_MILLIVOLT
from ecgzoo.errors import DataError, EcgZooWarning, SignalError, printable
from ecgzoo.evaluation.summary import Evaluation, evaluate_scores
from ecgzoo.model import EcgModel

RECORDS_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class CohortScores:
    """A model's probabilities on the records of some folds, with the true labels.

    Attributes:
        folds: the folds.
        y_true: labels ``[n, C]``.
        y_score: probabilities ``[n, C]``.
        patients: the patient of each record ``[n]``.
        classes: names of the columns.
        aggregates: labels that mean "any of these classes", each with its classes.
        subgroups: for each group of sex or age, which records belong to it, bool ``[n]`` by name.
        notes: why the metrics do not hold for new records, if they do not.
    """

    folds: tuple[int, ...]
    y_true: np.ndarray
    y_score: np.ndarray
    patients: np.ndarray
    classes: tuple[str, ...]
    subgroups: Mapping[str, np.ndarray]
    aggregates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def evaluation(self, seed: int = 0, num_resamples: int = 1000) -> Evaluation:
        """All metrics, with intervals from a bootstrap over patients.

        Args:
            seed: of the drawing.
            num_resamples: how many resamples.

        Raises:
            DataError: there are fewer than two patients, or no class has both outcomes.
        """
        return evaluate_scores(
            self.y_true,
            self.y_score,
            self.classes,
            self.patients,
            seed,
            num_resamples,
            self.subgroups,
            self.aggregates,
        )

    def columns(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Labels ``[n]`` and probabilities ``[n]`` of every class, then of the aggregates."""
        names = (*self.classes, *self.aggregates)
        true, score = (with_aggregates(values, self.classes, self.aggregates) for values in (self.y_true, self.y_score))
        return {name: (true[:, number], score[:, number]) for number, name in enumerate(names)}


def score_rows(model: EcgModel, cohort: Cohort, rows: np.ndarray, progress: bool = False) -> np.ndarray:
    """Probabilities ``[len(rows), C]`` of the cohort's records at `rows`; the model is left in eval mode.

    Raises:
        SignalError: the cohort does not have all of the model's leads, or has another rate, or a record is shorter than
            the model's window.
        WeightsError: the model gives probabilities that are not finite.
    """
    if cohort.rate_hz != model.config.rate_hz:
        raise SignalError(
            f"{cohort.title} is at {cohort.rate_hz:g} Hz, the model at {model.config.rate_hz:g} Hz; "
            "use a model for that rate"
        )
    positions = model.lead_positions(cohort.leads, cohort.title)
    device = model.device
    model.eval()
    samples, scores = cohort.samples(rows), np.empty((len(rows), model.num_classes))
    chunks = [  # of records of the same length, never from two blocks: so they are the same for any number of processes
        (i + np.flatnonzero(samples[i : i + RECORDS_AT_ONCE] == length), length)
        for i in range(0, len(rows), RECORDS_AT_ONCE)
        for length in np.unique(samples[i : i + RECORDS_AT_ONCE])
    ]
    for chunk, length in track(
        chunks, f"score {escape(printable(cohort.title))}", transient=True, disable=not progress
    ):
        signals = torch.from_numpy(cohort.signals(rows[chunk])[:, positions, :length]).to(device)
        microvolts = signals * torch.from_numpy(cohort.units(rows[chunk])).to(device)
        scores[chunk] = model.score(microvolts / MICROVOLTS_PER_MILLIVOLT).cpu().double().numpy()
    return scores


def evaluate(model: EcgModel, cohort: Cohort, folds: Iterable[int], progress: bool = False) -> CohortScores:
    """Score the records of `folds`; ``.evaluation()`` of the result gives the metrics (docs/method.md §5).

    If the model was trained or chosen on some of these folds, there is an `EcgZooWarning` and a note in the result.

    Args:
        model: left in eval mode.
        cohort: records with the model's classes, leads and rate.
        folds: the folds of the records.
        progress: whether to show a progress bar.

    Raises:
        DataError: a fold has no records, or some without labels; the labels are not those of the model; or the cohort
            breaks the contract of `Cohort`.
        SignalError: leads or rate do not fit.
        WeightsError: the model gives probabilities that are not finite.
    """
    if not isinstance(model, EcgModel):
        raise DataError(f"the model is {model!r:.80}, expected an EcgModel; load it with ecgzoo.load_pretrained")
    check_cohort(cohort)
    check_classes(model, cohort)
    try:
        folds = tuple(sorted({operator.index(fold) for fold in folds}))
    except TypeError as error:
        raise DataError(f"folds are {folds!r:.80}, expected whole numbers, such as [9] or range(1, 9)") from error
    rows = cohort.rows(folds)
    cohort.check_labelled(rows)
    notes = tuple(
        f"the model was {what} on fold {', '.join(map(str, sorted(seen & set(folds))))} of {cohort.name}: "
        "these metrics do not hold for new records"
        for what, seen in zip(("trained", "chosen"), seen_folds(model.config, cohort), strict=True)
        if seen & set(folds)
    )
    for note in notes:
        warnings.warn(note, EcgZooWarning, stacklevel=2)
    return replace(cohort_scores(cohort, folds, rows, score_rows(model, cohort, rows, progress)), notes=notes)


def check_classes(model: EcgModel, cohort: Cohort) -> None:
    """Refuse a model for the labels of `cohort` if it has other classes.

    Raises:
        DataError: it has.
    """
    if model.config.classes != cohort.classes:
        raise DataError(
            f"the model's classes are {', '.join(model.config.classes) or '(none: it was never trained)'}; those of "
            f"{cohort.title} are {', '.join(cohort.classes)}. Choose the task that the model was trained for."
        )


def seen_folds(config: ModelConfig, cohort: Cohort) -> tuple[set[int], set[int]]:
    """The folds of `cohort` on which a model was trained, and those on which it was chosen; empty for other data sets.

    The folds of its teacher, and of the weights that it started from, are among them.

    Raises:
        DataError: it was trained on this data set, but its config does not say on which folds.
    """
    return _seen(config.training, cohort)


def _seen(training: Mapping[str, Any], cohort: Cohort) -> tuple[set[int], set[int]]:
    trained, chosen = set[int](), set[int]()
    for earlier in (training.get("teacher"), training.get("started_from")):
        if isinstance(earlier, Mapping):
            of_trained, of_chosen = _seen(earlier, cohort)
            trained |= of_trained
            chosen |= of_chosen
    if cohort.name != training.get("data") and cohort.fingerprint != training.get("data_fingerprint"):
        return trained, chosen
    if not {"train_folds", "val_folds"} <= training.keys():
        raise DataError(f"the model's config does not say on which folds of {cohort.name} it was trained")
    for folds in filter(None, (training["train_folds"], training.get("unlabelled_folds", ""))):
        trained |= set(parse_folds(folds))
    return trained, chosen | set(parse_folds(training["val_folds"]))


def cohort_scores(cohort: Cohort, folds: tuple[int, ...], rows: np.ndarray, y_score: np.ndarray) -> CohortScores:
    """The probabilities ``[len(rows), C]`` of the records at `rows`, from `folds`, with their labels.

    Raises:
        DataError: some have no labels.
    """
    cohort.check_labelled(rows)
    subgroups: dict[str, np.ndarray] = {}
    if cohort.sexes is not None:
        subgroups |= {"female": cohort.sexes[rows] == 1, "male": cohort.sexes[rows] == 0}
    if cohort.ages is not None:
        ages = cohort.ages[rows]
        subgroups |= {
            "under 40 years": ages < 40,
            "40 to 64 years": (ages >= 40) & (ages < 65),
            "65 years and over": ages >= 65,
        }
    return CohortScores(
        folds=folds,
        y_true=cohort.labels[rows],
        y_score=y_score,
        patients=cohort.patients[rows],
        classes=cohort.classes,
        subgroups=subgroups,
        aggregates=cohort.aggregates,
    )
