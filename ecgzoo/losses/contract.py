"""The loss contract: what the engine hands to a loss, and the class a loss extends."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class View:
    """What one network makes of a batch.

    Attributes:
        logits: ``[B, C]``.
        embedding: ``[B, D]``, what the classifier reads (``forward_head(…, pre_logits=True)``).
        features: ``[B, num_features, T']``, the last feature map.
    """

    logits: Tensor
    embedding: Tensor
    features: Tensor


@dataclass(frozen=True)
class Batch:
    """The records of a step.

    Attributes:
        labels: float multi-hot ``[B, C]``.
        index: int64 ``[B]``, each record's position among the ``N`` training records.
        auxiliary: float multi-hot ``[B, C']``, labels of another task, if the recipe names one.

    Under mixup, labels are those of two records in their shares; `index` then names neither, and a recipe with a loss
    that requires it is refused.
    """

    labels: Tensor
    index: Tensor
    auxiliary: Tensor | None = None


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
        labels: multi-hot ``[N, C]``, in the order of `Batch.index`.
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

    Built by ``factory(student: ModelInfo, teacher: ModelInfo | None, data: DataInfo, **params)``. Its parameters join
    the optimiser and its buffers the checkpoint; neither is published with the student.

    Attributes:
        requires: what it reads, out of ``student.logits student.embedding student.features teacher.logits
            teacher.embedding teacher.features labels index auxiliary``; the teacher runs only if some term requires it.
        extras: scalars for the log, set by `forward`.
    """

    requires: ClassVar[frozenset[str]] = frozenset()

    def __init__(self) -> None:
        super().__init__()
        self.extras: Mapping[str, Tensor] = {}

    def forward(self, student: View, teacher: View | None, batch: Batch) -> Tensor:
        """The term's value, a scalar that averages over the batch."""
        raise NotImplementedError

    def after_backward(self) -> None:
        """Called once a step, after the gradients are taken: the place to update memory. In every process alike."""


def needed(view: View | None, loss: Loss) -> View:
    """The teacher's view of a loss that requires it.

    Raises:
        ValueError: there is no teacher.
    """
    if view is None:
        raise ValueError(f"{type(loss).__name__} requires a teacher's view and got none")
    return view


def full_precision(tensor: Tensor) -> Tensor:
    """Half precision in single; single and double as they are."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def without_autocast(tensor: Tensor) -> torch.autocast:
    """A context in which the mathematics runs in the tensors' own precision."""
    return torch.autocast(device_type=tensor.device.type, enabled=False)
