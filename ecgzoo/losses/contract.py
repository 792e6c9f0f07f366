"""The loss contract: what a loss is handed, and the class a loss extends."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from ecgzoo.errors import RecipeError


@dataclass(frozen=True)
class View:
    """What one network makes of a batch.

    Attributes:
        logits: ``[B, C]``.
        embedding: ``[B, D]``, what the classifier reads (``forward_head(…, pre_logits=True)``).
        features: ``[B, num_features, T']``, the last feature map.
        computed_in: the precision of the network's forward pass, for a loss that does large products of its own in it.
    """

    logits: Tensor
    embedding: Tensor
    features: Tensor
    computed_in: torch.dtype = field(default=torch.float32, kw_only=True)

    def full_precision(self, parts: Collection[str] = ("logits", "embedding", "features")) -> "View":
        """The same with `parts` in single precision, if they are in half; single and double stay as they are."""
        half = {torch.float16, torch.bfloat16}
        cast = {part: x.float() for part in parts if (x := getattr(self, part)).dtype in half}
        return replace(self, **cast, computed_in=self.embedding.dtype) if cast else self

    def first(self, count: int) -> "View":
        """Of the first `count` records alone."""
        return replace(
            self, logits=self.logits[:count], embedding=self.embedding[:count], features=self.features[:count]
        )


@dataclass(frozen=True)
class Batch:
    """The records of a step.

    Attributes:
        labels: float multi-hot ``[B, C]``.
        index: int64 ``[B]``, each record's position among the ``N`` training records.
        auxiliary: float multi-hot ``[B, C']``, labels of another task, if the recipe names one.
        labelled: how many of the records have labels, the first of the batch; None if all have. `labels` of the others
            are the teacher's probabilities, and `auxiliary` of the others means nothing.

    Under a transform that mixes records, labels are those of both in their shares; `index` then names neither, and a
    recipe with a loss that requires it is refused.
    """

    labels: Tensor
    index: Tensor
    auxiliary: Tensor | None = None
    labelled: int | None = None

    def first(self, count: int) -> "Batch":
        """The first `count` records alone, all of them with labels."""
        auxiliary = None if self.auxiliary is None else self.auxiliary[:count]
        return Batch(self.labels[:count], self.index[:count], auxiliary)


@dataclass(frozen=True)
class ModelInfo:
    """What a loss may know of a network before it runs.

    Attributes:
        architecture: its registered name.
        leads: their names.
        num_classes: ``C``.
        num_features: channels of `View.features`.
        head_hidden_size: width of `View.embedding`.
        classifier: the network's own last layer, embedding to logits. A loss copies what it needs of it.
    """

    architecture: str
    leads: tuple[str, ...]
    num_classes: int
    num_features: int
    head_hidden_size: int
    classifier: nn.Linear | None = None


@dataclass(frozen=True)
class DataInfo:
    """What a loss may know of the training records.

    Attributes:
        classes: names of the ``C`` classes.
        labels: multi-hot ``[N, C]``, in the order of `Batch.index`; the teacher's probabilities for records without
            labels.
        auxiliary: labels of another task for the same records, multi-hot ``[N, C']``, if the recipe names one.
    """

    classes: tuple[str, ...]
    labels: Tensor
    auxiliary: Tensor | None = None


NEEDS = frozenset(
    f"{side}.{part}" for side in ("student", "teacher") for part in ("logits", "embedding", "features")
) | {
    "labels",
    "index",
    "auxiliary",
}


class Loss(nn.Module):
    """A term of the student's objective.

    Built by ``factory(student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, **arguments)``. Its parameters
    join the optimizer and its buffers the checkpoint; neither is published with the student.

    What it is called with is in full precision and outside autocast, and the teacher's view is there if `requires`
    names any part of it.

    Attributes:
        requires: what it reads, out of ``student.logits student.embedding student.features teacher.logits
            teacher.embedding teacher.features labels index auxiliary``; the teacher runs only if some term requires it.
        soft_labels: whether its labels may be probabilities. If not, and it requires labels, it is called with the
            labelled records of a batch alone.
        extras: scalars for the log, set by `forward`.

    Raises:
        RecipeError: it requires a teacher, and there is none.
    """

    requires: ClassVar[frozenset[str]] = frozenset()
    soft_labels: ClassVar[bool] = False

    def __init__(self, student: ModelInfo, teacher: ModelInfo | None, data: DataInfo) -> None:
        super().__init__()
        self.extras: Mapping[str, Tensor] = {}
        self._refuse_without(teacher)

    def __call__(self, student: View, teacher: View | None, batch: Batch) -> Tensor:
        """`forward`, with the teacher's view that it requires."""
        self._refuse_without(teacher)
        value: Tensor = super().__call__(student, teacher, batch)
        return value

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        """The term's value, a scalar that averages over `batch`.

        Args:
            student: what the student makes of the batch.
            teacher: what the teacher makes of it; there if `requires` names any part of it.
            batch: labels and record numbers.
        """
        raise NotImplementedError

    def after_backward(self) -> None:
        """Called once a step, after the gradients are taken: the place to update memory. In every process alike."""

    def _refuse_without(self, teacher: object) -> None:
        if teacher is None and needs_teacher(self.requires):
            raise RecipeError(f"{type(self).__name__} requires {', '.join(sorted(self.requires))}; give a teacher")


def needs_teacher(requires: frozenset[str]) -> bool:
    """Whether any part of a teacher's view is among `requires`."""
    return any(need.startswith("teacher.") for need in requires)
