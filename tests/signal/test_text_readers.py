"""Files of base readers as people have them: round trips, headers, decimal signs, and one sentence for each bad one."""

import struct
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ecgzoo
from ecgzoo import LEADS_12, EcgModel, Record, SignalError, read_record, registry
from ecgzoo.testing import assert_reader_conforms

Write = Callable[[Path, Record], Path]


def beats(seconds: float = 10, rate_hz: float = 500, leads: tuple[str, ...] = ("I",), seed: int = 0) -> Record:
    """Beats of 1 mV with a little noise, in whole microvolts."""
    time = np.arange(round(seconds * rate_hz)) / rate_hz % 0.8
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    shape = sum(size * np.exp(-(((time - at) / width) ** 2)) for size, at, width in waves)
    noise = np.random.default_rng(seed).normal(0, 0.01, (len(leads), len(time)))
    sizes = 1 - 0.3 * np.arange(len(leads))[:, None] / len(leads)
    return Record.from_array((1000 * (sizes * shape + noise)).round(), leads=leads, rate_hz=rate_hz, units="uV")


def write_csv(path: Path, record: Record) -> Path:
    path = path.with_suffix(".csv")
    record.to_frame().rename(columns=lambda name: f"{name} (mV)").to_csv(path, float_format="%.3f")
    return path


def write_npz(path: Path, record: Record) -> Path:
    path = path.with_suffix(".npz")
    np.savez(path, signal=record.signal, leads=record.leads, rate_hz=record.rate_hz, units="mV")
    return path


ENGLISH = """Name
Date of Birth,"Jan 8, 2002"
Recorded Date,2026-05-30 16:32:18 -0700
Classification,Sinus Rhythm
Symptoms,
Software Version,1.90
Device,"Watch7,12"
Sample Rate,{rate} hertz


Lead,Lead I
Unit,µV

"""
GERMAN = """Name
Geburtstag,"27.03.1987"
Aufzeichnungsdatum,2020-07-31 22:48:19 +0200
Klassifizierung,Sinusrhythmus
Symptome,
Softwareversion,1.13
Gerät,"Watch4,2"
Messrate,{rate}\u00a0Hertz


Ableitung,Ableitung I
Einheit,µV

"""


def write_apple(path: Path, record: Record, header: str = ENGLISH) -> Path:
    path = path.with_suffix(".csv")
    text = header + "".join(f"{value:.3f}\n" for value in 1000.0 * record.select("I").signal[0])
    text = text.format(rate=f"{record.rate_hz:g}")
    if header == GERMAN:
        text = text.replace(".", ",")
    path.write_text(text, encoding="utf-8")
    return path


def write_polar(path: Path, record: Record) -> Path:
    path = path.with_name(f"{path.stem}_ECG.txt")
    rows = ["Phone timestamp;sensor timestamp [ns];timestamp [ms];ecg [uV]"]
    for k, value in enumerate(1000.0 * record.signal[0]):
        seconds = k / record.rate_hz
        rows.append(f"2026-07-16T21:34:53.930;{599636646177065964 + int(1e9 * seconds)};{1e3 * seconds};{value:.0f}")
    path.write_text("\n".join(rows) + "\n")
    return path


def write_kardia(path: Path, record: Record, crc: bool = False) -> Path:
    """ATC by AliveCor's specification, half a microvolt a step."""

    def block(name: bytes, data: bytes) -> bytes:
        content = struct.pack("<4sI", name, len(data)) + data
        return content + struct.pack("<I", zlib.crc32(content) if crc else sum(content) % 2**32)

    path = path.with_suffix(".atc")
    content = b"ALIVE\0\0\0" + struct.pack("<I", 5) + block(b"info", bytes(264))
    content += block(b"fmt ", struct.pack("<BHHBH", 1, round(record.rate_hz), 500, 2, 0))
    for name, row in zip(record.leads, record.signal, strict=True):
        mark = " 23456789abc"[LEADS_12.index(name)]
        content += block(f"ecg{mark}".encode(), (2000.0 * row).round().astype("<i2").tobytes())
    path.write_bytes(content + block(b"avg ", bytes(6)))
    return path


WRITERS: dict[str, tuple[Write, dict[str, object]]] = {
    "csv": (write_csv, {}),
    "npy": (write_npz, {}),
    "apple": (write_apple, {}),
    "polar": (write_polar, {"leads": "I"}),
    "kardia": (write_kardia, {}),
}


@pytest.fixture(scope="module")
def student() -> EcgModel:
    return ecgzoo.create_student("xresnet1d18", leads="I", pretrained=True)


@pytest.mark.parametrize("name", WRITERS)
def test_readers_conform(tmp_path: Path, name: str) -> None:
    write, given = WRITERS[name]
    (tmp_path / "broken").mkdir()
    assert_reader_conforms(name, write(tmp_path / "strip", beats()), tmp_path / "broken", **given)


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("rate_hz", [125.0, 1000.0])
def test_what_is_written_is_read(tmp_path: Path, student: EcgModel, name: str, rate_hz: float) -> None:
    write, given = WRITERS[name]
    record = beats(rate_hz=rate_hz)
    found = read_record(write(tmp_path / "strip", record), **given)  # type: ignore[arg-type] # by the format
    assert (found.leads, found.rate_hz, found.notes) == (("I",), rate_hz, ())
    np.testing.assert_allclose(found.signal, record.signal, atol=1e-6)
    there, back = student.predict(record), student.predict(found)
    assert f"resampled from {rate_hz:g} to 100 Hz" in back.notes
    np.testing.assert_allclose(back.probabilities, there.probabilities, atol=1e-3)


def test_a_record_of_ptbxl_is_the_same_through_every_format(tmp_path: Path, test_data: Path, student: EcgModel) -> None:
    record = read_record(test_data / "ptbxl-small/records100/00000/00001_lr")
    there = student.predict(record)
    for write in (write_csv, write_npz, write_apple, write_kardia):
        found = read_record(write(tmp_path / "strip", record))
        np.testing.assert_allclose(found.signal, record.select(found.leads).signal, atol=1e-6)
        assert found.rate_hz == 100
        np.testing.assert_allclose(student.predict(found).probabilities, there.probabilities, atol=1e-3)
    strap = read_record(write_polar(tmp_path / "strip", record), leads="I")
    np.testing.assert_allclose(student.predict(strap).probabilities, there.probabilities, atol=1e-3)


def test_a_real_text_export(test_data: Path) -> None:
    path = test_data / "formats/txt-testing_ecg.txt"
    with pytest.raises(SignalError, match="12 channels"):
        read_record(path)
    record = read_record(path, leads=12, units="uV", rate_hz=500)
    assert record.signal.shape == (12, 5000)
    np.testing.assert_allclose(record.signal[:, 0] * 1000, [19, -19, -39, 0, 29, -29, 9, 9, 9, 9, -9, -19], atol=1e-4)
    assert record.einthoven_problem() is None


numbers = st.lists(
    st.lists(st.integers(-99_999, 99_999).map(lambda n: n / 1000), min_size=2, max_size=2), min_size=1, max_size=9
)
layouts = st.sampled_from([(mark, sign) for mark in "\t;| " for sign in ".,"] + [(",", ".")])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    rows=numbers,
    layout=layouts,
    header=st.booleans(),
    end=st.sampled_from(["\n", "\r\n", "\r", "\r\r\n"]),
    quotes=st.booleans(),
)
def test_any_delimiter_and_decimal_sign(
    tmp_path: Path, rows: list[list[float]], layout: tuple[str, str], header: bool, end: str, quotes: bool
) -> None:
    mark, sign = layout
    mark_up = '"{}"' if quotes and mark not in " |" else "{}"
    lines = [mark.join(mark_up.format(f"{value:.3f}".replace(".", sign)) for value in row) for row in rows]
    if header:
        lines.insert(0, mark.join(mark_up.format(name) for name in ("II (mV)", "V1 [uV]")))
    (tmp_path / "strip.txt").write_text(end.join(lines) + end, newline="")
    given = {} if header else {"leads": "II,V1", "units": "mV"}
    record = read_record(tmp_path / "strip.txt", rate_hz=250, **given)  # type: ignore[arg-type] # two keywords
    expected = np.array(rows, np.float32).T * np.array([[1], [1e-3 if header else 1]], np.float32)
    assert record.leads == ("II", "V1")
    np.testing.assert_allclose(record.signal, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "leads", "rate_hz", "first"),
    [
        ("time (s),II (mV)\n0.000,1\n0.002,2\n0.004,3\n", ("II",), 500, 1),
        ("time_ms;Lead I [uV]\n0;1000\n4;2000\n8;3000\n", ("I",), 250, 1),
        ("Elapsed time [s]\tDII (mV)\tRESP (bpm)\n0\t1\t9\n0,01\t2\t9\n", ("II",), 100, 1),
        ("'Elapsed time','MLII','V5'\n'sec','mV','mV'\n0.00,1,2\n0.01,2,3\n", ("II", "V5"), 100, 1),
        (",time_s,AVR_mV\n0,0.0,1\n1,0.1,2\n", ("aVR",), 10, 1),
        ("# a logger's file\n# II (mV) ECG1 (mV)\n1 2\n3 4\n", ("II", "ECG1"), None, 1),
        ("I (mV);II (mV);\n1;2;\n,5;;\n", ("I", "II"), None, 1),
        ("\ufeffI (mV)\n1,0\n-2\n", ("I",), None, 1),
        ('I (mV)\n1,234\n0,5\n"2,345"\n', ("I",), None, np.float32(1.234)),
        ("\tI (mV)\tII (mV)\n0\t1\t2\n1\t2\t3\n", ("I", "II"), None, 1),  # pandas' to_csv(sep="\t")
        (
            "sep=\t\nTimestamp_Unix_CAL\tECG_LA-RA\tII\t\nms\tmV\tuV\t\n0\t1\t2\t\n4\t2\t3\t\n",
            ("ECG_LA-RA", "II"),
            250,
            1,
        ),
        ("time,MLII,ABP,RESP\nseconds,uV,mmHg,NU\n0,1000,2,3\n0.01,2,3,4\n", ("II",), 100, 1),
        ("time,I,II\n(s),(uV),(uV)\n0,1000,2\n0.01,2,3\n", ("I", "II"), 100, 1),
        (",I,V1\n,[uV],[uV]\n0,1000,2\n1,2,3\n", ("I", "V1"), None, 1),
        ("mSecs,II\nmSecs,mVolts\n0,1\n4,2\n", ("II",), 250, 1),
        ("Zeit / ms;I/mV;ECG uV;Lead V (mV)\n0;1;2;3\n4;2;3;3\n", ("I", "ECG", "Lead V"), 250, 1),
        ("Время (ms);II (мкВ)\n0;1000,0\n4;2,5\n", ("II",), 250, 1),
        ("Unnamed: 0,II (mV)\n0,1\n1,2\n", ("II",), None, 1),  # pandas, written and read twice
    ],
)
def test_headers(tmp_path: Path, text: str, leads: tuple[str, ...], rate_hz: float | None, first: float) -> None:
    (tmp_path / "strip.csv").write_text(text, encoding="utf-8")
    record = read_record(tmp_path / "strip.csv", rate_hz=None if rate_hz else 125)
    assert record.leads == leads
    assert record.rate_hz == (rate_hz or 125)
    assert record.signal[0, 0] == first


def test_a_unit_between_blanks_is_no_name_of_a_column(tmp_path: Path) -> None:
    rows = [f"{k}  0.1  {k % 7}  72" for k in range(200)]  # pandas' to_string: no name above the counts
    (tmp_path / "strip.txt").write_text("\n".join(["     I     II  HR (bpm)", *rows]))
    with pytest.raises(SignalError, match="does not say which lead each of its 4 channels is"):
        read_record(tmp_path / "strip.txt", rate_hz=125, units="mV")


@pytest.mark.parametrize("header", ["     I     II  Heart rate\n", "I V5 V6 II\n", ""])
@pytest.mark.parametrize("step", [1, 0.008])
def test_counts_and_times_that_are_named_like_a_lead_are_refused(tmp_path: Path, header: str, step: float) -> None:
    rows = "".join(f"{step * k:.3f}  0.1  {k % 7}  72\n" for k in range(200))
    (tmp_path / "strip.txt").write_text(header + rows)
    leads = None if header else "I,II,V1,V2"
    with pytest.raises(SignalError, match="what is named lead I rises with every sample"):
        read_record(tmp_path / "strip.txt", leads=leads, rate_hz=125, units="mV")


def test_times_that_are_rounded_give_the_rate_that_they_are_of(tmp_path: Path) -> None:
    rows = "".join(f"{k / 360:.3f},{k % 7}\n" for k in range(3600))
    (tmp_path / "strip.csv").write_text("time (s),II (mV)\n" + rows)
    assert read_record(tmp_path / "strip.csv").rate_hz == 360


def test_empty_fields_are_invalid_samples(tmp_path: Path) -> None:
    (tmp_path / "strip.csv").write_text("I (mV),II (mV)\n1,\n,nan\n3,6\n")
    signal = read_record(tmp_path / "strip.csv", rate_hz=100).signal
    np.testing.assert_array_equal(signal, [[1, np.nan, 3], [np.nan, np.nan, 6]])
    (tmp_path / "strip.csv").write_text("I (mV),II (mV)\n,\n,\n3,6\n,\n")
    signal = read_record(tmp_path / "strip.csv", rate_hz=100).signal
    np.testing.assert_array_equal(signal, np.array([[np.nan, np.nan, 3, np.nan], [np.nan, np.nan, 6, np.nan]]))
    (tmp_path / "strip.csv").write_text('I (mV)\n""\n1\n""\n-2\n""\n\n')  # as pandas writes one column
    signal = read_record(tmp_path / "strip.csv", rate_hz=100).signal
    np.testing.assert_array_equal(signal, [[np.nan, 1, np.nan, -2, np.nan]])


@pytest.mark.parametrize("count", [2, 12])
@pytest.mark.parametrize(("first", "index"), [(0, False), (1, False), (0, True)])
def test_columns_that_pandas_numbers(tmp_path: Path, count: int, first: int, index: bool) -> None:
    samples = np.random.default_rng(0).normal(size=(count, 50)).astype(np.float32)
    names = [*([""] if index else []), *map(str, range(first, first + count))]
    rows = [[*([str(n)] if index else []), *map(str, row)] for n, row in enumerate(samples.T)]
    (tmp_path / "strip.csv").write_text("\n".join(map(",".join, [names, *rows])) + "\n")
    record = read_record(tmp_path / "strip.csv", leads=LEADS_12[:count], units="mV", rate_hz=100)
    np.testing.assert_array_equal(record.signal, samples)
    assert record.notes == ("1 line(s) above the numbers were not read.",)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("mark", [";", "\t", " ", "|"])
def test_numbered_columns_of_decimal_commas(tmp_path: Path, count: int, first: int, mark: str) -> None:
    samples = np.random.default_rng(0).normal(size=(count, 60)).round(3) + 0.0001
    rows = [mark.join(f"{value:.4f}".replace(".", ",") for value in row) for row in samples.T]
    names = mark.join(map(str, range(first, first + count)))
    (tmp_path / "strip.csv").write_text("\n".join([names, *rows]) + "\n")
    record = read_record(tmp_path / "strip.csv", leads=LEADS_12[:count], units="mV", rate_hz=100)
    np.testing.assert_allclose(record.signal, samples, atol=1e-6)
    assert record.notes == ("1 line(s) above the numbers were not read.",)


NUMBER_NOTE = "Line 1, '0', was taken for a column's number, as pandas writes it, and not for a sample."
SKIPPED_NOTE = "1 line(s) above the numbers were not read."


@pytest.mark.parametrize(
    ("text", "samples", "note"),
    [
        ("0\n0.25\n-1.5e-3\n0.0\n", [0.25, -0.0015, 0], NUMBER_NOTE),
        ('0\n""\n0.25\nnan\n', [np.nan, 0.25, np.nan], NUMBER_NOTE),
        ("0\n0.25\n1\n0.5\n", [0, 0.25, 1, 0.5], None),  # as %g writes numbers
        ("0\n12\n15\n", [0, 12, 15], None),
        ("0.0\n0.25\n", [0, 0.25], None),
        ("1\n0.25\n", [1, 0.25], None),
        (",0\n0,0.25\n1,0.5\n", [0.25, 0.5], SKIPPED_NOTE),
        (";0\n0;0,25\n1;0,5\n", [0.25, 0.5], SKIPPED_NOTE),
    ],
)
def test_a_lone_zero_above_numbers(tmp_path: Path, text: str, samples: list[float], note: str | None) -> None:
    (tmp_path / "strip.csv").write_text(text)
    record = read_record(tmp_path / "strip.csv", leads="I", units="mV", rate_hz=100)
    np.testing.assert_allclose(record.signal, [samples], rtol=1e-6)
    assert record.notes == (() if note is None else (note,))


GOOD = "I (mV),II (mV)\n0.1,0.2\n0.3,0.4\n0.5,0.6\n"
PLAIN = "0.1 0.2\n0.3 0.4\n0.5 0.6\n"
ALL = {"leads": "I,II", "units": "mV", "rate_hz": 100}


@pytest.mark.parametrize(
    ("text", "given", "message"),
    [
        ("", {}, "is empty"),
        ("hello\nworld\n", {}, "no line of numbers"),
        ("\0\1\2", {}, "no reader knows this format"),
        (PLAIN, {**ALL, "leads": None}, r"its 2 channels is; pass leads='I,II,...' .*--leads I,II"),
        (PLAIN, {**ALL, "units": None}, "unit of the samples; pass units='mV' .*--units mV"),
        (PLAIN, {**ALL, "rate_hz": None}, "sampling rate; pass rate_hz=500 .*--rate 500"),
        (PLAIN, {**ALL, "leads": "I"}, r"has 2 channels, and leads= names 1 \(I\)"),
        (PLAIN, {**ALL, "units": "mmHg"}, "'mmHg' is no unit of voltage; pass units='mV'"),
        (
            GOOD[:-6],
            {"rate_hz": 100},
            "line 2 has 2 numbers and line 4 has 1; .*cut off",
        ),
        (GOOD + "0.1,0.2\n" * 60 + "0.3\n", {"rate_hz": 100}, "line 65 is no row of numbers.*cut off"),
        (GOOD + "0.1,x\n", {"rate_hz": 100}, "line 5 .*numbers"),
        ("I (mV),II (mV)\n0,1,0,2\n0,3,0,4\n", {"rate_hz": 100}, "names 2 columns, and the rows have 4; .*semicolons"),
        ("0,1\n0,3\n", {**ALL, "leads": "I"}, "two numbers with a comma between them, or one with a decimal comma"),
        ("ECG\n1,1\n2,3\n3,2\n", ALL, "two numbers with a comma between them, or one with a decimal comma"),
        ('"x"\n"1",-5\n"7",5\n', ALL, "two numbers with a comma between them, or one with a decimal comma"),
        ("0,1,0,2\n0,3,0,4\n", ALL, "has 4 channels, and leads= names 2"),
        ("I (mV);II (mV)\n0,1;0.2\n", {"rate_hz": 100}, "decimal points and decimal commas"),
        ('I (uV),II (uV)\n12,7\n"1,234",20\n"-1,100",3\n', {"rate_hz": 100}, "between thousands, as in 1,234; write"),
        ("I (uV);II (uV)\n12;7\n1,234;20\n-1,100;3\n", {"rate_hz": 100}, "between thousands, as in 1,234; write"),
        ("I (mV)\n1\n2\n\n3\n", {"rate_hz": 100}, "line 4 is empty; write nan where a sample is missing"),
        (GOOD + "\n" + GOOD[14:], {"rate_hz": 100}, "line 5 is empty; write nan where a sample is missing"),
        ("I (mV);II (mV)\n1.000,5;2\n", {"rate_hz": 100}, "thousands separators"),
        (GOOD, {"rate_hz": 100, "units": "uV"}, "says mV for column I, and uV is given; leave out units"),
        ("time,I (mV)\n0,1\n1,2\n", {}, r"column 'time' does not say its unit; name it 'time \(s\)'"),
        ("time (s),I (mV)\n0,1\n1e-2,2\n", {"rate_hz": 500}, "says 100 Hz, and 500 Hz is given; leave out rate_hz"),
        ("time (s),I (mV)\n0,1\n0.01,2\n0.04,2\n0.05,2\n", {}, "not evenly spaced: 0.03 s after sample 2"),
        ("time (s),I (mV)\n0,1\n0,2\n", {}, "do not tell a rate"),
        ("I (bpm)\n1\n2\n", {"rate_hz": 100}, "its unit 'bpm' is not a voltage"),
        ("RESP (bpm)\n1\n2\n", {"rate_hz": 100}, "no column is a lead"),
        ("I mV\n1.0\n2.0\n", {"rate_hz": 100, "units": "uV"}, "says mV for column I, and uV is given"),
        ("I\n12,5\nII mV\n-1.8 1\n", {"rate_hz": 100, "units": "mV"}, "line 2 has 2 numbers|no row of numbers"),
        ("time (min),I (mV)\n0,1\n1,2\n2,3\n", {}, "expected a rate of 10 to 100000 Hz, got 0.01"),
        ("10.0 mV\n1.5\n2.5\n", {"rate_hz": 100}, "unit of column 10.0 mV"),
        (
            "min,CH1\n,2000\n" + "".join(f"{k},1.5\n" for k in range(50)),
            {**ALL, "leads": "I"},
            "'min' has no time for sample 1",
        ),  # AcqKnowledge
        ("Lead V,I\n1,2\n2,3\n", {"rate_hz": 100}, "unit of column Lead V"),
        (
            '"","V1","V2","V3","V4","V5","V6","V7"\n"1",1,2,3,4,5,6,7\n',
            {**ALL, "leads": None},
            "V1 to V7 have the names that R gives",
        ),
        ("ECG (filtered),RESP\n1,2\n2,3\n", {**ALL, "leads": "I"}, "channel ECG is in 'filtered'; expected a voltage"),
        ("I (mV),MDC_ECG_LEAD_I (mV)\n1,2\n2,3\n", {"rate_hz": 100}, "lead I occurs twice"),
        ("I (mV)\n1e39\n2\n", {"rate_hz": 100}, "infinite samples"),
        ("1 " * 1001 + "\n", {}, "1001 columns; .*transpose"),
    ],
)
def test_a_bad_text_is_one_sentence(tmp_path: Path, text: str, given: dict[str, object], message: str) -> None:
    (tmp_path / "strip.csv").write_text(text)
    with pytest.raises(SignalError, match=message) as caught:
        read_record(tmp_path / "strip.csv", **given)  # type: ignore[arg-type] # by the table
    assert "strip.csv: " in str(caught.value)


def save(**arrays: object) -> Callable[[Path], None]:
    return lambda path: np.savez_compressed(path, **arrays)  # type: ignore[arg-type] # whatever can be saved


@pytest.mark.parametrize(
    ("arrays", "given", "message"),
    [
        ({"signal": np.ones((2, 9))}, {**ALL, "leads": None}, "leads='I,II,...'"),
        ({"signal": np.ones((2, 9))}, {**ALL, "units": None}, "pass units="),
        ({"signal": np.ones((2, 9))}, {**ALL, "rate_hz": None}, "pass rate_hz="),
        ({"signal": np.ones((9, 2))}, ALL, r"\[9, 2\] for 2 leads, which is \[samples, leads\]; transpose it"),
        ({"signal": np.ones((3, 9))}, ALL, "has 3 channels, and leads= names 2"),
        ({"signal": np.ones((1, 2, 9))}, ALL, r"expected an array \[leads, samples\]"),
        ({"signal": np.ones((2, 0))}, ALL, r"expected an array \[leads, samples\]"),
        ({"signal": np.ones((2, 9), complex)}, ALL, "complex128, expected floats or integers"),
        ({"signal": np.array([{}], object)}, ALL, "object, expected floats or integers"),
        ({"signal": np.zeros((2, 50_000_000), np.int8)}, ALL, "unpacks to more than 50 times"),
        ({"a": np.ones((2, 9)), "b": np.ones((2, 9))}, ALL, "has arrays a, b; name the one"),
        ({"signal": np.ones((2, 9)), "rate_hz": [1, 2]}, ALL, "expected one number"),
        ({"signal": np.ones((2, 9)), "rate_hz": 500}, ALL, "says 500 Hz, and 100 Hz is given"),
    ],
)
def test_a_bad_npz_is_one_sentence(
    tmp_path: Path, arrays: dict[str, object], given: dict[str, object], message: str
) -> None:
    save(**arrays)(tmp_path / "strip.npz")
    with pytest.raises(SignalError, match=message):
        read_record(tmp_path / "strip.npz", **given)  # type: ignore[arg-type] # by the table


@pytest.mark.parametrize(
    "shape", ["(2, 10)", "(-2, -5)", "(10**9, 10**9)", "(2,) * 10**9", "2", "()", "('a',)", "(" * 90, "'\\n'"]
)
def test_an_npy_header_that_lies(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}".encode()
    (tmp_path / "strip.npy").write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(8))
    with pytest.raises(SignalError, match=r"strip\.npy: "):
        read_record(tmp_path / "strip.npy", **ALL)  # type: ignore[arg-type] # three keywords


@pytest.mark.parametrize(
    "names",
    [("signal", "rate_hz", "units", "leads"), ("Signal", "Fs", "unit", "lead"), ("ecg", "FS", "Units", "Leads")],
)
def test_an_npz_may_name_its_arrays_otherwise(tmp_path: Path, names: tuple[str, ...]) -> None:
    save(**dict(zip(names, (np.ones(9), 250.0, ["uV"], ["II"]), strict=True)))(tmp_path / "strip.npz")
    record = read_record(tmp_path / "strip.npz")
    assert (record.leads, record.rate_hz, record.notes) == (("II",), 250, ())
    assert record.signal[0, 0] == np.float32(1e-3)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"rate_hz": 500.0, "fs": 250},
            r"says rate_hz \[500.0\], fs \[250\], which differ; keep the one that is right",
        ),
        ({"fs": 500.0, "Fs": 250}, "which differ"),
        ({"rate_hz": 500, "units": "mV", "unit": "uV"}, "which differ"),
        ({"rate_hz": 500, "leads": ["I"], "lead": ["II"]}, "which differ"),
        ({"rate_hz": 500, "sampling_rate": 250}, "which differ"),
        ({"rate_hz": 500, "leads": ["I"], "sig_name": ["II"]}, "which differ"),
        ({"rate_hz": 500, "time_s": np.arange(9) / 250}, "says 500 Hz, and its array 'time_s' tells 250 Hz; keep the"),
        ({"rate_hz": 500, "time": np.arange(9) / 250}, "500 Hz is given; give that rate, or name its unit"),
        ({"time_s": [0, 1, 2, 3, 9, 10, 11, 12, 13]}, "not evenly spaced: 6 s after sample 4"),
        ({"time": np.arange(9) / 250}, "column 'time' does not say its unit"),
    ],
)
def test_an_npz_that_contradicts_itself(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    save(**{"signal": np.ones(9), "leads": ["I"], "units": "mV", **arrays})(tmp_path / "strip.npz")
    with pytest.raises(SignalError, match=message):
        read_record(tmp_path / "strip.npz")


def test_arrays_that_are_not_read_are_noted(tmp_path: Path) -> None:
    arrays = {"signal": np.ones(9), "beats": np.arange(3), "mask": np.ones(9), "fs": 250, "rate_hz": 250.0}
    save(**arrays, leads="I", units="mV")(tmp_path / "strip.npz")
    record = read_record(tmp_path / "strip.npz")
    assert (record.rate_hz, record.notes) == (250, ("Arrays that were not read: beats, mask.",))


@pytest.mark.parametrize(
    "arrays",
    [
        {"time_s": np.arange(9) / 250},
        {"time_ms": np.arange(9, dtype=np.uint64) * 4},
        {"time": np.arange(9) / 250, "fs": 250},
        {"time": np.arange(9) / 250, "t_ms": 1_700_000_000_000 + np.arange(9) * 4},
    ],
)
def test_an_array_of_times_gives_the_rate_or_fits_it(tmp_path: Path, arrays: dict[str, object]) -> None:
    save(signal=np.ones(9), **arrays, leads="I", units="mV")(tmp_path / "strip.npz")
    record = read_record(tmp_path / "strip.npz")
    assert (record.rate_hz, record.notes) == (250, ())


def test_npy_keeps_the_order_of_its_axes(tmp_path: Path) -> None:
    signal = np.asfortranarray(np.arange(40, dtype=">i2").reshape(2, 20))
    np.save(tmp_path / "strip.npy", signal)
    record = read_record(tmp_path / "strip.npy", leads="I,II", rate_hz=100, units="uV")
    np.testing.assert_allclose(record.signal, signal / 1000, rtol=1e-6)


@pytest.mark.parametrize("name", ["npy", "kardia"])
def test_half_a_file(tmp_path: Path, name: str) -> None:
    write, _ = WRITERS[name]
    path = write(tmp_path / "strip", beats())
    content = path.read_bytes()
    for end in (len(content) // 2, len(content) - 1, 14, 3):
        path.write_bytes(content[:end])
        with pytest.raises(SignalError, match="cut off|damaged|fetch|no reader|no line|is not text"):
            read_record(path)


@pytest.mark.parametrize("crc", [True, False])
def test_a_kardia_file_that_is_damaged(tmp_path: Path, crc: bool) -> None:
    path = write_kardia(tmp_path / "strip", beats(leads=("I", "II", "III", "V6")), crc)
    assert read_record(path).leads == ("I", "II", "III", "V6")
    content = bytearray(path.read_bytes())
    content[900] ^= 1
    path.write_bytes(content)
    with pytest.raises(SignalError, match="its checksum fails"):
        read_record(path)


def test_apple_in_another_language_and_decimal_sign(tmp_path: Path) -> None:
    record = beats(rate_hz=511.562)
    found = read_record(write_apple(tmp_path / "german", record, GERMAN))
    assert (found.leads, found.rate_hz) == (("I",), 511.562)
    np.testing.assert_allclose(found.signal, record.signal, atol=1e-6)
    text = (tmp_path / "german.csv").read_text(encoding="utf-8")
    for old, new, message, told in (
        ("Hertz", "Mal", r"pass rate_hz=.*--rate", {"rate_hz": 511.562}),
        ("Ableitung I\n", "Handgelenk\n", r"pass leads='I'.*--leads I", {"leads": "I"}),
    ):
        (tmp_path / "other.csv").write_text(text.replace(old, new), encoding="utf-8")
        with pytest.raises(SignalError, match=message):
            read_record(tmp_path / "other.csv")
        np.testing.assert_array_equal(read_record(tmp_path / "other.csv", **told).signal, found.signal)  # type: ignore[arg-type] # one keyword
    (tmp_path / "mixed.csv").write_text(text + "1.5\n", encoding="utf-8")
    with pytest.raises(SignalError, match="decimal points and decimal commas"):
        read_record(tmp_path / "mixed.csv")
    (tmp_path / "long.csv").write_text(text + "ende\n", encoding="utf-8")
    with pytest.raises(SignalError, match="no row of numbers"):
        read_record(tmp_path / "long.csv")


def test_two_columns_are_no_decimal_commas_of_apple(tmp_path: Path) -> None:
    (tmp_path / "two.csv").write_text("Sample Rate,500 Hz\nUnit,uV\nI,II\n12,5\n13,6\n-14,7\n")
    record = read_record(tmp_path / "two.csv", rate_hz=500, units="uV")
    assert record.leads == ("I", "II")
    np.testing.assert_allclose(record.signal * 1000, [[12, 13, -14], [5, 6, 7]], rtol=1e-6)


@pytest.mark.parametrize(
    ("above", "rate_hz", "units"),
    [
        ("Sampling rate: 500 Hz", 500, None),
        ("# Sample Frequency (Hz);0.5 kHz", 500, None),
        ('# {"device": {"sampling rate": 500, "resolution": [10]}}', 500, None),
        ("fs,500.0", 500, None),
        ("Unit: uV", None, "uV"),
        ("Units [uV]\nSampling_Rate 500", 500, "uV"),
        ("Filter: 0.5 to 40 Hz\nSamples: 250\nHeart rate: 72", None, None),
        ("ECG sampling rate: 500\nACC sampling rate: 50", None, None),
        ("Sampling rate: 1,000 Hz", None, None),
        ("Sampling rate of V1: high", None, None),
        ("fs: 0\nUnit: kg", None, None),
    ],
)
@pytest.mark.parametrize("names", ["", "I\n", "I,II\n"])
def test_lines_above_say_rate_and_unit(
    tmp_path: Path, above: str, rate_hz: float | None, units: str | None, names: str
) -> None:
    path = tmp_path / "strip.csv"
    row = "12,5.5\n" if names == "I,II\n" else "12\n"
    path.write_text(f"# a strip\n{above}\n{names}{row * 3}")
    leads = "I,II" if names == "I,II\n" else "I"
    record = read_record(path, leads=leads, units=None if units else "uV", rate_hz=None if rate_hz else 500)
    assert (record.leads, record.rate_hz) == (tuple(leads.split(",")), 500)
    np.testing.assert_allclose(record.signal[0], 0.012, rtol=1e-6)
    if rate_hz:
        with pytest.raises(SignalError, match="says 500 Hz, and 250 Hz is given"):
            read_record(path, leads=leads, units="uV", rate_hz=250)
    if units:
        with pytest.raises(SignalError, match="says uV for column .*, and mV is given"):
            read_record(path, leads=leads, units="mV", rate_hz=500)


@pytest.mark.parametrize("text", ['"II (uV)"\n5\n7\n', '"time (s)" "II (uV)"\n0.00 5\n0.01 7\n'])
def test_a_unit_in_quotes_is_what_the_file_says(tmp_path: Path, text: str) -> None:
    path = tmp_path / "strip.csv"
    path.write_text(text)
    record = read_record(path, rate_hz=100)
    assert (record.leads, record.rate_hz) == (("II",), 100)
    np.testing.assert_allclose(record.signal, [[0.005, 0.007]], rtol=1e-6)
    with pytest.raises(SignalError, match="says uV for column II, and mV is given"):
        read_record(path, units="mV", rate_hz=100)


@pytest.mark.parametrize("text", ["II (uV)\nnull\n5\n7\n", "time (s),II (uV)\n0.00,N/A\n0.01,5\n0.02,7\n"])
def test_a_first_sample_that_is_a_word_is_no_header(tmp_path: Path, text: str) -> None:
    path = tmp_path / "strip.csv"
    path.write_text(text)
    for leads in ("I", "I,II", None):
        with pytest.raises(SignalError, match="line 2 is '.*'; write nan where a sample is missing"):
            read_record(path, leads=leads, units="mV", rate_hz=100)


def test_a_line_above_and_the_times_tell_two_rates(tmp_path: Path) -> None:
    path = tmp_path / "strip.csv"
    path.write_text("Sampling rate: 500 Hz\ntime (s),I (mV)\n0,1\n0.01,2\n")
    with pytest.raises(SignalError, match="a line above the numbers says 500 Hz, and column time tells 100 Hz"):
        read_record(path)
    path.write_text("Sampling rate: 500 Hz\ntime,I (mV)\n0,1\n2,2\n4,3\n")
    assert read_record(path).rate_hz == 500  # the times are milliseconds


@pytest.mark.parametrize("header", ["time (s),I (mV)", "time,I\ns,mV"])
def test_a_line_above_and_a_column_say_two_units(tmp_path: Path, header: str) -> None:
    path = tmp_path / "strip.csv"
    path.write_text(f"Unit: uV\n{header}\n0,7\n0.01,7\n")
    with pytest.raises(SignalError, match="line above the numbers says uV, and column I says mV; pass .* --units"):
        read_record(path)
    for units, millivolts in (("uV", 0.007), ("mV", 7)):
        np.testing.assert_allclose(read_record(path, units=units).signal, millivolts, rtol=1e-6)
    path.write_text(path.read_text().replace("uV", "millivolts"))
    assert read_record(path).signal[0, 0] == 7


def test_a_strap_says_no_lead_and_loses_no_packet(tmp_path: Path) -> None:
    path = write_polar(tmp_path / "strip", beats(rate_hz=130))
    assert read_record(path, leads="I").rate_hz == 130
    with pytest.raises(SignalError, match="which lead it is; pass leads='I'"):
        read_record(path)
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:300] + lines[373:]))
    with pytest.raises(SignalError, match="not evenly spaced: 0.5692 s after sample 299"):
        read_record(path, leads="I")


@pytest.mark.parametrize("name", ["strip.csv", "strip.npy"])
def test_all_that_is_missing_is_asked_for_at_once(tmp_path: Path, name: str) -> None:
    signal = beats().signal[0]
    np.save(tmp_path / name, signal) if name.endswith("npy") else np.savetxt(tmp_path / name, signal)
    with pytest.raises(SignalError) as caught:
        read_record(tmp_path / name)
    assert all(flag in str(caught.value) for flag in ("--leads I)", "--units mV)", "--rate 500)"))
    assert str(caught.value).count(name) == 1


def test_microvolts_said_to_be_millivolts(tmp_path: Path, student: EcgModel) -> None:
    np.savetxt(tmp_path / "strip.csv", 1000 * beats().signal.T)
    said = student.predict(read_record(tmp_path / "strip.csv", leads="I", rate_hz=500, units="mV"))
    assert "about 1000 times too large: microvolts given as millivolts, or millivolts as volts?" in str(said.unreadable)
    assert "pass it as units= (--units)" in str(said.unreadable)
    assert str(said).count("times too large") == 1
    assert student.predict(read_record(tmp_path / "strip.csv", leads="I", rate_hz=500, units="uV")).probabilities


def test_too_short_and_fifteen_leads(tmp_path: Path, student: EcgModel) -> None:
    names = (*LEADS_12, "vx", "vy", "vz")
    record = beats(seconds=1, rate_hz=100, leads=names)
    assert len(record.leads) == 15
    for path in (write_csv(tmp_path / "strip", record), write_npz(tmp_path / "strip", record)):
        found = read_record(path)
        assert found.leads == names
        with pytest.raises(SignalError, match=r"shorter than a window"):
            student.predict(found)


@pytest.mark.parametrize("name", WRITERS)
def test_memory_is_bounded_by_the_files_size(tmp_path: Path, name: str) -> None:
    write, given = WRITERS[name]
    path = write(tmp_path / "strip", beats(seconds=60, rate_hz=500))
    read_record(path, **given)  # type: ignore[arg-type] # by the format; imports take memory once
    tracemalloc.start()
    try:
        read_record(path, **given)  # type: ignore[arg-type] # as above
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * path.stat().st_size + 2**20


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(SignalError, match="is a folder; pass the path of a recording in it"):
        read_record(tmp_path)


def test_generic_readers_are_asked_last() -> None:
    from ecgzoo.recordings import _rank

    assert sorted(registry.names("reader"), key=_rank)[-1] == "csv"
