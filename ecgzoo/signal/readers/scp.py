"""SCP-ECG (EN 1064, ISO 11073-91064), versions 1 and 2: sections 0, 3 and 6, by the standard.

Samples may be stored plainly or by the standard's own Huffman table, and as first or second differences. Files that
subtract a reference beat, decimate, or bring Huffman tables of their own are refused: there was none to check with.
"""

import binascii
import struct
from pathlib import Path

import numpy as np

from ecgzoo.signal.leads import LEADS_12
from ecgzoo.signal.readers.common import DAMAGED, Channel, fail, refuse_stated, to_record, whole_file
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.record import Record

SCP_LEADS = {
    **{1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF", 65: "-aVR"},
    **{number + 2: lead for number, lead in enumerate(LEADS_12[6:], 1)},
    **{9: "V7", 66: "V8", 67: "V9", 11: "V3R", 12: "V4R", 13: "V5R", 14: "V6R", 15: "V7R", 16: "X", 17: "Y", 18: "Z"},
}
"""Lead by its number in SCP-ECG, which DICOM and ISO/IEEE 11073 took over."""

_LARGEST = 64 << 20  # sections of a file have 32-bit lengths, a lead's samples a 16-bit one
_HEADER = 16  # bytes of a section's header
_STANDARD_TABLE = 19999


class ScpReader(Reader):
    """SCP-ECG: the rhythm of section 6, not the reference beats of section 5."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether section 0 stands where the standard puts it, and points to itself."""
        return len(head) >= 32 and head[8:10] == b"\0\0" and head[22:24] == b"\0\0" and head[28:32] == b"\7\0\0\0"

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """All leads of section 6, whose checksum is verified.

        Args:
            path: the file.
            leads: names of its channels, in order.
            units: None; the file says them.
            rate_hz: None; the file says it.

        Raises:
            SignalError: it is damaged, its leads are not simultaneous, or it is compressed in a way that is not read.
        """
        refuse_stated(path, units, rate_hz)
        content = whole_file(path, _LARGEST)
        try:
            sections = _sections(path, content)
            return _record(path, sections, leads)
        except (struct.error, IndexError) as error:
            fail(path, f"is no whole SCP-ECG file ({error}). {DAMAGED}", error)


def _sections(path: Path, content: bytes) -> dict[int, bytes]:
    """The bodies of the standard's sections, by number."""
    checksum, size = struct.unpack_from("<HI", content)
    if size != len(content):
        fail(path, f"its header announces {size} bytes, {len(content)} are there. {DAMAGED}")
    found = binascii.crc_hqx(content[2:], 0xFFFF)
    if checksum != found:
        fail(path, f"its checksum fails (header {checksum:#06x}, content {found:#06x}). {DAMAGED}")
    number, length = struct.unpack_from("<HI", content, 8)
    if number != 0 or not _HEADER <= length <= size - 6:
        fail(path, f"does not begin with SCP-ECG's section 0. {DAMAGED}")
    sections: dict[int, bytes] = {}
    for place in range(6 + _HEADER, 6 + length - 9, 10):
        number, length_of, index = struct.unpack_from("<HII", content, place)
        if number > 12 or length_of < _HEADER:  # of a manufacturer, or empty
            continue
        if index < 7 or index - 1 + length_of > size or struct.unpack_from("<H", content, index + 1)[0] != number:
            fail(path, f"section {number} is not where section 0 says. {DAMAGED}")
        sections[number] = content[index - 1 + _HEADER : index - 1 + length_of]
    return sections


def _record(path: Path, sections: dict[int, bytes], leads: tuple[str, ...] | None) -> Record:
    for number, what in ((3, "no lead definitions"), (6, "no rhythm, only what was made of it, or that of version 3")):
        if number not in sections:
            fail(path, f"has {what} (section {number}). Export it with the full recording.")
    count, flags = struct.unpack_from("<BB", sections[3])
    spans = [struct.unpack_from("<IIB", sections[3], 2 + 9 * k) for k in range(count)]
    nanovolts, microseconds, differences, decimated = struct.unpack_from("<HHBB", sections[6])
    if flags & 1 or decimated:
        fail(path, "is compressed by reference beats or decimation, which is not read. Export it uncompressed.")
    if len({(first, last) for first, last, _ in spans}) != 1 or differences > 2 or not (nanovolts and microseconds):
        fail(path, "has leads that are not simultaneous, or no scale or rate. Export it with simultaneous leads.")
    samples = spans[0][1] - spans[0][0] + 1
    coded = 2 in sections
    if coded and struct.unpack_from("<H", sections[2])[0] != _STANDARD_TABLE:
        fail(path, "brings its own Huffman tables, which are not read. Export it with the standard's table.")
    sizes = struct.unpack_from(f"<{count}H", sections[6], 6)
    start, channels = 6 + 2 * count, []
    for size, (_, _, number) in zip(sizes, spans, strict=True):
        stored = sections[6][start : start + size]
        start += size
        if not 0 < samples <= (8 if coded else 0.5) * len(stored) or len(stored) < size:
            fail(path, f"announces {samples} samples a lead, which {len(stored)} bytes cannot hold. {DAMAGED}")
        values = _decoded(path, stored, samples) if coded else np.frombuffer(stored, "<i2", samples).astype(np.int64)
        name = SCP_LEADS.get(number, f"SCP lead {number}")
        channels.append(Channel(name, _summed(values, differences), nanovolts * 1e-6))
    notes = ["Reference beats (section 5) left out."] if len(sections.get(5, b"")) else []
    return to_record(path, channels, 1e6 / microseconds, leads, notes)


def _decoded(path: Path, stored: bytes, samples: int) -> np.ndarray:
    """Values of the standard's Huffman table: n ones, a zero and a sign for ±n up to 8; else 8 or 16 bits follow."""
    bits = format(int.from_bytes(stored, "big"), f"0{8 * len(stored)}b")
    values = np.empty(samples, np.int64)
    place = 0
    for k in range(samples):
        zero = bits.find("0", place, place + 10)
        ones = (zero if zero >= 0 else place + 10) - place
        if ones == 0:
            values[k], place = 0, place + 1
        elif ones <= 8:
            values[k], place = ones if bits[zero + 1 : zero + 2] == "0" else -ones, zero + 2
        else:
            width = 8 if ones == 9 else 16
            value = int(bits[place + 10 : place + 10 + width] or "0", 2)
            values[k], place = value - (value >> (width - 1) << width), place + 10 + width
        if place > len(bits):
            fail(path, f"a lead's samples end after {k} of {samples}. {DAMAGED}")
    return values


def _summed(values: np.ndarray, differences: int) -> np.ndarray:
    """Samples from their first or second differences, of which the first one or two are samples; 16 bits, as stored."""
    if differences == 2:
        values = np.concatenate([values[:1], np.cumsum(np.concatenate([np.diff(values[:2]), values[2:]]))])
    return (np.cumsum(values) if differences else values).astype(np.int16)
