"""examples/own_loop.py: short, and step for step the engine's own training."""

import json
import runpy
from pathlib import Path

import pytest

import ecgzoo
from ecgzoo.data.synthetic import load_synthetic

SCRIPT = Path(__file__).parents[2] / "examples" / "own_loop.py"


def test_it_takes_the_engines_steps(tmp_path: Path) -> None:
    teacher = ecgzoo.create_teacher("xresnet1d18", pretrained="ptbxl_super_12")
    recipe = ecgzoo.Recipe(epochs=2, precision="fp32", output=tmp_path / "run")
    run = ecgzoo.Run(recipe, load_synthetic(num_records=240))
    run.student(teacher)
    log = (tmp_path / "run" / "student" / "log.jsonl").read_text().splitlines()

    train = runpy.run_path(str(SCRIPT))["train"]
    student, means = train(run.cohort, teacher)
    assert means == pytest.approx([json.loads(line)["loss"] for line in log], rel=1e-6)
    assert len(means) == 2

    heart = run.cohort.signals()[0].astype("float32") / 1000
    found = student.predict(ecgzoo.Record(heart, run.cohort.leads, run.cohort.rate_hz, "a heart"))
    assert found.classes == run.cohort.classes
    with pytest.raises(ecgzoo.RecipeError, match="the teacher reads 100 Hz and the student 250 Hz"):
        train(load_synthetic(num_records=240, rate_hz=250), teacher)


def test_it_is_at_most_60_lines() -> None:
    assert len(SCRIPT.read_text().splitlines()) <= 60
