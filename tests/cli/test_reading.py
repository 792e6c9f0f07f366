"""The flags that commands share, and errors whose remedies are flags."""

import pickle
from argparse import ArgumentParser, Namespace
from pathlib import Path

import numpy as np
import pytest

from ecgzoo import MissingLeadError, SignalError
from ecgzoo.cli import app, reading


def parsed(*arguments: str) -> Namespace:
    parser = ArgumentParser()
    reading.add_arguments(parser)
    return parser.parse_args(arguments)


@pytest.fixture
def strip(tmp_path: Path) -> Path:
    path = tmp_path / "strip.csv"
    np.savetxt(path, np.arange(40).reshape(20, 2), delimiter=",", header="ECG,III", comments="")
    return path


def test_flags_say_what_a_file_does_not(strip: Path) -> None:
    record = reading.read(strip, parsed("--rate", "100", "--units", "uV"))
    assert (record.leads, record.rate_hz, record.signal[1, 0]) == (("ECG", "III"), 100, np.float32(0.001))
    given = parsed("--rate", "100", "--units", "uV", "--rename", "ECG=lead i", "--derive")
    assert reading.read(strip, given, ("aVF",)).leads == ("I", "III", "aVF")
    assert reading.read(strip, given).leads == ("I", "III", "II", "aVR", "aVL", "aVF")
    assert reading.read(strip, parsed("--rate", "100", "--units", "V", "--leads", "V1,V2")).leads == ("V1", "V2")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--units mV"),
        (["--units", "mV"], "--rate 500"),
        (["--units", "mV", "--rate", "100", "--leads", "I"], "--leads"),
        (["--units", "mV", "--rate", "100", "--rename", "X=I"], "no channel X to rename; it has ECG, III"),
        (
            ["--units", "mV", "--rate", "100", "--rename", "ECG=I", "--rename", "ECG=II"],
            "twice for the channel ECG; give one lead",
        ),
    ],
)
def test_what_is_missing_names_its_flag(strip: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(SignalError) as caught:
        reading.read(strip, parsed(*arguments))
    assert message in reading.said(caught.value)


@pytest.mark.parametrize("given", [("--rename", "ECG"), ("--rename", "ECG=X"), ("--rate", "fast")])
def test_flags_of_a_wrong_form(given: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parsed(*given)
    assert given[0] in capsys.readouterr().err


def test_a_missing_lead_has_remedies_of_the_command_line(strip: Path) -> None:
    record = reading.read(strip, parsed("--rate", "100", "--units", "uV"))
    with pytest.raises(MissingLeadError) as caught:
        record.select("I")
    again = pickle.loads(pickle.dumps(caught.value))  # from the process of a worker
    for error in (caught.value, again):
        said = reading.said(error)
        assert "no lead I; it has ECG, III." in said
        assert "--rename ECG=I" in said
        assert "--leads" in said
        assert "--derive" not in said  # III alone gives nothing
        assert "rename(" not in said
        assert "derive=True" not in said
        assert "record.rename({'ECG': 'I'})" in str(error)
    for lead, derivable in (("aVF", True), ("V1", False)):
        with pytest.raises(MissingLeadError) as caught:
            record.rename({"ECG": "I"}).select(lead)
        assert ("--derive" in reading.said(caught.value)) == derivable
        for text in (reading.said(caught.value), str(caught.value)):
            assert "rename" not in text  # I and III are no other lead
            assert "pretrained" in text
    assert reading.said(SignalError("a problem")) == "a problem"


def test_the_application_says_so(
    strip: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["ecgzoo", "predict", str(strip), "--model", "xresnet1d18", "--rate", "100", "--units", "uV"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as ended:
        app.main()
    assert ended.value.code == 2
    assert "--rename ECG=I" in capsys.readouterr().err
