"""The loss contract: the inputs of a loss, and its base class."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ecgzoo.errors import RecipeError, RegistryError


@dataclass(frozen=True)
class View:
    """The output of one network for a batch.

    Attributes:
        logits: ``[B, C]``.
        embedding: ``[B, D]``, the input of the classifier (``forward_head(…, pre_logits=True)``).
        features: ``[B, num_features, T']``, the last feature map in time, without a transformer's class tokens.
        computed_in: the precision of the network's forward pass, for a loss that uses it for its own large products.
    """

    logits: Tensor
    embedding: Tensor
    features: Tensor
    computed_in: torch.dtype = field(default=torch.float32, kw_only=True)

    def full_precision(self, parts: Collection[str] = ("logits", "embedding", "features")) -> "View":
        """The same view, with those `parts` in float32 that are in half precision."""
        half = {torch.float16, torch.bfloat16}
        cast = {part: x.float() for part in parts if (x := getattr(self, part)).dtype in half}
        return replace(self, **cast, computed_in=self.embedding.dtype) if cast else self

    def first(self, count: int) -> "View":
        """The view of the first `count` records only."""
        return replace(
            self, logits=self.logits[:count], embedding=self.embedding[:count], features=self.features[:count]
        )


@dataclass(frozen=True)
class Batch:
    """The records of a step.

    Attributes:
        labels: float multi-hot ``[B, C]``.
        index: int64 ``[B]``, each record's position among the ``N`` training records.
        auxiliary: float multi-hot ``[B, C']``, labels of a second task, if the recipe names one.
        labelled: how many records have labels; they are the first of the batch. None if all have. For the other
            records, `labels` are the teacher's probabilities and `auxiliary` is meaningless.

    With a transform that mixes records, `labels` are mixed in the same proportion. `index` is then meaningless, and a
    recipe with a loss that requires it is refused.
    """

    labels: Tensor
    index: Tensor
    auxiliary: Tensor | None = None
    labelled: int | None = None

    def first(self, count: int) -> "Batch":
        """The first `count` records only, which all have labels."""
        auxiliary = None if self.auxiliary is None else self.auxiliary[:count]
        return Batch(self.labels[:count], self.index[:count], auxiliary)


@dataclass(frozen=True)
class ModelInfo:
    """What a loss may know about a network before it runs.

    Attributes:
        architecture: registered name of the backbone.
        leads: lead names.
        num_classes: ``C``.
        num_features: channels of `View.features`.
        head_hidden_size: width of `View.embedding`.
        classifier: the last layer of the network, from embedding to logits. A loss must copy what it needs.
    """

    architecture: str
    leads: tuple[str, ...]
    num_classes: int
    num_features: int
    head_hidden_size: int
    classifier: nn.Linear | None = None


@dataclass(frozen=True)
class DataInfo:
    """What a loss may know about the training records and their run.

    Attributes:
        classes: names of the ``C`` classes.
        labels: multi-hot ``[N, C]``, in the order of `Batch.index`; the teacher's probabilities for records without
            labels.
        auxiliary: labels of a second task for the same records, multi-hot ``[N, C']``, if the recipe names one.
        seed: of the run, for random numbers that must be the same in all processes and after a resume.
    """

    classes: tuple[str, ...]
    labels: Tensor
    auxiliary: Tensor | None = None
    seed: int = 0


NEEDS = frozenset(
    f"{side}.{part}" for side in ("student", "teacher") for part in ("logits", "embedding", "features")
) | {
    "labels",
    "index",
    "auxiliary",
}


class Loss(nn.Module):
    """Base class of a term of the student's objective.

    Built by ``factory(student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, **arguments)``. Its parameters are
    trained by the optimizer and its buffers are saved in the checkpoint. Neither is published with the student.

    It is called with full precision inputs, outside autocast. The teacher's view is given if `requires` names any part
    of it.

    Attributes:
        requires: what it reads, some of ``student.logits student.embedding student.features teacher.logits
            teacher.embedding teacher.features labels index auxiliary``. The teacher runs only if some term requires it.
        soft_labels: whether labels may be probabilities. If not, a loss that requires labels is called with only the
            labelled records of a batch.
        extras: scalars for the log, set by `forward`; the log has the mean over the batches in which each was given.

    Raises:
        RecipeError: it requires a teacher, and there is none.
    """

    requires: frozenset[str] = frozenset()
    soft_labels: ClassVar[bool] = False

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo) -> None:
        super().__init__()
        self.extras: Mapping[str, Tensor] = {}
        self._refuse_without(teacher)

    def __call__(self, student: View, teacher: View | None, batch: Batch) -> Tensor:
        """Call `forward`; the teacher's view must be given if it is required.

        Raises:
            RecipeError: it is not given.
            RegistryError: the loss changes its inputs.
        """
        self._refuse_without(teacher)
        self.extras = {}  # those of another batch
        before = _changes(student, teacher, batch)
        try:
            value: Tensor = super().__call__(student, teacher, batch)
        except AttributeError as error:
            if teacher is not None or error.obj is not None or f"teacher.{error.name}" not in NEEDS:
                raise
            raise AttributeError(f"{error}: it does not declare teacher.{error.name} in `requires`") from error
        after = _changes(student, teacher, batch)
        if changed := [part for part, count in after.items() if count != before[part]]:
            raise RegistryError(
                f"the loss {type(self).__name__} changes {', '.join(changed)} in place, which other losses read, too; "
                "work on a copy, such as x.clone()"
            )
        return value

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The term's value, a scalar that averages over `batch`.

        Args:
            student: the output of the student.
            teacher: the output of the teacher; given if `requires` names any part of it.
            batch: labels and record indices.
        """
        raise NotImplementedError

    def after_backward(self) -> None:
        """Called once per step in every process, after the backward pass. Update memory such as a bank here."""

    def _refuse_without(self, teacher: object) -> None:
        if teacher is None and needs_teacher(self.requires):
            raise RecipeError(f"{type(self).__name__} requires {', '.join(sorted(self.requires))}; give a teacher")


def _changes(student: View, teacher: View | None, batch: Batch) -> dict[str, int]:
    """How often each input was changed in place, as torch counts it for autograd."""
    return {
        f"{side}.{part}": tensor._version
        for side, given in (("student", student), ("teacher", teacher), ("batch", batch))
        for part, tensor in (vars(given) if given is not None else {}).items()
        if isinstance(tensor, Tensor) and not tensor.is_inference()  # torch counts no changes of these
    }


def needs_teacher(requires: frozenset[str]) -> bool:
    """Whether `requires` names any part of a teacher's view."""
    return any(need.startswith("teacher.") for need in requires)
