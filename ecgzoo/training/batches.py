"""Training batches: random crops of the training records, the same for any memory size.

They are the same for any number of processes, too, except with records without labels: see `TrainingRecords`.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from ecgzoo.data import Cohort
from ecgzoo.data.cohort import MICROVOLTS_PER_MILLIVOLT
from ecgzoo.data.shards import Shards
from ecgzoo.errors import DataError, RecipeError, SignalError
from ecgzoo.losses.contract import Batch
from ecgzoo.signal.windows import duration

RESIDENT_BYTES = 4 << 30
LEAST_PATIENTS = 3  # of each outcome: with two, too many resamples of a bootstrap have none of them


class TrainingRecords:
    """The training records of a cohort and the crops that an epoch draws from them.

    If the records fit, they are kept on the device as int16, and a batch is one gather by index. Otherwise a thread
    reads them from the store, one batch ahead. The random crops depend only on (seed, epoch). With several processes,
    each takes its share of every batch.

    Args:
        cohort: the cohort with the records.
        rows: the training records, as given by `Cohort.rows`; `Batch.index` is the position in these rows.
        leads: positions of the leads among those of the cohort.
        window: samples of a crop.
        batch_size: records per step, over all processes.
        device: the device for the batches.
        auxiliary: labels ``[len(rows), C']`` of a second task.
        labels: ``[len(rows), C]``, instead of the cohort's.
        labelled: how many of the rows have labels; they are the first. None if all have. Every batch has labelled and
            other records in the same proportion, the labelled ones first; how many is a multiple of the processes.
        resident_bytes: largest size of the records that are kept on the device.

    Raises:
        see `check_batches`.
    """

    def __init__(
        self,
        cohort: Cohort,
        rows: np.ndarray,
        leads: list[int],
        window: int,
        batch_size: int,
        device: torch.device,
        auxiliary: np.ndarray | None = None,
        resident_bytes: int = RESIDENT_BYTES,
        labels: np.ndarray | None = None,
        labelled: int | None = None,
    ) -> None:
        check_batches(cohort, rows, window, batch_size)
        self.cohort, self.rows, self.leads, self.window = cohort, rows, leads, window
        self.batch_size, self.device = batch_size, device
        labels = cohort.labels[rows] if labels is None else labels
        self.labels = torch.from_numpy(labels).to(device=device, dtype=torch.float32)
        self.labelled = labelled
        self.auxiliary = None if auxiliary is None else torch.from_numpy(auxiliary).to(device).float()
        self.unit_uv: Tensor | None = None
        if cohort.unit_uv is not None:
            self.unit_uv = torch.from_numpy(cohort.units(rows)).to(device)
        samples = cohort.store.shape[2]
        # of the crops of a record: one number if all are of the same length
        self.starts: int | np.ndarray = samples - window + 1
        if cohort.lengths is not None:
            self.starts = cohort.lengths[rows] - window + 1
        self.crops: Tensor | None = None
        if len(rows) * len(leads) * samples * cohort.store.itemsize <= resident_bytes:
            signals = cohort.store[cohort.positions[rows][:, None], leads]  # only the leads in use
            self.crops = torch.from_numpy(signals).to(device).unfold(2, window, 1)  # a view [N, leads, start, window]

    def __len__(self) -> int:
        """Steps per epoch; records that do not fill a last batch are left out of this epoch."""
        return len(self.rows) // self.batch_size

    def epoch(self, seed: int, epoch: int, process: int = 0, processes: int = 1) -> Iterator[tuple[Tensor, Batch]]:
        """Millivolts ``[b, leads, window]`` and the batch, for each step of an epoch."""
        random = np.random.default_rng([seed, epoch])
        order, starts = random.permutation(len(self.rows)), random.integers(0, self.starts, len(self.rows))
        labelled = None if self.labelled is None else self._labelled_of_a_batch(processes)
        if labelled is not None:
            order = self._in_proportion(order, labelled)
        shares = [
            order[step * self.batch_size : (step + 1) * self.batch_size][process::processes]
            for step in range(len(self))
        ]
        of_a_share = None if labelled is None else labelled // processes
        if self.crops is None:
            microvolts = self._streamed(shares, starts)
        else:
            starts_there = torch.from_numpy(starts).to(self.device)
            microvolts = (self.crops[index, :, starts_there[index]] for index in self._on_device(shares))
        for index, crops in zip(self._on_device(shares), microvolts, strict=True):
            auxiliary = None if self.auxiliary is None else self.auxiliary[index]
            signals = crops.float() if self.unit_uv is None else crops * self.unit_uv[index]
            yield signals / MICROVOLTS_PER_MILLIVOLT, Batch(self.labels[index], index, auxiliary, of_a_share)

    def _labelled_of_a_batch(self, processes: int) -> int:
        """Number of labelled records per batch: in proportion, the same in every process, and at least one if any."""
        assert self.labelled is not None
        count = round(self.batch_size * self.labelled / len(self.rows) / processes) * processes
        return min(max(count, processes), self.batch_size - processes) if self.labelled else 0

    def _in_proportion(self, order: np.ndarray, labelled: int) -> np.ndarray:
        """Row numbers batch by batch: `labelled` records with labels, then others.

        If rounding leaves too few of a kind, it starts again from its first record.
        """
        assert self.labelled is not None
        with_labels, without = order[order < self.labelled], order[order >= self.labelled]
        steps = len(self)
        first = np.resize(with_labels, (steps, labelled))
        rest = np.resize(without, (steps, self.batch_size - labelled))
        return np.concatenate([first, rest], axis=1).ravel()

    def _on_device(self, shares: list[np.ndarray]) -> Iterator[Tensor]:
        return iter(torch.from_numpy(np.stack(shares)).to(self.device))

    def _streamed(self, shares: list[np.ndarray], starts: np.ndarray) -> Iterator[Tensor]:
        def read(index: np.ndarray) -> Tensor:
            there = self.cohort.positions[self.rows[index]]
            if isinstance(self.cohort.store, Shards):
                self.cohort.store.read_ahead(there)
            crops = np.empty((len(index), len(self.leads), self.window), np.int16)
            for crop, position, start in zip(crops, there, starts[index], strict=True):
                crop[:] = self.cohort.store[position, :, start : start + self.window][self.leads]
            batch = torch.from_numpy(crops)
            return batch.pin_memory() if self.device.type == "cuda" else batch

        with ThreadPoolExecutor(max_workers=1) as reader:
            ahead = reader.submit(read, shares[0])
            for number in range(len(shares)):
                crops = ahead.result()
                if number + 1 < len(shares):
                    ahead = reader.submit(read, shares[number + 1])
                yield crops.to(self.device, non_blocking=True)


def check_batches(cohort: Cohort, rows: np.ndarray, window: int, batch_size: int, accumulate: int = 1) -> None:
    """Check that the records at `rows` are long enough for a crop and fill a step of `accumulate` batches.

    Raises:
        SignalError: the records are shorter than a crop.
        RecipeError: there are fewer records than a step takes.
    """
    samples, rate_hz = int(cohort.samples(rows).min(initial=cohort.store.shape[2])), cohort.rate_hz
    if samples < window:
        raise SignalError(
            f"{cohort.title}: records of {duration(samples, rate_hz)} are shorter than a crop of "
            f"{duration(window, rate_hz)}; lower --window-s"
        )
    if len(rows) < batch_size * accumulate:
        batches, flags = ("a batch", "--batch-size")
        if accumulate > 1:
            batches, flags = (f"{accumulate} batches", "--batch-size or --accumulate")
        raise RecipeError(f"{len(rows)} training records do not fill {batches} of {batch_size}; lower {flags}")


def check_judged(cohort: Cohort, rows: np.ndarray, window: int, folds: str) -> None:
    """Check that a model can be judged on the records at `rows`, which `folds` names in errors.

    Raises:
        SignalError: a record is shorter than the `window` of the model.
        DataError: no class has both outcomes, or none has both in enough patients for an interval.
    """
    samples, rate_hz = int(cohort.samples(rows).min()), cohort.rate_hz
    if samples < window:
        raise SignalError(
            f"{cohort.title}: a record of {duration(samples, rate_hz)} in {folds} is shorter than a window of "
            f"{duration(window, rate_hz)}; leave it out, or use a shorter window"
        )
    labels = cohort.labels[rows]
    if not (labels.any(axis=0) & ~labels.all(axis=0)).any():
        raise DataError(
            f"{cohort.title}: no class has both a positive and a negative record in {folds}, so no AUC is defined. "
            "Use other folds."
        )
    of_both = [
        min(len(np.unique(cohort.patients[rows[column == outcome]])) for outcome in (0, 1)) for column in labels.T
    ]
    if max(of_both) < LEAST_PATIENTS:
        raise DataError(
            f"{cohort.title}: no class has {LEAST_PATIENTS} patients with it and {LEAST_PATIENTS} without it in "
            f"{folds}, too few for an interval. Use other folds."
        )
