"""The command line, as a user types it."""

import contextlib
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb

import ecgzoo
from ecgzoo import Network, Recipe, Run
from ecgzoo.cli.app import main
from ecgzoo.cli.predict import UNREADABLE
from ecgzoo.errors import EcgZooWarning
from ecgzoo.plugins import KINDS

Command = Callable[..., str]


@pytest.fixture
def ecgzoo_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs ``ecgzoo …`` in this process; gives its output, or its errors where another exit status is expected."""

    def call(*arguments: str, status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["ecgzoo", *arguments])
        capsys.readouterr()  # of what came before
        ended: object = 0
        try:
            main()
        except SystemExit as end:
            ended = end.code or 0
        said = capsys.readouterr()
        assert ended == status, said
        return said.out if status in (0, UNREADABLE) else said.err

    return call


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("trained") / "run"


@pytest.fixture
def student(tiny: str, output: Path) -> Path:
    """A student trained for one epoch, once."""
    if not output.exists():
        run = Run(Recipe(data="tiny", epochs=1, output=str(output)))
        run.report({"baseline": run.train("baseline", Network("xresnet1d18", ("I",)))})
    return output / "baseline"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    time = np.arange(2500) / 250 % 0.8
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    beats = sum(size * np.exp(-(((time - at) / width) ** 2)) for size, at, width in waves)
    noise = np.random.default_rng(0).normal(0, 0.3, (2500, 2))
    write("noise", noise, tmp_path)
    return write("rec", beats[:, None] + noise / 15, tmp_path)


def write(name: str, signal: np.ndarray, folder: Path) -> Path:
    wfdb.wrsamp(name, fs=250, units=["mV"] * 2, sig_name=["MLII", "I"], p_signal=signal, write_dir=str(folder))
    return folder / name


def test_list_shows_what_there_is_and_from_where(ecgzoo_command: Command) -> None:
    out = ecgzoo_command("list", "*18")
    assert "xresnet1d18" in out
    assert "resnet1d18" in out
    assert "inception1d" not in out
    assert "mkd" in ecgzoo_command("list", "--kind", "loss")
    assert "Unknown kind" in ecgzoo_command("list", "--kind", "los", status=2)


def test_list_cuts_no_name(ecgzoo_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = ecgzoo_command("list", "--pretrained")
    assert all(f" {name} " in out for name in ecgzoo.list_pretrained())
    monkeypatch.setenv("COLUMNS", "40")
    rows = [line.split("│")[2].strip() for line in ecgzoo_command("list", "--pretrained").splitlines() if "│" in line]
    assert all(name in "".join(rows) for name in ecgzoo.list_pretrained())


def test_list_says_every_kind_that_it_lists(ecgzoo_command: Command) -> None:
    described = ecgzoo_command("list", "--help").partition("positional")[0].replace("data sets", "datasets")
    assert all(kind in described for kind in KINDS)


def test_plugins_shows_a_family_as_one_entry(ecgzoo_command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "1000")  # no entry is folded
    out = ecgzoo_command("plugins")
    assert f"timm/* ({len(ecgzoo.list_models('timm/*'))} names)" in out
    assert "timm/resnet" not in out


def test_a_recipe_names_its_command_and_the_flag_that_was_meant(ecgzoo_command: Command) -> None:
    assert ecgzoo_command("recipe", "mvkt", "--help").startswith("usage: ecgzoo recipe mvkt [--flag value ...]")
    for typo in (("--epoch", "3"), ("--epoch=3",)):
        said = ecgzoo_command("recipe", "mvkt", *typo, status=2)
        unknown = " ".join(typo)
        assert f"ecgzoo recipe mvkt: error: unrecognized arguments: {unknown}. Did you mean --epochs" in said
    assert "unrecognized arguments: 3. A value follows a --flag" in ecgzoo_command("recipe", "mvkt", "3", status=2)


def test_info_of_a_backbone_and_of_a_folder(ecgzoo_command: Command, student: Path) -> None:
    described = json.loads(ecgzoo_command("info", "xresnet1d101", "--leads", "12", "--num-classes", "71", "--json"))
    assert described["parameters"] == 1_880_775
    assert described["leads"] == list(ecgzoo.LEADS_12)
    assert json.loads(ecgzoo_command("info", str(student), "--json"))["classes"] == ["CD", "HYP", "MI", "NORM", "STTC"]
    assert "Did you mean xresnet1d101" in ecgzoo_command("info", "xresnet1d11", status=2)


def test_evaluate_agrees_with_the_recipes_table(ecgzoo_command: Command, student: Path) -> None:
    out = json.loads(ecgzoo_command("evaluate", "--model", str(student), "--data", "tiny", "--folds", "10", "--json"))
    table = json.loads((student.parent / "results.json").read_text())["arms"]["baseline"]
    assert out["macro_auc"] == pytest.approx(table["macro_auc"], abs=1e-6)
    assert out["ci"] == pytest.approx(table["ci"], abs=1e-6)
    assert out["per_class"] == pytest.approx(table["per_class"], abs=1e-6)
    assert out["records"] == table["records"]
    assert out["folds"] == [10]
    shown = " ".join(ecgzoo_command("evaluate", "--model", str(student), "--data", "tiny", "--folds", "10").split())
    assert f"macro AUC │ {out['macro_auc']:.4f}" in shown
    low, high = out["per_class_ci"]["NORM"]
    positive = f"{out['positives']['NORM']} positive"
    assert f"AUC NORM │ {out['per_class']['NORM']:.4f} ({low:.4f} to {high:.4f}), {positive}" in shown


def test_evaluate_says_when_the_model_has_seen_the_records(ecgzoo_command: Command, student: Path) -> None:
    given = ["evaluate", "--model", str(student), "--data", "tiny", "--json", "--folds"]
    command = [sys.executable, "-m", "ecgzoo", *given]  # in a process of its own, where the warning is a line
    done = subprocess.run([*command, "1-8"], capture_output=True, text=True, timeout=120)
    seen = "trained on fold 1, 2, 3, 4, 5, 6, 7, 8"
    assert done.stderr.startswith(f"warning: the model was {seen} of synthetic: these metrics do not hold")
    assert seen in json.loads(done.stdout)["notes"][0]
    with pytest.warns(EcgZooWarning, match="the model was chosen on fold 9 of synthetic"):
        assert "chosen on fold 9" in json.loads(ecgzoo_command(*given, "9"))["notes"][0]
    with warnings.catch_warnings():
        warnings.simplefilter("error", EcgZooWarning)
        assert json.loads(ecgzoo_command(*given, "10"))["notes"] == []


def test_evaluate_says_what_cannot_be(ecgzoo_command: Command, student: Path, tmp_path: Path) -> None:
    model = ("--model", str(student))
    assert "fold 12" in ecgzoo_command("evaluate", *model, "--data", "tiny", "--folds", "12", status=2)
    assert "--root" in ecgzoo_command("evaluate", *model, "--data", "ptbxl", "--folds", "9", status=2)
    assert "--seed -1" in ecgzoo_command("evaluate", *model, "--data", "tiny", "--folds", "9", "--seed", "-1", status=2)
    nowhere = ("--root", str(tmp_path / "nowhere"))
    assert "nowhere" in ecgzoo_command("evaluate", *model, "--data", "ptbxl", "--folds", "9", *nowhere, status=2)
    assert "config.json" in ecgzoo_command(
        "evaluate", "--model", str(tmp_path), "--data", "tiny", "--folds", "9", status=2
    )


def test_a_terminal_gets_lines_of_its_width(
    ecgzoo_command: Command, recording: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["predict", recording.name, "--model", "xresnet1d18.ptbxl_all_i"]
    monkeypatch.chdir(recording.parent)
    plain = ecgzoo_command(*words)
    assert max(map(len, plain.splitlines())) > 500
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 90, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "ecgzoo", *words]
    with subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, env=environment) as process:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # of Linux, at the end
            while some := os.read(ours, 1 << 16):
                shown += some
    os.close(ours)
    assert process.returncode == 0
    lines = shown.decode().splitlines()
    assert len(lines) > 10
    assert max(map(len, lines)) <= 90
    assert all(re.match(r"    (\S+ \d\.\d{3}\S?( +|$))+$|  note: ", line) for line in lines[1:])
    assert " ".join(shown.decode().split()) == " ".join(plain.split())


def test_predict(ecgzoo_command: Command, student: Path, recording: Path) -> None:
    out = json.loads(ecgzoo_command("predict", str(recording), "--model", str(student), "--json"))
    assert set(out["probabilities"]) == {"CD", "HYP", "MI", "NORM", "STTC"}
    assert out["leads"] == ["I"]
    assert out["windows"] == 7
    assert out["notes"] == ["resampled from 250 to 100 Hz"]
    python = ecgzoo.create_student("xresnet1d18", pretrained=student).predict(recording)
    assert out["probabilities"] == pytest.approx(python.to_dict()["probabilities"], abs=1e-6)
    assert "7 windows" in ecgzoo_command("predict", str(recording), "--model", str(student))
    noise = ("predict", str(recording.with_name("noise")), "--model", str(student))
    assert "unreadable: 7 of 7 windows cannot be read" in ecgzoo_command(*noise, status=UNREADABLE)
    assert "read as requested" in ecgzoo_command(*noise, "--insist")
    assert "absent.hea" in ecgzoo_command(
        "predict", str(recording.with_name("absent")), "--model", str(student), status=2
    )
