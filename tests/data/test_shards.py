"""Shards: signals in several files are what one array is, for every index, batch and score."""

import dataclasses
import itertools
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ecgzoo.create import create_model
from ecgzoo.data import check_cohort, shards
from ecgzoo.data.shards import Shards
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import DataError
from ecgzoo.evaluation.cohort import score_rows
from ecgzoo.training.batches import TrainingRecords

WHOLE = load_synthetic(num_records=40)
ENDS = (0, 1, 18, 30, 40)


@pytest.fixture(scope="module", autouse=True)
def small() -> Iterator[None]:
    """Gather few records at a time, and let go of pages often."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "_AT_ONCE", 7)
        patch.setattr(shards, "_MAPPED_BYTES", 1 << 18)
        yield


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Shards:
    return in_files(tmp_path_factory.mktemp("shards"), np.asarray(WHOLE.store))


def in_files(folder: Path, store: np.ndarray) -> Shards:
    files = []
    for start, end in itertools.pairwise(ENDS):
        (folder / str(start)).write_bytes(b"head" + store[start:end].tobytes())
        files.append((open(folder / str(start), "rb"), end - start))  # noqa: SIM115 # closed below
    made = Shards(files, store.shape[1:], 4)
    for file, _ in files:
        file.close()
    return made


ROWS = np.array([39, 0, 17, 18, 1, 1, 30, 29, 5])
INDICES: dict[str, Any] = {
    "a record": 17,
    "a record of numpy": np.int64(18),
    "the last": -1,
    "leads and samples of one": (30, slice(None), slice(3, 250)),
    "a sample": (2, 3, 4),
    "all": slice(None),
    "every third, leads": (slice(2, None, 3), [1, 0]),
    "some": ROWS,
    "a list": [4, -2],
    "none": np.zeros(0, np.int64),
    "a mask": np.arange(40) % 3 == 0,
    "some, leads": (ROWS[:, None], [0, 7]),
    "some, a lead, samples": (ROWS, 3, slice(10)),
    "some, samples of all leads": (ROWS, slice(None), slice(5, 9)),
    "some, leads apart": (ROWS[:3], slice(None), [1, 2, 3]),
}


@pytest.mark.parametrize("kind", INDICES)
def test_every_index_gives_what_one_array_gives(kind: str, sharded: Shards) -> None:
    expected, found = np.asarray(WHOLE.store)[INDICES[kind]], sharded[INDICES[kind]]
    assert (found.dtype, np.shape(found)) == (np.int16, np.shape(expected))
    np.testing.assert_array_equal(found, expected)
    assert (sharded.shape, len(sharded), sharded.itemsize) == ((40, 12, 1000), 40, 2)


@pytest.mark.parametrize("row", [40, -41, np.array([0, 40]), [-41]])
def test_a_row_that_is_not_there(row: Any, sharded: Shards) -> None:
    with pytest.raises(IndexError):
        sharded[row]


@pytest.mark.parametrize("resident", [0, 1 << 30])
@pytest.mark.parametrize("lengths", [None, np.tile([1000, 300, 450, 1000, 250], 8)])
def test_batches_are_the_same_for_any_files_and_processes(
    resident: int, lengths: np.ndarray | None, tmp_path: Path
) -> None:
    rows, found, whole_store = np.arange(2, 40), [], np.array(WHOLE.store)
    for row, length in enumerate(() if lengths is None else lengths):
        whole_store[row, :, length:] = 0
    for store in (whole_store, in_files(tmp_path, whole_store)):
        cohort = dataclasses.replace(WHOLE, store=store, lengths=lengths)
        check_cohort(cohort)
        records = TrainingRecords(cohort, rows, [0, 7], 250, 8, torch.device("cpu"), resident_bytes=resident)
        whole = list(records.epoch(3, 1))
        halves = [list(records.epoch(3, 1, process, 2)) for process in (0, 1)]
        for (millivolts, batch), *parts in zip(whole, *halves, strict=True):
            for process, (half, its) in enumerate(parts):
                assert torch.equal(half, millivolts[process::2])
                assert torch.equal(its.index, batch.index[process::2])
        found.append(whole)
    for (one, _), (other, _) in zip(*found, strict=True):
        assert torch.equal(one, other)


def test_units_count_in_batches_scores_and_normalization(sharded: Shards) -> None:
    unit_uv = np.where(np.arange(40) % 4, 1, 5).astype(np.uint8)
    coarse = np.rint(np.asarray(WHOLE.store) / unit_uv[:, None, None]).astype(np.int16)
    fine = dataclasses.replace(WHOLE, store=(coarse * unit_uv[:, None, None]).astype(np.int16))
    stored = dataclasses.replace(WHOLE, store=coarse, unit_uv=unit_uv)
    check_cohort(stored)
    rows = np.arange(3, 40)
    assert stored.mean_and_deviation_mv(rows) == fine.mean_and_deviation_mv(rows)
    model = create_model("xresnet1d18", ("I",), 5)
    np.testing.assert_array_equal(score_rows(model, stored, rows), score_rows(model, fine, rows))
    for resident in (0, 1 << 30):
        made = (
            TrainingRecords(one, rows, [0], 250, 8, torch.device("cpu"), resident_bytes=resident).epoch(0, 0)
            for one in (stored, fine)
        )
        for (one, _), (other, _) in zip(*made, strict=True):
            assert torch.equal(one, other)
    with pytest.raises(DataError, match="unit_uv from 0, expected microvolts, at least 1"):
        check_cohort(dataclasses.replace(stored, unit_uv=unit_uv * (unit_uv > 1)))


def test_reading_leaves_little_in_memory(tmp_path: Path) -> None:
    rows = 4000
    with open(tmp_path / "x", "wb") as file:
        for _ in range(rows):
            file.write(bytes(24_000))
    with open(tmp_path / "x", "rb") as file:
        made = Shards([(file, rows)], (12, 1000), 0)
    before = resident_kb()
    for row in range(rows):
        made[row, :, :250].sum()
    assert resident_kb() - before < 20_000  # of 96 MB that were read


def resident_kb() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("RssFile")).split()[1])


def test_rows_are_read_ahead_where_they_are(sharded: Shards, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int, int, int]] = []

    class Map:
        def __init__(self, part: int) -> None:
            self.part = part

        def madvise(self, advice: int, start: int, length: int) -> None:
            asked.append((self.part, advice, start, length))

    monkeypatch.setattr(sharded, "_maps", [Map(part) for part in range(4)])
    sharded.read_ahead(np.array([39, 0, 17, 18, 0]))
    size = WHOLE.store[0].nbytes
    expected = [(0, 0), (1, 16), (2, 0), (3, 9)]  # the file, and the record in it
    assert [part for part, *_ in asked] == [part for part, _ in expected]
    for (_, advice, start, length), (_, record) in zip(asked, expected, strict=True):
        assert advice == mmap.MADV_WILLNEED
        assert start % mmap.PAGESIZE == 0
        assert 0 <= 4 + record * size - start < mmap.PAGESIZE
        assert start + length == 4 + (record + 1) * size
