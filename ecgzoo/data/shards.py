"""Shards: signals in several files, memory-mapped and indexed like one array."""

import mmap
from bisect import bisect_right
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, BinaryIO

import numpy as np

_AT_ONCE = 1024  # records that are gathered at a time
_MAPPED_BYTES = 1 << 28  # pages of the files that stay in the memory of this process; the system's cache keeps them all
_FAULT_BYTES = 1 << 20  # that a read may leave: Linux maps the whole folio around it, from 6.18 on up to 2 MiB


class Shards:
    """int16 signals ``[M, L, T]`` in several files.

    ``shards[rows]`` and ``shards[rows, ...]`` are what the same index gives of one array; `rows` are an integer, a
    slice or an array. Reading leaves at most a few hundred MB in the resident memory of this process.

    Args:
        files: open files, each with the number of its records; they may be closed afterwards.
        record: shape of a record, ``(L, T)``.
        offset: bytes before the samples of each file.
    """

    dtype = np.dtype("<i2")
    itemsize = dtype.itemsize
    ndim = 3

    def __init__(self, files: Iterable[tuple[BinaryIO, int]], record: tuple[int, int], offset: int) -> None:
        self._maps: list[mmap.mmap] = []
        self.parts: list[np.ndarray] = []
        for file, rows in files:
            self._maps.append(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
            samples = np.frombuffer(self._maps[-1], self.dtype, rows * record[0] * record[1], offset)
            self.parts.append(samples.reshape(rows, *record))
        self._ends = list(accumulate(len(part) for part in self.parts))
        self.shape = (self._ends[-1], *record)
        self._offset, self._mapped = offset, 0

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> np.ndarray:
        rows, *rest = key if isinstance(key, tuple) else (key,)
        if isinstance(rows, (int, np.integer)):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"row {rows} of {len(self)}")
            row = int(rows) % len(self)
            part = bisect_right(self._ends, row)
            self._forget(1)
            index = (row - self._ends[part], *rest)  # from the end of the part
            view: np.ndarray = self.parts[part][index]
            return view
        if isinstance(rows, slice):
            index = (slice(None), *rest)
            found: np.ndarray = self._gathered(np.arange(*rows.indices(len(self))), [])[index]
            return found
        rows = np.asarray(rows)
        return self._gathered(np.flatnonzero(rows) if rows.dtype == bool else self._checked(rows), rest)

    def read_ahead(self, rows: np.ndarray) -> None:
        """Let the system read these rows from the disk, all at once, before they are needed one by one.

        Without it, each waits for its own reading, and Linux reads megabytes around it.
        """
        if not hasattr(mmap, "MADV_WILLNEED"):
            return
        size, rows = self.shape[1] * self.shape[2] * self.itemsize, np.unique(rows)
        for part, row in zip(np.searchsorted(self._ends, rows, "right"), rows.tolist(), strict=True):
            start = self._offset + (row - self._ends[part] + len(self.parts[part])) * size
            page = start % mmap.PAGESIZE
            self._maps[part].madvise(mmap.MADV_WILLNEED, start - page, size + page)

    def _checked(self, rows: np.ndarray) -> np.ndarray:
        if rows.size and not -len(self) <= rows.min() <= rows.max() < len(self):
            raise IndexError(f"rows {rows.min()} to {rows.max()} of {len(self)}")
        return np.where(rows < 0, rows + len(self), rows)

    def _gathered(self, rows: np.ndarray, rest: list[Any]) -> np.ndarray:
        """What ``[rows, *rest]`` gives of one array: its first dimensions are those of all array indices together."""
        arrays = [0, *(number for number, index in enumerate(rest, start=1) if not isinstance(index, slice))]
        index = [rows, *rest]
        alike = np.broadcast_arrays(*(index[number] for number in arrays))
        shape, flat = alike[0].shape, [one.ravel() for one in alike]
        part_of = np.searchsorted(self._ends, flat[0], "right")

        def read(some: np.ndarray, part: int) -> np.ndarray:
            for number, one in zip(arrays, flat, strict=True):
                index[number] = one[some]
            index[0] = index[0] - self._ends[part]
            part_of_it: np.ndarray = self.parts[part][tuple(index)]
            return part_of_it

        tail = read(np.zeros(0, np.int64), 0).shape[1:]
        gathered = np.empty((len(part_of), *tail), self.dtype)
        for start in range(0, len(part_of), _AT_ONCE):
            here = part_of[start : start + _AT_ONCE]
            self.read_ahead(flat[0][start : start + _AT_ONCE])
            for part in np.unique(here):
                some = start + np.flatnonzero(here == part)
                gathered[some] = read(some, part)
            self._forget(len(here))
        return gathered.reshape(*shape, *tail)

    def _forget(self, rows: int) -> None:
        """Count `rows` that are read, and let go of the pages that earlier ones left in memory, if they are many."""
        self._mapped += rows * (_FAULT_BYTES + self.shape[1] * self.shape[2] * self.itemsize)
        if self._mapped > _MAPPED_BYTES and hasattr(mmap, "MADV_DONTNEED"):
            self._mapped = 0
            for mapped in self._maps:
                mapped.madvise(mmap.MADV_DONTNEED)
