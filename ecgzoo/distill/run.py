"""Run: a recipe at work in its folder. `distill` is the whole of it: teacher, baseline, student, table."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list, set_seed

from ecgzoo import registry
from ecgzoo.config import Normalisation
from ecgzoo.create import create_model
from ecgzoo.data import Cohort
from ecgzoo.distill.engine import Job, fit, score_shared
from ecgzoo.distill.recipe import LossTerm, Recipe, claim_folder, parse_folds
from ecgzoo.distill.report import Report, make_report
from ecgzoo.errors import DataError, RecipeError, did_you_mean
from ecgzoo.evaluate import CohortScores
from ecgzoo.files import write_json
from ecgzoo.model import EcgModel
from ecgzoo.provenance import provenance
from ecgzoo.weights import load_pretrained, save_pretrained


def load_cohort(name: str, root: str | Path | None, task: str) -> Cohort:
    """The records of a registered data set.

    Raises:
        RegistryError: no data set has this name.
        DataError: no such task, a folder that is missing or not wanted, or files that cannot be read.
    """
    spec = registry.get("dataset", name)
    if task not in spec.tasks:
        raise DataError(f"{name} has no task {task!r}. {did_you_mean(task, spec.tasks)}")
    if spec.needs_root and root is None:
        raise DataError(f"{name} is read from files: give the folder that holds them (--root DIR)")
    cohort: Cohort = registry.factory(spec)(None if root is None else Path(root), task)
    return cohort


class Run:
    """A recipe's cohort, processes and folder.

    Args:
        recipe: what to train; its ``output`` folder is claimed, and refused if it holds another recipe.

    Raises:
        RecipeError, RegistryError, DataError: what the recipe asks for is not to be had.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.folder = Path(recipe.output)
        try:
            self.accelerator = Accelerator(
                cpu=not torch.accelerator.is_available(),  # else two processes without a GPU are taken for one each
                mixed_precision="bf16" if recipe.precision == "bf16" else "no",
                # buffers are equal by construction, and a broadcast of the memory bank every step would be waste
                kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
                log_with=recipe.tracker,
                project_dir=recipe.output,
            )
        except ValueError as error:
            raise RecipeError(f"precision {recipe.precision}, tracker {recipe.tracker}: {error}") from error
        with self.accelerator.main_process_first():
            self.cohort = load_cohort(recipe.data, recipe.root, recipe.task)
        self.train_rows, self.val_rows, self.test_rows = (
            self.cohort.rows(parse_folds(folds)) for folds in (recipe.train_folds, recipe.val_folds, recipe.test_folds)
        )
        positives = self.cohort.labels[self.train_rows].sum(axis=0)
        if absent := [name for name, count in zip(self.cohort.classes, positives, strict=True) if not count]:
            raise DataError(
                f"{self.cohort.title}: no positive record of {', '.join(absent)} in training folds "
                f"{recipe.train_folds}. Use more folds or another task."
            )
        self._claim()
        if recipe.tracker:
            self.accelerator.init_trackers("ecgzoo", config=_flat(recipe))
        self.normalisation = _normalisation(self.cohort, self.train_rows)

    def _claim(self) -> None:
        refusal: list[str | None] = [None]
        if self.accelerator.is_main_process:
            try:
                if (values := claim_folder(self.recipe, self.folder)) is not None:
                    write_json(self.folder / "recipe.json", values)
            except RecipeError as error:
                refusal = [str(error)]
        broadcast_object_list(refusal)  # every process stops, not only the one that looked
        if refusal[0]:
            raise RecipeError(refusal[0])

    def teacher(self) -> EcgModel:
        """The teacher of ``--teacher-weights``, or one trained on labels alone.

        Raises:
            WeightsError: weights that are damaged, or for other labels.
        """
        recipe = self.recipe
        if recipe.teacher_weights is None:
            return self.train("teacher", recipe.teacher, recipe.teacher_leads, ("bce=1",), None)
        teacher = load_pretrained(recipe.teacher_weights)
        if teacher.config.labels != self.cohort.classes or teacher.config.rate_hz != self.cohort.rate_hz:
            raise RecipeError(
                f"{recipe.teacher_weights} knows {', '.join(teacher.config.labels)} at {teacher.config.rate_hz:g} Hz; "
                f"{self.cohort.title} has {', '.join(self.cohort.classes)} at {self.cohort.rate_hz:g} Hz. "
                "Give a teacher of this task, or none to train one."
            )
        return teacher

    def train(
        self, arm: str, architecture: str, leads: tuple[str, ...], losses: tuple[str, ...], teacher: EcgModel | None
    ) -> EcgModel:
        """Train one network in the folder ``output/arm`` and publish it there; a finished one is loaded instead."""
        recipe, folder = self.recipe, self.folder / arm
        if (folder / "config.json").exists():
            return load_pretrained(folder)
        set_seed(recipe.seed)
        student = create_model(architecture, leads, len(self.cohort.classes))
        student = EcgModel(
            student.backbone,
            dataclasses.replace(
                student.config,
                labels=self.cohort.classes,
                task=recipe.task,
                rate_hz=self.cohort.rate_hz,
                window_s=recipe.window_s,
                stride_s=recipe.stride_s,
                aggregation=recipe.aggregation,
                normalisation=self.normalisation,
            ),
        )
        job = Job(
            name=arm,
            student=student,
            teacher=teacher,
            terms=tuple(LossTerm.parse(text) for text in losses),
            cohort=self.cohort,
            train_rows=self.train_rows,
            val_rows=self.val_rows,
            recipe=recipe,
            folder=folder,
        )
        best = fit(self.accelerator, job)
        val_folds = parse_folds(recipe.val_folds)
        evaluation = self.scores(student, val_folds, self.val_rows).evaluation(recipe.seed)
        trained = EcgModel(
            student.backbone,
            dataclasses.replace(
                student.config,
                metrics={
                    "data": self.cohort.name,
                    "simulated": self.cohort.simulated,
                    "folds": list(val_folds),
                    "chosen_on_these_folds": True,
                    **evaluation.to_dict(),
                },
                training={
                    "data": self.cohort.name,
                    "data_fingerprint": self.cohort.fingerprint,
                    "simulated": self.cohort.simulated,
                    "train_folds": recipe.train_folds,
                    "losses": list(losses),
                    "teacher": None
                    if teacher is None
                    else f"{teacher.config.architecture} on {len(teacher.config.leads)} leads",
                    "epochs": recipe.epochs,
                    "best_epoch": best["epoch"],
                    "seed": recipe.seed,
                    **provenance(),
                },
            ),
        ).eval()
        if self.accelerator.is_main_process:
            save_pretrained(trained, folder)
        self.accelerator.wait_for_everyone()
        return trained

    def scores(self, model: EcgModel, folds: tuple[int, ...], rows: np.ndarray) -> CohortScores:
        """The model's probabilities on the records at `rows`, which are those of `folds`."""
        return CohortScores(
            folds=folds,
            y_true=self.cohort.labels[rows],
            y_score=score_shared(self.accelerator, model.to(self.accelerator.device), self.cohort, rows),
            patients=self.cohort.patients[rows],
            classes=self.cohort.classes,
        )

    def report(self, models: dict[str, EcgModel]) -> Report:
        """Judge `models`, by arm, on the test folds; write ``results.json`` and the plots."""
        folds = parse_folds(self.recipe.test_folds)
        scores = {arm: self.scores(model, folds, self.test_rows) for arm, model in models.items()}
        leads = {arm: model.config.leads for arm, model in models.items()}
        report = make_report(self.cohort, self.recipe, scores, leads, self.accelerator.num_processes)
        if self.accelerator.is_main_process:
            report.write(self.folder)
        self.accelerator.end_training()
        return report


def distill(recipe: Recipe) -> Report:
    """Train (or load) the teacher, the student on labels alone if ``recipe.compare``, and the student; judge all.

    Raises:
        EcgZooError: see `Run`.
    """
    run = Run(recipe)
    teacher = run.teacher()
    models = {"teacher": teacher}
    if recipe.compare:
        models["baseline"] = run.train("baseline", recipe.student, recipe.student_leads, ("bce=1",), None)
    models["student"] = run.train("student", recipe.student, recipe.student_leads, recipe.losses, teacher)
    return run.report(models)


def _normalisation(cohort: Cohort, rows: np.ndarray) -> Normalisation:
    """One scalar mean and standard deviation over all leads of the training records, in mV."""
    total = squares = 0.0
    for chunk in np.array_split(rows, max(1, len(rows) // 256)):
        values = cohort.signals(chunk).astype(np.float64)
        total += values.sum()
        squares += np.square(values).sum()
    count = len(rows) * cohort.store.shape[1] * cohort.store.shape[2]
    mean = total / count
    return Normalisation(mean_mv=mean / 1000.0, std_mv=float(np.sqrt(squares / count - mean**2)) / 1000.0)


def _flat(recipe: Recipe) -> dict[str, Any]:
    return {
        name: value if isinstance(value, (int, float, str)) else json.dumps(value)
        for name, value in recipe.to_dict().items()
    }
