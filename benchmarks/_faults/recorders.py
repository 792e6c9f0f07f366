"""Files as recorders write them, by their specifications: what the tests read back and the fuzzer breaks.

Each function makes the bytes of one file from digital microvolts ``[leads, samples]``, int16, in `LEADS`' order.
"""

import base64
import binascii
import struct
from io import BytesIO
from typing import Any

import numpy as np

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
SCP_NUMBERS = (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8)


def heart(rate_hz: int = 250, seconds: float = 2.0) -> np.ndarray:
    """Twelve leads with a beat a second, whose limb leads follow from I and II."""
    t = np.arange(round(rate_hz * seconds)) / rate_hz
    beat = 900 * np.exp(-(((t % 1 - 0.4) / 0.02) ** 2)) + 200 * np.exp(-(((t % 1 - 0.65) / 0.06) ** 2))
    one, two = 0.7 * beat + 20 * np.sin(9 * t), beat - 15 * np.cos(7 * t)
    chest = [(0.3 + 0.2 * k) * beat - 100 * k * np.exp(-(((t % 1 - 0.45) / 0.02) ** 2)) for k in range(6)]
    return np.rint([one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2, *chest]).astype(np.int16)


def edf(digital: np.ndarray, rate_hz: int, bdf: bool = False) -> bytes:
    """EDF or BDF by edfio, in data records of a second, one microvolt a step."""
    import edfio

    span: dict[str, tuple[int, int]] = {"physical_range": (-32768, 32767), "digital_range": (-32768, 32767)}
    rows: list[Any] = []
    for lead, row in zip(LEADS, digital, strict=True):
        make: Any = edfio.BdfSignal if bdf else edfio.EdfSignal
        stored = row.astype(np.int32 if bdf else np.int16)
        rows.append(make.from_digital(stored, rate_hz, label=f"ECG {lead}", physical_dimension="uV", **span))
    return (edfio.Bdf(rows) if bdf else edfio.Edf(rows)).to_bytes()


def dicom(digital: np.ndarray, rate_hz: int) -> bytes:
    """12-lead ECG waveform storage by pydicom, with a median beat as a second group."""
    from pydicom import dcmwrite
    from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, TwelveLeadECGWaveformStorage, generate_uid

    def code(value: str, scheme: str, meaning: str) -> Dataset:
        item = Dataset()
        item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
        return item

    def group(samples: np.ndarray, originality: str) -> Dataset:
        item = Dataset()
        item.WaveformOriginality = originality
        item.NumberOfWaveformChannels, item.NumberOfWaveformSamples = samples.shape
        item.SamplingFrequency = rate_hz
        item.WaveformBitsAllocated, item.WaveformSampleInterpretation = 16, "SS"
        channels = []
        for lead, number in zip(LEADS, SCP_NUMBERS, strict=True):
            channel = Dataset()
            channel.ChannelSourceSequence = [code(f"2:{number}", "MDC", f"Lead {lead}")]
            channel.ChannelSensitivity, channel.ChannelSensitivityCorrectionFactor, channel.ChannelBaseline = 1, 1, 0
            channel.ChannelSensitivityUnitsSequence = [code("uV", "UCUM", "microvolt")]
            channel.WaveformBitsStored = 16
            channels.append(channel)
        item.ChannelDefinitionSequence = channels
        item.WaveformData = np.ascontiguousarray(samples.T, "<i2").tobytes()
        return item

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = TwelveLeadECGWaveformStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    file.SOPClassUID, file.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    file.Modality, file.WaveformSequence = "ECG", [group(digital[:, :100], "DERIVED"), group(digital, "ORIGINAL")]
    out = BytesIO()
    dcmwrite(out, file)
    return out.getvalue()


def ishne(digital: np.ndarray, rate_hz: int, nanovolts: int = 1000, free: bytes = b"remarks") -> bytes:
    """ISHNE Holter."""
    count, samples = digital.shape
    header = bytearray(522)
    struct.pack_into("<8s", header, 0, b"ISHNE1.0")
    struct.pack_into("<4ih", header, 10, len(free), samples, 522, 522 + len(free), 1)
    struct.pack_into("<h", header, 156, count)
    for place, values in ((158, range(5, 17)), (182, [1] * 12), (206, [nanovolts] * 12)):
        struct.pack_into("<12h", header, place, *values)
    struct.pack_into("<h", header, 272, rate_hz)
    struct.pack_into("<H", header, 8, binascii.crc_hqx(bytes(header[10:]) + free, 0xFFFF))
    return bytes(header) + free + np.ascontiguousarray(digital.T, "<i2").tobytes()


def muse(digital: np.ndarray, rate_hz: int) -> bytes:
    """GE MUSE XML: a median beat, and eight leads of rhythm in steps of a microvolt."""

    def waveform(kind: str, rows: np.ndarray) -> str:
        leads = "".join(
            f"<LeadData><LeadByteCountTotal>{2 * len(row)}</LeadByteCountTotal><LeadTimeOffset>0</LeadTimeOffset>"
            f"<LeadSampleCountTotal>{len(row)}</LeadSampleCountTotal><LeadAmplitudeUnitsPerBit>1</LeadAmplitudeUnitsPerBit>"
            f"<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits><LeadID>{lead}</LeadID><LeadSampleSize>2</LeadSampleSize>"
            f"<WaveFormData>\n{base64.encodebytes(row.astype('<i2').tobytes()).decode()}</WaveFormData></LeadData>"
            for lead, row in zip(LEADS, rows, strict=True)
            if lead in ("I", "II") or lead.startswith("V")
        )
        rate = f"<SampleBase>{rate_hz}</SampleBase><SampleExponent>0</SampleExponent>"
        return f"<Waveform><WaveformType>{kind}</WaveformType>{rate}{leads}</Waveform>"

    start = '<?xml version="1.0" encoding="ISO-8859-1"?>\n<!DOCTYPE RestingECG SYSTEM "restecg.dtd">\n<RestingECG>'
    return f"{start}{waveform('Median', digital[:, :60])}{waveform('Rhythm', digital)}</RestingECG>".encode()


def aecg(digital: np.ndarray, rate_hz: int) -> bytes:
    """HL7 aECG: a rhythm series, and representative beats derived from it."""

    def sequences(rows: np.ndarray) -> str:
        time = (
            f'<value xsi:type="GLIST_TS"><head value="20200101"/><increment value="{1 / rate_hz!r}" unit="s"/></value>'
        )
        return f'<component><sequence><code code="TIME_ABSOLUTE"/>{time}</sequence></component>' + "".join(
            f'<component><sequence><code code="MDC_ECG_LEAD_{lead.upper()}"/><value xsi:type="SLIST_PQ">'
            f'<origin value="0" unit="uV"/><scale value="1" unit="uV"/><digits>{" ".join(map(str, row))}</digits>'
            "</value></sequence></component>"
            for lead, row in zip(LEADS, rows.tolist(), strict=True)
        )

    names = 'xmlns="urn:hl7-org:v3" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
    beat, whole = (
        f"<component><sequenceSet>{sequences(rows)}</sequenceSet></component>" for rows in (digital[:, :60], digital)
    )
    beats, rhythm = f'<code code="REPRESENTATIVE_BEAT"/>{beat}', f'<code code="RHYTHM"/>{whole}'
    derived = f"<derivation><derivedSeries>{beats}</derivedSeries></derivation>"
    return f"<AnnotatedECG {names}><component><series>{rhythm}{derived}</series></component></AnnotatedECG>".encode()


def scp(digital: np.ndarray, rate_hz: int, differences: int = 2, coded: bool = True) -> bytes:
    """SCP-ECG 2.0, by the standard's Huffman table unless not `coded`."""
    samples, stored = digital.shape[1], []
    for row in digital.astype(np.int64):
        values = np.concatenate([row[:differences], np.diff(row, differences)])
        stored.append(_huffman(values.tolist()) if coded else values.astype("<i2").tobytes())
    leads = struct.pack("<BB", len(digital), 4 | len(digital) << 3) + b"".join(
        struct.pack("<IIB", 1, samples, number) for number in SCP_NUMBERS
    )
    rhythm = struct.pack("<HHBB", 1000, round(1e6 / rate_hz), differences, 0)
    rhythm += struct.pack(f"<{len(stored)}H", *map(len, stored)) + b"".join(stored)
    bodies = {2: struct.pack("<H", 19999)} if coded else {}
    return scp_file({**bodies, 3: leads, 6: rhythm})


def scp_file(bodies: dict[int, bytes]) -> bytes:
    """An SCP-ECG file of these sections, with its pointers and checksums."""
    index, pointers, sections = 7 + 16 + 10 * (len(bodies) + 1), [struct.pack("<HII", 0, 26 + 10 * len(bodies), 7)], []
    for number, body in bodies.items():
        body += bytes(len(body) % 2)
        header = struct.pack("<HIBB6s", number, 16 + len(body), 20, 20, b"")
        sections.append(struct.pack("<H", binascii.crc_hqx(header + body, 0xFFFF)) + header + body)
        pointers.append(struct.pack("<HII", number, len(sections[-1]), index))
        index += len(sections[-1])
    first = struct.pack("<HIBB6s", 0, 26 + 10 * len(bodies), 20, 20, b"SCPECG") + b"".join(pointers)
    content = struct.pack("<H", binascii.crc_hqx(first, 0xFFFF)) + first + b"".join(sections)
    content = struct.pack("<I", 6 + len(content)) + content
    return struct.pack("<H", binascii.crc_hqx(content, 0xFFFF)) + content


def _huffman(values: list[int]) -> bytes:
    def code(value: int) -> str:
        if abs(value) <= 8:
            return "1" * abs(value) + "0" + ("" if value == 0 else "1" if value < 0 else "0")
        wide = not -128 <= value < 128
        return "1111111111" + format(value & 0xFFFF, "016b") if wide else "1111111110" + format(value & 0xFF, "08b")

    bits = "".join(map(code, values))
    return int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")


def philips(digital: np.ndarray, rate_hz: int, encoding: str = "utf-16") -> bytes:
    """Philips XML, XLI-compressed without repeating any string; a microvolt a step."""
    rows = digital.astype(np.int64)
    one, two, three = rows[:3].copy()
    rows[2] = two - one - three
    rows[3] = -rows[3] - (one + two) // 2
    rows[4] = (one - three) // 2 - rows[4]
    rows[5] = (two + three) // 2 - rows[5]
    chunks = []
    for row in rows:
        x = row.tolist()
        ahead = [2 * x[k - 1] - x[k - 2] - x[k] for k in range(2, len(x))]  # each is stored one sample before
        words = [*x[:2], *(value + 64 for value in ahead[1:]), 64]
        high, low = (bytes(word >> shift & 0xFF for word in words) for shift in (8, 0))
        bits = "".join(format(byte, "010b") for byte in high + low)
        packed = int(bits.ljust(-(-len(bits) // 8) * 8, "0"), 2).to_bytes(-(-len(bits) // 8), "big")
        chunks.append(struct.pack("<IHh", len(packed), 0, ahead[0]) + packed)
    content = base64.b64encode(b"".join(chunks)).decode()
    return f"""<?xml version="1.0" encoding="{encoding}"?>
<restingecgdata xmlns="http://www3.medical.philips.com"><documentinfo><documentversion>1.04</documentversion></documentinfo>
<dataacquisition><signalcharacteristics><samplingrate>{rate_hz}</samplingrate><resolution>1</resolution>
<signaloffset>0</signaloffset></signalcharacteristics></dataacquisition><waveforms><parsedwaveforms
 dataencoding="Base64" compression="XLI" leadlabels="{" ".join(LEADS)}"
 durationperchannel="{digital.shape[1] * 1000 // rate_hz}">{content}</parsedwaveforms></waveforms></restingecgdata>
""".encode(encoding)
