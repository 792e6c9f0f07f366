"""The scripts under recipes/: short, every field a flag, and whole runs on real records where there are any."""

import dataclasses
import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import ecgzoo
from ecgzoo import Recipe

RECIPES = Path(__file__).parents[2] / "recipes"
SCRIPTS = sorted(RECIPES.glob("*.py"))


def run(script: str, *flags: str, status: int = 0) -> str:
    done = subprocess.run([sys.executable, RECIPES / script, *flags], capture_output=True, text=True, timeout=400)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_a_recipe_is_at_most_40_lines(script: Path) -> None:
    assert len(script.read_text().splitlines()) <= 40


def run_here(script: str, *flags: str) -> None:
    """The recipe in this process, which has imported everything."""
    runpy.run_path(str(RECIPES / script))["main"]([*flags])


def test_every_field_is_a_flag_with_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        run_here("mvkt.py", "--help")
    out = capsys.readouterr().out
    for field in dataclasses.fields(Recipe):
        assert f"--{field.name.replace('_', '-')}" in out
    assert "name=weight" in out


def test_the_recipes_on_a_small_cohort(tiny: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    common = ("--data", "tiny", "--epochs", "1", "--teacher", "xresnet1d_tiny", "--student", "xresnet1d_tiny")
    run_here("teacher.py", *common, "--output", str(tmp_path / "teacher"))
    assert "teacher" in capsys.readouterr().out
    given = ("--teacher-weights", str(tmp_path / "teacher" / "teacher"), "--no-compare")
    run_here("kd.py", *common, *given, "--output", str(tmp_path / "kd"))
    assert set(json.loads((tmp_path / "kd" / "results.json").read_text())["arms"]) == {"teacher", "student"}
    run_here("mvkt_plus.py", *common, *given, "--pretrain-epochs", "1", "--output", str(tmp_path / "plus"))
    assert ecgzoo.load_pretrained(tmp_path / "plus" / "student").config.training["recipe"]["pretrain_epochs"] == 1
    run_here(
        "tiny.py", *common, *given, "--pretrain-epochs", "1", "--quantization-aware", "--output", str(tmp_path / "tiny")
    )
    student = ecgzoo.load_pretrained(tmp_path / "tiny" / "student")
    assert sum(parameter.numel() for parameter in student.parameters()) <= 100_000
    run_here("baseline.py", *common, "--student-leads", "II", "V5", "--output", str(tmp_path / "baseline"))
    assert ecgzoo.load_pretrained(tmp_path / "baseline" / "baseline").config.leads == ("II", "V5")
    run_here("mvkt.py", *common, "--losses", "bce=1", "clt=0.5,critic=infonce", "--output", str(tmp_path / "mvkt"))
    out = capsys.readouterr().out
    assert "(simulated)" in out
    assert "labels alone" in out


def test_an_error_is_one_line_and_status_2(tmp_path: Path) -> None:
    out = run("mvkt.py", "--losses", "bce", "--output", str(tmp_path), status=2)
    assert "expected name=weight" in out
    assert "Traceback" not in out
    assert not list(tmp_path.iterdir())


@pytest.mark.long
@pytest.mark.slow
def test_mvkt_on_real_records(test_data: Path, tmp_path: Path) -> None:
    root = test_data / "ptbxl-small"
    folds = ("--train-folds", "1-7", "--val-folds", "8", "--test-folds", "9")
    nets = ("--teacher", "xresnet1d18", "--student", "xresnet1d18", "--epochs", "8")
    output = tmp_path / "real"
    run("mvkt.py", "--data", "ptbxl", "--root", str(root), *folds, *nets, "--output", str(output))
    results = json.loads((output / "results.json").read_text())
    assert not results["simulated"]
    assert results["folds"] == [9]
    # 954 records are few; a network that had learned nothing would be at 0.5
    assert results["arms"]["teacher"]["macro_auc"] > 0.75
    assert results["arms"]["student"]["macro_auc"] > 0.6
    student = ecgzoo.create_student("xresnet1d18", pretrained=output / "student")
    assert sum(student.predict(root / "records100" / "00000" / "00001_lr").probabilities) > 0
