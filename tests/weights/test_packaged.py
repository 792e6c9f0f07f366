"""Every packaged tag: whole, right, and giving the outputs that it gave when it was published.

``python tests/weights/test_packaged.py`` writes the golden outputs.
"""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import ecgzoo
from ecgzoo import registry
from ecgzoo.config import LEAST_AUC, LEAST_POSITIVES
from ecgzoo.weights.card import render_card

GOLDEN = Path(__file__).with_name("golden.json")
TAGS = [name for name in registry.names("weights") if registry.lookup("weights", name).built_in]


def beats(leads: tuple[str, ...]) -> ecgzoo.Record:
    """Ten seconds from a formula that looks like an ECG: a spike and two waves per second, another size per lead."""
    time = np.arange(1000) / 100 % 1
    shape = 1.1 * np.exp(-(((time - 0.4) / 0.02) ** 2)) + 0.25 * np.exp(-(((time - 0.65) / 0.06) ** 2))
    shape += 0.12 * np.exp(-(((time - 0.22) / 0.03) ** 2))
    sizes = np.cos(np.arange(1, len(leads) + 1))[:, None]
    return ecgzoo.Record((sizes * shape).astype(np.float32), leads, 100, "closed formula")


def outputs(name: str) -> list[float]:
    model = ecgzoo.load_pretrained(name)
    return list(model.predict(beats(model.config.leads), insist=True).probabilities)  # flat between the waves


def test_there_are_students_for_lead_i_and_ii_and_their_teacher() -> None:
    assert set(TAGS) >= {
        "resnet1d18.ptbxl_super_i",
        "resnet1d18.ptbxl_super_ii",
        "xresnet1d18.ptbxl_super_i",
        "xresnet1d18.ptbxl_super_ii",
        "xresnet1d18.ptbxl_super_12",
    }
    assert set(json.loads(GOLDEN.read_text())) == set(TAGS)


@pytest.mark.parametrize("name", TAGS)
def test_it_gives_its_golden_outputs(name: str) -> None:
    np.testing.assert_allclose(outputs(name), json.loads(GOLDEN.read_text())[name], atol=2e-4)


@pytest.mark.parametrize("name", TAGS)
def test_it_says_all_that_is_needed_to_use_it(name: str) -> None:
    model = ecgzoo.load_pretrained(name)
    config, source = model.config, model.weights_source
    folder = Path(ecgzoo.__file__).parent / "weights" / "packaged" / name
    assert (folder / "model.safetensors").stat().st_size <= (0.8e6 if name.startswith("xresnet1d18") else 8 * 2**20)
    assert source is not None
    assert source.origin == "packaged"
    assert set(config.class_info) == set(config.labels)
    positives = config.metrics["positives"]
    positives |= {name: figures["positives"] for name, figures in config.metrics.get("aggregates", {}).items()}
    intervals = config.metrics.get("per_class_ci", {})
    assert set(config.thresholds) == {
        name
        for name in config.labels
        if positives[name] >= LEAST_POSITIVES and (name not in intervals or intervals[name][0] > LEAST_AUC)
    }
    if config.task == "superdiagnostic":
        assert config.classes == tuple(config.thresholds) == ("CD", "HYP", "MI", "NORM", "STTC")
    elif config.task in ("rhythm", "all"):
        assert config.aggregates == {"AFIB_AFLT": ("AFIB", "AFLT")}
    assert config.calibrated_on == f"ptbxl/{config.task}, folds 9"
    assert (config.training["train_folds"], config.training["val_folds"]) == ("1-8", "9")
    assert config.metrics["folds"] == [9]
    assert config.metrics["ece"] < 0.05
    assert {"female", "male", "under 40 years", "65 years and over"} <= set(config.metrics["subgroups"])
    assert not config.training["revision"].endswith("dirty")
    assert "/" not in json.dumps(config.training["recipe"])  # no path of the machine that trained it
    assert (folder / "README.md").read_text(encoding="utf-8") == render_card(config, name)


@pytest.mark.parametrize("name", [name for name in TAGS if "resnet1d18.ptbxl_super_i" in name])
def test_a_superdiagnostic_student_says_where_it_started(name: str) -> None:
    model = ecgzoo.load_pretrained(name)
    start = model.config.training["started_from"]
    assert (start["architecture"], tuple(start["leads"])) == (model.config.architecture, model.config.leads)
    assert model.weights_source is not None
    assert start["weights_sha256"] not in (None, model.weights_source.sha256)


def test_lead_i_is_the_default_of_a_student() -> None:
    assert ecgzoo.create_student("xresnet1d_tiny", pretrained=True).config.leads == ("I",)
    for name in ("resnet1d18", "xresnet1d18"):
        assert ecgzoo.create_student(name, pretrained=True).config.leads == ("I",)
        assert ecgzoo.load_pretrained(name).config.leads == ("I",)
        assert ecgzoo.create_student(name, leads="II", pretrained=True).config.leads == ("II",)
    assert ecgzoo.create_teacher("xresnet1d18", pretrained=True).config.leads == ecgzoo.LEADS_12


def test_it_predicts_a_real_record_without_a_network(test_data: Path) -> None:
    """In an interpreter in which a socket cannot be opened."""
    code = f"""
import socket
def refuse(*_): raise OSError("a socket was opened")
socket.socket.connect = socket.create_connection = socket.getaddrinfo = refuse
import ecgzoo
student = ecgzoo.create_student("resnet1d18", pretrained=True)
prediction = student.predict({str(test_data)!r} + "/ptbxl-small/records100/00000/00001_lr")
print(max(prediction.probabilities), prediction.classes[max(range(5), key=prediction.probabilities.__getitem__)])
print(sorted(set(prediction.findings.values()) - {{"present", "absent", "uncertain"}}), len(prediction.findings))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[1] == "NORM"  # the first record of PTB-XL is a normal one
    assert done.stdout.splitlines()[1] == "[] 5"


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: outputs(name) for name in TAGS}, indent=1) + "\n")
