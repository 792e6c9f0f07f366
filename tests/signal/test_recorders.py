"""The formats of recorders: exact samples, what is left out, what is refused, and files of a wrong form."""

import importlib.util
import random
import struct
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ecgzoo import LEADS_12, Record, SignalError, load_pretrained, read_record, registry
from ecgzoo.signal.readers import SPECS
from ecgzoo.testing import assert_reader_conforms

_spec = importlib.util.spec_from_file_location(
    "recorders", Path(__file__).parents[2] / "benchmarks" / "_faults" / "recorders.py"
)
assert _spec is not None
assert _spec.loader is not None
recorders = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(recorders)

RATE = 250
HEART: np.ndarray = recorders.heart(RATE)
WRITERS: dict[str, tuple[str, Callable[[np.ndarray, int], bytes]]] = {
    "EDF": ("edf", recorders.edf),
    "BDF": ("edf", lambda digital, rate: recorders.edf(digital, rate, bdf=True)),
    "DICOM": ("dicom", recorders.dicom),
    "SCP-ECG": ("scp", recorders.scp),
    "SCP-ECG, plain": ("scp", lambda digital, rate: recorders.scp(digital, rate, 0, coded=False)),
    "SCP-ECG, first differences": ("scp", lambda digital, rate: recorders.scp(digital, rate, 1)),
    "HL7 aECG": ("aecg", recorders.aecg),
    "Philips": ("philips", recorders.philips),
    "MUSE": ("muse", recorders.muse),
    "ISHNE": ("ishne", recorders.ishne),
}


def write(folder: Path, content: bytes | str) -> Path:
    path = folder / "recording.bin"  # nothing is known by its suffix
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refused(path: Path, **given: object) -> str:
    """The one line that reading `path` ends with, in memory of a small multiple of the file."""
    tracemalloc.start()
    try:
        with pytest.raises(SignalError) as caught:
            read_record(path, **given)  # type: ignore[arg-type]
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20 + 20 * path.stat().st_size
    finally:
        tracemalloc.stop()
    said = str(caught.value)
    assert said.isprintable()
    return said


@pytest.fixture(scope="module")
def samples() -> dict[str, bytes]:
    """A small file of each kind."""
    return {kind: write(HEART, RATE) for kind, (_, write) in WRITERS.items()}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_conforms_and_is_exact(tmp_path: Path, samples: dict[str, bytes], kind: str) -> None:
    path = write(tmp_path, samples[kind])
    (tmp_path / "broken").mkdir()
    assert_reader_conforms(WRITERS[kind][0], path, tmp_path / "broken")
    record = read_record(path)
    assert (record.rate_hz, set(record.leads)) == (RATE, set(LEADS_12))
    expected = HEART / 1000
    if kind == "MUSE":  # which stores eight leads
        expected[2:6] = recorders_limb_leads(HEART / 1000)
    for lead, row in zip(LEADS_12, expected, strict=True):
        np.testing.assert_allclose(record.signal[record.leads.index(lead)], row, atol=1e-6, err_msg=lead)


def recorders_limb_leads(millivolts: np.ndarray) -> np.ndarray:
    one, two = millivolts[:2]
    return np.stack([two - one, -(one + two) / 2, one - two / 2, two - one / 2])


@pytest.mark.parametrize("kind", WRITERS)
def test_what_a_file_says_is_not_said_again(tmp_path: Path, samples: dict[str, bytes], kind: str) -> None:
    path = write(tmp_path, samples[kind])
    assert "leave" in refused(path, rate_hz=500)
    assert "leave" in refused(path, units="mV")
    names = LEADS_12 if kind != "MUSE" else ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    assert "in another order" in refused(path, leads=names[::-1])
    assert set(read_record(path, leads=names).leads) == set(LEADS_12)
    assert ("fits no one rate" if "DF" in kind else f"{len(names)} channels") in refused(path, leads="I")


@pytest.mark.parametrize("kind", WRITERS)
def test_truncated_or_flipped_is_one_line(tmp_path: Path, samples: dict[str, bytes], kind: str) -> None:
    content, dice = samples[kind], random.Random(0)
    break_it(tmp_path, WRITERS[kind][0], content, dice, 12)


def break_it(folder: Path, name: str, content: bytes, dice: random.Random, times: int) -> None:
    reader = registry.build(registry.get("reader", name), (), {})
    for number in range(2 * times):
        broken = bytearray(content)
        if number % 2:
            del broken[dice.randrange(len(content)) :]
        for _ in range(0 if number % 2 else 3):
            broken[dice.randrange(min(len(content), dice.choice((64, 1000, len(content)))))] ^= 1 << dice.randrange(8)
        if name == "scp" and not number % 2:  # past the checksum
            broken[:2] = struct.pack("<H", recorders.binascii.crc_hqx(bytes(broken[2:]), 0xFFFF))
        path = write(folder, bytes(broken))
        tracemalloc.start()
        said = ""
        try:
            assert not np.isinf(reader.read(path, None, None, None).signal).any()
        except SignalError as error:
            said = str(error)
        finally:
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
        assert said.isprintable()
        assert peak < 20 * 2**20 + 20 * len(content)


@pytest.mark.parametrize("kind", ["EDF", "BDF", "SCP-ECG", "HL7 aECG", "Philips", "MUSE", "ISHNE"])
def test_every_truncation_is_refused(tmp_path: Path, samples: dict[str, bytes], kind: str) -> None:
    content = samples[kind].rstrip()
    for size in (1, 100, 300, len(content) // 3, len(content) - 100, len(content) - 1):
        with pytest.raises(SignalError):
            registry.build(registry.get("reader", WRITERS[kind][0]), (), {}).read(
                write(tmp_path, content[:size]), None, None, None
            )


def test_a_missing_library_is_named(tmp_path: Path, samples: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, library in (("EDF", "edfio"), ("DICOM", "pydicom")):
        path = write(tmp_path, samples[kind])
        monkeypatch.setitem(sys.modules, library, None)
        assert f'needs {library}, which is not installed: pip install "ecgzoo[formats]"' in refused(path)


def test_readers_of_recorders_come_with_the_package() -> None:
    assert {reader for reader, _ in WRITERS.values()} <= {spec.name for spec in SPECS}


# ------------------------------------------------------------------------------------------------------------ XML

LAUGHS = """<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">
<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>"""


@pytest.mark.parametrize(
    ("doctype", "inside", "reason"),
    [
        (LAUGHS, "&c;", "declares entities"),
        ('<!DOCTYPE x [<!ENTITY file SYSTEM "file:///etc/passwd">]>', "&file;", "declares entities"),
        ('<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x.dtd"> %p;]>', "", "declares entities"),
        (f'<!DOCTYPE x [<!ATTLIST series long CDATA "{"x" * 1000}">]>', "", "declares entities"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd">', "&file;", "refers to the entity 'file'"),
        ("", "&file;", "undefined entity"),
        ("", "<a>" * 200 + "</a>" * 200, "deeper than 100"),
        ("", "<a/>" * 250_000, "more than 250000 elements"),
        ("", "<a" + "".join(f" a{k}=''" for k in range(250_000)) + "/>", "more than 250000 elements"),
        ("", "\0", "no whole XML"),
    ],
)
@pytest.mark.parametrize("kind", ["HL7 aECG", "MUSE", "Philips"])
def test_xml_that_means_harm(
    tmp_path: Path, samples: dict[str, bytes], kind: str, doctype: str, inside: str, reason: str
) -> None:
    text = samples[kind].decode("utf-16" if kind == "Philips" else "utf-8")
    start = text.index("<", text.index("?>") if "?>" in text else 0) if "<!DOCTYPE" not in text else text.index("<Rest")
    end = text.rindex("</")
    assert reason in refused(write(tmp_path, doctype + text[start:end] + inside + text[end:]))


def test_a_declared_doctype_is_not_fetched(tmp_path: Path, samples: dict[str, bytes]) -> None:
    assert b'SYSTEM "restecg.dtd"' in samples["MUSE"]
    (tmp_path / "restecg.dtd").write_text("<!ENTITY")  # would be an error if it were read
    assert read_record(write(tmp_path, samples["MUSE"])).leads == LEADS_12


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "latin-1"])
def test_xml_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    path = write(tmp_path, recorders.philips(HEART, RATE, encoding))
    np.testing.assert_allclose(read_record(path).signal, HEART / 1000, atol=1e-6)


# ------------------------------------------------------------------------------------------------------ EDF and BDF


def edf(signals: list[tuple[str, int, str]]) -> bytes:
    """EDF of these labels, rates and units, ten seconds."""
    import edfio

    return bytes(
        edfio.Edf(
            [
                edfio.EdfSignal(np.sin(np.arange(10 * rate)), rate, label=label, physical_dimension=unit)
                for label, rate, unit in signals
            ]
        ).to_bytes()
    )


def test_edf_takes_the_voltages_at_the_rate_of_the_leads(tmp_path: Path) -> None:
    channels = [("EEG C3", 128, "uV"), ("ECG II", 256, "mV"), ("Pleth", 256, ""), ("EMG", 256, "mV"), ("SpO2", 1, "%")]
    record = read_record(write(tmp_path, edf(channels)))
    assert (record.leads, record.rate_hz, record.signal.shape) == (("II", "EMG"), 256, (2, 2560))
    assert np.abs(record.signal).max() == pytest.approx(1, abs=1e-3)
    assert [note.split(" left")[0] for note in record.notes] == ["Channel Pleth", "Channel SpO2", "Channel EEG C3"]
    assert read_record(write(tmp_path, edf(channels)), leads="I").leads == ("I",)  # the one ECG channel


@pytest.mark.parametrize("given", [None, "I"])
def test_edf_whose_ecg_is_no_voltage_is_refused(tmp_path: Path, given: str | None) -> None:
    path = write(tmp_path, edf([("EEG C3", 256, "uV"), ("EKG", 256, "mV/div"), ("SpO2", 1, "%")]))
    assert "channel EKG is in 'mV/div'; expected a voltage" in refused(path, leads=given)
    for name in ("ECG", "CH1"):
        assert read_record(write(tmp_path, edf([(name, 256, "uV"), ("EKG HR", 256, "bpm")]))).leads == (name,)


def test_edf_micro_signs(tmp_path: Path) -> None:
    content = edf([("ECG I", 256, "uV")])
    for unit in (b"uV", "µV".encode("latin-1"), "µV".encode()):
        record = read_record(write(tmp_path, content.replace(b"uV      ", unit.ljust(8))))
        assert np.abs(record.signal).max() == pytest.approx(1e-3, rel=1e-3)


def test_edf_channels_of_one_name_are_numbered(tmp_path: Path) -> None:
    path = write(tmp_path, edf([("EMG", 256, "uV"), ("EMG", 256, "uV"), ("ECG", 256, "mV")]))
    assert read_record(path).leads == ("EMG 1", "EMG 2", "ECG")


def test_edf_fields_that_end_with_zeros(tmp_path: Path) -> None:
    content = edf([("ECG II", 256, "mV")]).replace(b"ECG II   ", b"ECG II\0\0 ").replace(b"mV      ", b"mV\0\0\0\0\0\0")
    assert read_record(write(tmp_path, content)).leads == ("II",)


def test_edf_of_several_rates_asks_for_leads(tmp_path: Path) -> None:
    path = write(tmp_path, edf([("ECG I", 256, "mV"), ("ECG II", 512, "mV"), ("ECG V1", 512, "mV")]))
    assert "I (256 Hz), II (512 Hz)" in refused(path).replace("ECG ", "")
    assert "leads=" in refused(path)
    assert read_record(path, leads="II,V1").rate_hz == 512
    assert read_record(path, leads="I").rate_hz == 256
    assert "fits no one rate" in refused(path, leads="I,II,V1")


@pytest.mark.parametrize("kind", [b"BDF+C", b"BDF+D"])
def test_samples_of_bdf_are_those_of_edfio(tmp_path: Path, kind: bytes) -> None:
    import edfio

    rng = np.random.default_rng(0)
    signals = [
        edfio.BdfSignal.from_digital(
            rng.integers(-(2**23), 2**23, 10 * rate, dtype=np.int32), rate, label=label, physical_dimension="mV"
        )
        for label, rate in (("ECG I", 256), ("EMG", 64), ("ECG II", 256))
    ]
    file = edfio.Bdf(signals, annotations=[edfio.EdfAnnotation(3, None, "x")], data_record_duration=1)
    record = read_record(write(tmp_path, file.to_bytes().replace(b"BDF+C", kind, 1)))
    assert record.leads == ("I", "II")
    expected = np.stack([signals[at].data for at in (0, 2)]).astype(np.float32)
    np.testing.assert_allclose(record.signal, expected, rtol=1e-6)


def test_bdf_takes_no_more_memory_than_its_samples(tmp_path: Path) -> None:
    import edfio

    signal = edfio.BdfSignal(np.sin(np.arange(250 * 3600)), 250, label="ECG I", physical_dimension="mV")
    path = write(tmp_path, edfio.Bdf([signal]).to_bytes())
    read_record(path)
    tracemalloc.start()
    try:
        read_record(path)
        assert tracemalloc.get_traced_memory()[1] < 4.5 * path.stat().st_size + 8 * 2**20  # edfio alone takes seven
    finally:
        tracemalloc.stop()


def test_edf_without_a_unit_asks_for_it(tmp_path: Path) -> None:
    path = write(tmp_path, edf([("ECG", 100, ""), ("II", 100, "uV")]))
    assert "channel ECG has no unit. Say which: units='uV'" in refused(path)
    record = read_record(path, units="uV")
    np.testing.assert_array_equal(record.signal[0], record.signal[1])
    assert "lead II is in 'mmHg'" in refused(write(tmp_path, edf([("II", 100, "mmHg")])))


def test_edf_with_gaps_is_refused(tmp_path: Path) -> None:
    import edfio

    signal = edfio.EdfSignal(np.sin(np.arange(1000)), 100, label="ECG", physical_dimension="mV")
    file = edfio.Edf([signal], annotations=[edfio.EdfAnnotation(0, None, "x")], data_record_duration=1)
    content = file.to_bytes().replace(b"EDF+C", b"EDF+D", 1)
    assert read_record(write(tmp_path, content)).signal.shape == (1, 1000)  # says D, has no gap
    assert "has gaps" in refused(write(tmp_path, content.replace(b"+5\x14", b"+7\x14", 1)))
    unknown = edfio.Edf([signal]).to_bytes()
    assert unknown[192:236].isspace()  # no EDF+, so no annotations either
    assert "has gaps" in refused(write(tmp_path, unknown[:192] + b"EDF+D" + unknown[197:]))


@pytest.mark.parametrize("kind", ["Edf", "Bdf"])
def test_edf_with_a_gap_that_its_header_denies_is_refused(tmp_path: Path, kind: str) -> None:
    import edfio

    of_kind = getattr(edfio, f"{kind}Signal")
    signal = of_kind(np.sin(np.arange(1000)), 100, label="ECG", physical_dimension="mV")
    notes = [edfio.EdfAnnotation(0, None, "a longer text")]
    content = getattr(edfio, kind)([signal], annotations=notes, data_record_duration=1).to_bytes()
    assert read_record(write(tmp_path, content)).signal.shape == (1, 1000)
    found = refused(write(tmp_path, content.replace(b"+5\x14", b"+7\x14", 1)))
    assert "data record 6 begins at 7 s, expected 5 s" in found
    late = content.replace(b"+5\x14\x14\0\0\0\0", b"+5.100\x14\x14", 1)  # by a clock that was read late
    unsaid = content.replace(b"+5\x14\x14", b"\0\0\0\0", 1)
    for tolerated in (late, unsaid):
        assert tolerated != content
        assert read_record(write(tmp_path, tolerated)).signal.shape == (1, 1000)


@pytest.mark.parametrize(
    ("place", "text"),
    [
        *((184, "512"), (184, "99999999"), (236, "0"), (236, "99999999"), (236, "-5"), (244, "0"), (244, "nan")),
        *((244, "1e-300"), (252, "9999"), (252, "-1"), (252, "0"), (256 + 12 * 216, "0"), (256 + 12 * 216, "-3")),
        *((256 + 12 * 104, "inf"), (256 + 12 * 104, "nan"), (256 + 12 * 104, "1e300"), (256 + 12 * 120, "99999")),
    ],
)
def test_edf_headers_of_wrong_numbers(tmp_path: Path, samples: dict[str, bytes], place: int, text: str) -> None:
    width = 4 if place == 252 else 8
    content = samples["EDF"]
    path = write(tmp_path, content[:place] + text.ljust(width).encode() + content[place + width :])
    tracemalloc.start()
    with pytest.raises(SignalError):
        registry.build(registry.get("reader", "edf"), (), {}).read(path, None, None, None)
    assert tracemalloc.get_traced_memory()[1] < 5 * 2**20
    tracemalloc.stop()


# ------------------------------------------------------------------------------------------------------------ DICOM


def changed_dicom(tmp_path: Path, change: Callable[..., object]) -> Path:
    from io import BytesIO

    import pydicom

    file = pydicom.dcmread(BytesIO(recorders.dicom(HEART, RATE)))
    change(file, file.WaveformSequence[1], file.WaveformSequence[1].ChannelDefinitionSequence)
    out = BytesIO()
    file.save_as(out)
    return write(tmp_path, out.getvalue())


def test_dicom_scales_by_sensitivity_correction_and_baseline(tmp_path: Path) -> None:
    def change(file, group, channels) -> None:  # type: ignore[no-untyped-def]
        channels[1].ChannelSensitivity, channels[1].ChannelSensitivityCorrectionFactor = "2", "0.5"
        channels[1].ChannelBaseline = "250"
        channels[2].ChannelSensitivityUnitsSequence[0].CodeValue = "mV"
        channels[2].ChannelSensitivity = "0.001"
        group.add_new("WaveformPaddingValue", "OW", struct.pack("<h", int(HEART[0, 7])))

    record = read_record(changed_dicom(tmp_path, change))
    np.testing.assert_allclose(record.signal[1], np.where(HEART[1] == HEART[0, 7], np.nan, HEART[1] / 1000 + 0.25))
    np.testing.assert_allclose(record.signal[2], np.where(HEART[2] == HEART[0, 7], np.nan, HEART[2] / 1000), atol=1e-6)
    assert np.isnan(record.signal[0, 7])


def test_dicom_names_leads_by_code_or_by_meaning(tmp_path: Path) -> None:
    def change(file, group, channels) -> None:  # type: ignore[no-untyped-def]
        for channel, meaning in zip(channels, ("Lead I (Einthoven)", "lead II, bipolar", "Respiration"), strict=False):
            channel.ChannelSourceSequence[0].CodingSchemeDesignator = "99HOUSE"
            channel.ChannelSourceSequence[0].CodeMeaning = meaning
        channels[2].ChannelSensitivityUnitsSequence[0].CodeValue = "ohm"

    record = read_record(changed_dicom(tmp_path, change))
    assert record.leads == ("I", "II", *LEADS_12[3:])
    assert any(note.startswith("Channel Respiration left out") for note in record.notes)


@pytest.mark.parametrize("source", [True, False])
def test_dicom_names_leads_by_their_labels_where_codes_are_unspecified(tmp_path: Path, source: bool) -> None:
    def change(file, group, channels) -> None:  # type: ignore[no-untyped-def]
        for channel, label in zip(channels, LEADS_12, strict=True):
            channel.ChannelLabel = f"Lead {label}"
            channel.ChannelSourceSequence[0].CodeValue = "2:0"
            channel.ChannelSourceSequence[0].CodeMeaning = "Unspecified lead"
            if not source:
                del channel.ChannelSourceSequence

    assert read_record(changed_dicom(tmp_path, change)).leads == LEADS_12


def test_dicom_takes_the_unit_that_an_empty_sequence_does_not_say(tmp_path: Path) -> None:
    def change(file, group, channels) -> None:  # type: ignore[no-untyped-def]
        for channel in channels:
            channel.ChannelSensitivityUnitsSequence = []

    path = changed_dicom(tmp_path, change)
    assert "units='uV'" in refused(path)
    np.testing.assert_allclose(read_record(path, units="uV").signal, HEART / 1000, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda file, group, channels: setattr(group, "WaveformOriginality", "DERIVED"), "has no recording, only"),
        (
            lambda file, group, channels: setattr(file.WaveformSequence[0], "WaveformOriginality", "ORIGINAL"),
            "has 2 rec",
        ),
        (lambda file, group, channels: setattr(group, "NumberOfWaveformSamples", 2**32 - 1), "expected 10307921"),
        (lambda file, group, channels: setattr(group, "NumberOfWaveformChannels", 11), "announces 11 channels"),
        (lambda file, group, channels: setattr(group, "WaveformSampleInterpretation", "MB"), "16 bits MB"),
        (lambda file, group, channels: delattr(group, "SamplingFrequency"), "SamplingFrequency"),
        (lambda file, group, channels: delattr(channels[0], "ChannelSensitivity"), "how many uV a step"),
        (lambda file, group, channels: delattr(channels[0], "ChannelSensitivityUnitsSequence"), "units='uV'"),
        (lambda file, group, channels: delattr(file, "WaveformSequence"), "is DICOM without waveforms"),
    ],
)
def test_dicom_that_does_not_say(tmp_path: Path, change: Callable[..., object], reason: str) -> None:
    assert reason in refused(changed_dicom(tmp_path, change))


def test_dicom_is_not_inflated(tmp_path: Path) -> None:
    import zlib

    content = recorders.dicom(HEART, RATE)
    end = content.index(b"1.2.840.10008.1.2.1\0") + 20
    meta = content[:end].replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")
    meta = meta.replace(b"UI\x14\x001.2.840.10008.1.2.1.99", b"UI\x16\x001.2.840.10008.1.2.1.99")
    length = struct.unpack_from("<I", meta, 140)[0] + 2
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = packer.compress(bytes(4 << 20)) + packer.flush()
    assert "transfer syntax" in refused(write(tmp_path, meta[:140] + struct.pack("<I", length) + meta[144:] + bomb))


# -------------------------------------------------------------------------------------------------- SCP, aECG, others


def test_scp_codes_every_size_of_difference(tmp_path: Path) -> None:
    digital = np.random.default_rng(0).integers(-300, 300, (12, 400)).astype(np.int16)
    digital[:, ::7] = 0
    digital[3, 100], digital[4, 100] = 32767, -32768  # differences wrap at 16 bits, as the standard's arithmetic does
    for differences in (0, 1, 2):
        record = read_record(write(tmp_path, recorders.scp(digital, 500, differences))).select(LEADS_12)
        np.testing.assert_allclose(record.signal, digital / 1000, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda bodies: bodies.update({2: struct.pack("<H", 1)}), "own Huffman tables"),
        (lambda bodies: bodies.update({3: b"\x0c\x01" + bodies[3][2:]}), "reference beats"),
        (lambda bodies: bodies.update({6: bodies[6][:5] + b"\1" + bodies[6][6:]}), "decimation"),
        (lambda bodies: bodies.update({6: bytes(2) + bodies[6][2:]}), "no scale or rate"),
        (lambda bodies: bodies.update({3: bodies[3][:6] + b"\xff\xff\xff\xff" + bodies[3][10:]}), "not simultaneous"),
        (lambda bodies: bodies.update({3: b"\x01\x0c" + struct.pack("<IIB", 1, 2**32 - 1, 1)}), "cannot hold"),
        (lambda bodies: bodies.pop(6), "no rhythm"),
        (lambda bodies: bodies.pop(3), "no lead definitions"),
        (lambda bodies: bodies.update({3: b"\x00\x00"}), "not simultaneous"),
    ],
)
def test_scp_that_is_not_read(tmp_path: Path, change: Callable[[dict[int, bytes]], object], reason: str) -> None:
    content = recorders.scp(HEART, RATE)
    bodies: dict[int, bytes] = {}
    for place in range(32, 62, 10):
        number, length, index = struct.unpack_from("<HII", content, place)
        bodies[number] = content[index + 15 : index - 1 + length]
    change(bodies)
    assert reason in refused(write(tmp_path, recorders.scp_file(bodies)))


def test_scp_checksums_are_verified(tmp_path: Path, samples: dict[str, bytes]) -> None:
    content = bytearray(samples["SCP-ECG"])
    content[-20] ^= 1
    assert "checksum fails" in refused(write(tmp_path, bytes(content)))


def test_aecg_units_origin_and_what_is_missing(tmp_path: Path, samples: dict[str, bytes]) -> None:
    text = samples["HL7 aECG"].decode()
    rhythm, beats = text.split("<derivation>")

    def read(old: str, new: str, **given: object) -> Record:
        assert old in rhythm
        return read_record(write(tmp_path, rhythm.replace(old, new) + "<derivation>" + beats), **given)  # type: ignore[arg-type]

    moved = read('<origin value="0" unit="uV"/>', '<origin value="-0.5" unit="mV"/>')
    np.testing.assert_allclose(moved.signal, HEART / 1000 - 0.5, atol=1e-6)
    no_origin = read('<origin value="0" unit="uV"/>', "")
    np.testing.assert_allclose(no_origin.signal, HEART / 1000, atol=1e-6)
    nano = read('<scale value="1" unit="uV"/>', '<scale value="1000" unit="nV"/>')
    np.testing.assert_allclose(nano.signal, HEART / 1000, atol=1e-6)
    slow = (f'<increment value="{1 / RATE!r}" unit="s"/>', '<increment value="5" unit="ms"/>')
    assert read(*slow).rate_hz == pytest.approx(200)
    without = ('<scale value="1" unit="uV"/>', '<scale value="1"/>')
    with pytest.raises(SignalError, match="has no unit. Say which: units='uV'"):
        read(*without)
    assert read(*without, units="mV").signal.max() == pytest.approx(HEART.max())
    no_time = (f'<increment value="{1 / RATE!r}" unit="s"/>', "")
    with pytest.raises(SignalError, match="rate_hz=500"):
        read(*no_time)
    assert read(*no_time, rate_hz=100).rate_hz == 100
    with pytest.raises(SignalError, match="has 0 recordings"):
        read('code="RHYTHM"', 'code="OTHER"')
    for digits in ("1 2 x", "1 nan 2", "1e400"):
        with pytest.raises(SignalError, match="the samples of I are no"):
            read("<digits>", f"<digits>{digits} ")


def test_aecg_of_two_recordings_is_refused(tmp_path: Path, samples: dict[str, bytes]) -> None:
    text = samples["HL7 aECG"].decode()
    series = text[text.index("<component>") : text.rindex("</AnnotatedECG>")]
    assert "has 2 recordings" in refused(write(tmp_path, text.replace("</AnnotatedECG>", series + "</AnnotatedECG>")))


def test_philips_leaves_out_the_calibration_pulse(tmp_path: Path) -> None:
    end = np.concatenate([np.zeros(35), np.full(40, 1000), np.zeros(25)]).astype(np.int16)
    record = read_record(write(tmp_path, recorders.philips(np.hstack([HEART, np.tile(end, (12, 1))]), RATE)))
    np.testing.assert_allclose(record.signal, HEART / 1000, atol=1e-6)
    assert record.notes == ("Calibration pulse at the end (100 samples) left out.",)
    only = np.tile(np.concatenate([end, end]), (12, 1))  # nothing else: what is left out must leave something
    assert read_record(write(tmp_path, recorders.philips(only, RATE))).signal.shape == only.shape
    flat = np.hstack([HEART, np.zeros((12, 100), np.int16)])  # leads that fell off are no pulse
    assert read_record(write(tmp_path, recorders.philips(flat, RATE))).signal.shape == flat.shape


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("1.04<", "2.00<", "Philips XML 2.00"),
        ('"XLI"', '"None"', "compressed by 'None'"),
        ("I II III", "II I III", "has channels II, I, III"),
        ('durationperchannel="2000"', 'durationperchannel="999999999999"', "samples a channel"),
        ('durationperchannel="2000"', 'durationperchannel="3000"', "is cut short"),
        ("<resolution>1</resolution>", "", "resolution in microvolts"),
        ("<samplingrate>250", "<samplingrate>nan", "expected a number as sampling rate"),
    ],
)
def test_philips_that_is_not_read(tmp_path: Path, old: str, new: str, reason: str) -> None:
    text = recorders.philips(HEART, RATE, "utf-8").decode()
    assert old in text
    assert reason in refused(write(tmp_path, text.replace(old, new)))


def test_muse_takes_the_rhythm_and_derives_four_leads(tmp_path: Path, samples: dict[str, bytes]) -> None:
    record = read_record(write(tmp_path, samples["MUSE"]))
    assert record.signal.shape == HEART.shape
    assert record.notes == ("Median beat left out.", "III, aVR, aVL, aVF derived from I and II.")
    text = samples["MUSE"].decode()
    fine = read_record(write(tmp_path, text.replace("UnitsPerBit>1<", "UnitsPerBit>4.88<")))
    np.testing.assert_allclose(fine.signal, record.signal * 4.88, rtol=1e-5)


def test_muse_tells_which_electrode_was_off_and_when_leads_begin(tmp_path: Path, samples: dict[str, bytes]) -> None:
    head, _, last = samples["MUSE"].decode().rpartition("<LeadSampleSize>")  # of V6
    off = read_record(write(tmp_path, f"{head}<LeadOff>TRUE</LeadOff><LeadSampleSize>{last}"))
    assert off.notes[0] == "Lead V6: its electrode was off, by what the recorder says."
    on = f"{head}<LeadOff>FALSE</LeadOff><LeadOffsetFirstSample>0</LeadOffsetFirstSample><LeadSampleSize>{last}"
    assert read_record(write(tmp_path, on)).notes == off.notes[1:]
    later = write(tmp_path, on.replace("FirstSample>0<", "FirstSample>250<"))
    assert "begin at different times (LeadOffsetFirstSample)" in refused(later)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        (f"<SampleBase>{RATE}</SampleBase>", "", "rate_hz=500"),
        ("<SampleExponent>0", "<SampleExponent>999", "exponent of -9 to 9"),
        ("<LeadAmplitudeUnits>MICROVOLTS</LeadAmplitudeUnits>", "", "units='uV'"),
        ("MICROVOLTS", "OHMS", "expected a voltage"),
        ("UnitsPerBit>1<", "UnitsPerBit><", "expected a number as LeadAmplitudeUnitsPerBit"),
        ("<LeadSampleSize>2", "<LeadSampleSize>4", "samples of 4 bytes"),
        (
            "<LeadTimeOffset>0",
            "<LeadTimeOffset>2500",
            "announces",
        ),
        ("<LeadSampleCountTotal>500<", "<LeadSampleCountTotal>501<", "announces LeadSampleCountTotal 501"),
        ("<WaveformType>Rhythm", "<WaveformType>Other", "has 0 rhythm waveforms"),
    ],
)
def test_muse_that_is_not_read(tmp_path: Path, samples: dict[str, bytes], old: str, new: str, reason: str) -> None:
    text = samples["MUSE"].decode()
    assert old in text
    if "TimeOffset" in old:  # of one lead of the rhythm
        place, reason = text.rindex(old), "begin at different times"
        text = text[:place] + new + text[place + len(old) :]
    assert reason in refused(write(tmp_path, text.replace(old, new) if reason != "begin at different times" else text))


def test_ishne_faults_resolution_and_counts(tmp_path: Path) -> None:
    faulty = HEART.copy()
    faulty[3, 20] = -32768
    record = read_record(write(tmp_path, recorders.ishne(faulty, RATE, nanovolts=2500)))
    assert np.isnan(record.signal[3, 20])
    assert np.isnan(record.signal).sum() == 1
    np.testing.assert_allclose(record.signal[0], HEART[0] * 0.0025, atol=1e-6)
    bare = recorders.ishne(HEART, RATE, nanovolts=0)
    assert "I has no resolution. Say what one step is: units='uV'" in refused(write(tmp_path, bare))
    np.testing.assert_allclose(read_record(write(tmp_path, bare), units="uV").signal, HEART / 1000, atol=1e-6)
    assert "has no rate" in refused(write(tmp_path, recorders.ishne(HEART, 0)))
    assert read_record(write(tmp_path, recorders.ishne(HEART, 0)), rate_hz=200).rate_hz == 200


def test_ishne_checksum(tmp_path: Path, samples: dict[str, bytes]) -> None:
    content = bytearray(samples["ISHNE"])
    content[30] ^= 1
    assert "checksum fails" in refused(write(tmp_path, bytes(content)))
    content[8:10] = b"\0\0"
    assert read_record(write(tmp_path, bytes(content))).notes == ("The header's checksum is zero: not verified.",)


# ------------------------------------------------------------------------------------------------------ real files


def real(test_data: Path, name: str) -> Record:
    return read_record(test_data / "formats" / name)


def test_edf_is_its_wfdb_twin(test_data: Path) -> None:
    edf, twin = real(test_data, "test_generator_2.edf"), real(test_data, "test_generator_2.hea")
    assert (edf.leads, edf.rate_hz, edf.signal.shape) == (twin.leads, 200, twin.signal.shape)
    step = 1 / 32767.5  # mV; WFDB's header leaves out that EDF's range is half a step from the middle
    np.testing.assert_allclose(edf.signal, twin.signal + step / 2, atol=1e-8)
    assert any("sine 15 Hz left out" in note for note in edf.notes)


def test_dicom_is_what_pydicom_scales(test_data: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    record = real(test_data, "dicom-anonymous_ecg.dcm")
    expected = pydicom.dcmread(test_data / "formats" / "dicom-anonymous_ecg.dcm").waveform_array(0).T / 1000
    assert (record.leads, record.rate_hz, record.problems()) == (LEADS_12, 1000, [])
    np.testing.assert_allclose(record.signal, expected, atol=1e-6)
    assert record.notes == ("DERIVED group MEDIAN BEAT left out.",)


def test_scp_and_aecg_of_one_recording_are_equal(test_data: Path) -> None:
    scp, first, second = (
        real(test_data, name) for name in ("ecgtoolkit-Example.scp", "hl7-subject1_0.xml", "hl7-Example_aECG.xml")
    )
    for aecg in (first, second):
        assert (scp.leads, scp.rate_hz) == (aecg.leads, aecg.rate_hz)
        np.testing.assert_array_equal(scp.signal, aecg.signal)
    assert scp.signal.shape == (12, 5000)
    assert scp.problems() == []


@pytest.mark.parametrize(
    ("name", "samples", "peaks"),
    [  # R, Q or S amplitudes in microvolts as the cart measured them, in the file's leadmeasurement
        ("philips-129DYPRG.XML", 5264, {"I": (912, -120), "III": (291, -933), "aVL": (908, -160), "V1": (234, -757)}),
        ("philips-2020-5-18_15-48-11.xml", 5300, {"I": (584, -48), "V1": (92, -401), "V3": (2034, -493)}),
    ],
)
def test_philips_amplitudes_are_those_that_the_cart_measured(
    test_data: Path, name: str, samples: int, peaks: dict[str, tuple[float, float]]
) -> None:
    record = real(test_data, name)
    assert (record.leads, record.rate_hz, record.signal.shape) == (LEADS_12, 500, (12, samples))
    assert record.einthoven_error_mv() < 0.011  # each lead rounds to 5 microvolts by itself
    assert any("Calibration pulse" in note for note in record.notes)
    for lead, (high, low) in peaks.items():
        seconds = record.signal[LEADS_12.index(lead), :5000].reshape(10, 500)
        assert np.median(np.ptp(seconds, axis=1)) == pytest.approx((high - low) / 1000, rel=0.25), lead


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("edf", "test_generator_2.edf"),
        *(("dicom", "dicom-anonymous_ecg.dcm"), ("scp", "ecgtoolkit-Example.scp"), ("aecg", "hl7-subject1_0.xml")),
        *(("philips", "philips-129DYPRG.XML"), ("philips", "philips-2020-5-18_15-48-11.xml")),
    ],
)
def test_real_files_truncated_or_flipped(test_data: Path, tmp_path: Path, reader: str, name: str) -> None:
    break_it(tmp_path, reader, (test_data / "formats" / name).read_bytes(), random.Random(1), 3)


@pytest.mark.parametrize("kind", WRITERS)
def test_ptbxl_through_a_format_gives_the_same_probabilities(test_data: Path, tmp_path: Path, kind: str) -> None:
    original = read_record(test_data / "ptbxl-small" / "records100" / "00000" / "00001_lr")
    digital = np.rint(original.signal * 1000).astype(np.int16)
    record = read_record(write(tmp_path, WRITERS[kind][1](digital, 100))).select(LEADS_12)
    stored = [0, 1, *range(6, 12)] if kind == "MUSE" else list(range(12))  # MUSE's other leads are derived
    np.testing.assert_allclose(record.signal[stored], original.signal[stored], atol=1e-6)
    np.testing.assert_allclose(record.signal, original.signal, atol=3e-3)
    model = load_pretrained("xresnet1d18.ptbxl_super_12")
    np.testing.assert_allclose(model.predict(record).probabilities, model.predict(original).probabilities, atol=1e-3)
