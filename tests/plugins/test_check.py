"""`ecgzoo plugins --check`: all failures in one table, the counts to paste, exit status 1."""

import json
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from ecgzoo import create_student, save_pretrained, testing
from ecgzoo.cli import plugins
from ecgzoo.errors import RegistryError

HOOKS = """
from ecgzoo import BackboneSpec, DatasetSpec, LossSpec, ReaderSpec, RecipeSpec, WeightsSpec, hookimpl

@hookimpl
def ecgzoo_backbones():
    yield BackboneSpec(name="wrong", factory="wrong_plugin:Net", summary="", parameters=((2, 3, 7), (1, 5, 20)))

@hookimpl
def ecgzoo_losses():
    yield LossSpec(name="twice_wrong", factory="wrong_plugin:TwiceWrong", summary="")
    yield LossSpec(name="nowhere", factory="wrong_plugin:Nowhere", summary="")

@hookimpl
def ecgzoo_datasets():
    yield DatasetSpec(name="files", factory="wrong_plugin:load", summary="", tasks=("t",))

@hookimpl
def ecgzoo_readers():
    yield ReaderSpec(name="any", factory="wrong_plugin:Any", summary="")

@hookimpl
def ecgzoo_weights():
    yield WeightsSpec(name="resnet1d18.mine", factory="wrong_plugin:weights", summary="", leads=("II",))

@hookimpl
def ecgzoo_recipes():
    yield RecipeSpec(name="cook", factory="wrong_plugin:load", summary="")

import numpy as np
import torch
from ecgzoo import DataError, Loss, Reader, Record

class Net(torch.nn.Module):
    num_features = head_hidden_size = 2
    feature_info = [{"num_chs": 2, "reduction": 3, "module": "body"}]
    def __init__(self, num_leads, num_classes):
        super().__init__()
        self.num_classes = num_classes
        self.body, self.classifier = torch.nn.Conv1d(num_leads, 2, 1), torch.nn.Linear(2, num_classes)
        self.spare = torch.nn.Parameter(torch.ones(1))
    def forward(self, x): return self.forward_head(self.forward_features(x))
    def forward_features(self, x): return self.body(x)
    def forward_head(self, x, pre_logits=False):
        x = x.amax(-1)
        return x if pre_logits else self.classifier(x)
    def get_classifier(self): return self.classifier
    def reset_classifier(self, num_classes): pass

class TwiceWrong(Loss):
    requires = frozenset({"student.logits", "student.features"})
    def forward(self, student, teacher, batch):
        return student.logits.square().mean() + 0 * student.embedding.mean()

class Any(Reader):
    def sniff(self, head, path): return True
    def read(self, path, leads, units, rate_hz):
        if path.stat().st_size: raise ValueError("odd")
        return Record(np.ones((1, 100), np.float32), ("I",), 100, str(path))

def load(root, task): raise DataError("not there")
def weights(name): return FOLDER
"""


@pytest.fixture
def wrong(install, tmp_path: Path) -> None:
    folder = save_pretrained(create_student("resnet1d18", leads="I"), tmp_path / "mine")
    install("wrong-plugin", HOOKS.replace("FOLDER", repr(str(folder))))


def fails(name: str, as_json: bool = False) -> None:
    with pytest.raises(SystemExit) as end:
        plugins.run(Namespace(check=name, root=None, json=as_json))
    assert end.value.code == 1


def test_all_failures_of_all_things_are_said(wrong: None, capsys: pytest.CaptureFixture[str]) -> None:
    fails("wrong-plugin", as_json=True)
    values = json.loads(capsys.readouterr().out)
    assert values["passed"] is False
    failures = {row["name"].partition("::")[2]: "\n".join(row["failures"]) for row in values["checked"]}
    notes = {row["name"].partition("::")[2]: "\n".join(row["notes"]) for row in values["checked"]}
    for said in (
        "parameter count: 16 parameters at 2 leads and 3 classes; its spec says 7",
        "gradients: no gradient reaches the parameter spare",
        "reset_classifier: after reset_classifier(7)",
        "feature_info: feature_info says",
    ):
        assert said in failures["wrong"]
    assert "its spec says 20" not in failures["wrong"]
    assert "parameters=((2, 3, 16), (1, 5, 20))," in notes["wrong"]
    for said in ("no gradient reaches the student's features", "reads: reads what it does not declare"):
        assert said in failures["twice_wrong"]
    assert "has no attribute 'Nowhere'" in failures["nowhere"]
    assert "not checked" in notes["files"]
    assert "is read as a recording" in failures["any"]
    assert failures["any"].count("raises ValueError, expected a SignalError") == 5
    for said in ("leads are I, its spec says II", "no class names"):
        assert said in failures["resnet1d18.mine"]
    assert (failures["files"], failures["cook"]) == ("", "")


def test_the_assertion_says_all_failures_and_the_counts(wrong: None) -> None:
    with pytest.raises(AssertionError) as caught:
        testing.assert_backbone_conforms("wrong")
    lines = str(caught.value).splitlines()
    assert len(lines) > 4
    assert all(line.startswith("wrong, ") for line in lines)
    assert lines[-1] == "wrong, parameter count: the spec's line is parameters=((2, 3, 16), (1, 5, 20)),"


def test_one_name_in_a_table(wrong: None, capsys: pytest.CaptureFixture[str]) -> None:
    fails("twice_wrong")
    out = capsys.readouterr().out
    assert ("failed" in out, "nowhere" in out) == (True, False)
    plugins.run(Namespace(check="bce", root=None, json=False))  # which passes, and so returns
    assert "passed" in capsys.readouterr().out


def test_a_plugin_that_was_left_out_fails(install, capsys: pytest.CaptureFixture[str]) -> None:
    install("bad-plugin", "raise OSError('no such library')")
    with (
        pytest.warns(UserWarning, match="bad-plugin"),
        pytest.raises(RegistryError, match="no plugin and no registered name is 'bat"),
    ):
        plugins.run(Namespace(check="bat-plugin", root=None, json=False))
    fails("bad-plugin")
    assert "no such library" in " ".join(capsys.readouterr().out.split())


def test_a_deprecated_name_must_have_a_successor(install, capsys: pytest.CaptureFixture[str]) -> None:
    source = """
from ecgzoo import LossSpec, hookimpl

@hookimpl
def ecgzoo_losses():
    yield LossSpec(name="old", factory="ecgzoo.losses.bce:BCE", summary="", deprecated_by=NEW, removed_in="9")
"""
    install("old-plugin", source.replace("NEW", "'bec'"))
    with pytest.warns(UserWarning, match="use bec"):
        fails("old", as_json=True)
    (row,) = json.loads(capsys.readouterr().out)["checked"]
    assert row["failures"] == ["old, deprecated_by: No loss is called 'bec'. Did you mean bce?"]
    sys.modules.pop("old_plugin")
    install("old-plugin", source.replace("NEW", "'bce'"))
    with pytest.warns(UserWarning, match="use bce"):
        plugins.run(Namespace(check="old", root=None, json=False))


def test_a_name_that_does_not_mean_the_plugins_is_said(install, capsys: pytest.CaptureFixture[str]) -> None:
    source = """
from ecgzoo import LossSpec, hookimpl

@hookimpl
def ecgzoo_losses():
    yield LossSpec(name="kd", factory="ecgzoo.losses.kd:KD", summary="")
    yield LossSpec(name="free", factory="ecgzoo.losses.kd:KD", summary="")
"""
    install("rude-plugin", source)
    plugins.run(Namespace(check="rude-plugin", root=None, json=True))
    rows = json.loads(capsys.readouterr().out)["checked"]
    said = "name: kd alone is that of ecgzoo; this is rude-plugin::kd"
    assert [said in row["notes"] for row in rows] == [True, False]


def test_the_traceback_of_a_failure_is_shown_on_request(
    install, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("bad-plugin", "def library(): raise OSError('no such library')\nlibrary()\n")
    given = Namespace(check=None, root=None, json=False)
    plugins.run(given)
    assert "Traceback" not in capsys.readouterr().out
    monkeypatch.setenv("ECGZOO_STRICT_PLUGINS", "1")
    plugins.run(given)
    out = capsys.readouterr().out
    assert "Traceback (most recent call last)" in out
    assert "in library" in out
