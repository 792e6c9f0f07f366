"""Recipe: what is trained, on which data and how. Every field is a flag; the recipe is saved in the run's folder."""

import contextlib
import dataclasses
import itertools
import json
import reprlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, cast

from packaging.requirements import InvalidRequirement, Requirement

from ecgzoo import registry
from ecgzoo.data import parse_folds
from ecgzoo.errors import RecipeError, RegistryError
from ecgzoo.files import read_json, sweep, write_json
from ecgzoo.signal import LEADS_12, resolve_leads
from ecgzoo.training.options import check, option, options
from ecgzoo.training.terms import LossTerm, TransformTerm, parse_arguments, parse_term


@dataclass(frozen=True)
class Network:
    """A network to train.

    Attributes:
        backbone: its registered name.
        leads: lead names, in channel order.
        arguments: arguments of the backbone.
    """

    backbone: str
    leads: tuple[str, ...]
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def _path(given: str | Path | None) -> str | None:
    return None if given is None else str(given)


def _several(given: Any) -> tuple[Any, ...]:
    if isinstance(given, (str, Mapping)) or not isinstance(given, Iterable):
        raise RecipeError(f"found {given!r}; expected a sequence, such as a tuple")
    return tuple(given)


def _leads(given: Any) -> tuple[str, ...]:
    """As `resolve_leads`, but also for a sequence of texts such as ``["I,II"]`` or ``["3"]``, as flags give it."""
    texts = isinstance(given, (tuple, list)) and given and all(isinstance(name, str) for name in given)
    return resolve_leads(",".join(given) if texts else given)


def _losses(given: Any) -> tuple[LossTerm, ...]:
    return tuple(parse_term(LossTerm, term) for term in _several(given))


def _transforms(given: Any) -> tuple[TransformTerm, ...]:
    return tuple(parse_term(TransformTerm, term) for term in _several(given))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A teacher with many leads, a student with few, their data, and how the student is trained.

    Each field is described where it is declared; ``ecgzoo recipe mvkt --help`` prints all descriptions. Losses are
    `LossTerm` and transforms are `TransformTerm`. Both may also be given as mappings of their fields or as text, such
    as ``clt=0.8``. The parsed terms are in `loss_terms` and `transform_terms`.

    Raises:
        RecipeError: a value that its declaration does not allow, folds that overlap, or a term that is named twice.
    """

    data: str = option("synthetic", "data", "data set, as ecgzoo list --kind dataset names it")
    root: str | Path | None = option(
        None, "data", "folder with its files; the synthetic cohort needs none", scope="machine", convert=_path
    )
    task: str = option("superdiagnostic", "data", "label set")
    aux_task: str | None = option(None, "data", "second label set, used by the loss aux")
    train_folds: str = option("1-8", "data", "folds to train on, such as 1-7,9")
    unlabelled_folds: str = option(
        "",
        "data",
        "folds used without their labels: the student learns from the teacher's output on them; empty for none",
    )
    val_folds: str = option("9", "data", "folds on which the best epoch is chosen")
    test_folds: str = option(
        "10", "data", "folds of the final table, read last; if empty, the table is about the validation folds"
    )
    transforms: Sequence[TransformTerm | Mapping[str, Any] | str] = option(
        (),
        "data",
        "augmentation of the training crops, name=amount[,argument=value...]; a teacher is trained with those that "
        "both networks see, such as mixup; see `ecgzoo list --kind transform`",
        convert=_transforms,
        metavar="NAME=AMOUNT",
    )
    normalization: Literal["mv_global", "window_z"] = option(
        "mv_global",
        "data",
        "with the mean and deviation of the training records (mv_global) or of each window (window_z)",
        pretraining=True,
    )
    highpass_hz: float = option(
        0.0,
        "data",
        "remove drift below this frequency (Hz) from each window; 0 to disable",
        at_least=0,
        pretraining=True,
    )
    window_s: float = option(
        2.5, "data", "length of a crop and of an evaluation window, in seconds", above=0, pretraining=True
    )
    stride_s: float = option(1.25, "data", "step between evaluation windows, in seconds", above=0)
    aggregation: Literal["mean", "max"] = option("mean", "data", "how to combine the probabilities of the windows")

    teacher: str = option("xresnet1d18", "teacher", "backbone")
    teacher_leads: tuple[str, ...] = option(
        LEADS_12, "teacher", "lead names, or a number of leads", convert=_leads, metavar="LEAD"
    )
    teacher_arguments: Mapping[str, Any] | Sequence[str] = option(
        (), "teacher", "arguments of the backbone, name=value", convert=parse_arguments, metavar="NAME=VALUE"
    )
    teacher_weights: str | Path | None = option(
        None,
        "teacher",
        "trained weights, as for load_pretrained; if not given, a teacher is trained",
        scope="run",
        convert=_path,
    )

    student: str = option("xresnet1d18", "student", "backbone")
    student_leads: tuple[str, ...] = option(
        ("I",), "student", "lead names, or a number of leads", convert=_leads, metavar="LEAD"
    )
    student_arguments: Mapping[str, Any] | Sequence[str] = option(
        (),
        "student",
        "arguments of the backbone, such as drop_rate=0",
        convert=parse_arguments,
        metavar="NAME=VALUE",
    )
    student_weights: str | Path | None = option(
        None,
        "student",
        "trained weights to start from, as for load_pretrained; a new classifier for other labels",
        scope="run",
        convert=_path,
    )
    quantization_aware: bool = option(
        False, "student", "train the student for 8-bit integers, if its export to them changes too many findings"
    )
    losses: Sequence[LossTerm | Mapping[str, Any] | str] = option(
        (LossTerm("bce", 1), LossTerm("mkd", 1), LossTerm("clt", 0.8)),
        "student",
        "loss terms, name=weight[,argument=value...]; a teacher is used only if one of them requires it",
        convert=_losses,
        metavar="NAME=WEIGHT",
    )
    pretrain_epochs: int = option(
        0,
        "student",
        "epochs of pretraining on pairs of leads, without labels; for a student with one lead",
        at_least=0,
        pretraining=True,
    )
    compare: bool = option(True, "student", "also train the student on labels alone, for comparison", scope="run")

    epochs: int = option(15, "optimization", "passes over the training records, for each network", above=0)
    batch_size: int = option(64, "optimization", "records per batch, over all processes together", above=0)
    accumulate: int = option(
        1, "optimization", "batches per optimizer step; gradients are averaged over them, to save memory", above=0
    )
    batch_norm: Literal["synchronized", "per-process"] = option(
        "synchronized",
        "optimization",
        "statistics of batch norms in several processes: of the whole batch (synchronized), or of the records of each "
        "process, which is faster",
    )
    lr: float = option(1e-2, "optimization", "peak learning rate", above=0, pretraining=True)
    weight_decay: float = option(
        1e-2, "optimization", "for all weights except biases and normalization", at_least=0, pretraining=True
    )
    opt: str = option("adamw", "optimization", "optimizer, any name that timm knows", pretraining=True)
    sched: str = option(
        "onecycle",
        "optimization",
        "onecycle, plateau (of the validation AUC), constant, or another schedule that timm knows",
        pretraining=True,
    )
    sched_arguments: Mapping[str, Any] | Sequence[str] = option(
        (),
        "optimization",
        "arguments of the schedule, such as decay_epochs=10; those of torch for onecycle and plateau, else of timm",
        convert=parse_arguments,
        metavar="NAME=VALUE",
        pretraining=True,
    )
    clip_grad: float = option(1.0, "optimization", "largest norm of the gradient; 0 for no limit", at_least=0)
    ema_decay: float = option(
        0.0,
        "optimization",
        "decay of the averaged weights, which are then evaluated and saved; 0 to disable",
        at_least=0,
        below=1,
    )
    patience: int = option(
        0, "optimization", "stop after this many epochs without a better validation AUC; 0 to disable", at_least=0
    )
    precision: Literal["auto", "fp32", "bf16", "fp16"] = option(
        "auto",
        "optimization",
        "of the forward pass; auto: bf16 where the machine has it, else fp32; fp16 needs a GPU and scales the loss",
        pretraining=True,
    )
    compile: bool = option(False, "optimization", "run the student through torch.compile, which needs a C++ compiler")
    seed: int = option(
        0,
        "optimization",
        "random seed of weights, crops, order and bootstrap",
        at_least=0,
        below=2**32,
        pretraining=True,
    )

    deterministic: bool = option(
        False, "optimization", "use only algorithms that give the same bits each time, also on a GPU; slower"
    )

    output: str | Path = option("runs/mvkt", "output", "folder of the run", scope="machine", convert=_path)
    resume: bool = option(False, "output", "continue the run in that folder, if there is one", scope="machine")
    pretrain_folder: str | Path | None = option(
        None,
        "output",
        "folder for pretrained weights, which runs can share; inside output if not given",
        scope="machine",
        convert=_path,
    )
    weights_dtype: Literal["float32", "float16"] = option("float32", "output", "precision of the published files")
    tracker: str | None = option(
        None, "output", "also log to this tracker of accelerate, such as tensorboard", scope="machine"
    )
    requires: Sequence[str] = option(
        (),
        "output",
        "distributions that the recipe needs, such as ecgzoo-tcn>=1",
        convert=_several,
        metavar="DISTRIBUTION",
    )

    def __post_init__(self) -> None:
        check(self)
        if self.pretrain_epochs and len(self.student_leads) > 1:
            raise RecipeError(
                f"pretrain_epochs is {self.pretrain_epochs}, but pretraining needs a student with one lead; "
                f"this one has {len(self.student_leads)}. Set pretrain_epochs to 0."
            )
        if self.pretrain_epochs and self.student_weights:
            raise RecipeError(
                f"pretrain_epochs is {self.pretrain_epochs}, but the student starts from {self.student_weights}; "
                "set pretrain_epochs to 0 or leave out student_weights"
            )
        names = ("train_folds", "unlabelled_folds", "val_folds", "test_folds")
        may_be_empty = {"unlabelled_folds", "test_folds", *(["train_folds"] if self.unlabelled_folds else [])}
        sets = {
            name: set(parse_folds(given)) if (given := getattr(self, name)) or name not in may_be_empty else set()
            for name in names
        }
        for a, b in itertools.combinations(names, 2):
            if shared := sets[a] & sets[b]:
                raise RecipeError(
                    f"fold {min(shared)} is in both {a} and {b}; a model must not be judged on data that it has seen"
                )
        for name, terms in (("losses", self.loss_terms), ("transforms", self.transform_terms)):
            if len({term.name for term in terms}) < len(terms) or (name == "losses" and not terms):
                raise RecipeError(
                    f"{name} {' '.join(map(str, terms)) or '(none)'}: name each term once"
                    + (", at least one" if name == "losses" else "")
                )

    @property
    def loss_terms(self) -> tuple[LossTerm, ...]:
        """The parsed `losses`."""
        return cast(tuple[LossTerm, ...], self.losses)

    @property
    def transform_terms(self) -> tuple[TransformTerm, ...]:
        """The parsed `transforms`."""
        return cast(tuple[TransformTerm, ...], self.transforms)

    @property
    def student_network(self) -> Network:
        """The student's backbone, leads and arguments."""
        return Network(self.student, self.student_leads, parse_arguments(self.student_arguments))

    @property
    def teacher_network(self) -> Network:
        """The teacher's backbone, leads and arguments."""
        return Network(self.teacher, self.teacher_leads, parse_arguments(self.teacher_arguments))

    @property
    def judged_folds(self) -> tuple[int, ...]:
        """The test folds, or the validation folds if there are none; the final table is for them."""
        return parse_folds(self.test_folds or self.val_folds)

    def published(self) -> dict[str, Any]:
        """What is needed to train the same model elsewhere: `to_dict` without what belongs to this run or machine."""
        return self._only(lambda declared: declared.scope == "recipe")

    def pretraining(self) -> dict[str, Any]:
        """The fields on which pretrained weights depend."""
        return self._only(lambda declared: declared.pretraining)

    def fixed(self) -> dict[str, Any]:
        """The fields that must stay the same when a run is resumed."""
        return self._only(lambda declared: declared.scope != "machine")

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values; losses and transforms as text."""
        return self._only(lambda declared: True)

    def _only(self, wanted: Callable[[Any], bool]) -> dict[str, Any]:
        values = {name: getattr(self, name) for name, declared in options(self).items() if wanted(declared)}
        plain: dict[str, Any] = json.loads(json.dumps(values, default=str))  # tuples become lists, terms their text
        return plain


def plugin_versions(recipe: Recipe) -> dict[str, str]:
    """The version of each plugin that provides a network, a loss or a transform of `recipe`."""
    parts = [("backbone", recipe.teacher), ("backbone", recipe.student)]
    parts += [("loss", term.name) for term in recipe.loss_terms]
    parts += [("transform", term.name) for term in recipe.transform_terms]
    versions = {}
    for kind, name in parts:
        with contextlib.suppress(RegistryError):  # a teacher that is not needed may be unknown
            found = registry.lookup(kind, name)
            if not found.built_in:
                versions[found.distribution] = found.version
    return versions


def check_requires(requires: Sequence[str]) -> None:
    """Check that every distribution that a recipe requires is installed, in a version that it allows.

    Raises:
        RecipeError: one is missing or has another version, or a requirement is not in the form that pip reads.
    """
    for text in requires:
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            reason = str(error).splitlines()[0]  # the others draw where in the text it is
            raise RecipeError(f"requires {text!r}: {reason}; expected it as for pip, such as ecgzoo-tcn>=1") from error
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            found = version(requirement.name)
        except PackageNotFoundError:
            raise RecipeError(f"this recipe requires {text}, which is not installed: pip install '{text}'") from None
        if not requirement.specifier.contains(found, prereleases=True):
            raise RecipeError(f"this recipe requires {text}, found {found}: pip install '{text}'")


RESULTS = ("results.json", "*/model.safetensors", "*/checkpoint.safetensors", "*/log.jsonl")


def claim_folder(recipe: Recipe, records_sha256: str, tied: str | None = None) -> None:
    """Claim the run folder for this recipe, by writing ``recipe.json`` into it.

    When a run is resumed, the recipe and the data must be the same, except for the fields about this machine and for
    a larger number of epochs. Files that a killed process was writing are removed, so no other process may work there.

    Args:
        recipe: the recipe that claims the folder.
        records_sha256: of its cohort.
        tied: what depends on the number of epochs, such as ``sched onecycle``; if given, more epochs are refused.

    Raises:
        RecipeError: the folder holds another recipe, the same one and ``resume`` is off, or results without a recipe.
    """
    if recipe.pretrain_folder:
        try:
            Path(recipe.pretrain_folder).mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
            raise RecipeError(f"it cannot be created ({error}); choose another --pretrain-folder") from error
    folder = Path(recipe.output)
    path, mine = folder / "recipe.json", {**recipe.fixed(), "records_sha256": records_sha256}
    if not path.exists():
        if found := next((found for pattern in RESULTS for found in folder.glob(pattern)), None):
            raise RecipeError(f"found {found}, but no {path} with its recipe; choose another --output")
        try:
            write_json(path, {**recipe.to_dict(), **mine}, new=True)
        except (OSError, ValueError) as error:
            if path.exists():
                raise RecipeError(f"another run has just started in {folder}; choose another --output") from error
            raise RecipeError(f"{folder} cannot be written ({error}); choose another --output") from error
        return
    try:
        saved = read_json(path)
    except OSError as error:
        raise RecipeError(f"{path} cannot be read ({error.strerror}); choose another --output") from error
    except ValueError as error:
        raise RecipeError(f"{path} is not JSON ({error}); choose another --output") from error
    if not isinstance(saved, dict):
        raise RecipeError(f"{path} does not hold a recipe; choose another --output")
    if different := difference(saved, mine, longer=True):
        raise RecipeError(f"{folder} already holds another recipe: {different}. Choose another --output.")
    more = saved.get("epochs") != recipe.epochs
    if more and tied:
        raise RecipeError(
            f"{folder} already holds another recipe: {difference(saved, mine)}, and {tied} depends on the number of "
            "epochs. Start again in another --output (only a run with --sched constant, step, multistep or plateau can "
            "be given more epochs)."
        )
    if not recipe.resume:
        raise RecipeError(f"{folder} already holds this run; continue it with --resume or choose another --output.")
    if more:
        write_json(path, {**saved, "epochs": recipe.epochs})
    for written in (folder, *(arm for arm in folder.iterdir() if arm.is_dir()), recipe.pretrain_folder):
        if written is not None:
            sweep(Path(written))


def difference(there: Mapping[str, Any], here: Mapping[str, Any], longer: bool = False) -> str | None:
    """The first field that differs between `there` and `here`, in words; None if all are the same.

    An option that is missing there is newer than that recipe: it counts as its default, which has no effect. With
    `longer`, more ``epochs`` here do not count as a difference.
    """
    defaults = Recipe().to_dict()
    for name in sorted(here.keys() | there.keys() - defaults.keys()):
        before, now = there.get(name, defaults.get(name)), here.get(name)
        if name == "recipe" and isinstance(now, Mapping) and isinstance(before, Mapping) and before:
            if different := difference(before, now, longer):
                return different
        elif longer and name == "epochs" and isinstance(before, int) and isinstance(now, int) and before < now:
            continue
        elif before != now and name in ("data_fingerprint", "records_sha256"):
            return "its records are others, or their labels, folds, patients or leads"
        elif before != now:
            return f"{name} is {reprlib.repr(before)} there and {reprlib.repr(now)} here"
    return None
