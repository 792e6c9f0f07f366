"""Run: trains a recipe in its folder. `distill` does the whole run: teacher, baseline, student, table."""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed

from ecgzoo.config import SEEN, Normalization
from ecgzoo.create import create_model, create_transform, load_cohort
from ecgzoo.data import Cohort, check_cohort, parse_folds
from ecgzoo.errors import DataError, RecipeError
from ecgzoo.evaluation import CohortScores
from ecgzoo.evaluation.calibrate import calibrate
from ecgzoo.evaluation.cohort import check_classes, cohort_scores, seen_folds
from ecgzoo.losses.contract import DataInfo, needs_teacher
from ecgzoo.model import EcgModel
from ecgzoo.provenance import provenance
from ecgzoo.run_folder import RunFolder
from ecgzoo.training.batch_norm import check_synchronizable
from ecgzoo.training.batches import check_batches, check_judged
from ecgzoo.training.checkpoint import check_saveable
from ecgzoo.training.distiller import (
    Distiller,
    Losses,
    check_model,
    check_same_classes,
    create_losses,
    reads_labels,
)
from ecgzoo.training.loop import Job, fit
from ecgzoo.training.optimizer import OPEN_ENDED, MakeOptimizer, Schedule, make_optimizer
from ecgzoo.training.pretrain import pretrain
from ecgzoo.training.processes import end_with_launcher, lost_contact, on_main, score_shared
from ecgzoo.training.quantize import round_convolutions
from ecgzoo.training.recipe import Network, Recipe, check_requires, claim_folder, difference, plugin_versions
from ecgzoo.training.rehearsal import rehearse
from ecgzoo.training.report import Report, make_report
from ecgzoo.training.state import CHECKPOINT
from ecgzoo.training.terms import LossTerm
from ecgzoo.transforms.contract import Transform
from ecgzoo.weights import load_pretrained, save_pretrained
from ecgzoo.weights.folder import rounded, weights_sha256

MOST_DEVIATION_MV = 1.0  # of the training records; 0.2 mV in PTB-XL
ON_LABELS = (LossTerm("bce", 1),)


class Run:
    """A recipe's cohort, processes and folder.

    Args:
        recipe: what to train; its ``output`` folder must be new, or belong to the same recipe.
        cohort: records to use instead of the recipe's data, root and task; without a second task.
        optimizer: makes the optimizer of each network, or parameter groups for the recipe's optimizer. It gets the
            `Distiller` with the network (``student``) and its losses (``terms``). The schedule starts from the learning
            rate of each group. It is also called once before any training.

    Attributes:
        recipe: the given recipe, with the chosen precision, and with the name and task of a given cohort.
        distills: whether a teacher is used, because a loss requires one.

    Raises:
        RecipeError, RegistryError, DataError, SignalError, WeightsError: what the recipe asks for is not available, or
            does not fit together.
    """

    def __init__(self, recipe: Recipe, cohort: Cohort | None = None, optimizer: MakeOptimizer | None = None) -> None:
        check_requires(recipe.requires)
        if cohort is not None and recipe.aux_task:
            raise RecipeError(
                f"aux_task {recipe.aux_task!r} belongs to {recipe.data}, not to the given cohort; leave it out"
            )
        if cohort is not None:
            check_cohort(cohort)
            recipe = dataclasses.replace(recipe, data=cohort.name, root=None, task=cohort.task)  # what is published
        if recipe.precision == "auto":
            recipe = dataclasses.replace(recipe, precision="bf16" if has_bf16() else "fp32")
        self.recipe, self.folder, self._optimizer = recipe, Path(recipe.output), optimizer
        self._tied = None if recipe.sched in OPEN_ENDED else f"sched {recipe.sched}"
        if "noise" in recipe.sched_arguments:
            self._tied = "the schedule's noise"
        self._given: EcgModel | None = None
        self._start: EcgModel | None = None
        self._taught_by: dict[str, Any] = {}
        self.accelerator = make_accelerator(recipe)
        with self.accelerator.main_process_first():
            self.cohort = load_cohort(recipe.data, recipe.root, recipe.task) if cohort is None else cohort
        self.train_rows = self._rows(recipe.train_folds)
        self.unlabelled_rows = self._rows(recipe.unlabelled_folds)
        self.val_rows = self._rows(recipe.val_folds)
        self.judged_rows = self._rows(recipe.test_folds or recipe.val_folds)
        self.cohort.check_labelled(np.concatenate([self.train_rows, self.val_rows, self.judged_rows]))
        self.every_row = np.concatenate([self.train_rows, self.unlabelled_rows])
        positives = self.cohort.labels[self.train_rows].sum(axis=0)
        absent = [name for name, count in zip(self.cohort.classes, positives, strict=True) if not count]
        if absent and recipe.train_folds:
            raise DataError(
                f"{self.cohort.title}: no positive records of {', '.join(absent)} in training folds "
                f"{recipe.train_folds}. Use more folds or another task."
            )
        self.normalization = self._normalization()
        self.auxiliary = self._auxiliary() if recipe.aux_task else None
        self.distills = self._rehearse()
        recipe = self.recipe
        self._own, self._at_work = RunFolder(self.folder), False
        with self.at_work():
            on_main(self.accelerator, lambda: claim_folder(recipe, self.cohort.records_sha256, self._tied))
            if recipe.tracker:
                self.accelerator.init_trackers("ecgzoo", config=_flat(recipe))

    def _rows(self, folds: str) -> np.ndarray:
        """Positions of the records in `folds`, such as ``1-8``; none if it is empty."""
        return self.cohort.rows(parse_folds(folds)) if folds else np.zeros(0, np.int64)

    def _normalization(self) -> Normalization:
        """That of the recipe, with the scale of the training records; refused if that cannot be one of ECGs."""
        recipe, mean_mv, std_mv = self.recipe, 0.0, 1.0
        if recipe.normalization == "mv_global":
            mean_mv, std_mv = self.cohort.mean_and_deviation_mv(np.sort(self.every_row))
            if std_mv > MOST_DEVIATION_MV:
                raise DataError(
                    f"{self.cohort.title}: the training records deviate by {std_mv:.3g} mV, and those of an ECG by 0.1 "
                    "to 0.5 mV: offsets, drift or artefacts hide it from a network with one scale for all. Use "
                    "--normalization window_z --highpass-hz 0.5."
                )
        return Normalization(kind=recipe.normalization, mean_mv=mean_mv, std_mv=std_mv, highpass_hz=recipe.highpass_hz)

    def _auxiliary(self) -> np.ndarray:
        """Labels ``[N, C']`` of the training records in the second task, matched by record id."""
        recipe, wanted = self.recipe, self.cohort.record_ids[self.train_rows]
        try:
            other = load_cohort(recipe.data, recipe.root, recipe.aux_task)
        except DataError as error:
            raise RecipeError(
                f"aux_task {recipe.aux_task!r}: {error} To train without a second task, give --aux-task= and --losses "
                "without aux."
            ) from error
        rows = np.searchsorted(other.record_ids, wanted)
        rows = np.minimum(rows, len(other) - 1)
        if missing := int(((other.record_ids[rows] != wanted) | ~other.has_labels(rows)).sum()):
            raise DataError(
                f"{missing} of the training records have no label of task {recipe.aux_task}; choose another --aux-task"
            )
        labels: np.ndarray = other.labels[rows]
        return labels

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Lock the folder against other runs. `train` and `report` call this themselves.

        Raises:
            RecipeError: another run uses the folder, a file cannot be written, or another process of this run died.
        """
        if self._at_work:
            yield
            return
        on_main(self.accelerator, self._own.lock)
        self._at_work = True
        try:
            yield
        except OSError as error:
            raise RecipeError(
                f"{self.folder}: a file cannot be read or written ({error}); all epochs before this one are saved: "
                "solve the problem, then continue with --resume"
            ) from error
        except RuntimeError as error:
            if not lost_contact(error):
                raise
            raise RecipeError(
                f"{self.folder}: another process of this run died or does not answer; continue with --resume"
            ) from error
        finally:
            self._at_work = False
            if self.accelerator.is_main_process:
                self._own.unlock()

    def _rehearse(self) -> bool:
        """Build once what the recipe names, so that a misspelled name is found before a teacher is trained.

        Returns:
            whether a loss requires a teacher.
        """
        recipe = self.recipe
        if recipe.batch_size % self.accelerator.num_processes:
            raise RecipeError(
                f"a batch of {recipe.batch_size} records cannot be divided among {self.accelerator.num_processes} "
                "processes; change --batch-size"
            )
        student, teacher = self._new_model(recipe.student_network), self._new_model(recipe.teacher_network)
        if recipe.student_weights is not None:
            self._start = self._loaded(recipe.student_weights)
            self._start_from(self._start, student)
            if shared := seen_folds(self._start.config, self.cohort)[0] & set(parse_folds(recipe.val_folds)):
                raise RecipeError(
                    f"{recipe.student_weights} was trained on fold {min(shared)}, which is a validation fold of this "
                    "run: epoch, temperature and thresholds cannot be chosen there. Use other --val-folds."
                )
        auxiliary = None if self.auxiliary is None else torch.from_numpy(self.auxiliary)
        rows = self.train_rows if len(self.train_rows) else self.unlabelled_rows
        data = DataInfo(self.cohort.classes, torch.from_numpy(self.cohort.labels[rows]), auxiliary, recipe.seed)
        losses = create_losses(recipe.loss_terms, student, teacher, data)
        requires = {name: loss.requires for name, (_, loss) in losses.items()}
        if recipe.aux_task and not any("auxiliary" in needs for needs in requires.values()):
            raise RecipeError(
                f"no loss of this recipe reads aux_task {recipe.aux_task!r}; add the loss aux, or leave it out"
            )
        distills = any(map(needs_teacher, requires.values()))
        if recipe.teacher_weights is not None:
            if not distills:
                raise RecipeError("no loss of this recipe requires a teacher; leave out --teacher-weights")
            # a plugin's network may be asked for by its bare name; weights name its distribution
            asked = dataclasses.replace(recipe, teacher=teacher.config.architecture)
            teacher = self._given = self._given_teacher(recipe.teacher_weights)
            self.recipe = recipe = _with_teacher(asked, teacher)
        on_labels = len(self.train_rows) and (recipe.compare or not distills or self._given is None)
        for those in (self.every_row, *([self.train_rows] if on_labels else [])):
            check_batches(self.cohort, those, student.config.window, recipe.batch_size, recipe.accumulate)
        judged = f"test folds {recipe.test_folds}" if recipe.test_folds else f"validation folds {recipe.val_folds}"
        check_judged(self.cohort, self.val_rows, student.config.window, f"validation folds {recipe.val_folds}")
        for model in (student, *([self._given] if self._given else [])):
            check_judged(self.cohort, self.judged_rows, model.config.window, judged)
        synchronizes = self.accelerator.num_processes > 1 and recipe.batch_norm == "synchronized"
        for network in (student, *([teacher] if distills else [])):
            network.lead_positions(self.cohort.leads, self.cohort.title)
            if synchronizes and network is not self._given:
                check_synchronizable(network)
        if recipe.quantization_aware:
            round_convolutions(student.backbone)
        transforms = self._transforms(data, requires)
        self._check_unlabelled(losses, distills)
        learner = Distiller(student, teacher, losses).to(self.accelerator.device)
        optimizer, schedule = make_optimizer(learner, recipe, steps_per_epoch=1, make=self._optimizer)
        taught_by = teacher if distills else None
        rehearse(self.accelerator, recipe, student, taught_by, self.cohort, data, transforms, rows)
        self._first_step(optimizer, schedule)
        return distills

    def _transforms(self, data: DataInfo, requires: Mapping[str, frozenset[str]]) -> list[Transform]:
        """Those of the recipe, refused if they mix records of which a loss or a fold needs each by itself."""
        transforms = []
        for term in self.recipe.transform_terms:
            transform = create_transform(term.name, data, term.amount, **term.arguments)
            if not transform.keeps_identity and len(self.unlabelled_rows):
                raise RecipeError(f"{term.name} mixes labels, but unlabelled_folds have none; leave out one of them")
            if not transform.keeps_identity and (named := [name for name in requires if "index" in requires[name]]):
                raise RecipeError(
                    f"{named[0]} must know the record of each crop, but {term.name} mixes records; leave out one"
                )
            transforms.append(transform)
            if transform.uses_done and not self._tied:
                self._tied = f"transform {term.name}"
        return transforms

    def _first_step(self, optimizer: torch.optim.Optimizer, schedule: Schedule) -> None:
        """Check that both work and can be saved, with the gradients that are left from the rehearsal."""
        recipe = self.recipe
        try:
            optimizer.step()
            schedule.after_step(1)
            schedule.after_epoch([0.5])
            check_saveable(optimizer.state_dict())
        except Exception as error:  # whatever an optimizer or a schedule raises
            used = f"opt {recipe.opt!r}" if self._optimizer is None else f"optimizer {_name(self._optimizer)}"
            said = (str(error).splitlines() or [""])[0]
            raise RecipeError(
                f"{used} with sched {recipe.sched!r} fails in a first step, or cannot be saved in a checkpoint "
                f"({type(error).__name__}: {said}); use another optimizer, or other arguments of the schedule"
            ) from error

    def _check_unlabelled(self, losses: Losses, distills: bool) -> None:
        recipe = self.recipe
        named = [name for name, (_, loss) in losses.items() if reads_labels(loss)]
        if recipe.unlabelled_folds and not recipe.pretrain_epochs and (not distills or len(named) == len(losses)):
            why = "every loss of this recipe reads labels" if distills else "no loss of this recipe requires a teacher"
            raise RecipeError(f"{why}, so unlabelled_folds have no effect; add the loss mkd, or leave them out")
        if not len(self.train_rows) and (named or recipe.compare or recipe.teacher_weights is None):
            raise RecipeError(
                "train_folds is empty, and labels are required by "
                + (named[0] if named else "the student to compare with" if recipe.compare else "the teacher")
                + "; name folds with labels, or give --teacher-weights, --no-compare and --losses mkd=1"
            )

    def _new_model(self, network: Network) -> EcgModel:
        """A network with random weights, configured for this run's data."""
        recipe = self.recipe
        model = create_model(network.backbone, network.leads, len(self.cohort.classes), **network.arguments)
        config = dataclasses.replace(
            model.config,
            classes=self.cohort.classes,
            class_info=self.cohort.class_info,
            aggregates=self.cohort.aggregates,
            task=self.cohort.task,
            rate_hz=self.cohort.rate_hz,
            window_s=recipe.window_s,
            stride_s=recipe.stride_s,
            aggregation=recipe.aggregation,
            normalization=self.normalization,
            weights_dtype=recipe.weights_dtype,
        )
        return EcgModel(model.backbone, config)

    def teacher(self) -> EcgModel:
        """The teacher from ``--teacher-weights``, or one trained on labels alone."""
        return self._given or self.train("teacher", self.recipe.teacher_network, is_teacher=True)

    def student(self, teacher: EcgModel | None = None) -> EcgModel:
        """The recipe's student, trained with its losses; `teacher` is None if none of them requires one."""
        return self.train("student", self.recipe.student_network, self.recipe.loss_terms, teacher)

    def pretrained(self) -> EcgModel:
        """The recipe's student after ``pretrain_epochs``, before training on labels.

        Raises:
            EcgZooError: see `pretrain`.
        """
        set_seed(self.recipe.seed)
        student = self._new_model(self.recipe.student_network)
        with self.at_work():
            self._pretrain(student)
        return student

    def _pretrain(self, student: EcgModel) -> None:
        folder = Path(self.recipe.pretrain_folder or self.folder)
        pretrain(self.accelerator, student, self.cohort, np.sort(self.every_row), self.recipe, folder)

    def _given_teacher(self, folder: str | Path) -> EcgModel:
        """The teacher in `folder`, refused if it has other labels; see `_loaded`."""
        teacher = self._loaded(folder)
        if teacher.config.classes != self.cohort.classes:
            raise RecipeError(
                f"{folder} knows {', '.join(teacher.config.classes)}; {self.cohort.title} has "
                f"{', '.join(self.cohort.classes)}. Use a teacher of this task, or leave out --teacher-weights to "
                "train one."
            )
        return teacher

    def _loaded(self, folder: str | Path) -> EcgModel:
        """The model in `folder`, refused if it has another rate or was trained on the test records of this run."""
        model = load_pretrained(folder)
        if model.config.rate_hz != self.cohort.rate_hz:
            raise RecipeError(
                f"{folder} was trained at {model.config.rate_hz:g} Hz; {self.cohort.title} has "
                f"{self.cohort.rate_hz:g} Hz. Use weights for this rate."
            )
        self._check_unseen(str(folder), model)
        return model

    def _check_unseen(self, name: str, model: EcgModel) -> None:
        """Refuse a `model`, called `name`, that was trained or chosen on the test records of this run."""
        trained, chosen = seen_folds(model.config, self.cohort)
        # the validation folds are always used to choose
        seen = trained | chosen if self.recipe.test_folds else trained
        if shared := seen & set(self.recipe.judged_folds):
            raise RecipeError(f"{name} was trained or chosen on fold {min(shared)}, which is a test fold of this run")

    def _start_from(self, start: EcgModel, student: EcgModel) -> None:
        """Give `student` the weights of `start`; with other labels, its classifier stays random."""
        there, wanted = start.config, student.config
        if (there.architecture, there.leads) != (wanted.architecture, wanted.leads):
            raise RecipeError(
                f"{self.recipe.student_weights} is {there.architecture} for {', '.join(there.leads)}; the student is "
                f"{wanted.architecture} for {', '.join(wanted.leads)}. Change --student and --student-leads."
            )
        weights = start.backbone.state_dict()
        if there.classes != wanted.classes:
            classifier = student.get_classifier()
            (place,) = (name for name, module in student.backbone.named_modules() if module is classifier)
            weights |= {f"{place}.{name}": tensor for name, tensor in classifier.state_dict().items()}
        try:
            student.backbone.load_state_dict(weights)
        except RuntimeError as error:
            raise RecipeError(
                f"{self.recipe.student_weights} has the arguments {dict(there.arguments)}, the student "
                f"{dict(wanted.arguments)}; give the same --student-arguments"
            ) from error
        student.config = dataclasses.replace(wanted, license=there.license)

    def train(
        self,
        arm: str,
        network: Network,
        losses: Sequence[LossTerm] = ON_LABELS,
        teacher: EcgModel | None = None,
        is_teacher: bool = False,
    ) -> EcgModel:
        """Train one network in the folder ``output/arm`` and save it there; if it is finished, load it instead.

        Args:
            arm: name of the folder, and name in tables.
            network: the network to train.
            losses: the loss terms.
            teacher: the teacher, if a loss requires one.
            is_teacher: whether a teacher is trained, without the transforms that are for students.

        Raises:
            EcgZooError: the teacher is not an `EcgModel` or has seen the test records, the files in the folder are
                damaged or belong to another recipe, the loss became NaN or infinite, or see `at_work`.
        """
        if teacher is not None:
            check_model("teacher", teacher)
            self._check_unseen("the teacher", teacher)
            self._taught_by = _as_teacher(teacher)
        with self.at_work():
            return self._trained(arm, network, losses, teacher, is_teacher)

    def _trained(
        self, arm: str, network: Network, losses: Sequence[LossTerm], teacher: EcgModel | None, is_teacher: bool
    ) -> EcgModel:
        recipe, folder = self.recipe, self.folder / arm
        set_seed(recipe.seed)
        student = self._new_model(network)
        origin = {
            "data_fingerprint": self.cohort.fingerprint,
            "records_sha256": self.cohort.records_sha256,
            "losses": list(map(str, losses)),
            "teacher": None if teacher is None else _named(teacher),
            "started_from": None if self._start is None or is_teacher else _named(self._start),
            "optimizer": None if self._optimizer is None else _name(self._optimizer),
            "recipe": (recipe if teacher is None else dataclasses.replace(recipe, **_as_teacher(teacher))).published(),
        }
        network_there = _network(student)
        if (folder / "config.json").exists():
            found = load_pretrained(folder)
            trained = {name: found.config.training.get(name) for name in origin}
            if different := difference({**trained, **_network(found)}, {**origin, **network_there}, longer=True):
                raise RecipeError(
                    f"{folder} holds a model of another recipe: {different}. Choose another --output, or delete "
                    f"{folder} to train it again."
                )
            # a teacher must not change after students have learned from it
            if found.config.training["recipe"]["epochs"] == recipe.epochs or (is_teacher and self.distills):
                return found
        if self._start is not None and not is_teacher:
            self._start_from(self._start, student)
        pretrains = recipe.pretrain_epochs and len(network.leads) == 1 and not is_teacher
        if pretrains and not (folder / CHECKPOINT).exists():
            self._pretrain(student)
            set_seed(recipe.seed)  # weights of losses must not depend on where the run was stopped
        rows, labels, labelled, auxiliary = self.train_rows, self.cohort.labels[self.train_rows], None, self.auxiliary
        if teacher is not None and len(self.unlabelled_rows):
            check_same_classes("teacher", teacher, self.cohort.classes)  # its answers take the place of labels
            answers = score_shared(self.accelerator, teacher, self.cohort, self.unlabelled_rows)
            rows, labels, labelled = self.every_row, np.concatenate([labels, answers.astype(np.float32)]), len(rows)
            if auxiliary is not None:
                auxiliary = np.pad(auxiliary, ((0, len(answers)), (0, 0)))
        job = Job(
            name=arm,
            student=student,
            teacher=teacher,
            terms=losses,
            cohort=self.cohort,
            train_rows=rows,
            labels=labels,
            labelled=labelled,
            val_rows=self.val_rows,
            recipe=recipe,
            folder=folder,
            auxiliary=auxiliary,
            is_teacher=is_teacher,
            origin={**origin, **network_there},
            check=lambda: self._own.check(arm),
            optimizer=self._optimizer,
        )
        best = fit(self.accelerator, job)
        rounded(student)
        about = {"data": self.cohort.name, "simulated": self.cohort.simulated}
        val_folds = parse_folds(recipe.val_folds)
        calibrate(
            student,
            lambda model: self.scores(model, val_folds, self.val_rows),
            f"{self.cohort.title}, folds {recipe.val_folds}",
            about,
            recipe.seed,
        )
        training = {
            **about,
            **origin,
            "data_license": self.cohort.license,
            "train_folds": recipe.train_folds,
            "unlabelled_folds": recipe.unlabelled_folds,
            "val_folds": recipe.val_folds,
            "epochs": recipe.epochs,
            "best_epoch": best["epoch"],
            "seed": recipe.seed,
            "precision": recipe.precision,
            **provenance(),
            "plugins": plugin_versions(recipe),
        }
        student.config = dataclasses.replace(student.config, training=training)
        on_main(self.accelerator, lambda: self._own.check(arm), lambda: save_pretrained(student, folder))
        self.accelerator.free_memory()  # accelerate keeps every optimizer that it prepared
        return load_pretrained(folder)

    def scores(self, model: EcgModel, folds: tuple[int, ...], rows: np.ndarray) -> CohortScores:
        """The probabilities ``[n, C]`` of `model` for the records at `rows` ``[n]``, which are those of `folds`."""
        check_classes(model, self.cohort)
        y_score = score_shared(self.accelerator, model.to(self.accelerator.device), self.cohort, rows)
        return cohort_scores(self.cohort, folds, rows, y_score)

    def report(self, models: dict[str, EcgModel]) -> Report:
        """Evaluate `models`, by arm, on the test folds; write ``results.json`` and the plots.

        Raises:
            RecipeError: a model has seen the test records, a log is damaged, or see `at_work`.
        """
        for arm, model in models.items():
            self._check_unseen(arm, model)
        folds = self.recipe.judged_folds
        leads = {arm: model.config.leads for arm, model in models.items()}
        with self.at_work():
            scores = {arm: self.scores(model, folds, self.judged_rows) for arm, model in models.items()}
            recipe = dataclasses.replace(self.recipe, **self._taught_by)
            report = make_report(self.cohort, recipe, scores, leads, self.accelerator.num_processes)
            on_main(self.accelerator, self._own.check, lambda: report.write(self.folder))
            for tracker in self.accelerator.trackers:
                tracker.finish()
        return report


def distill(recipe: Recipe, cohort: Cohort | None = None, optimizer: MakeOptimizer | None = None) -> Report:
    """Train the student, evaluate it, and write everything into the recipe's folder.

    If a loss requires a teacher, one is trained first (or loaded), and evaluated too. With ``recipe.compare``, the same
    student is also trained on labels alone.

    Args:
        recipe: what to train.
        cohort: your own records, instead of those that the recipe names.
        optimizer: makes the optimizer or its parameter groups, instead of the recipe's ``opt``; see `Run`.

    Raises:
        EcgZooError: see `Run`.
    """
    run = Run(recipe, cohort, optimizer)
    with run.at_work():
        models = {"teacher": run.teacher()} if run.distills else {}
        if recipe.compare:
            models["baseline"] = run.train("baseline", recipe.student_network)
        models["student"] = run.student(models.get("teacher"))
        return run.report(models)


def make_accelerator(recipe: Recipe) -> Accelerator:
    """The Accelerator for this machine and its processes, with the recipe's precision.

    Raises:
        RecipeError: the precision or the tracker is not available.
    """
    if recipe.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # needed by cuBLAS, and read when CUDA starts
        torch.use_deterministic_algorithms(True)
    end_with_launcher()
    if recipe.precision == "fp16" and not torch.cuda.is_available():
        raise RecipeError("precision fp16 needs a GPU, and torch finds none here; use bf16 or fp32")
    try:
        accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),  # else two processes without a GPU would not see each other
            mixed_precision="no" if recipe.precision == "fp32" else recipe.precision,
            # buffers are equal by construction; a broadcast of the memory bank in every step would be wasteful
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False)],
            log_with=recipe.tracker,
            project_dir=recipe.output,
        )
    except ValueError as error:
        raise RecipeError(
            f"precision {recipe.precision} or tracker {recipe.tracker} is not available: {error} "
            "A process keeps its first precision; start a new process for another."
        ) from error
    if recipe.tracker and not accelerator.log_with:
        raise RecipeError(f"tracker {recipe.tracker!r} is not installed; install it or leave out --tracker")
    return accelerator


def _name(optimizer: MakeOptimizer) -> str:
    return getattr(optimizer, "__qualname__", type(optimizer).__qualname__)


def _named(model: EcgModel) -> dict[str, Any]:
    """Which weights these are, and the records that they have seen (`seen_folds`)."""
    config = model.config
    return {
        "architecture": config.architecture,
        "leads": list(config.leads),
        "weights_sha256": weights_sha256(model),
        **{name: config.training[name] for name in SEEN if name in config.training},
    }


def _with_teacher(recipe: Recipe, teacher: EcgModel) -> Recipe:
    """The recipe with the network of the given teacher, refused if the recipe asks for another one."""
    there = _as_teacher(teacher)
    for name, value in there.items():
        asked = getattr(recipe, name)
        if asked not in (value, getattr(Recipe(), name)):
            raise RecipeError(
                f"{name} is {asked!r}, but {recipe.teacher_weights} has {value!r}; leave out --{name.replace('_', '-')}"
            )
    return dataclasses.replace(recipe, **there)


def _as_teacher(model: EcgModel) -> dict[str, Any]:
    """The fields of a recipe that ask for this network as the teacher."""
    config = model.config
    return {
        "teacher": config.architecture,
        "teacher_leads": config.leads,
        "teacher_arguments": dict(config.arguments),
    }


def _network(model: EcgModel) -> dict[str, Any]:
    config = model.config
    fields = {"architecture": config.architecture, "leads": config.leads, "arguments": config.arguments}
    plain: dict[str, Any] = json.loads(json.dumps(fields, default=str))  # as `origin` is read from a file
    return plain


def has_bf16() -> bool:
    """Whether this machine multiplies bfloat16 faster than float32: with a GPU's tensor cores or a CPU's AVX-512."""
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return not torch.accelerator.is_available() and bool(capabilities.get("avx512_bf16"))


def _flat(recipe: Recipe) -> dict[str, Any]:
    return {
        name: value if isinstance(value, (int, float, str)) else json.dumps(value)
        for name, value in recipe.to_dict().items()
    }
