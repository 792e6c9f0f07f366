"""Recipe: what is trained, on what, how. Every field is a flag of the recipes; the whole is saved beside the run."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from packaging.requirements import InvalidRequirement, Requirement

from ecgzoo.data import parse_folds
from ecgzoo.errors import RecipeError
from ecgzoo.files import write_json
from ecgzoo.signal import LEADS_12, resolve_leads


@dataclass(frozen=True)
class LossTerm:
    """One term of the student's objective: ``weight · loss(params)``."""

    name: str
    weight: float
    params: Mapping[str, Any]

    @classmethod
    def parse(cls, text: str) -> "LossTerm":
        """Read ``name=weight[,param=value…]``, such as ``clt=0.8,critic=infonce,temperature=0.1``.

        Raises:
            RecipeError: another form, or a weight that is no positive number.
        """
        parts = [part.partition("=") for part in re.split(r",(?![^\[]*\])", text)]  # a list keeps its commas
        name, _, weight = parts[0]
        try:
            number = float(weight)
        except ValueError:
            number = 0.0
        if not (name and 0 < number < math.inf and all(key and value for key, _, value in parts)):
            raise RecipeError(
                f"loss term {text!r}: expected name=weight with a positive weight, then ,param=value; "
                "for example clt=0.8,critic=infonce"
            )
        return cls(name, number, {key: _literal(value) for key, _, value in parts[1:]})


def _literal(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A teacher of many leads, a student of few, their data, and how the student is trained.

    Attributes:
        data: registered data set.
        root: folder that holds its files; the synthetic cohort needs none.
        task: label set.
        train_folds: folds to learn from, such as 1-7,9.
        val_folds: folds on which the best epoch is chosen.
        test_folds: folds of the final table; never looked at before it. Empty for none: the table is then of the
            validation folds, on which the epoch was chosen, and says so.
        teacher: the teacher's backbone.
        teacher_leads: the teacher's leads.
        teacher_weights: a trained teacher, as ecgzoo.load_pretrained takes it; without it, one is trained first.
        student: the student's backbone.
        student_arguments: its own further arguments, each name=value, such as drop_rate=0.
        student_leads: the student's leads.
        losses: terms of the student's objective, name=weight[,param=value...].
        aux_task: a second task whose labels the loss aux learns from.
        any_lead: share of the crops that show a student of one lead a random lead, in the first half of the epochs.
        pretrain_epochs: epochs before all others, in which a student of one lead, distilled or not, sees pairs of leads
            and no label, in batches of 256.
        pretrain_folder: where pretrained weights are kept, so that runs which differ in lead, losses or teacher
            alone start from the same, one after the other; in output if not given.
        mixup: mix records in pairs by a share from Beta(mixup, mixup), for teacher and student alike; 0 for never.
        epochs: passes over the training records, for each network.
        batch_size: records a step, over all processes together.
        lr: peak learning rate.
        weight_decay: of all weights but biases and normalization.
        opt: optimiser, any name that timm knows.
        sched: onecycle, or a schedule that timm knows, such as cosine.
        clip_grad: largest norm of the gradient; 0 for no limit.
        ema_decay: average the weights over steps with this decay and use the average; 0 for the weights themselves.
        patience: stop after so many epochs without a better validation AUC; 0 for never.
        window_s: seconds of a training crop and of an evaluation window.
        stride_s: seconds between evaluation windows.
        aggregation: how a record's probability comes from its windows'.
        normalization: mv_global, by mean and deviation of the training records, or window_z, by each window's own.
        precision: of the networks' forward pass; auto is bf16 where the machine has instructions for it, else fp32.
        compile: run the student through torch.compile, which needs a C++ compiler and a while to start.
        weights_dtype: of the published files; float16 halves them, and figures are those of the rounded weights.
        seed: of weights, crops, order, dropout and bootstrap.
        output: folder of the run.
        resume: continue the run in that folder, if there is one.
        compare: train the student on labels alone too, for comparison.
        tracker: also log to this tracker of accelerate, such as tensorboard.
        requires: distributions that it needs, such as ecgzoo-tcn>=1; checked before anything runs.
    """

    data: str = "synthetic"
    root: str | Path | None = None
    task: str = "superdiagnostic"
    train_folds: str = "1-8"
    val_folds: str = "9"
    test_folds: str = "10"
    teacher: str = "xresnet1d18"
    teacher_leads: tuple[str, ...] = LEADS_12
    teacher_weights: str | Path | None = None
    student: str = "xresnet1d18"
    student_arguments: tuple[str, ...] = ()
    student_leads: tuple[str, ...] = ("I",)
    losses: tuple[str, ...] = ("bce=1", "mkd=1", "clt=0.8")
    aux_task: str | None = None
    any_lead: float = 0.0
    pretrain_epochs: int = 0
    pretrain_folder: str | Path | None = None
    mixup: float = 0.0
    epochs: int = 15
    batch_size: int = 64
    lr: float = 1e-2
    weight_decay: float = 1e-2
    opt: str = "adamw"
    sched: str = "onecycle"
    clip_grad: float = 1.0
    ema_decay: float = 0.0
    patience: int = 0
    window_s: float = 2.5
    stride_s: float = 1.25
    aggregation: Literal["mean", "max"] = "mean"
    normalization: Literal["mv_global", "window_z"] = "mv_global"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    compile: bool = False
    weights_dtype: Literal["float32", "float16"] = "float32"
    seed: int = 0
    output: str | Path = "runs/mvkt"
    resume: bool = False
    compare: bool = True
    tracker: str | None = None
    requires: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("root", "teacher_weights", "pretrain_folder", "output"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, str(getattr(self, name)))
        for name in ("teacher_leads", "student_leads"):
            object.__setattr__(self, name, resolve_leads(getattr(self, name)))
        for name in ("losses", "requires", "student_arguments"):
            if isinstance(getattr(self, name), str):
                raise RecipeError(f"{name} is the text {getattr(self, name)!r}; expected a sequence, such as a tuple")
        object.__setattr__(self, "losses", tuple(self.losses))
        object.__setattr__(self, "requires", tuple(self.requires))
        object.__setattr__(self, "student_arguments", tuple(self.student_arguments))
        if wrong := [text for text in self.student_arguments if not re.fullmatch(r"\w+=.+", text)]:
            raise RecipeError(f"student_arguments {wrong[0]!r}: expected name=value, such as drop_rate=0")
        for name in ("epochs", "pretrain_epochs", "batch_size", "patience", "seed"):
            if not isinstance(getattr(self, name), int):
                raise RecipeError(f"{name} is {getattr(self, name)!r}; it must be a whole number")
        for name in ("lr", "weight_decay", "clip_grad", "ema_decay", "window_s", "stride_s", "mixup"):
            if not isinstance(getattr(self, name), (int, float)):
                raise RecipeError(f"{name} is {getattr(self, name)!r}; it must be a number")
        for name in ("epochs", "batch_size", "lr", "window_s", "stride_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise RecipeError(f"{name} is {getattr(self, name)}; it must be positive")
        for name in ("pretrain_epochs", "weight_decay", "clip_grad", "patience", "mixup"):
            if not 0 <= getattr(self, name) < math.inf:
                raise RecipeError(f"{name} is {getattr(self, name)}; it must not be negative")
        if not 0 <= self.any_lead <= 1 or (self.any_lead and len(self.student_leads) > 1):
            raise RecipeError(f"any_lead is {self.any_lead}; it is a share from 0 to 1, for a student of one lead")
        if self.pretrain_epochs and len(self.student_leads) > 1:
            raise RecipeError(
                f"pretrain_epochs is {self.pretrain_epochs}, which is for a student of one lead; "
                f"this one has {len(self.student_leads)}. Give 0."
            )
        if not 0 <= self.ema_decay < 1:
            raise RecipeError(f"ema_decay is {self.ema_decay}; it must be in [0, 1)")
        for name, choices in (
            ("aggregation", ("mean", "max")),
            ("normalization", ("mv_global", "window_z")),
            ("precision", ("auto", "fp32", "bf16")),
            ("weights_dtype", ("float32", "float16")),
        ):
            if getattr(self, name) not in choices:
                raise RecipeError(f"{name} is {getattr(self, name)!r}; expected {' or '.join(choices)}")
        sets = {name: set(parse_folds(getattr(self, name))) for name in ("train_folds", "val_folds")}
        sets["test_folds"] = set(parse_folds(self.test_folds)) if self.test_folds else set()
        for a, b in (("train_folds", "val_folds"), ("train_folds", "test_folds"), ("val_folds", "test_folds")):
            if shared := sets[a] & sets[b]:
                raise RecipeError(f"fold {min(shared)} is in both {a} and {b}; a model is not judged on what it saw")
        names = [term.name for term in self.terms]
        if not names or len(set(names)) < len(names):
            raise RecipeError(f"losses {' '.join(self.losses) or '(none)'}: name each term once, at least one")

    @property
    def terms(self) -> tuple[LossTerm, ...]:
        """The parsed `losses`."""
        return tuple(LossTerm.parse(text) for text in self.losses)

    @property
    def student_options(self) -> dict[str, Any]:
        """The parsed `student_arguments`."""
        pairs = (text.partition("=") for text in self.student_arguments)
        return {name: _literal(value) for name, _, value in pairs}

    @property
    def judged_folds(self) -> tuple[int, ...]:
        """Those of the final table: the test folds, or the validation folds where there are none."""
        return parse_folds(self.test_folds or self.val_folds)

    def published(self) -> dict[str, Any]:
        """What another needs to train the same: `to_dict` without what belongs to this machine."""
        local = ("root", "output", "pretrain_folder", "resume", "tracker", "teacher_weights", "compare")
        return {name: value for name, value in self.to_dict().items() if name not in local}

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return json.loads(json.dumps(dataclasses.asdict(self)))  # type: ignore[no-any-return] # tuples become lists


def check_requires(requires: Sequence[str]) -> None:
    """Whether every distribution that a recipe requires is installed, in a version that will do.

    Raises:
        RecipeError: one is not, or the requirement is not of the form that pip reads.
    """
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            raise RecipeError(f"requires {text!r}: {error}; expected the form of pip, such as ecgzoo-tcn>=1") from error
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            raise RecipeError(f"this recipe requires {text}, which is not installed: pip install '{text}'") from None
        if not requirement.specifier.contains(found, prereleases=True):
            raise RecipeError(f"this recipe requires {text}, found {found}: pip install '{text}'")


def claim_folder(recipe: Recipe, fingerprint: str) -> None:
    """Make the run folder this recipe's own, by ``recipe.json`` in it.

    Where and whether to continue may change between a run and its resumption; the rest, and the data, may not.

    Raises:
        RecipeError: the folder holds another recipe, or the same one and ``resume`` is off, or it is a file.
    """
    if recipe.pretrain_folder:
        try:
            Path(recipe.pretrain_folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecipeError(f"nothing can be kept there ({error}); choose another --pretrain-folder") from error
    folder = Path(recipe.output)
    path = folder / "recipe.json"
    mine = {**recipe.to_dict(), "data_fingerprint": fingerprint}
    if not path.exists():
        try:
            write_json(path, mine)
        except OSError as error:
            raise RecipeError(f"{folder} cannot be written ({error}); choose another --output") from error
        return
    try:
        saved = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RecipeError(f"{path} is not JSON ({error}); choose another --output") from error
    if not isinstance(saved, dict):
        raise RecipeError(f"{path} holds no recipe; choose another --output")
    saved = {**Recipe().to_dict(), **saved}  # an option newer than the folder had no effect then, as by default now
    for name in sorted(mine.keys() | saved.keys()):
        if name not in ("output", "pretrain_folder", "resume", "root", "tracker") and mine.get(name) != saved.get(name):
            raise RecipeError(
                f"{folder} already holds another recipe: {name} is {saved.get(name)!r} there and {mine.get(name)!r} "
                "here. Choose another --output."
            )
    if not recipe.resume:
        raise RecipeError(f"{folder} already holds this run; continue it with --resume or choose another --output.")
