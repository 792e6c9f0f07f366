"""DICOM waveforms (12-lead, general and ambulatory ECG), parsed by pydicom."""

import re
import warnings
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgzoo.errors import SignalError
from ecgzoo.signal.leads import known_lead
from ecgzoo.signal.readers.common import (
    DAMAGED,
    Channel,
    fail,
    finite,
    millivolts_of,
    needs_formats,
    refuse_stated,
    to_record,
    whole_file,
)
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.readers.scp import SCP_LEADS
from ecgzoo.signal.record import Record
from ecgzoo.signal.units import per_millivolt

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_TYPES = {
    **{(8, "SB"): "<i1", (8, "UB"): "<u1", (16, "SS"): "<i2", (16, "US"): "<u2"},
    **{(32, "SL"): "<i4", (32, "UL"): "<u4"},
}
_SCHEMES = {"SCPECG": "5.6.3-9-", "MDC": "2:"}  # how each writes the lead numbers of ISO 11073-91064
_CODES = {str(number): lead for number, lead in SCP_LEADS.items()}
_DEFLATED, _BIG_ENDIAN = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"


class DicomReader(Reader):
    """DICOM waveforms: the group of channels that was recorded, not what was derived from it."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether it has the DICOM prefix."""
        return head[128:132] == b"DICM"

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """The ORIGINAL multiplex group with the most leads; DERIVED ones (median beats) are noted.

        Args:
            path: the file.
            leads: names of its channels, in order.
            units: of channels without a sensitivity unit.
            rate_hz: None; the file says it.

        Raises:
            SignalError: no waveform, no ECG, or one that cannot be read.
        """
        refuse_stated(path, None, rate_hz)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # on values that the standard does not allow; those used are checked
                return _record(path, _waveforms(path), leads, units)
        except SignalError:
            raise
        except Exception as error:  # pydicom parses an element when it is asked for, and lets everything pass through
            fail(path, f"pydicom cannot read its waveforms ({type(error).__name__}: {error}). {DAMAGED}", error)


def _waveforms(path: Path) -> "list[Dataset]":
    """The items of its Waveform Sequence."""
    try:
        from pydicom import dcmread
        from pydicom.filereader import read_file_meta_info
    except ImportError as error:
        needs_formats(path, "pydicom", error)
    content = whole_file(path)
    syntax = str(read_file_meta_info(path).get("TransferSyntaxUID", ""))
    if syntax in (_DEFLATED, _BIG_ENDIAN):  # the first would be inflated without bound
        fail(path, f"has the transfer syntax {syntax}. Convert it to Explicit VR Little Endian first.")
    found = dcmread(BytesIO(content), specific_tags=["WaveformSequence"]).get("WaveformSequence")
    return list(found or fail(path, "is DICOM without waveforms, such as an image or a report. Export the waveforms."))


def _record(path: Path, groups: "list[Dataset]", leads: tuple[str, ...] | None, units: str | None) -> Record:
    counts = [(sum(known_lead(name) is not None for name in _names(group)), len(_names(group))) for group in groups]
    original = [k for k, group in enumerate(groups) if group.WaveformOriginality == "ORIGINAL"]
    if not original:
        fail(path, f"has no recording, only {len(groups)} group(s) derived from one. Export the original.")
    best = [k for k in original if counts[k] == max(counts[j] for j in original)]
    if len(best) != 1:
        fail(path, f"has {len(best)} recordings of as many leads; expected one. Split it into files of one recording.")
    group = groups[best[0]]
    notes = [
        f"{other.WaveformOriginality} group {other.get('MultiplexGroupLabel') or k + 1} left out."
        for k, other in enumerate(groups)
        if k != best[0]
    ]
    raw = _samples(path, group)
    padding = group.get("WaveformPaddingValue")
    missing = None if padding is None else int(np.frombuffer(bytes(padding)[: raw.itemsize], raw.dtype)[0])
    channels = []
    for name, channel, digital in zip(_names(group), group.ChannelDefinitionSequence, raw.T, strict=True):
        stated = channel.get("ChannelSensitivityUnitsSequence")
        unit = str(stated[0].CodeValue) if stated else units
        if unit is None:
            fail(path, f"channel {name} has no unit. Say which: units='uV'")
        if stated and per_millivolt(unit) is None and known_lead(name) is None:
            notes.append(f"Channel {name} left out: its unit {unit!r} is not a voltage.")
            continue
        unit_mv = millivolts_of(path, unit, f"channel {name}")
        if "ChannelSensitivity" not in channel:
            fail(
                path, f"does not say how many {unit} a step of channel {name} is (Channel Sensitivity). Export it anew."
            )
        sensitivity = finite(path, f"sensitivity of channel {name}", str(channel.ChannelSensitivity))
        correction = finite(path, "correction factor", str(channel.get("ChannelSensitivityCorrectionFactor", 1)))
        baseline = finite(path, f"baseline of channel {name}", str(channel.get("ChannelBaseline", 0)))
        if any(channel.get(skew) for skew in ("ChannelTimeSkew", "ChannelSampleSkew")):
            notes.append(f"Channel {name} is skewed in time, which is not corrected.")
        channels.append(Channel(name, digital, sensitivity * correction * unit_mv, baseline * unit_mv, missing))
    if units is not None and all(
        item.get("ChannelSensitivityUnitsSequence") for item in group.ChannelDefinitionSequence
    ):
        refuse_stated(path, units, None)
    rate_hz = finite(path, "sampling frequency", str(group.SamplingFrequency))
    return to_record(path, channels, rate_hz, leads, notes)


def _samples(path: Path, group: "Dataset") -> np.ndarray:
    """Digital samples ``[samples, channels]``, no copy."""
    kind = int(group.WaveformBitsAllocated), str(group.WaveformSampleInterpretation)
    if kind not in _TYPES:
        fail(path, f"has samples of {kind[0]} bits {kind[1]}; known are {', '.join(f'{b} {s}' for b, s in _TYPES)}.")
    samples, channels = int(group.NumberOfWaveformSamples), int(group.NumberOfWaveformChannels)
    content, dtype = bytes(group.WaveformData), np.dtype(_TYPES[kind])
    expected = samples * channels * dtype.itemsize
    if min(samples, channels) < 1 or channels != len(group.ChannelDefinitionSequence):
        fail(path, f"announces {channels} channels of {samples} samples. {DAMAGED}")
    if not expected <= len(content) <= expected + 1:  # padded to an even number of bytes
        fail(path, f"expected {expected} bytes of samples, found {len(content)}. {DAMAGED}")
    return np.frombuffer(content, dtype, samples * channels).reshape(samples, channels)


def _names(group: "Dataset") -> list[str]:
    return [_name(channel, number) for number, channel in enumerate(group.ChannelDefinitionSequence, 1)]


def _name(channel: Any, number: int) -> str:
    """The lead by its code, else by the code's meaning ("Lead I (Einthoven)"), else the label; else either text."""
    source = (channel.get("ChannelSourceSequence") or [{}])[0]
    code, prefix = str(source.get("CodeValue", "")), _SCHEMES.get(str(source.get("CodingSchemeDesignator", "")), "?")
    if code.startswith(prefix) and code[len(prefix) :] in _CODES:
        return _CODES[code[len(prefix) :]]
    meaning = str(source.get("CodeMeaning", "")).strip()
    label = str(channel.get("ChannelLabel", "")).strip()
    said = known_lead(re.sub(r"\(.*|,.*", "", meaning)) or known_lead(label)
    return said or meaning or label or f"channel {number}"
