"""Training batches: records held on the device as int16, random crops by one index gather."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from ecgzoo.data import Cohort
from ecgzoo.data.cohort import MICROVOLTS_PER_MILLIVOLT
from ecgzoo.errors import RecipeError, SignalError
from ecgzoo.losses.contract import Batch


class TrainingRecords:
    """The training records of a cohort and the crops that an epoch draws from them.

    The draw depends on (seed, epoch) alone; each of several processes takes its share of every batch, so that one
    process and many see the same batches.

    Args:
        cohort: where the records are.
        rows: which, as `Cohort.rows` gives them; a record's `Batch.index` is its position here.
        positions: which of the cohort's leads, in order.
        window: samples of a crop.
        batch_size: records a step over all processes.
        device: where the records are held.

    Raises:
        see `check_batches`.
    """

    def __init__(
        self,
        cohort: Cohort,
        rows: np.ndarray,
        positions: list[int],
        window: int,
        batch_size: int,
        device: torch.device,
    ) -> None:
        check_batches(cohort, rows, window, batch_size)
        signals = torch.from_numpy(np.ascontiguousarray(cohort.signals(rows)[:, positions])).to(device)
        self.crops = signals.unfold(2, window, 1)  # a view: [records, leads, start, window]
        self.labels = torch.from_numpy(cohort.labels[rows]).to(device=device, dtype=torch.float32)
        self.batch_size, self.device = batch_size, device

    def __len__(self) -> int:
        """Steps in an epoch; the records that fill no last batch wait for the next epoch's order."""
        return len(self.labels) // self.batch_size

    def epoch(self, seed: int, epoch: int, process: int = 0, processes: int = 1) -> Iterator[tuple[Tensor, Batch]]:
        """Millivolts ``[b, leads, window]`` and the batch, for each step of an epoch."""
        random = np.random.default_rng([seed, epoch])
        order = torch.from_numpy(random.permutation(len(self.labels))).to(self.device)
        starts = torch.from_numpy(random.integers(0, self.crops.shape[2], len(self.labels))).to(self.device)
        for step in range(len(self)):
            index = order[step * self.batch_size : (step + 1) * self.batch_size][process::processes]
            millivolts = self.crops[index, :, starts[index]].float() / MICROVOLTS_PER_MILLIVOLT
            yield millivolts, Batch(self.labels[index], index)


def check_batches(cohort: Cohort, rows: np.ndarray, window: int, batch_size: int) -> None:
    """Whether the records at `rows` are long enough for a crop and enough for a batch.

    Raises:
        SignalError: the records are shorter than a crop.
        RecipeError: fewer records than a batch.
    """
    samples = cohort.store.shape[2]
    if samples < window:
        raise SignalError(f"{cohort.title}: records of {samples} samples are shorter than a crop of {window}")
    if len(rows) < batch_size:
        raise RecipeError(f"{len(rows)} training records make no batch of {batch_size}; lower --batch-size")
