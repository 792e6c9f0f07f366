"""The report: one page, whatever a file says."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

import ecgzoo
from ecgzoo.cli import plot, report
from ecgzoo.cli.app import make_parser
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import EcgZooError, WeightsError

HOSTILE = "</title><script>alert(1)</script>\"'<img src=x onerror=alert(1)>&lt;\n\x1b[31m\u202e"


@pytest.fixture(scope="module")
def heart() -> ecgzoo.Record:
    cohort = load_synthetic(num_records=1)
    return ecgzoo.Record(cohort.signals()[0].astype(np.float32) / 1000, cohort.leads, cohort.rate_hz, "a heart")


@pytest.fixture
def student() -> ecgzoo.EcgModel:
    return ecgzoo.load_pretrained("xresnet1d18.ptbxl_super_i")


def five_seconds(record: ecgzoo.Record) -> ecgzoo.Record:
    """A window of the student: quick to explain."""
    return replace(record, signal=record.signal[:, :500])


class Page(HTMLParser):
    """Tags, what their attributes are, and the text."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.source = path.read_text(encoding="utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def test_it_says_what_was_found_and_what_the_model_is(
    heart: ecgzoo.Record, student: ecgzoo.EcgModel, tmp_path: Path
) -> None:
    ecgzoo.write_report(heart, student, tmp_path / "x.html")
    page, said, config = Page(tmp_path / "x.html"), student.predict(heart), student.config
    for label, probability in zip(said.classes, said.probabilities, strict=True):
        assert f"{config.class_info[label]['name']} ({label})" in page.text
        assert f"{probability:.3f} {said.findings[label]}" in page.text
        assert f"left:{100 * config.thresholds[label]['upper']:.1f}%" in page.source
        assert f"width:{100 * probability:.1f}%" in page.source
    low, high = config.metrics["ci"]
    assert f"{config.metrics['macro_auc']:.3f} (95 % interval {low:.3f} to {high:.3f})" in page.text
    assert f"{config.metrics['records']} records of ptbxl" in page.text
    assert student.weights_source is not None
    assert student.weights_source.sha256 in page.text
    assert "changed since" not in page.text
    assert page.text.count("Research use only. Not a medical device.") == 2
    assert page.text.count("2.5 to 7.5 s") == 1  # its quality, window by window


def test_changed_weights_are_said_to_be_changed(heart: ecgzoo.Record, student: ecgzoo.EcgModel, tmp_path: Path) -> None:
    with torch.no_grad():
        student.get_classifier().bias[0] += 0.01
    ecgzoo.write_report(five_seconds(heart), student, tmp_path / "x.html")
    assert "changed sincethe weights are not those of this file" in Page(tmp_path / "x.html").text


def test_it_needs_nothing_else(heart: ecgzoo.Record, student: ecgzoo.EcgModel, tmp_path: Path) -> None:
    ecgzoo.write_report(five_seconds(heart), student, tmp_path / "x.html", explain="MI")
    page = Page(tmp_path / "x.html")
    assert not {"script", "link", "iframe", "object", "img", "form"} & set(page.tags)
    fetched = [v for name, v in page.attributes if name in ("src", "href", "xlink:href") and v]
    assert all(value.startswith(("#", "data:image/png")) for value in fetched)
    assert not re.search(r"@import|url\((?!#)", page.source)
    assert "default-src 'none'" in page.source
    assert "Orange speaks for MI" in page.text
    names = [value for name, value in page.attributes if name == "id"]
    assert len(names) == len(set(names))


def test_nothing_that_a_file_says_becomes_html(heart: ecgzoo.Record, student: ecgzoo.EcgModel, tmp_path: Path) -> None:
    ecgzoo.write_report(heart.select("I"), student, tmp_path / "sound.html")
    short = five_seconds(heart)
    signal = np.vstack([short.signal, short.signal[:1]])
    record = replace(short, signal=signal, leads=(*short.leads, HOSTILE), source=HOSTILE, notes=(HOSTILE,))
    config = student.config
    config = replace(
        config,
        classes=(HOSTILE, *config.classes[1:]),
        class_info={HOSTILE: {"name": HOSTILE}},
        thresholds={},
        task=HOSTILE,
        license=HOSTILE,
        intended_use=HOSTILE,
        calibrated_on=HOSTILE,
        training={"data": HOSTILE, "train_folds": HOSTILE},
        metrics={**config.metrics, "data": HOSTILE, "folds": [HOSTILE], "per_class": {HOSTILE: 0.5}},
    )
    student.config = config
    ecgzoo.write_report(record, student, tmp_path / "x.html", explain=HOSTILE)
    ecgzoo.write_report(replace(record.select("I"), source=HOSTILE), student, tmp_path / "one.html")
    for name in ("x", "one"):
        page = Page(tmp_path / f"{name}.html")
        assert set(page.tags) <= set(Page(tmp_path / "sound.html").tags) | {"li", "ul", "image"}
        assert not [key for key, _ in page.attributes if key.startswith("on")]
        assert not re.search("[\x1b\u202e]", page.source)
        assert page.text.count("<script>alert(1)</script>") >= 10


@pytest.mark.parametrize(
    "metrics", [{"macro_auc": 0.9}, {"ci": 3, "records": 1, "data": "x", "folds": [1]}, {"folds": None}]
)
def test_figures_of_a_wrong_form_are_one_line(
    metrics: dict[str, object], heart: ecgzoo.Record, student: ecgzoo.EcgModel, tmp_path: Path
) -> None:
    student.config = replace(student.config, metrics=metrics)
    with pytest.raises(WeightsError, match="cannot be shown"):
        ecgzoo.write_report(heart, student, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_an_unreadable_recording_and_a_model_without_figures(student: ecgzoo.EcgModel, tmp_path: Path) -> None:
    student.config = replace(student.config, metrics={}, training={}, thresholds={})
    flat = ecgzoo.Record(np.zeros((1, 60_000), np.float32), ("I",), 100, "flat")
    ecgzoo.write_report(flat, student, tmp_path / "x.html")
    page = Page(tmp_path / "x.html")
    assert "Unreadable." in page.text
    assert page.text.count("not recorded") == 2
    assert "200 of 239 windows" in page.text
    assert len(page.source) < 300_000


def test_windows_late_in_a_day_are_told_apart(student: ecgzoo.EcgModel, tmp_path: Path) -> None:
    flat = ecgzoo.Record(np.zeros((1, 1_300_000), np.float32), ("I",), 100, "flat")
    ecgzoo.write_report(flat, student, tmp_path / "x.html", start_s=12_990.5)
    page = Page(tmp_path / "x.html")
    assert "13000 s, of which\n12990.5 to 13000 s are shown" in page.text
    assert "497.5 to 502.5 s" in page.text
    assert "e+" not in page.text


def test_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str], heart: ecgzoo.Record) -> None:
    import wfdb

    wfdb.wrsamp(
        "rec", fs=100, units=["mV"] * 2, sig_name=["I", "II"], p_signal=heart.signal[:2, :500].T.astype(float),
        write_dir=str(tmp_path),
    )  # fmt: skip
    record, model = str(tmp_path / "rec"), "xresnet1d18.ptbxl_super_i"
    for words, run in (
        (["plot", record, "-o", str(tmp_path / "x.pdf"), "--model", model, "--explain", "MI"], plot.run),
        (["report", record, "-o", str(tmp_path / "x.html"), "--model", model], report.run),
    ):
        run(make_parser().parse_args(words))
        assert capsys.readouterr().out == f"{words[3]}\n"
        assert Path(words[3]).stat().st_size > 5000
    with pytest.raises(EcgZooError, match="expected a name"):
        plot.run(make_parser().parse_args(["plot", record, "-o", "x.gif"]))
