"""Records of different length in one cohort: crops, scores and normalization read nothing behind their ends."""

import dataclasses

import numpy as np
import pytest
import torch

import ecgzoo
from ecgzoo.create import create_model
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import SignalError
from ecgzoo.evaluation.cohort import score_rows
from ecgzoo.training.batches import TrainingRecords

WHOLE = load_synthetic(num_records=40)
LENGTHS = np.tile([1000, 300, 450, 1000, 250], 8)


def cohort(behind: int = 0) -> ecgzoo.Cohort:
    """Records of several lengths, followed by zeros, or by what must not be read."""
    store = WHOLE.store.copy()
    store[np.arange(1000) >= LENGTHS[:, None, None].repeat(12, 1)] = behind
    return dataclasses.replace(WHOLE, store=store, lengths=LENGTHS)


@pytest.mark.parametrize("resident", [0, 1 << 30])
def test_crops_are_from_within_their_records(resident: int) -> None:
    poisoned = cohort(behind=32_000)
    rows = np.arange(40)
    records = TrainingRecords(poisoned, rows, [0, 7], 250, 8, torch.device("cpu"), resident_bytes=resident)
    ends = set()
    for epoch in range(20):
        for millivolts, batch in records.epoch(0, epoch):
            assert millivolts.shape == (8, 2, 250)
            assert millivolts.max() < 31
            for crop, row in zip(millivolts.numpy(), batch.index.tolist(), strict=True):
                if LENGTHS[row] == 300:
                    windows = np.lib.stride_tricks.sliding_window_view(WHOLE.store[row, 0, :300], 250)
                    ends |= set(np.flatnonzero((windows == np.rint(crop[0] * 1000)).all(axis=1)))
    assert {0, 50} <= ends  # the first and the last crop of a short record occur


def test_each_record_is_scored_over_its_own_length() -> None:
    model = create_model("xresnet1d18", ("I",), 5)
    model.config = dataclasses.replace(model.config, classes=WHOLE.classes)
    rows = np.array([7, 0, 1, 39, 3, 2])
    found = score_rows(model, cohort(behind=32_000), rows)
    millivolts = torch.from_numpy(WHOLE.store / np.float32(1000))
    expected = [model.score(millivolts[row, None, :1, : LENGTHS[row]])[0].tolist() for row in rows]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_normalization_counts_what_is_there() -> None:
    rows = np.arange(40)
    there = np.concatenate([WHOLE.store[row, :, : LENGTHS[row]].ravel() for row in rows]) / 1000
    np.testing.assert_allclose(cohort().mean_and_deviation_mv(rows), (there.mean(), there.std()), rtol=1e-9)


def test_a_record_shorter_than_a_crop_is_named_by_its_length() -> None:
    with pytest.raises(SignalError, match=r"records of 2.5 s \(250 samples at 100 Hz\) are shorter than a crop of 3 s"):
        TrainingRecords(cohort(), np.arange(40), [0], 300, 8, torch.device("cpu"))


def test_a_cohort_of_equal_lengths_draws_the_same_crops_as_before() -> None:
    records = [
        TrainingRecords(one, np.arange(40), [0], 250, 8, torch.device("cpu"))
        for one in (WHOLE, dataclasses.replace(WHOLE, lengths=np.full(40, 1000)))
    ]
    first, second = (list(one.epoch(3, 1)) for one in records)
    assert [batch.index.tolist() for _, batch in first] == [batch.index.tolist() for _, batch in second]
    assert len(second) == 5
