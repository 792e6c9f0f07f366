"""Paper in its true size, whatever the recording holds."""

import re
import sys
import xml.etree.ElementTree as ET
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import ecgzoo
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import EcgZooError, SignalError, WeightsError
from ecgzoo.show.paper import SHEET_MM
from ecgzoo.show.reading import look

POINTS_A_MM = 72 / 25.4
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def heart() -> ecgzoo.Record:
    cohort = load_synthetic(num_records=1)
    return ecgzoo.Record(cohort.signals()[0].astype(np.float32) / 1000, cohort.leads, cohort.rate_hz, "a heart")


@pytest.fixture(scope="module")
def student() -> ecgzoo.EcgModel:
    return ecgzoo.load_pretrained("xresnet1d18.ptbxl_super_i")


def of_lead(record: ecgzoo.Record, seconds: int, lead: str = "I") -> ecgzoo.Record:
    one = record.select(lead)
    return replace(one, signal=np.tile(one.signal, -(-seconds // 10))[:, : seconds * 100])


def drawn(path: Path, gid: str) -> np.ndarray:
    """Corners, in points, of the path of an element of an SVG."""
    (element,) = [g for g in ET.parse(path).iter(f"{SVG}g") if g.get("id") == gid]
    outline = element.find(f"{SVG}path")
    assert outline is not None
    return np.array(re.findall(r"[ML] (\S+) (\S+)", outline.get("d", "")), float)


def steps(values: np.ndarray) -> np.ndarray:
    places = np.unique(values.round(3))
    return np.diff(places)[np.diff(places) > 0.01]


def test_svg_is_in_true_size(heart: ecgzoo.Record, tmp_path: Path) -> None:
    heart.plot(tmp_path / "x.svg")
    root = ET.parse(tmp_path / "x.svg").getroot()
    assert float(root.get("width", "").removesuffix("pt")) == pytest.approx(SHEET_MM * POINTS_A_MM)
    for gid, mm in (("grid-1mm", 1), ("grid-5mm", 5)):
        for axis in (0, 1):
            assert steps(drawn(tmp_path / "x.svg", gid)[:, axis]) == pytest.approx(mm * POINTS_A_MM, rel=1e-3)
    pulse = np.ptp(drawn(tmp_path / "x.svg", "pulse-0")[1:5], axis=0)
    assert pulse == pytest.approx([5 * POINTS_A_MM, 10 * POINTS_A_MM], rel=1e-3)  # 0.2 s, 1 mV


def test_pdf_is_in_true_size(heart: ecgzoo.Record, tmp_path: Path) -> None:
    heart.plot(tmp_path / "x.pdf")
    content = (tmp_path / "x.pdf").read_bytes()
    (box,) = re.findall(rb"/MediaBox \[ 0 0 (\S+) (\S+) \]", content)
    assert float(box[0]) == pytest.approx(SHEET_MM * POINTS_A_MM)
    streams = [
        zlib.decompress(s) for s in re.findall(rb"/FlateDecode.*?stream\r?\n(.*?)\r?\nendstream", content, re.S)[:1]
    ]
    corners = re.findall(rb"(\S+) (\S+) m\n(\S+) (\S+) l\n", streams[0])
    upright = np.array([float(x) for x, _, again, _ in corners if x == again])
    apart = np.diff(upright)
    fine, coarse = np.argmax(apart < 0) + 1, 270 + 1
    assert fine == coarse  # first the line of each millimetre, then those of each five
    assert apart[: fine - 1] == pytest.approx(POINTS_A_MM, rel=1e-3)
    assert apart[fine : fine + 54] == pytest.approx(5 * POINTS_A_MM, rel=1e-3)


def test_a_millivolt_and_a_second_have_their_length(tmp_path: Path) -> None:
    signal = np.zeros((1, 1000), np.float32)
    signal[0, 200], signal[0, 700] = 0.7, -0.3  # impulses 5 s apart
    figure = ecgzoo.Record(signal, ("I",), 100, "impulses").plot()
    trace = max(figure.axes[0].lines, key=lambda line: len(line.get_xdata()))
    x, y = np.asarray(trace.get_xdata()), np.asarray(trace.get_ydata())
    assert np.ptp(y) == pytest.approx(10.0)
    assert x[y.argmin()] - x[y.argmax()] == pytest.approx(125.0)


def test_the_same_picture_is_the_same_file(heart: ecgzoo.Record, tmp_path: Path) -> None:
    for kind in ("svg", "pdf", "png"):
        for name in "ab":
            heart.select("I").plot(tmp_path / f"{name}.{kind}")
        assert (tmp_path / f"a.{kind}").read_bytes() == (tmp_path / f"b.{kind}").read_bytes()


def texts(figure: object) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]  # type: ignore[attr-defined]


def test_layout_of_twelve_leads_and_of_few(heart: ecgzoo.Record) -> None:
    rows = "I aVR V1 V4 II aVL V2 V5 III aVF V3 V6 II"
    assert [t for t in texts(heart.plot()) if t in ecgzoo.LEADS_12] == rows.split()
    assert [t for t in texts(heart.select("II,V2").plot()) if t in ecgzoo.LEADS_12] == ["II", "V2"]
    minute = of_lead(heart, 65)
    shown = texts(minute.plot())
    assert shown.count("I") == 6
    assert "100 Hz  ·  0 to 60 s of 65 s" in shown
    assert texts(minute.plot(start_s=60)).count("I") == 1
    extra = replace(heart, signal=np.vstack([heart.signal, heart.signal[:1]]), leads=(*heart.leads, "resp"))
    assert any("not drawn: resp" in text for text in texts(extra.plot()))


def test_times_late_in_a_day_are_told_apart(heart: ecgzoo.Record) -> None:
    shown = texts(of_lead(heart, 40_000).plot(start_s=39_990.25))
    assert "100 Hz  ·  39990.25 to 40000 s of 40000 s" in shown
    assert "39990.25 s" in shown
    with pytest.raises(SignalError, match="it lasts 40000 s"):
        of_lead(heart, 40_000).plot(start_s=40_000)


def test_of_many_channels_the_lead_that_the_model_reads_is_drawn(
    heart: ecgzoo.Record, student: ecgzoo.EcgModel
) -> None:
    others = tuple(f"channel {number}" for number in range(13))
    signal = np.vstack([np.repeat(heart.select("II").signal, 13, axis=0), heart.select("I").signal])
    many = replace(heart, signal=signal, leads=(*others, "I"))
    assert not [text for text in texts(many.plot()) if text == "I"]
    shown = texts(many.plot(model=student))
    assert [text for text in shown if text in many.leads] == [*others[:11], "I"]
    assert any("not drawn: channel 11, channel 12" in text for text in shown)


@pytest.mark.parametrize(("rate_hz", "start_s"), [(100, 9.996), (500, 9.998)])
def test_a_stretch_shorter_than_a_sample_has_no_shades(
    heart: ecgzoo.Record, student: ecgzoo.EcgModel, rate_hz: int, start_s: float
) -> None:
    pytest.importorskip("captum")
    figure = heart.select("I").resample(rate_hz).plot(model=student, explain="MI", start_s=start_s)
    assert not figure.axes[0].images


def test_what_a_model_says_stands_below(heart: ecgzoo.Record, student: ecgzoo.EcgModel) -> None:
    prediction, shown = student.predict(heart), texts(heart.plot(model=student))
    for label, probability in zip(prediction.classes, prediction.probabilities, strict=True):
        assert f"{probability:.3f} {prediction.findings[label]}" in shown
    assert shown.count("I") == 2  # the model's lead in full as well
    assert any(text.startswith(f"Signal quality {prediction.quality:.2f}") for text in shown)


def test_left_out_windows_are_those_that_no_usable_window_covers(
    heart: ecgzoo.Record, student: ecgzoo.EcgModel
) -> None:
    record = of_lead(heart, 60)
    record.signal[0, 2000:3000] = 0.1
    reading = look(record, student)
    (stretch,) = reading.left_out_s()
    read = np.zeros(6000, bool)
    for start in reading.quality.starts_s[reading.quality.usable]:
        read[round(start * 100) : round((start + reading.window_s) * 100)] = True
    assert stretch == pytest.approx((np.flatnonzero(~read)[0] / 100, (np.flatnonzero(~read)[-1] + 1) / 100))
    grey = [patch for patch in record.plot(model=student).axes[0].patches if patch.get_alpha() == 0.25]
    assert sum(patch.get_width() for patch in grey) == pytest.approx(25 * (stretch[1] - stretch[0]))
    assert not of_lead(heart, 10).plot(model=student).findobj(lambda artist: artist.get_alpha() == 0.25)


@pytest.mark.parametrize("values", [0.3, np.nan, 400.0])
def test_whatever_the_samples_are(values: float, student: ecgzoo.EcgModel, tmp_path: Path) -> None:
    signal = np.full((1, 1000), values, np.float32)
    signal[0, ::100] *= -1
    record = ecgzoo.Record(signal, ("I",), 100, "odd")
    shown = texts(record.plot(tmp_path / "x.png"))
    assert any(text.startswith("Unreadable: ") for text in shown)
    assert any("cut: up to 800 mV" in text for text in shown) == (values == 400)
    height_mm = record.plot().get_size_inches()[1] * 25.4
    assert height_mm < 150  # a trace that is too high is cut, and the sheet does not grow with it


def test_missing_samples_are_a_gap(heart: ecgzoo.Record) -> None:
    record = of_lead(heart, 10)
    record.signal[0, 300:400] = np.nan
    (hatched,) = [patch for patch in record.plot().axes[0].patches if patch.get_hatch()]
    assert hatched.get_width() == pytest.approx(25)
    assert hatched.get_x() == pytest.approx(13.5 + 15 + 75)


@pytest.mark.parametrize("source", [r"$\frac{1$", "a\nb\x1b[31m", "心电图" * 100, "x" * 5000, "<b>&amp;"])
def test_names_are_shown_as_they_are(heart: ecgzoo.Record, source: str, tmp_path: Path, recwarn: object) -> None:
    hostile = replace(heart.select("I"), source=source, notes=(source,), leads=(source,))
    for kind in ("svg", "png"):
        hostile.plot(tmp_path / f"x.{kind}")
    ET.parse(tmp_path / "x.svg")
    assert not list(recwarn)  # type: ignore[call-overload]


def test_errors_say_what_to_do(heart: ecgzoo.Record, tmp_path: Path) -> None:
    with pytest.raises(EcgZooError, match=r"expected a name that ends with \.png, \.svg, \.pdf"):
        heart.plot(tmp_path / "x.jpg")
    with pytest.raises(SignalError, match="expected a start from 0"):
        heart.plot(start_s=10)
    with pytest.raises(EcgZooError, match="give a model too"):
        heart.plot(explain="MI")
    with pytest.raises(WeightsError, match="'xresnet1d18', expected an EcgModel; load it"):
        heart.plot(model="xresnet1d18")  # type: ignore[arg-type]


def test_no_pyplot(heart: ecgzoo.Record) -> None:
    heart.plot()
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
