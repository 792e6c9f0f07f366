"""ISHNE Holter (ISHNE1.0): a fixed header of 522 bytes, a free block, int16 samples, by Badilini 1998."""

import binascii
import struct
from pathlib import Path

import numpy as np

from ecgzoo.signal.leads import LEADS_12
from ecgzoo.signal.readers.common import DAMAGED, Channel, fail, millivolts_of, to_record, whole_file
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.record import Record

_MAGIC = b"ISHNE1.0"
_HEADER = 522
_MOST_LEADS = 12
_LEADS = {**{5 + k: lead for k, lead in enumerate(LEADS_12)}, 2: "X", 3: "Y", 4: "Z", 17: "ES", 18: "AS", 19: "AI"}
_FAULT = -32768  # the value of a sample while a lead was off


class IshneReader(Reader):
    """ISHNE Holter recordings."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether it begins with ISHNE's magic word."""
        return head[:8] == _MAGIC

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """All leads; the header's checksum is verified unless it is 0.

        Args:
            path: the file.
            leads: names of its leads, in order, where it calls them unknown or bipolar.
            units: of one digital step, where a lead has no resolution.
            rate_hz: where the header has none.

        Raises:
            SignalError: it is damaged, or shorter or longer than it says; rate or resolution is missing.
        """
        content = whole_file(path)
        if len(content) < _HEADER or content[:8] != _MAGIC:
            fail(path, f"is no ISHNE file: {len(content)} bytes, of which the header takes {_HEADER}. {DAMAGED}")
        (checksum,) = struct.unpack_from("<H", content, 8)
        free, samples, _, start = struct.unpack_from("<4i", content, 10)
        (count,) = struct.unpack_from("<h", content, 156)
        kinds, _, nanovolts = (struct.unpack_from("<12h", content, place) for place in (158, 182, 206))
        (rate,) = struct.unpack_from("<h", content, 272)
        if not 0 < count <= _MOST_LEADS or free < 0 or start != _HEADER + free or start > len(content):
            fail(path, f"its header contradicts itself ({count} leads, samples from byte {start}). {DAMAGED}")
        notes = _verify(path, content[10:start], checksum)
        found = (len(content) - start) // 2
        # the number of samples a lead; some recorders write that of all leads together
        if samples <= 0 or (len(content) - start) % 2 or found not in (samples * count, samples) or found % count:
            fail(path, f"its header announces {samples} samples of {count} leads, {found} are there. {DAMAGED}")
        if (rate_hz is None) == (rate <= 0):
            fail(path, "has no rate. Say it: rate_hz=200" if rate <= 0 else "itself says the rate; leave rate_hz out")
        if units is not None and min(nanovolts[:count]) > 0:
            fail(path, "itself says what units would; leave it out")
        digital = np.frombuffer(content, "<i2", offset=start).reshape(-1, count)
        channels = []
        for number, (kind, step, column) in enumerate(zip(kinds, nanovolts, digital.T, strict=False), 1):
            name = _LEADS.get(kind, f"lead {number}")
            if step <= 0 and units is None:
                fail(path, f"{name} has no resolution. Say what one step is: units='uV'")
            step_mv = step * 1e-6 if step > 0 else millivolts_of(path, units or "", "units=")
            channels.append(Channel(name, column, step_mv, missing=_FAULT))
        return to_record(path, channels, rate if rate_hz is None else rate_hz, leads, notes)


def _verify(path: Path, header: bytes, checksum: int) -> list[str]:
    """Check the header's CRC-CCITT, whose byte order the format leaves open; a note where it is 0."""
    found = binascii.crc_hqx(header, 0xFFFF)
    if checksum in (found, found >> 8 | (found & 0xFF) << 8):
        return []
    if checksum:
        fail(path, f"its header's checksum fails (stored {checksum:#06x}, found {found:#06x}). {DAMAGED}")
    return ["The header's checksum is zero: not verified."]
