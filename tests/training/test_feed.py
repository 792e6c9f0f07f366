"""Feed: the input of each network, which transforms are applied to it, and what the draws depend on."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ecgzoo import create_student, create_teacher, create_transform
from ecgzoo.data.cohort import Cohort
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.losses.contract import Batch, DataInfo
from ecgzoo.training.batches import TrainingRecords
from ecgzoo.training.feed import Feed
from ecgzoo.transforms.contract import Crops, Transform

WINDOW, BATCH = 250, 16
STUDENT, TEACHER = ("V2", "I"), ("aVF", "I", "V2", "V6")
Step = tuple[Tensor, Tensor, Batch]


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return load_synthetic(num_records=60)


class Negative(Transform):
    """For both networks, a change that nothing else makes."""

    sees = "both"

    def __call__(self, crops: Crops, done: float) -> Crops:
        return replace(crops, millivolts=-crops.millivolts)


class Spy(Transform):
    """Changes nothing; remembers what it was given."""

    def __init__(self) -> None:
        self.seen: list[tuple[Crops, float, Tensor]] = []

    def __call__(self, crops: Crops, done: float) -> Crops:
        self.seen.append((crops, done, crops.draws.uniform(1)))
        return crops


def named(*terms: tuple[str, float]) -> list[Transform]:
    data = DataInfo(("A", "B"), torch.zeros(1, 2))
    return [create_transform(name, data, amount) for name, amount in terms]


def feed(cohort: Cohort, transforms: Sequence[Transform] = (), seed: int = 0, with_teacher: bool = True) -> Feed:
    leads = list(range(len(cohort.leads)))
    records = TrainingRecords(cohort, np.arange(len(cohort)), leads, WINDOW, BATCH, torch.device("cpu"))
    teacher = create_teacher("xresnet1d18", TEACHER) if with_teacher else None
    return Feed(records, cohort.leads, create_student("xresnet1d18", STUDENT), teacher, transforms, seed)


def same(one: Sequence[Step], other: Sequence[Step]) -> bool:
    """Whether students are shown the same, bit for bit."""
    return all(torch.equal(a, b) for (a, *_), (b, *_) in zip(one, other, strict=True))


def test_each_network_is_shown_its_leads_of_the_same_crop(cohort: Cohort) -> None:
    plain = feed(cohort)
    steps = list(plain.epoch(0, 0.0))
    assert len(steps) == len(plain) == 3
    for student, teacher, batch in steps:
        assert student.shape == (BATCH, len(STUDENT), WINDOW)
        assert teacher.shape == (BATCH, len(TEACHER), WINDOW)
        for channel, lead in enumerate(STUDENT):
            assert torch.equal(student[:, channel], teacher[:, TEACHER.index(lead)])
        for row, record in enumerate(batch.index.tolist()):
            there = np.lib.stride_tricks.sliding_window_view(
                cohort.signals()[record][[cohort.leads.index(lead) for lead in TEACHER]], WINDOW, axis=1
            )  # [lead, start, WINDOW]
            microvolts = (1000 * teacher[row]).round().numpy()
            assert (there == microvolts[:, None]).all((0, 2)).any()
        assert torch.equal(batch.labels, torch.from_numpy(cohort.labels[batch.index]).float())


def test_without_a_teacher_there_are_no_leads_of_one(cohort: Cohort) -> None:
    student, teacher, _ = next(feed(cohort, with_teacher=False).epoch(0, 0.0))
    assert student.shape == (BATCH, len(STUDENT), WINDOW)
    assert teacher.shape == (BATCH, 0, WINDOW)


@pytest.mark.parametrize("term", [("gain", 0.5), ("noise", 0.1), ("any_lead", 1.0), ("resample", 0.1)])
def test_what_the_student_alone_sees_leaves_the_teachers_crops_untouched(
    cohort: Cohort, term: tuple[str, float]
) -> None:
    plain, changed = list(feed(cohort).epoch(2, 0.0)), list(feed(cohort, named(term)).epoch(2, 0.0))
    assert not same(plain, changed)
    for (_, teacher, batch), (_, own, own_batch) in zip(plain, changed, strict=True):
        assert torch.equal(own, teacher)
        assert torch.equal(own_batch.labels, batch.labels)
        assert torch.equal(own_batch.index, batch.index)


def test_transforms_for_both_are_the_same_for_both(cohort: Cohort) -> None:
    plain = list(feed(cohort).epoch(0, 0.0))
    for (student, teacher, _), before in zip(feed(cohort, [Negative(None, 1)]).epoch(0, 0.0), plain, strict=True):
        assert torch.equal(student, -before[0])
        assert torch.equal(teacher, -before[1])


def test_a_mixture_is_the_same_for_both_and_so_are_its_labels(cohort: Cohort) -> None:
    mixed = feed(cohort, named(("gain", 0.5), ("mixup", 1.0)))
    plain = list(feed(cohort).epoch(0, 0.0))
    for (student, teacher, batch), (_, before, given) in zip(mixed.epoch(0, 0.0), plain, strict=True):
        # the student's input is the teacher's, except for the student's gain, which is applied later
        same_leads = teacher[:, [TEACHER.index(lead) for lead in STUDENT]]
        gain = (student / same_leads).flatten(1).nanmedian(1).values
        torch.testing.assert_close(student, gain[:, None, None] * same_leads, atol=1e-5, rtol=1e-4)
        assert gain.std() > 0.05
        # the shares by the teacher's signals are those of the labels
        shares = torch.linalg.lstsq(before.flatten(1).T.double(), teacher.flatten(1).T.double()).solution.T
        torch.testing.assert_close(shares @ given.labels.double(), batch.labels.double(), atol=1e-3, rtol=0)


def test_two_processes_have_the_batch_of_one_between_them(cohort: Cohort) -> None:
    augmented = feed(cohort, [Negative(None, 1), *named(("gain", 0.5), ("noise", 0.1), ("any_lead", 0.7))])
    whole = list(augmented.epoch(3, 0.0))
    halves = [list(augmented.epoch(3, 0.0, process, 2)) for process in (0, 1)]
    for step, (student, teacher, batch) in enumerate(whole):
        for process in (0, 1):
            own, own_teacher, own_batch = halves[process][step]
            torch.testing.assert_close(own, student[process::2], atol=1e-6, rtol=1e-5)
            assert torch.equal(own_teacher, teacher[process::2])
            assert torch.equal(own_batch.index, batch.index[process::2])
            assert torch.equal(own_batch.labels, batch.labels[process::2])


def test_seed_and_epoch_are_all_that_a_draw_depends_on(cohort: Cohort) -> None:
    terms = ("gain", 0.5), ("noise", 0.1), ("any_lead", 0.7)
    first = list(feed(cohort, named(*terms), seed=5).epoch(1, 0.0))
    torch.manual_seed(17)
    again = feed(cohort, named(*terms), seed=5)
    list(again.epoch(0, 0.0))  # what was drawn before does not matter
    assert same(first, list(again.epoch(1, 0.0)))
    assert not same(first, list(again.epoch(2, 0.0)))
    assert not same(first, list(feed(cohort, named(*terms), seed=6).epoch(1, 0.0)))


def test_each_step_epoch_and_transform_has_its_own_numbers(cohort: Cohort) -> None:
    spies = [Spy(), Spy()]
    spied = feed(cohort, spies, seed=4)
    for epoch in (0, 1):
        list(spied.epoch(epoch, 0.25))
    drawn = [numbers for spy in spies for _, _, numbers in spy.seen]
    assert len(drawn) == 2 * 2 * len(spied)
    assert len({tuple(numbers.flatten().tolist()) for numbers in drawn}) == len(drawn)
    # nor are they those that the order of the records is drawn from
    of_order = np.random.default_rng([4, 0]).random((BATCH, 1), np.float32)
    assert not any(np.array_equal(numbers.numpy(), of_order) for numbers in drawn)
    assert {done for _, done, _ in spies[0].seen} == {0.25}


def test_a_transform_is_shown_the_students_leads_unless_one_needs_all(cohort: Cohort) -> None:
    spy = Spy()
    next(feed(cohort, [spy]).epoch(0, 0.0))
    assert spy.seen[0][0].leads == STUDENT
    assert spy.seen[0][0].rate_hz == 100
    spy = Spy()
    student, _, _ = next(feed(cohort, [spy, *named(("any_lead", 1.0))]).epoch(0, 0.0))
    assert spy.seen[0][0].leads == cohort.leads
    assert student.shape == (BATCH, len(STUDENT), WINDOW)
    # each lead of the student's shows one of the twelve of that crop
    shown = (student[:, :, None] == spy.seen[0][0].millivolts[:, None]).all(3)  # [record, place, lead]
    assert (shown.sum(2) >= 1).all()
    assert shown.any(0).any(0).sum() > len(STUDENT)  # and not only of its own
