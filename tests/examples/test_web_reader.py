"""examples/web/read.js, run by node: what it reads and refuses of a text."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ecgzoo

READER = Path(__file__).parents[2] / "examples" / "web" / "read.js"
SCRIPT = """
import { readFileSync } from "node:fs";
const { csv, edf, wfdb } = await import(process.argv[1]);
try {
  const content = readFileSync(0);
  const buffer = new Uint8Array(content).buffer;
  const readers = { edf: () => edf(buffer), wfdb: () => wfdb(process.argv[3], "r.dat", buffer) };
  const { rate, channels } = (readers[process.argv[2]] ?? (() => csv(content.toString())))();
  const said = { units: ({ name, unit }) => `${name} in ${unit}`, samples: ({ samples }) => samples.join(" ") };
  const names = channels.map(said[process.argv[2]] ?? (({ name }) => name));
  console.log(JSON.stringify({ rate, names }));
} catch (error) {
  console.log(JSON.stringify({ error: error.message }));
}
"""


def read(content: str | bytes, units: bool = False, samples: bool = False, header: str = "") -> dict[str, Any]:
    """What the page's reader gives for a text, or for the bytes of an EDF file, or of a WFDB record with a `header`.

    Names come with `units`, or are `samples`.
    """
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed")
    kind = "wfdb" if header else "edf" if isinstance(content, bytes) else ""
    kind = kind or ("units" if units else "samples" if samples else "csv")
    command = [node, "--input-type=module", "-e", SCRIPT, READER.as_uri(), kind, header]
    said = content.encode() if isinstance(content, str) else content
    done = subprocess.run(command, input=said, capture_output=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def timed(times: list[float], header: str = "time (s),I (mV)", digits: int = 6) -> str:
    return header + "\n" + "".join(f"{time:.{digits}f},{time % 1:.3f}\n" for time in times)


@pytest.mark.parametrize(("rate", "digits"), [(250, 6), (360, 3), (512, 3), (100, 2)])
def test_even_times_give_the_rate(rate: int, digits: int) -> None:
    text = timed([k / rate for k in range(10 * rate)], digits=digits)
    assert read(text) == {"rate": rate, "names": ["I"]}


def test_a_change_of_rate_is_refused() -> None:
    times = [k / 250 for k in range(1250)] + [5 + k / 180 for k in range(900)]
    assert read(timed(times)) == {"error": "the rate changes at line 1252; cut the file there and read the parts"}


LOST = [*range(400), *range(700, 1000)]


def counted(header: str, counts: list[int]) -> str:
    return header + "\n" + "".join(f"{count},{count % 7}\n" for count in counts)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            counted("timestamp,I (mV)", [10 * k for k in LOST]),
            "column timestamp does not say its unit; name it time (s)",
        ),
        (counted("t,I (mV)", LOST), "column t does not say its unit"),
        (counted("timestamp (ms),I (mV)", [10 * k for k in LOST]), "the time in line 402 does not fit"),
        (counted("timestamp_ms,I (mV)", [10 * k for k in LOST]), "the time in line 402 does not fit"),
        (counted("clock (ms),I (mV)", [10 * k for k in LOST]), "the time in line 402 does not fit"),
        (counted("sample,I (mV)", LOST), "column sample goes from 399 to 700 in line 402; samples are missing"),
        (counted("# sample,I (mV)", LOST), "column sample goes from 399 to 700 in line 402; samples are missing"),
        (counted("Zeit,I (mV)", [10 * k for k in LOST]), "column Zeit does not say its unit; name it time (s)"),
        (counted("index,I (mV)", [5, 3, 9, 0]), "column index goes from 5 to 3 in line 3"),
    ],
)
def test_times_and_counts_that_do_not_fit_are_refused(text: str, message: str) -> None:
    assert message in read(text)["error"]


@pytest.mark.parametrize(
    ("header", "step", "rate"),
    [
        ("timestamp (ms),I (mV)", 4, 250),
        ("timestamp_ms,I (mV)", 4, 250),
        ("Elapsed time [ms],I (mV)", 4, 250),
        ("t (us),I (mV)", 4000, 250),
        ("t_ms,I (mV)", 4, 250),
        ("clock (ns),I (mV)", 4_000_000, 250),
        ("ms,I (mV)", 4, 250),
        ("sample,I (mV)", 1, None),
        ("#,I (mV)", 1, None),
        ("# t_ms,I (mV)", 4, 250),
        ("# sample,I (mV)", 1, None),
        ("Zeit (ms),I (mV)", 4, 250),
    ],
)
def test_times_and_counts_that_fit_are_no_channels(header: str, step: int, rate: int | None) -> None:
    assert read(counted(header, [step * k for k in range(1000)])) == {"rate": rate, "names": ["I"]}


@pytest.mark.parametrize("step", [1.0, 0.5])  # 999, 1,000, 1,001; 999.5, 1,000
def test_commas_that_may_separate_thousands_are_refused(step: float) -> None:
    text = "sample;I (uV)\n" + "".join(f"{at};{990 + step * at:,g}\n" for at in range(21))
    assert "may separate thousands, as in 1,234" in read(text)["error"]


def test_decimal_commas_are_read() -> None:
    text = "time (s);I (mV)\n" + "".join(f"{at / 100:.2f};{at % 7 / 8:.3f}\n".replace(".", ",") for at in range(500))
    assert read(text) == {"rate": 100, "names": ["I"]}


@pytest.mark.parametrize("step", [1, 0.008])
def test_counts_and_times_that_are_named_like_a_lead_are_refused(step: float) -> None:
    rows = [f"{step * k:.3f}  0.1  {k % 7}  72" for k in range(200)]
    found = read("\n".join(["     I     II  Heart rate", *rows]))
    assert found == {"error": "what is named I rises with every sample, as times do; name each column"}


def test_a_lead_may_rise_beside_times() -> None:
    rows = "".join(f"{at / 100},{at / 1000}\n" for at in range(200))
    assert read("time (s),I (mV)\n" + rows) == {"rate": 100, "names": ["I"]}


def test_decimal_commas_between_blanks_are_read_from_the_first_row_on() -> None:
    rows = [f"{at / 100:.2f} {at % 7 / 8:.3f}".replace(".", ",") for at in range(500)]
    rows[300] = "3,00 nan"  # a row without a comma between two columns
    assert read("\n".join(["t (s) I (mV)", *rows])) == {"rate": 100, "names": ["I"]}


def test_what_is_named_like_times_or_counts_and_is_neither() -> None:
    rows = "".join(f"{800 + row % 7},{row % 5},{row % 3},{row / 100}\n" for row in range(500))
    assert read("RR (ms),samples,II,time_s\n" + rows) == {"rate": 100, "names": ["RR", "samples", "II"]}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("RESP", "ECG"), {"rate": 100, "names": ["ECG"]}),
        (("ECG II", "Other"), {"rate": 25, "names": ["ECG II"]}),
        (("RESP", "Other"), {"error": "has ECGs of several rates: RESP and Other; export one of them"}),
        (("ECG I", "ECG II"), {"error": "has ECGs of several rates: ECG I and ECG II; export one of them"}),
    ],
)
def test_a_voltage_before_the_ecg_does_not_take_its_place(
    tmp_path: Path, names: tuple[str, str], expected: dict[str, object]
) -> None:
    edfio = pytest.importorskip("edfio")
    signals = [
        edfio.EdfSignal(np.sin(np.arange(10 * rate) / 9), rate, label=name, physical_dimension="mV")
        for name, rate in zip(names, (25, 100), strict=True)
    ]
    edfio.Edf(signals).write(tmp_path / "strip.edf")
    assert read((tmp_path / "strip.edf").read_bytes()) == expected


@pytest.mark.parametrize(
    ("header", "row", "names"),
    [
        ("'Elapsed time','MLII','V5'\n'seconds','mV','mV'", "{:.3f},0.1,-0.2", ["MLII in mV", "V5 in mV"]),
        ("time\tI\ns\tuV", "{:.3f}\t100", ["I in uV"]),
        ("recorded at rest\ntime (s),I (mV)", "{:.3f},0.1", ["I in mV"]),
    ],
)
def test_units_in_a_line_of_their_own_belong_to_the_names_above_them(header: str, row: str, names: list[str]) -> None:
    text = "\n".join([header, *(row.format(at / 250) for at in range(500))])
    assert read(text, units=True) == {"rate": 250, "names": names}


def strip(folder: Path, unit: str, label: str = "ECG I") -> bytearray:
    """An EDF file of ten seconds, with a lead in `unit` and another voltage."""
    edfio = pytest.importorskip("edfio")
    time = np.arange(2500) / 250
    signals = [
        edfio.EdfSignal(np.sin(7 * time), 250, label=label, physical_dimension=unit),
        edfio.EdfSignal(np.cos(5 * time), 250, label="EMG", physical_dimension="uV"),
    ]
    edfio.Edf(signals).write(folder / "strip.edf")
    return bytearray((folder / "strip.edf").read_bytes())


def test_edf_longer_than_its_header_says_is_refused(tmp_path: Path) -> None:
    content = strip(tmp_path, "mV")
    assert read(bytes(content)) == {"rate": 250, "names": ["ECG I", "EMG"]}
    content[236:244] = b"4       "  # of ten data records
    assert "is shorter or longer than its header says" in read(bytes(content))["error"]


@pytest.mark.parametrize(("label", "unit"), [("ECG I", ""), ("II", "count"), ("ECG", "")])
def test_an_edf_lead_without_a_voltage_is_refused(tmp_path: Path, label: str, unit: str) -> None:
    expected = {"error": f'has {label} in the unit "{unit}", which is not a voltage'}
    assert read(bytes(strip(tmp_path, unit, label))) == expected


def test_edf_channels_that_are_no_ecg_are_left_out(tmp_path: Path) -> None:
    assert read(bytes(strip(tmp_path, "bpm", "ECG HR"))) == {"rate": 250, "names": ["EMG"]}


def test_an_edf_lead_whose_digital_range_is_turned_round_is_refused(tmp_path: Path) -> None:
    content = strip(tmp_path, "mV")
    lowest = 256 + 2 * (16 + 80 + 8 + 8 + 8)
    content[lowest : lowest + 8], content[lowest + 16 : lowest + 24] = b"32767   ", b"-32768  "
    assert read(bytes(content)) == {"error": "gives no range for ECG I"}


def test_edf_with_a_gap_that_its_header_denies_is_refused(tmp_path: Path) -> None:
    edfio = pytest.importorskip("edfio")
    signal = edfio.EdfSignal(np.sin(np.arange(1000)), 100, label="I", physical_dimension="mV")
    note = edfio.EdfAnnotation(0, None, "x")
    content = edfio.Edf([signal], annotations=[note], data_record_duration=1).to_bytes()
    assert read(content) == {"rate": 100, "names": ["I"]}
    gap = content.replace(b"+5\x14", b"+7\x14", 1)
    assert read(gap) == {"error": "has a gap: a data record begins at 7 s, expected 5 s"}


@pytest.mark.parametrize(
    "text", ["0\n1.5\n-0.25\n", '"0"\n1.5\nnan\n', "0\n1.5\n1\n", "0\n0\n1.5\n", "0.0\n1.5\n", "0\n"]
)
def test_a_0_above_decimals_is_no_sample_as_in_python(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    expected = ecgzoo.read_record(tmp_path / "x.csv", leads="I", units="mV", rate_hz=100).signal[0]
    (found,) = read(text, samples=True)["names"]
    np.testing.assert_array_equal(np.array(found.split(), np.float32), expected)


ONE = "".join(f"{n * 37 % 23 / 8:.3f}\n" for n in range(300))
TWO = "".join(f"{n / 500:.3f},{n * 37 % 23 / 8:.3f}\n" for n in range(300))
APPLE = """Name,X
Recorded Date,2026-05-30 16:32:18 -0700
Device,"Watch7,12"
Sample Rate,512 hertz


Lead,Lead I
Unit,µV

"""
GERMAN = APPLE.replace("Sample Rate,512 hertz", "Messrate,511,562 Hertz").replace("Unit", "Einheit")
GERMAN = GERMAN.replace("Lead,Lead I", "Ableitung,Ableitung I")


@pytest.mark.parametrize(
    "text",
    [
        "Sampling rate: 1000 Hz\nUnit: uV\nII\n" + ONE,
        "II (uV)\n# Sample Frequency (Hz);0.5 kHz\n" + ONE,
        "fs,500\nUnits [uV]\nII\n" + ONE,
        "Unit,µV\ntime (s),II\n" + TWO,
        "Sampling rate: 500 Hz\nII (uV)\n\n" + ONE,
        "Sampling rate: 500 Hz\nII (uV)\n#\n" + ONE,
        'Sampling rate: 500 Hz\nII (uV)\n""\n' + ONE,
        'Sampling rate: 500 Hz\n"II (uV)"\n' + ONE,
        "t-s,II (uV)\n" + TWO,
        "unix s,II (uV)\n" + TWO,
        "time,II\n(s),(uV)\n" + TWO,
        "time,II,RESP\ns,uV,ohm\n" + TWO.replace("\n", ",5.5\n"),
        "time_s,II_uV\n" + TWO,
        "time_s,II uV\n" + TWO,
        "time_s,II/microvolts\n" + TWO,
        "time (s);II (uV);\n" + TWO.replace(",", ";").replace("\n", ";\n"),
        "fs: 500\n,II (uV)\n" + "".join(f"{n},{row}\n" for n, row in enumerate(ONE.split())),
        "fs: 500\r\r\nII (uV)\r\r\n" + ONE.replace("\n", "\r\r\n"),
        APPLE + ONE,
        GERMAN + ONE.replace(".", ","),
        GERMAN.replace("µV", "мкВ") + ONE.replace(".", ","),
    ],
)
def test_what_a_text_says_is_not_asked_for_as_in_python(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(text.encode())
    expected = ecgzoo.read_record(tmp_path / "x.csv")
    found = read(text, units=True)
    name, unit = found["names"][0].split(" in ")
    assert (found["rate"], name) == (expected.rate_hz, expected.leads[0])
    assert unit in ("uV", "µV", "мкВ", "microvolts")
    samples = read(text, samples=True)["names"][0].replace("NaN", "nan").split()
    np.testing.assert_allclose(np.array(samples, np.float64) / 1000, expected.signal[0], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Sampling rate: 1000 Hz\ntime (s),I (mV)\n" + TWO, "says 1000 Hz above the numbers, and its times tell"),
        ("Unit: uV\ntime (s),I (mV)\n" + TWO, "says uV above the numbers, and column I says mV; correct one"),
        ("time (s),I (mV)\n,\n" + TWO, "the time in line 3 does not fit"),
        ("time (s),I (mV)\n0.000,null\n" + TWO, 'has the line "0.000,null" above its numbers'),
        ("elapsed,I (mV)\n" + "0.0,1\n" * 200, "column elapsed does not say its unit"),
        ("I (mV)\nN/A\n" + ONE, 'has the line "N/A" above its numbers'),
        ("0\n" + ONE.replace(".", ","), "has decimal commas, or two numbers in a line; name its columns"),
        ("\n".join(str(n / 100) for n in range(200)), "its column rises with every sample, as times do"),
        ("time (s),ECG (count),RESP (mV)\n" + TWO.replace("\n", ",1\n"), 'has ECG in the unit "count"'),
    ],
)
def test_a_text_that_contradicts_itself_is_refused_as_in_python(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text(text)
    for leads in (None, "I"):
        with pytest.raises(ecgzoo.SignalError):
            ecgzoo.read_record(tmp_path / "x.csv", leads=leads, rate_hz=500 if leads else None)
    assert message in read(text)["error"]


@pytest.mark.parametrize("value", [b"", b"0x10"])
@pytest.mark.parametrize("field", [8, 8 + 8, 8 + 16, 8 + 24])  # physical and digital ends, behind the unit
def test_an_edf_range_that_is_no_number_is_refused(tmp_path: Path, value: bytes, field: int) -> None:
    content = strip(tmp_path, "mV")
    at = 256 + 2 * (16 + 80 + field)
    content[at : at + 8] = value.ljust(8)
    assert read(bytes(content)) == {"error": "gives no range for ECG I"}


def test_edf_fields_may_end_with_zeros_and_an_ecg_is_not_lost(tmp_path: Path) -> None:
    content = strip(tmp_path, "uV")
    content[256 + 5 : 256 + 7] = content[256 + 2 * 96 + 2 : 256 + 2 * 96 + 4] = b"\0\0"
    assert read(bytes(content)) == {"rate": 250, "names": ["ECG I", "EMG"]}
    found = read(bytes(strip(tmp_path, "count", "ECG")))
    assert found == {"error": 'has ECG in the unit "count", which is not a voltage'}


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("r 1 1000e-1 300\nr.dat 16 -2e2(+10)/mV 16 0 0 0 0 I\n # comment\n", {"rate": 100, "names": ["I"]}),
        ("r 1 500.0.0 300\nr.dat 16 200 16 0 0 0 0 I\n", "is not the header of a WFDB record with a rate"),
        ("r 1 500Hz 300\nr.dat 16 200 16 0 0 0 0 I\n", "is not the header of a WFDB record with a rate"),
        ("r 7 500\n" + 7 * "r.dat 16 200 16 0 0 0 0 ECG\n", "r.dat ends within their samples"),
        ("r 1 500 300\nr.dat 16 0.0000001/uV 16 0 0 0 0 I\n", "steps per mV for I; expected 0.001 to 1e12"),
        ("r 1 500 300\nr.dat 16 200 16 0 0 x 0 I\n", "expected format 16, with gain and checksum"),
        (
            "r 2 500 150\nr.dat 16 200/NU 16 0 0 0 0 ECG\nr.dat 16 200/mV 16 0 0 0 0 RESP\n",
            'has ECG in the unit "NU", which is not a voltage',
        ),
    ],
)
def test_wfdb_headers_are_read_and_refused_as_in_python(header: str, expected: object, tmp_path: Path) -> None:
    content = np.arange(300, dtype="<i2").tobytes()
    (tmp_path / "r.hea").write_text(header)
    (tmp_path / "r.dat").write_bytes(content)
    found = read(content, header=header)
    if isinstance(expected, str):
        assert expected in found["error"]
        with pytest.raises(ecgzoo.SignalError):
            ecgzoo.read_record(tmp_path / "r")
    else:
        assert found == expected
        assert ecgzoo.read_record(tmp_path / "r").rate_hz == found["rate"]
