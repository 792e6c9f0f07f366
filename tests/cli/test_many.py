"""``ecgzoo plot`` and ``ecgzoo report`` on many recordings: an output for each, and a line for each that fails."""

import sys
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgzoo.cli import app, many
from ecgzoo.errors import WriteError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two recordings of five seconds, one that is broken, and a text."""
    (tmp_path / "in" / "b").mkdir(parents=True)
    signal = np.random.default_rng(0).normal(0, 0.2, (500, 1))
    for name in ("a", "b/c"):
        path = tmp_path / "in" / name
        wfdb.wrsamp(path.name, fs=100, units=["mV"], sig_name=["I"], p_signal=signal, write_dir=str(path.parent))
    (tmp_path / "in" / "broken.hea").write_text("nothing")
    (tmp_path / "in" / "notes.txt").write_text("no recording\n")
    return tmp_path / "in"


def command(monkeypatch: pytest.MonkeyPatch, *words: object) -> int:
    monkeypatch.setattr(sys, "argv", ["ecgzoo", *map(str, words)])
    try:
        app.main()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_a_folder_becomes_a_folder_of_pictures(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert command(monkeypatch, "plot", folder, "-o", out, "--format", "svg") == many.SOME_FAILED
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*.*")) == ["a.svg", "b/c.svg"]
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(out / "a.svg"), str(out / "b" / "c.svg")]
    assert "broken.hea: is not a WFDB header" in said.err
    assert "3 recordings, 1 failed" in said.err

    report = ("report", "--model", "xresnet1d18.ptbxl_super_i", f"{folder}/*.hea", folder / "nowhere", "-o", out)
    assert command(monkeypatch, *report) == many.SOME_FAILED
    assert (out / "a.html").read_text().startswith("<!DOCTYPE html>")
    assert "3 recordings, 2 failed" in capsys.readouterr().err


def test_one_recording_is_one_file_or_one_in_a_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(monkeypatch, "plot", folder / "a", "-o", tmp_path / "x.svg") == 0
    assert command(monkeypatch, "plot", folder / "a.hea", "-o", tmp_path, "--format", "svg") == 0
    assert (tmp_path / "x.svg").read_bytes() != b""
    assert (tmp_path / "a.svg").exists()
    for words, reason in (
        (("plot", folder, "-o", tmp_path / "y.png"), "many recordings need a folder"),
        (("plot", folder / "a", "-o", tmp_path / "y.png", "--format", "svg"), "one picture is what its name says"),
        (("plot", folder / "a", "-o", tmp_path / "y.txt"), "expected a name that ends with .png, .svg, .pdf"),
        (("plot", folder / "broken", "-o", tmp_path / "y.png"), "is not a WFDB header"),
    ):
        assert command(monkeypatch, *words) == 2
        assert reason in capsys.readouterr().err
    assert not (tmp_path / "y.png").exists()


def test_a_recording_is_never_overwritten(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "time_s,I (mV)\n" + "".join(f"{n / 100},{n % 9 / 10}\n" for n in range(600))
    for name in ("x.csv", "x.png", "x.html", "b/x.png", "b/x"):
        (folder / name).write_text(text)
    report = ("report", "--model", "xresnet1d18.ptbxl_super_i")
    for words, reason in (
        ((*report, folder / "x.csv", "-o", folder / "x.csv"), "is a recording to read"),
        ((*report, folder / "x.csv", "-o", folder / "y.png"), "expected a name that ends with .html, .htm"),
        ((*report, folder / "x.html", "-o", folder / "b" / ".." / "x.html"), "is a recording to read"),
        (("plot", folder / "x.png", "-o", folder / "x.png"), "is a recording to read"),
    ):
        assert command(monkeypatch, *words) == 2
        assert reason in capsys.readouterr().err
    words = ("plot", folder / "b" / "x", folder / "b" / "x.png", "-o", folder / "b")
    assert command(monkeypatch, *words) == many.SOME_FAILED
    assert "x.png: is a recording to read" in capsys.readouterr().err
    assert (folder / "b" / "x.png.png").exists()
    assert {(folder / name).read_text() for name in ("x.csv", "x.png", "x.html", "b/x.png", "b/x")} == {text}
    assert not (folder / "y.png").exists()


def test_a_full_disk_ends_the_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: object, path: Path, **_: object) -> None:
        raise WriteError(28, "No space left on device", str(path))

    monkeypatch.setattr("ecgzoo.signal.Record.plot", full)
    assert command(monkeypatch, "plot", folder, "-o", tmp_path / "out") == 2
