import numpy as np
import pytest
import wfdb

from ecgzoo import read_record
from ecgzoo.errors import SignalError
from ecgzoo.signal import LEADS_12


def write(folder, digital, *, name="rec", fmt="16", gain=1000.0, baseline=0, units="mV", names=None, fs=500):
    """Write a record [samples, channels] with wfdb; lists give each channel its own value."""
    channels = digital.shape[1]

    def each(value):
        return list(value) if isinstance(value, (list, tuple)) else [value] * channels

    wfdb.wrsamp(
        name,
        fs=fs,
        d_signal=digital,
        fmt=each(fmt),
        adc_gain=[float(g) for g in each(gain)],
        baseline=each(baseline),
        units=each(units),
        sig_name=names or [f"V{k + 1}" for k in range(channels)],
        write_dir=str(folder),
    )
    return folder / name


def edit(path, old, new):
    header = path.with_suffix(".hea")
    text = header.read_text()
    assert old in text
    header.write_text(text.replace(old, new))


def noise(samples=200, channels=3, low=-2000, high=2000, seed=0):
    return np.random.default_rng(seed).integers(low, high, (samples, channels))


@pytest.mark.parametrize("suffix", ["", ".hea", ".dat"])
def test_reads_what_wfdb_reads(tmp_path, suffix):
    path = write(tmp_path, noise(), gain=[1000.0, 204.8, 37.5], baseline=[0, 17, -300])
    edit(path, " 37.5", " -3.75e+01")
    record = read_record(f"{path}{suffix}")
    assert record.leads == ("V1", "V2", "V3")
    assert record.rate_hz == 500
    assert record.source == str(path)
    assert record.signal.dtype == np.float32
    assert record.signal.flags.c_contiguous
    expected = wfdb.rdrecord(str(path)).p_signal.T.astype(np.float32)
    np.testing.assert_array_equal(record.signal, expected)


@pytest.mark.parametrize(
    ("fmt", "bits"),
    [("8", 8), ("16", 16), ("24", 24), ("32", 32), ("61", 16), ("80", 8), ("160", 16), ("212", 12), ("310", 32 / 3)],
)
def test_every_format(tmp_path, fmt, bits):
    (tmp_path / "rec.dat").write_bytes(np.random.default_rng(0).bytes(int(600 * bits / 8)))
    lines = "".join(f"rec.dat {fmt} {200 + k}({k})/mV 16 0\n" for k in range(3))
    (tmp_path / "rec.hea").write_text(f"rec 3 500 200\n{lines}")
    expected = wfdb.rdrecord(str(tmp_path / "rec")).p_signal.T.astype(np.float32)
    np.testing.assert_array_equal(read_record(tmp_path / "rec").signal, expected)


@pytest.mark.parametrize(("fmt", "invalid"), [("16", -(2**15)), ("212", -(2**11)), ("24", -(2**23))])
def test_invalid_samples_are_nan(tmp_path, fmt, invalid):
    digital = noise()
    digital[[3, 50], 1] = invalid
    record = read_record(write(tmp_path, digital, fmt=fmt))
    assert np.argwhere(np.isnan(record.signal)).tolist() == [[1, 3], [1, 50]]


@pytest.mark.parametrize(
    ("units", "gain", "millivolts"),
    [("mV", 1000.0, 0.5), ("uV", 1.0, 0.5), ("µV", 1.0, 0.5), ("V", 1e6, 0.5), ("nV", 0.001, 0.5), ("MV", 1000.0, 0.5)],
)
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_units(tmp_path, units, gain, millivolts, encoding):
    path = write(tmp_path, np.full((10, 1), 500), gain=gain, units="mV")
    header = path.with_suffix(".hea")
    header.write_text(header.read_text().replace("/mV", f"/{units}"), encoding=encoding)
    np.testing.assert_allclose(read_record(path).signal, millivolts, rtol=1e-6)


def test_no_unit_is_millivolts(tmp_path):
    path = write(tmp_path, np.full((10, 1), 500))
    edit(path, "/mV", "")
    np.testing.assert_allclose(read_record(path).signal, 0.5)


def test_no_gain_is_reported(tmp_path):
    (tmp_path / "rec.hea").write_text("rec 1 100 4\nrec.dat 16\n")
    np.array([200, 0, -200, 100], "<i2").tofile(tmp_path / "rec.dat")
    record = read_record(tmp_path / "rec")
    np.testing.assert_array_equal(record.signal, [[1, 0, -1, 0.5]])
    assert "no gain" in record.notes[0]


def test_baseline_defaults_to_adc_zero(tmp_path):
    (tmp_path / "rec.hea").write_text("rec 1 100 2\nrec.dat 16 100 11 1024 0 0 0 II\n")
    np.array([1024, 1124], "<i2").tofile(tmp_path / "rec.dat")
    np.testing.assert_array_equal(read_record(tmp_path / "rec").signal, wfdb.rdrecord(str(tmp_path / "rec")).p_signal.T)


def test_lead_with_a_foreign_unit_is_an_error(tmp_path):
    path = write(tmp_path, noise(), units=["mV", "mmHg", "mV"])
    with pytest.raises(SignalError, match=r"rec\.hea: lead V2: its unit 'mmHg' is not a voltage"):
        read_record(path)


def test_channels_that_are_no_leads(tmp_path):
    path = write(tmp_path, noise(), names=["vx", "PLETH", "avr"], units=["mV", "NU", "mV"])
    record = read_record(path)
    assert record.leads == ("vx", "aVR")
    assert record.notes == ("Channel PLETH left out: its unit 'NU' is not a voltage.",)
    np.testing.assert_array_equal(record.signal, wfdb.rdrecord(str(path)).p_signal.T[[0, 2]].astype(np.float32))


def test_no_voltage_at_all(tmp_path):
    path = write(tmp_path, noise(channels=1), names=["PLETH"], units="NU")
    with pytest.raises(SignalError, match="no channel is a voltage"):
        read_record(path)


@pytest.mark.parametrize("foreign", ["RESP", "V2"])
def test_channels_of_another_rate(tmp_path, foreign):
    frames = np.arange(30).reshape(10, 3)  # two samples of V1 and one of the other in each frame
    frames.astype("<i2").tofile(tmp_path / "rec.dat")
    (tmp_path / "rec.hea").write_text(
        f"rec 2 50 10\nrec.dat 16x2 1000/mV 16 0 0 280 0 V1\nrec.dat 16 1000/mV 16 0 2 155 0 {foreign}\n"
    )
    if foreign == "V2":
        with pytest.raises(SignalError, match="V2: it is sampled at 50 Hz, V1 at 100 Hz"):
            read_record(tmp_path / "rec")
        return
    record = read_record(tmp_path / "rec")
    assert record.rate_hz == 100
    np.testing.assert_allclose(record.signal[0] * 1000, frames[:, :2].ravel(), rtol=1e-6)
    assert "RESP left out" in record.notes[0]


@pytest.mark.parametrize("fmt", ["16", "80", "24", "212"])
@pytest.mark.parametrize(("frame", "skew"), [(1, 5), (2, 3), (4, 1)])
def test_a_skewed_signal_ends_in_invalid_samples(tmp_path, fmt, frame, skew):
    size = {"16": 2, "80": 1, "24": 3, "212": 1.5}[fmt]
    (tmp_path / "rec.dat").write_bytes(np.random.default_rng(0).bytes(int(2 * frame * 60 * size)))
    lines = [
        f"rec.dat {fmt}x{frame}{late} 200/mV 16 0 0 0 0 {name}\n" for late, name in ((f":{skew}", "I"), ("", "II"))
    ]
    (tmp_path / "rec.hea").write_text(f"rec 2 50 60\n{''.join(lines)}")
    skewed = read_record(tmp_path / "rec").signal
    (tmp_path / "rec.hea").write_text(f"rec 2 50 60\n{''.join(lines).replace(f':{skew}', '')}")
    straight = read_record(tmp_path / "rec").signal
    np.testing.assert_array_equal(skewed[0], [*straight[0, skew * frame :], *[np.nan] * skew * frame])
    np.testing.assert_array_equal(skewed[1], straight[1])


def two_rates(folder, slow, fast):
    """A record with a channel of 25 Hz before one of 100 Hz, whose digital samples are 0, 1, 2, …, 999."""
    frames = np.arange(1000).reshape(250, 4)
    np.concatenate([frames[:, :1], frames], axis=1).astype("<i2").tofile(folder / "rec.dat")
    lines = f"rec.dat 16 1000/mV 16 0 0 0 0 {slow}\nrec.dat 16x4 1000/mV 16 0 0 0 0 {fast}\n"
    (folder / "rec.hea").write_text(f"rec 2 25 250\n{lines}")
    return folder / "rec"


@pytest.mark.parametrize("name", ["ECG", "ekg 1", "ECG1"])
@pytest.mark.parametrize("given", [None, "I"])
def test_a_voltage_before_the_ecg_does_not_take_its_place(tmp_path, name, given):
    record = read_record(two_rates(tmp_path, "RESP", name), leads=given)
    assert (record.leads, record.rate_hz) == ((given or name,), 100)
    np.testing.assert_allclose(record.signal[0] * 1000, np.arange(1000), rtol=1e-5)
    assert "Channel RESP left out: it is sampled at 25 Hz" in record.notes[-1]


@pytest.mark.parametrize("names", [("RESP", "Channel 2"), ("ECG1", "ECG2")])
@pytest.mark.parametrize("given", [None, "I"])
def test_voltages_of_several_rates_without_a_lead(tmp_path, names, given):
    said = rf"{names[0]} \(25 Hz\), {names[1]} \(100 Hz\)"
    with pytest.raises(SignalError, match=rf"several rates: {said}. Name the ECG's channels in the header"):
        read_record(two_rates(tmp_path, *names), leads=given)


def test_channels_of_one_name_are_numbered(tmp_path):
    path = write(tmp_path, noise(), names=["ECG", "II", "other"])
    edit(path, "other", "ECG")  # as the Long-Term AF Database names both channels
    record = read_record(path)
    assert record.leads == ("ECG 1", "II", "ECG 2")
    assert record.rename({"ECG 2": "V1"}).leads == ("ECG 1", "II", "V1")
    assert read_record(path, leads="I,II,V1").leads == ("I", "II", "V1")
    edit(path, "ECG", "II")
    with pytest.raises(SignalError, match="lead II occurs twice"):
        read_record(path)


def test_the_layout_of_segments_has_no_samples(tmp_path):
    (tmp_path / "rec_layout.hea").write_text(
        "rec_layout 2 125 0\n~ 0 1000/mV 16 0 0 0 0 II\n~ 0 1/NU 16 0 0 0 0 PLETH\n"
    )
    with pytest.raises(SignalError, match="layout of a record of several segments"):
        read_record(tmp_path / "rec_layout")


@pytest.mark.parametrize("given", [None, "I"])
def test_a_voltage_does_not_take_the_place_of_an_ecg_without_one(tmp_path, given):
    path = write(tmp_path, noise(channels=2), names=["ECG", "RESP"], units=["NU", "mV"])
    with pytest.raises(SignalError, match="channel ECG is in 'NU'; expected a voltage"):
        read_record(path, leads=given)


def test_two_signal_files(tmp_path):
    digital = noise(channels=4)
    digital[:, [0, 2]].astype("<i2").tofile(tmp_path / "a.dat")
    (tmp_path / "b.dat").write_bytes(b"\1" * 24 + digital[:, [1, 3]].astype("<i2").tobytes())
    (tmp_path / "rec.hea").write_text(
        "rec 4 500 200\na.dat 16 1000\nb.dat 16+24 1000\na.dat 16 1000\nb.dat 16+24 1000\n"
    )
    record = read_record(tmp_path / "rec")
    np.testing.assert_allclose(record.signal * 1000, digital.T, rtol=1e-6)


@pytest.mark.parametrize("extra", [" 2014-03-29 08:03:08 ", " 05-Feb-2020 11:39:16", " 12:00:00 29/03/2014"])
def test_any_date(tmp_path, extra):
    path = write(tmp_path, noise())
    before = read_record(path).signal
    edit(path, "rec 3 500 200", f"rec 3 500 200{extra}")
    np.testing.assert_array_equal(read_record(path).signal, before)


def test_length_left_to_the_file(tmp_path):
    path = write(tmp_path, noise())
    before = read_record(path).signal
    edit(path, "rec 3 500 200", "rec 3 500")
    np.testing.assert_array_equal(read_record(path).signal, before)
    with open(path.with_suffix(".dat"), "ab") as file:
        file.write(b"\0\0")
    with pytest.raises(SignalError, match="whole samples"):
        read_record(path)


@pytest.mark.parametrize("fmt", ["16", "212", "24", "32"])
@pytest.mark.parametrize("announced", [100, 190, 210, 10**12])
def test_header_that_lies_about_the_length(tmp_path, fmt, announced):
    path = write(tmp_path, noise(), fmt=fmt)
    edit(path, "rec 3 500 200", f"rec 3 500 {announced}")
    with pytest.raises(SignalError, match=rf"rec\.dat: expected \d+ bytes for the {announced} samples.*\(200 samples"):
        read_record(path)


def test_truncated_file(tmp_path):
    path = write(tmp_path, noise())
    data = path.with_suffix(".dat")
    data.write_bytes(data.read_bytes()[:-2])
    with pytest.raises(SignalError, match=r"expected 1200 bytes .* found 1198"):
        read_record(path)


@pytest.mark.parametrize("fmt", ["16", "212"])
def test_checksum(tmp_path, fmt):
    path = write(tmp_path, noise(), fmt=fmt)
    data = path.with_suffix(".dat")
    damaged = bytearray(data.read_bytes())
    damaged[60] ^= 4
    data.write_bytes(damaged)
    with pytest.raises(SignalError, match="checksum of V"):
        read_record(path)


def test_checksums_that_are_all_zero_are_not_given(tmp_path):
    np.array([5, 6, 7], "<i2").tofile(tmp_path / "rec.dat")
    (tmp_path / "rec.hea").write_text("rec 1 300 3\nrec.dat 16 1000/mV 16 0 5 0 0 I\n")
    assert "not verified" in read_record(tmp_path / "rec").notes[0]


def test_missing_files(tmp_path):
    with pytest.raises(SignalError, match=r"nowhere: no such file, and no WFDB record of this name \(.*nowhere\.hea\)"):
        read_record(tmp_path / "nowhere")
    path = write(tmp_path, noise())
    path.with_suffix(".dat").unlink()
    with pytest.raises(SignalError, match=r"rec\.dat: cannot be read"):
        read_record(path)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "not a WFDB header"),
        ("# only a comment\n", "not a WFDB header"),
        ("<html>404</html>\n", "not a WFDB header"),
        ("rec 1 500 10\n", "announces 1 signals and describes 0"),
        ("rec 2 500 10\nrec.dat 16 1000\n", "announces 2 signals and describes 1"),
        ("rec/3 2 500 10\na 5\nb 5\n", "3 segments"),
        ("rec 1\nrec.dat 16 1000\n", "no sampling rate"),
        ("rec 1 0 10\nrec.dat 16 1000\n", "above 0 Hz"),
        ("rec 1 fast 10\nrec.dat 16 1000\n", "sampling rate, got 'fast'"),
        ("rec 1 500 10\nrec.dat 16 nan/mV\n", "gain, got 'nan'"),
        ("rec 1 500 10\nrec.dat sixteen\n", "signal line 1 is not WFDB"),
        ("rec 1 500 10\nrec.dat 17 1000\n", "unknown WFDB format 17"),
        ("rec 1 500 10\n../rec.dat 16 1000\n", "not next to the header"),
        ("rec 2 500 5\nrec.dat 16 1000\nrec.dat 61 1000\n", "different formats"),
        ("rec 1 500 10\nrec.dat 516 1000\n", "wfdb cannot decode"),
    ],
)
def test_bad_headers(tmp_path, header, message):
    (tmp_path / "rec.hea").write_text(header)
    (tmp_path / "rec.dat").write_bytes(bytes(20))
    with pytest.raises(SignalError, match=rf"rec\.hea: .*{message}"):
        read_record(tmp_path / "rec")


def test_binary_junk_is_no_header(tmp_path):
    (tmp_path / "rec.hea").write_bytes(bytes(range(256)) * 10)
    with pytest.raises(SignalError):
        read_record(tmp_path / "rec")


def real_records(test_data, folder):
    return sorted((test_data / folder).rglob("*.hea"))


@pytest.mark.parametrize(("folder", "rate_hz"), [("cpsc2018", 500), ("cinc2021", 500), ("ptbxl-small", 100)])
def test_real_twelve_lead_records(test_data, folder, rate_hz):
    headers = real_records(test_data, folder)
    assert headers
    for header in headers[:: 1 + len(headers) // 20]:
        record = read_record(header)
        assert record.leads == LEADS_12
        assert record.rate_hz == rate_hz
        assert record.problems() == []
        expected = wfdb.rdrecord(str(header.with_suffix(""))).p_signal.T.astype(np.float32)
        np.testing.assert_array_equal(record.signal, expected)


def test_real_handheld_records(test_data):
    headers = real_records(test_data, "af2017")
    assert headers
    for header in headers:
        record = read_record(header)
        assert (record.leads, record.rate_hz) == (("ECG",), 300)
        samples = np.frombuffer(header.with_suffix(".mat").read_bytes()[24:], "<i2")
        np.testing.assert_array_equal(np.rint(record.signal[0] * 1000), samples)


@pytest.mark.parametrize(
    ("name", "leads", "rate_hz"),
    [
        ("100", ("II", "V5"), 360),
        ("100_3chan", ("I", "II", "III"), 360),
        ("a103l", ("II", "V"), 250),
        ("s0010_re", (*LEADS_12, "vx", "vy", "vz"), 1000),
        ("flacformats", ("sig 0, fmt 508", "sig 1, fmt 516", "sig 2, fmt 524"), 200),
    ],
)
def test_real_oddities(test_data, name, leads, rate_hz):
    path = test_data / "formats" / name
    record = read_record(path)
    assert (record.leads, record.rate_hz) == (leads, rate_hz)
    expected = wfdb.rdrecord(str(path)).p_signal.T.astype(np.float32)
    np.testing.assert_array_equal(record.signal, expected[: len(leads)])
