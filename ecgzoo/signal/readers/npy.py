"""Reading numpy's files: ``.npy``, an array, and ``.npz``, arrays with names. Nothing that would need pickle."""

import dataclasses
import io
import lzma
import math
import struct
import tokenize
import zipfile
import zlib
from pathlib import Path

import numpy as np

from ecgzoo.signal.readers.common import fail, whole_file
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.readers.given import all_of, is_another_rate, names_of, rate_of, scale_of
from ecgzoo.signal.readers.times import holds_times, rate_of_column, time_and_unit
from ecgzoo.signal.record import Record

_MAGIC, _ZIP = b"\x93NUMPY", b"PK\x03\x04"
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_MOST_COMPRESSED = (1 << 24, 50)  # bytes of what is unpacked: so many at least, and so many a byte of the file
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error)
_NO_HEADER = (ValueError, KeyError, TypeError, SyntaxError, tokenize.TokenError)  # numpy reads it as Python's literals
_RATES = ("rate_hz", "fs", "sampling_rate", "sample_rate", "sampling_frequency")  # in any case, as those below
_UNITS, _LEADS = ("units", "unit"), ("leads", "lead", "lead_names", "sig_name")
_MOST_ARRAYS, _NAMES_BYTES = 100, 1 << 16


class NpyReader(Reader):
    """``.npy``: numbers ``[leads, samples]`` or ``[samples]``, without rate, unit and leads, which the caller gives.

    ``.npz``: such an array as ``signal`` (or the only one), and beside it, as far as they are known, ``rate_hz`` or
    ``fs``, ``units`` or ``unit``, and ``leads`` or ``lead``, or other usual names, in any case; a note names the arrays
    that were not read: ``np.savez(path, signal=x, leads=record.leads, rate_hz=record.rate_hz, units="mV")``. An array
    of times, one for each sample, gives the rate as a column of a text does (``time_s``), or must fit it (``time``).
    """

    def sniff(self, head: bytes, path: Path) -> bool:
        """By numpy's magic, or that of a ZIP file whose first member is an array."""
        return head.startswith(_MAGIC) or (head.startswith(_ZIP) and b".npy" in head[30:300])

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """The array in millivolts.

        Raises:
            SignalError: rate, units or leads are said by neither the file nor the caller, or by both otherwise; the
                times are uneven or of another rate; the array is not of numbers, of another shape, or cut off.
        """
        content = whole_file(path)
        arrays = _members(path, content) if content.startswith(_ZIP) else {"signal": _array(path, content)}
        del content
        others = {name: array for name, array in arrays.items() if name.casefold() not in (*_RATES, *_UNITS, *_LEADS)}
        name = next((name for name in others if name.casefold() == "signal"), next(iter(others), ""))
        if not others or (name.casefold() != "signal" and len(others) > 1):
            fail(path, f"has arrays {', '.join(list(arrays)[:20])}; name the one that is the recording 'signal'")
        signal = others.pop(name)
        times = _times(others, signal.shape[-1] if signal.ndim else 0)
        unread = [other for other in others if other not in times]
        notes = (f"Arrays that were not read: {', '.join(unread)}.",) if unread else ()
        if signal.ndim not in (1, 2) or not signal.size:
            fail(path, f"expected an array [leads, samples] or [samples], got {list(signal.shape)}; save it so")
        known = _said(path, arrays, _RATES)
        said_rate = None if known is None else _number(path, known)
        for title in times:
            said_rate = _rate_of_times(path, title, others[title], said_rate, rate_hz)
        labels, unit = _said(path, arrays, _LEADS), _said(path, arrays, _UNITS)
        said = None if labels is None else [str(text) for text in np.atleast_1d(labels)]
        said_unit = None if unit is None else str(unit.item() if unit.size == 1 else unit)
        channels = 1 if signal.ndim == 1 else len(signal)
        names = leads or said
        if names and signal.ndim == 2 and channels != len(names) == signal.shape[1]:
            channels = len(names)  # from_array says what to do
        names, _, rate = all_of(
            path,
            lambda: names_of(path, said, leads, channels),
            lambda: scale_of(path, said_unit, units),
            lambda: rate_of(path, said_rate, rate_hz),
        )
        unit_read = said_unit or units or "mV"
        record = Record.from_array(signal, leads=names, rate_hz=rate, units=unit_read, source=str(path))
        return dataclasses.replace(record, notes=notes)


def _said(path: Path, arrays: dict[str, np.ndarray], names: tuple[str, ...]) -> np.ndarray | None:
    """The array under one of the names, in any case; None if there is none.

    Raises:
        SignalError: there are several, and they differ.
    """
    found = {name: array for name, array in arrays.items() if name.casefold() in names}
    first = next(iter(found.values()), None)
    if first is not None and not all(np.array_equal(first.ravel(), array.ravel()) for array in found.values()):
        said = ", ".join(f"{name} {array.ravel()[:12].tolist()}" for name, array in found.items())
        fail(path, f"says {said}, which differ; keep the one that is right")
    return first


def _times(arrays: dict[str, np.ndarray], samples: int) -> list[str]:
    """The names of the arrays that hold a time for each sample; those that say their unit first."""
    rows = {name: array for name, array in arrays.items() if array.shape == (samples,) and array.dtype.kind in "fiu"}
    named = {name: time_and_unit(name) or (name, None) for name in rows}
    found = [name for name, (word, unit) in named.items() if holds_times(word, unit, rows[name])]
    return sorted(found, key=lambda name: named[name][1] is None)


def _rate_of_times(path: Path, title: str, column: np.ndarray, said: float | None, given: float | None) -> float:
    """The rate that times tell, which must be that of the file."""
    word, unit = time_and_unit(title) or (title, None)
    rate = rate_of_column(path, word, (column - column[0]).astype(np.float64), unit, said or given)
    if said is not None and is_another_rate(rate, said):
        fail(path, f"says {said:g} Hz, and its array {title!r} tells {rate:.6g} Hz; keep the one that is right")
    return rate


def _members(path: Path, content: bytes) -> dict[str, np.ndarray]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            least, a_byte = _MOST_COMPRESSED
            if len(members) > _MOST_ARRAYS or sum(info.file_size for info in members) > max(
                least, a_byte * len(content)
            ):
                fail(path, f"unpacks to more than {a_byte} times its size; save the recording alone, with np.savez")
            return {info.filename.removesuffix(".npy"): _array(path, archive.read(info)) for info in members}
    except (*_DAMAGED, EOFError, OSError, RuntimeError, ValueError) as error:  # what zipfile lets pass through
        fail(path, f"is damaged or cut off ({error}); fetch it again", error)


def _array(path: Path, content: bytes) -> np.ndarray:
    """The array in the bytes of a ``.npy`` file."""
    file = io.BytesIO(content)
    try:
        read_header = _HEADERS[np.lib.format.read_magic(file)]
        shape, in_columns, dtype = read_header(file)
    except (*_NO_HEADER, ArithmeticError, RecursionError, MemoryError) as error:
        fail(path, f"is no array of numbers that numpy wrote ({type(error).__name__}); save it anew", error)
    if dtype.kind not in "fiuU" or dtype.hasobject:
        fail(path, f"holds {dtype}, expected floats or integers; save the numbers alone")
    expected, found = math.prod(shape) * dtype.itemsize, len(content) - file.tell()
    if expected != found or (dtype.kind == "U" and found > _NAMES_BYTES):
        fail(path, f"has {found} bytes for an array {list(shape)} of {dtype}, which takes {expected}; fetch it again")
    array = np.frombuffer(content[file.tell() :], dtype)
    return array.reshape(shape[::-1]).T if in_columns else array.reshape(shape)


def _number(path: Path, array: np.ndarray) -> float:
    if array.size != 1 or array.dtype.kind not in "fiu":
        fail(
            path, f"its rate is {array.dtype} {list(array.shape)}, expected one number; leave it out and pass rate_hz="
        )
    return float(array.reshape(()))
