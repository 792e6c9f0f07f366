"""Philips XML (SierraECG, PhilipsECG 1.03 to 1.04.02): carts of the PageWriter and HeartStart families.

Philips publishes no description of its compression, XLI: LZW with codes of 10 bits over second differences, high bytes
before low ones. This follows what the open sierra-ecg-tools found out, and was checked on two files: the R, Q and S
amplitudes that the carts measured stand beside the samples. In both, the last part of every channel is no heart: zeros
around a pulse of 1 mV, the same in all leads. It is left out, with a note; sierraecg and ecgdatakit return it.
"""

from base64 import b64decode
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ecgzoo.signal.leads import LEADS_12
from ecgzoo.signal.readers.common import DAMAGED, Channel, fail, finite, refuse_stated, to_record
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.readers.xml_tree import read_tree, root_is, text_of
from ecgzoo.signal.record import Record

_MOST_SAMPLES = 1_000_000  # of a channel: a cart records seconds
_VERSIONS = ("1.03", "1.04", "1.04.01", "1.04.02")
_STANDARD = ("STD-12", "10-WIRE")  # acquisition types whose channels are the twelve leads, in order
_CODE_BITS, _LAST_CODE, _LONGEST = 10, 1022, 1024  # of XLI's LZW; bytes that one code may stand for


class PhilipsReader(Reader):
    """Philips XML: the parsed waveforms, not the representative beats."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether it is XML with Philips' restingecgdata."""
        return root_is(head, "restingecgdata")

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """The twelve leads, XLI-compressed; the resolution is in microvolts.

        Args:
            path: the file.
            leads: names of its channels, in order.
            units: None; the file says them.
            rate_hz: None; the file says it.

        Raises:
            SignalError: another version, other channels than twelve leads, uncompressed samples (there was no file to
                check whether their limb leads are residuals, too), or a damaged file.
        """
        refuse_stated(path, units, rate_hz)
        root = read_tree(path)
        version = text_of(root, "documentinfo/documentversion")
        waveforms, signal = root.find("waveforms/parsedwaveforms"), root.find("dataacquisition/signalcharacteristics")
        if version not in _VERSIONS or waveforms is None or signal is None:
            fail(path, f"is Philips XML {version}; expected {', '.join(_VERSIONS)} with parsed waveforms.")
        method = waveforms.get("compression") or waveforms.get("compressmethod")
        if method != "XLI" or waveforms.get("dataencoding") != "Base64":
            fail(path, f"has waveforms compressed by {method!r}; only XLI in Base64 is read. Export it so.")
        names = (waveforms.get("leadlabels") or "").split()
        if not names and text_of(signal, "acquisitiontype") in _STANDARD:
            names = list(LEADS_12)
        if tuple(names[:12]) != LEADS_12:
            fail(path, f"has channels {', '.join(names) or 'without names'}; expected {', '.join(LEADS_12)} first.")
        rate = finite(path, "sampling rate", text_of(signal, "samplingrate"))
        resolution = text_of(signal, "signalresolution") or text_of(signal, "resolution")
        step_mv = finite(path, "resolution in microvolts", resolution) / 1000
        offset = finite(path, "signal offset", text_of(signal, "signaloffset"))
        samples = finite(path, "duration of a channel", waveforms.get("durationperchannel")) * rate / 1000
        if samples != int(samples) or not 0 < samples <= _MOST_SAMPLES:
            fail(path, f"announces {samples:g} samples a channel; expected a whole number up to {_MOST_SAMPLES}.")
        stored = _decoded(path, waveforms, names, int(samples))
        stored, notes = _without_calibration(stored - int(offset), step_mv)
        if root.find("waveforms/repbeats") is not None:
            notes.append("Representative beats left out.")
        channels = [Channel(name, row, step_mv) for name, row in zip(names, stored, strict=True)]
        return to_record(path, channels, rate, leads, notes)


def _decoded(path: Path, waveforms: Element, names: list[str], samples: int) -> np.ndarray:
    """Digital samples ``[channels, samples]``: one chunk each of 4 bytes size, 2 unknown, 2 first difference, LZW."""
    try:
        content = b64decode("".join((waveforms.text or "").split()), validate=True)
    except ValueError as error:
        fail(path, f"its waveforms are no Base64 ({error}). {DAMAGED}", error)
    rows, place = np.empty((len(names), samples), np.int64), 0
    for name, row in zip(names, rows, strict=True):
        size = int.from_bytes(content[place : place + 4], "little")
        last = int.from_bytes(content[place + 6 : place + 8], "little", signed=True)
        chunk = content[place + 8 : place + 8 + size]
        place += 8 + size
        unpacked = _unpacked(chunk, 2 * samples)
        if len(chunk) < size or len(unpacked) != 2 * samples or samples < 2:
            fail(path, f"channel {name} is cut short: {len(unpacked)} of {2 * samples} bytes. {DAMAGED}")
        halves = np.frombuffer(unpacked, np.uint8).reshape(2, samples).astype(np.uint16)
        words = (halves[0] << 8 | halves[1]).view(np.int16).tolist()
        for k in range(2, samples):
            words[k], last = 2 * words[k - 1] - words[k - 2] - last, words[k] - 64
            if not -(2**15) <= words[k] < 2**15:
                fail(path, f"channel {name} leaves the range of 16 bits at sample {k}. {DAMAGED}")
        row[:] = words
    one, two = rows[0], rows[1]  # the other limb leads are stored as what their definitions leave over
    rows[2] = two - one - rows[2]
    rows[3] = -rows[3] - (one + two) // 2
    rows[4] = (one - rows[2]) // 2 - rows[4]
    rows[5] = (two + rows[2]) // 2 - rows[5]
    return rows


def _unpacked(chunk: bytes, most: int) -> bytes:
    """LZW with codes of 10 bits, high bits first; up to `most` bytes and what the last code adds."""
    strings = [bytes([byte]) for byte in range(256)]
    out, previous, bits, held = bytearray(), b"", 0, 0
    for byte in chunk:
        held, bits = (held << 8 | byte) & 0xFFFFF, bits + 8
        if bits < _CODE_BITS:
            continue
        bits -= _CODE_BITS
        code = held >> bits & 0x3FF
        if code > _LAST_CODE or code > len(strings) or (code == len(strings) and not previous) or len(out) > most:
            break
        string = strings[code] if code < len(strings) else previous + previous[:1]
        if previous and len(strings) <= _LAST_CODE:
            strings.append(previous + string[:1])
        out, previous = out + string, string
    return bytes(out)


def _without_calibration(stored: np.ndarray, step_mv: float) -> tuple[np.ndarray, list[str]]:
    """The samples before the end that is the same in all leads, where that end holds a pulse of 1 mV."""
    differs = np.flatnonzero((stored != stored[0]).any(axis=0))
    begins = int(differs[-1]) + 1 if len(differs) else 0
    end = np.unique(stored[0, begins:])
    if not begins or not np.array_equal(end, [0, round(1 / step_mv)]):
        return stored, []
    return stored[:, :begins], [f"Calibration pulse at the end ({stored.shape[1] - begins} samples) left out."]
