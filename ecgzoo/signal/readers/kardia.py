"""Reading AliveCor's ATC files, the recordings of Kardia devices.

Layout: AliveCor's "ATC File Format Specification 1.7" (github.com/alivecor/ATCpy, docs): a signature, then blocks of
identifier, length, data and checksum, little-endian; each lead has a block of its own and so its name. The checksum is
the sum of a block's bytes, as ATCpy computes it, or their CRC-32, as a sentence of the specification has it; one must
fit. No file of a real device was at hand. No description of a text export of Kardia's apps could be found, so none is
read here; one that has a column of numbers is read as CSV.
"""

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ecgzoo.signal.leads import LEADS_12
from ecgzoo.signal.readers.common import fail, whole_file
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.readers.given import names_of, rate_of, scale_of, to_millivolts
from ecgzoo.signal.record import Record

_SIGNATURE = b"ALIVE\0\0\0"
_LEADS = {f"ecg{mark}".encode(): lead for mark, lead in zip(" 23456789abc", LEADS_12, strict=True)}
_HEAD, _CHECKSUM, _FORMAT = struct.Struct("<4sI"), struct.Struct("<I"), struct.Struct("<BHHBH")
_INT16 = 1  # the one format of samples


class KardiaReader(Reader):
    """ATC of AliveCor's Kardia devices, of 1 to 12 leads; the file says leads, rate and unit."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """By its signature."""
        return head.startswith(_SIGNATURE)

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """The leads in millivolts.

        Raises:
            SignalError: a block is cut off or its checksum fails; format or leads are missing, or the leads differ in
                length; leads, unit or rate are given otherwise than the file says them.
        """
        content = whole_file(path)
        if not content.startswith(_SIGNATURE):
            fail(path, "is no ATC file of AliveCor's; expected the signature ALIVE")
        kind, rate, nanovolts, found = 0, 0, 0, {}
        for name, data in _blocks(path, content):
            if name == b"fmt " and len(data) == _FORMAT.size:
                kind, rate, nanovolts, *_ = _FORMAT.unpack(data)
            elif name in _LEADS and len(data) % 2 == 0:
                found[_LEADS[name]] = np.frombuffer(data, "<i2")
        if kind != _INT16 or not nanovolts:
            fail(path, "has no format block of 16-bit samples; fetch it again")
        if not found or len({len(samples) for samples in found.values()}) > 1:
            fail(path, f"has {len(found)} leads, of different lengths or none; fetch it again")
        scale_of(path, "nV", "nV" if units is None else units)
        millivolts = to_millivolts(list(found.values()), [1e6 / nanovolts] * len(found))
        return Record(
            millivolts, names_of(path, list(found), leads, len(found)), rate_of(path, rate, rate_hz), str(path)
        )


def _blocks(path: Path, content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Identifier and data of each block."""
    at = len(_SIGNATURE) + 4  # and the version
    while at < len(content):
        head = content[at : at + _HEAD.size]
        name, length = _HEAD.unpack(head) if len(head) == _HEAD.size else (b"", len(content))
        start = at + _HEAD.size
        at = start + length + _CHECKSUM.size
        if at > len(content):
            fail(path, f"is cut off in block {name.decode('latin-1')!r}; fetch it again")
        data = content[start : start + length]
        (checksum,) = _CHECKSUM.unpack(content[start + length : at])
        total = sum(head) + int(np.frombuffer(data, np.uint8).sum(dtype=np.uint64))
        if checksum not in (total % 2**32, zlib.crc32(head + data)):
            fail(path, f"block {name.decode('latin-1')!r} is damaged, its checksum fails; fetch the file again")
        yield name, data
