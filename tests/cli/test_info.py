"""``ecgzoo info`` describes the model that ``predict --model`` uses; ``--version``; ``new-plugin``."""

import json
import sys
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path

import pytest

import ecgzoo
from ecgzoo.cli import app, info, new_plugin
from ecgzoo.errors import RegistryError, WeightsError


def described(name: str, capsys: pytest.CaptureFixture[str], **given: object) -> str:
    info.run(Namespace(**{"name": name, "leads": None, "num_classes": None, "json": False, **given}))
    return capsys.readouterr().out


@pytest.fixture
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")


@pytest.mark.parametrize("name", ["xresnet1d18", "xresnet1d18.ptbxl_super_12"])
def test_it_describes_what_predict_uses(name: str, wide: None, capsys: pytest.CaptureFixture[str]) -> None:
    model = ecgzoo.load_pretrained(name)  # as `predict --model` does
    source, config = model.weights_source, model.config
    values = json.loads(described(name, capsys, json=True))
    assert source is not None
    assert values["weights_source"]["sha256"] == source.sha256
    assert values["leads"] == list(config.leads)
    text = described(name, capsys)
    low, high = config.metrics["ci"]
    for said in (
        f"packaged: {source.location}",
        source.sha256,
        ", ".join(config.leads),
        "mV at 100 Hz",
        f"{config.window_s:g} s every {config.stride_s:g} s",
        f"deviation ({config.normalization.std_mv:.5f} mV)",
        f"{config.metrics['macro_auc']:.4f} (95 % interval {low:.4f} to {high:.4f})",
        config.training["data_fingerprint"],
        *(f"{config.metrics['per_class'][label]:.4f}" for label in config.classes),
        *(f"{points['lower']:.3f}" for points in config.thresholds.values()),
    ):
        assert said in text, said


def test_its_limits_are_those_of_the_findings(wide: None, capsys: pytest.CaptureFixture[str]) -> None:
    name = "xresnet1d18.ptbxl_rhythm_i"
    model = ecgzoo.load_pretrained(name)
    lines = described(name, capsys).splitlines()
    for at, label in enumerate(model.config.labels):
        [shown] = [line for line in lines if line.startswith(f"│ {label} ")]
        uncertain, present = (text.strip() for text in shown.split("│")[4:6])
        for hundredth in range(101):
            probabilities = [0.0] * len(model.config.labels)
            probabilities[at] = hundredth / 100
            found = model.findings(probabilities).get(label)
            if uncertain == "no finding" == present:
                expected = None
            elif hundredth / 100 >= float(present):
                expected = "present"
            else:
                expected = "uncertain" if uncertain != "never" and hundredth / 100 >= float(uncertain) else "absent"
            assert found == expected, (label, hundredth)


def test_it_describes_a_folder_and_a_backbone(
    wide: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model = ecgzoo.load_pretrained("xresnet1d18")
    ecgzoo.save_pretrained(model, "xresnet1d18")
    assert "folder: xresnet1d18" in described("xresnet1d18", capsys)  # of this name, as for predict
    assert "none: untrained" in described("inception1d", capsys)
    assert "none: untrained" in described("xresnet1d18", capsys, leads="II")
    assert "71, without names" in described("xresnet1d18", capsys, num_classes=71)
    with pytest.raises(RegistryError, match="not a folder, and no backbone and no weights have this name"):
        described("nothing", capsys)


def test_metrics_of_another_form_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = ecgzoo.save_pretrained(ecgzoo.load_pretrained("xresnet1d18"), tmp_path / "model")
    values = json.loads((folder / "config.json").read_text())
    values["metrics"] = {"ci": 3}
    (folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(WeightsError, match="cannot be shown"):
        described(str(folder), capsys)
    assert json.loads(described(str(folder), capsys, json=True))["metrics"] == {"ci": 3}


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        app.make_parser().parse_args(["--version"])
    python = ".".join(map(str, sys.version_info[:3]))
    assert end.value.code == 0
    said = f"ecgzoo {version('ecgzoo')} (torch {version('torch')}, Python {python})"
    assert " ".join(capsys.readouterr().out.split()) == said


def test_new_plugin_takes_its_name_from_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "My_ECG"
    folder.mkdir()  # an empty one will do
    new_plugin.run(Namespace(folder=folder))
    assert "ecgzoo plugins --check my-ecg" in capsys.readouterr().out
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"pyproject.toml", "my_ecg/plugin.py", "my_ecg/py.typed", "tests/test_cosine.py", "LICENSE"} <= files
    text = "".join((folder / file).read_text() for file in files)
    assert "template" not in text
    with pytest.raises(RegistryError, match="not an empty folder"):
        new_plugin.run(Namespace(folder=folder))


def test_a_plugin_whose_name_contains_one_of_the_template_is_named_once(tmp_path: Path) -> None:
    for name, package in (("my-plugin-template", "my_plugin_template"), ("template-cosine", "template_cosine")):
        new_plugin.run(Namespace(folder=tmp_path / name))
        assert (tmp_path / name / package / "cosine.py").exists()
        assert f'factory="{package}.cosine:Cosine"' in (tmp_path / name / package / "plugin.py").read_text()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("a b!", "cannot name"), ("2lead", "cannot name"), ("class", "cannot name"), ("torch", "installed already")],
)
def test_new_plugin_refuses_a_name_that_is_none(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(RegistryError, match=reason):
        new_plugin.run(Namespace(folder=tmp_path / name))
    assert not list(tmp_path.iterdir())
