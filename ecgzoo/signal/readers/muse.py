"""GE MUSE XML (RestingECG): the rhythm waveform.

No file of a MUSE system was at hand. The layout is that of public descriptions and readers of it, and of the files
that the tests write: per lead, little-endian int16 in Base64 with microvolts a bit; I, II and V1 to V6 are stored,
III, aVR, aVL and aVF follow from I and II. LeadDataCRC32 is not verified: which CRC it is could not be checked.
"""

from base64 import b64decode
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ecgzoo.signal.leads import LEADS_12
from ecgzoo.signal.readers.common import DAMAGED, Channel, fail, finite, millivolts_of, refuse_stated, to_record
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.readers.xml_tree import read_tree, root_is, text_of
from ecgzoo.signal.record import Record

_STORED = {"I", "II", "V1", "V2", "V3", "V4", "V5", "V6"}


class MuseReader(Reader):
    """GE MUSE XML: the rhythm, not the median beat."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether it is XML with GE's RestingECG."""
        return root_is(head, "RestingECG")

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """The leads of the rhythm waveform; of the usual eight, all twelve, with a note.

        Args:
            path: the file.
            leads: names of the channels that are stored, in order.
            units: where a lead has none.
            rate_hz: where the waveform has none.

        Raises:
            SignalError: no rhythm, or several; leads that are not simultaneous; a damaged file.
        """
        root = read_tree(path)
        found = [waveform for waveform in root.iter("Waveform") if text_of(waveform, "WaveformType") == "Rhythm"]
        if len(found) != 1:
            fail(path, f"has {len(found)} rhythm waveforms; expected one. Export one a file.")
        base, exponent = text_of(found[0], "SampleBase"), text_of(found[0], "SampleExponent")
        if base is None:
            if rate_hz is None:
                fail(path, "does not say how often it was sampled (SampleBase). Say it: rate_hz=500")
            rate = rate_hz
        else:
            refuse_stated(path, None, rate_hz)
            power = finite(path, "sample exponent", exponent or "0")
            if not -9 <= power <= 9:
                fail(path, f"expected a sample exponent of -9 to 9, got {power:g}. {DAMAGED}")
            rate = finite(path, "sample base", base) * 10**power
        stored = found[0].findall("LeadData")
        if units is not None and all(text_of(lead, "LeadAmplitudeUnits") for lead in stored):
            refuse_stated(path, units, None)
        for place in ("LeadTimeOffset", "LeadOffsetFirstSample"):
            if len({finite(path, place, text_of(lead, place) or "0") for lead in stored}) > 1:
                fail(path, f"has leads that begin at different times ({place}); expected simultaneous ones.")
        baselines = {text_of(lead, "FirstSampleBaseline") or "0" for lead in stored}
        notes = ["FirstSampleBaseline is not zero, and not added."] if baselines - {"0"} else []
        off = [text_of(lead, "LeadID") or "unnamed" for lead in stored if text_of(lead, "LeadOff") in ("TRUE", "true")]
        notes += [f"Lead {name}: its electrode was off, by what the recorder says." for name in off]
        if len(list(root.iter("Waveform"))) > 1:
            notes.append("Median beat left out.")
        record = to_record(path, [_channel(path, lead, units) for lead in stored], rate, leads, notes)
        return record.select(LEADS_12, derive=True) if set(record.leads) == _STORED else record


def _channel(path: Path, lead: Element, units: str | None) -> Channel:
    name = text_of(lead, "LeadID") or "unnamed"
    unit = text_of(lead, "LeadAmplitudeUnits") or units
    if unit is None:
        fail(path, f"lead {name} has no unit. Say which: units='uV'")
    size = text_of(lead, "LeadSampleSize") or "2"
    if size != "2":
        fail(path, f"lead {name} has samples of {size} bytes; expected 2.")
    try:
        content = b64decode("".join((text_of(lead, "WaveFormData") or "").split()), validate=True)
    except ValueError as error:
        fail(path, f"the samples of {name} are no Base64 ({error}). {DAMAGED}", error)
    for what, expected in (("LeadByteCountTotal", len(content)), ("LeadSampleCountTotal", len(content) / 2)):
        said = text_of(lead, what)
        if len(content) % 2 or (said is not None and finite(path, what, said) != expected):
            fail(path, f"lead {name} announces {what} {said}, {len(content)} bytes are there. {DAMAGED}")
    step = finite(path, f"LeadAmplitudeUnitsPerBit of {name}", text_of(lead, "LeadAmplitudeUnitsPerBit"))
    return Channel(name, np.frombuffer(content, "<i2"), step * millivolts_of(path, unit, f"lead {name}"))
