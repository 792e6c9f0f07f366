"""The transform contract: transforms change the training crops before they go into the networks.

A recipe names them as ``name=amount[,argument=value…]``. Transforms for both networks are applied first, in the
recipe's order, then those for the student only. The latter are not used when a teacher is trained.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ecgzoo.errors import RecipeError
from ecgzoo.losses.contract import Batch, DataInfo


class Draws:
    """Random numbers of one step, one row per record: the same for any number of processes and on any device.

    Args:
        seeds: what the numbers depend on: seed, epoch, step and the position of the transform.
        records: number of records of the step, over all processes.
        device: the device for the numbers.
        process: number of this process, which has every `processes`-th record.
        processes: number of processes.
    """

    def __init__(
        self, seeds: Sequence[int], records: int, device: torch.device, process: int = 0, processes: int = 1
    ) -> None:
        self._random = np.random.default_rng(seeds)
        self._records, self._device, self._mine = records, device, slice(process, None, processes)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """``[B, *shape]``, each from `low` to `high`."""
        return low + (high - low) * self._own(self._random.random((self._records, *shape), np.float32))

    def normal(self, *shape: int) -> Tensor:
        """``[B, *shape]``, normal with mean 0 and standard deviation 1."""
        return self._own(self._random.standard_normal((self._records, *shape), np.float32))

    def integers(self, end: int, *shape: int) -> Tensor:
        """int64 ``[B, *shape]`` from 0 to `end` − 1."""
        return self._own(self._random.integers(end, size=(self._records, *shape)))

    def beta(self, alpha: float) -> float:
        """One number from Beta(alpha, alpha), for all records."""
        return float(self._random.beta(alpha, alpha))

    def _own(self, rows: np.ndarray) -> Tensor:
        return torch.tensor(rows[self._mine], device=self._device)


@dataclass(frozen=True)
class Crops:
    """The crops of a step.

    Attributes:
        millivolts: ``[B, leads, T]``.
        batch: labels and record indices.
        leads: lead names, in channel order.
        rate_hz: samples per second.
        draws: the only source of randomness.
    """

    millivolts: Tensor
    batch: Batch
    leads: tuple[str, ...]
    rate_hz: float
    draws: Draws


class Transform:
    """Base class of transforms. Built by ``factory(data: DataInfo, amount: float, **arguments)``.

    Args:
        data: the training records.
        amount: strength, in the unit that the class defines.

    Attributes:
        sees: which networks get the result, ``both`` or only the ``student``. The latter must keep labels and identity.
        keeps_labels: whether labels are unchanged.
        keeps_identity: whether each crop still comes from one record, so that a loss may use `Batch.index`.
        every_lead: whether it needs all leads of the data set, not only those in use.
        uses_done: whether it depends on the share of the epochs that are done; such a run cannot be given more epochs.
        most: largest amount.

    Raises:
        RecipeError: the amount is not in (0, `most`].
    """

    sees: ClassVar[Literal["both", "student"]] = "student"
    keeps_labels: ClassVar[bool] = True
    keeps_identity: ClassVar[bool] = True
    every_lead: ClassVar[bool] = False
    uses_done: ClassVar[bool] = True
    most: ClassVar[float] = math.inf

    def __init__(self, data: DataInfo, amount: float) -> None:
        self.amount = in_range(self, "amount", amount, at_most=self.most)

    def __call__(self, crops: Crops, done: float) -> Crops:
        """Return the changed crops, never in place; `done` is the share of the epochs that are done, from 0."""
        raise NotImplementedError


class SignalTransform(Transform):
    """Base class of transforms that change only signals, in a share of the records.

    Args:
        data: the training records.
        amount: see the class.
        share: of the records that are changed.
    """

    uses_done = False

    def __init__(self, data: DataInfo, amount: float, *, share: float = 1.0) -> None:
        super().__init__(data, amount)
        self.share = in_range(self, "share", share, at_most=1)

    def __call__(self, crops: Crops, done: float) -> Crops:
        """Apply `changed` to a random share of the records."""
        chosen = crops.draws.uniform(1, 1) < self.share  # also for a share of 1, to keep the other draws
        return replace(crops, millivolts=torch.where(chosen, self.changed(crops), crops.millivolts))

    def changed(self, crops: Crops) -> Tensor:
        """Millivolts ``[B, leads, T]`` of `crops`, all records changed."""
        raise NotImplementedError


def in_range(owner: object, name: str, value: float, at_most: float) -> float:
    """Return `value` if it is a number in (0, `at_most`].

    Raises:
        RecipeError: it is not.
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value <= at_most and value < math.inf:
        return value
    bounds = f"in (0, {at_most:g}]" if math.isfinite(at_most) else "above 0"
    raise RecipeError(f"{type(owner).__name__}: {name} is {value!r}; expected a number {bounds}")
