"""Feed: the input of student and teacher in each step of an epoch: crops after the recipe's transforms."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from ecgzoo.losses.contract import Batch
from ecgzoo.model import EcgModel
from ecgzoo.training.batches import TrainingRecords
from ecgzoo.transforms.contract import Crops, Draws, Transform


class Feed:
    """Gives crops of the student's and of the teacher's leads, step by step.

    Args:
        records: the training records, with at least the leads of both networks.
        leads: lead names of the records, in channel order.
        student: the network that learns.
        teacher: the network it learns from, if any.
        transforms: in the recipe's order; to train a teacher, without those that only a student sees.
        seed: seed of order, crops and transforms.
    """

    def __init__(
        self,
        records: TrainingRecords,
        leads: tuple[str, ...],
        student: EcgModel,
        teacher: EcgModel | None,
        transforms: Sequence[Transform],
        seed: int,
    ) -> None:
        self.records, self.leads, self.seed = records, leads, seed
        # from 1, because numpy treats (seed, epoch, 0, 0) as (seed, epoch), which is used for the order of the records
        numbered = list(enumerate(transforms, start=1))
        self.for_both = [(number, transform) for number, transform in numbered if transform.sees == "both"]
        self.for_student = [(number, transform) for number, transform in numbered if transform.sees == "student"]
        self.student_leads = student.config.leads
        title, device = records.cohort.title, records.device
        positions = [model.lead_positions(leads, title) if model else [] for model in (student, teacher)]
        self.student_positions, self.teacher_positions = (
            torch.tensor(place, dtype=torch.int64, device=device) for place in positions
        )

    def __len__(self) -> int:
        """Steps per epoch."""
        return len(self.records)

    def epoch(
        self, epoch: int, done: float, process: int = 0, processes: int = 1
    ) -> Iterator[tuple[Tensor, Tensor, Batch]]:
        """Millivolts of the student ``[b, leads, T]`` and of the teacher, and the batch, for each step.

        Args:
            epoch: number of the epoch; random draws depend only on it and the seed.
            done: share of the epochs that are done.
            process: number of this process; each has its share of every batch.
            processes: number of processes.
        """
        rate_hz, size = self.records.cohort.rate_hz, self.records.batch_size
        nothing_drawn = Draws((), 0, self.records.device)
        for step, (millivolts, batch) in enumerate(self.records.epoch(self.seed, epoch, process, processes)):

            def shown(crops: Crops, transforms: Sequence[tuple[int, Transform]], step: int = step) -> Crops:
                for number, transform in transforms:
                    draws = Draws((self.seed, epoch, step, number), size, self.records.device, process, processes)
                    crops = transform(replace(crops, draws=draws), done)
                return crops

            both = shown(Crops(millivolts, batch, self.leads, rate_hz, nothing_drawn), self.for_both)
            own = both
            if not any(transform.every_lead for _, transform in self.for_student):
                own = self._students(own)
            own = self._students(shown(own, self.for_student))
            yield own.millivolts, both.millivolts.index_select(1, self.teacher_positions), both.batch

    def _students(self, crops: Crops) -> Crops:
        if crops.leads == self.student_leads:
            return crops
        millivolts = crops.millivolts.index_select(1, self.student_positions)
        return replace(crops, millivolts=millivolts, leads=self.student_leads)
