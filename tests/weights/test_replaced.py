"""A model that is saved over another: a reader finds one of the two, complete."""

import dataclasses
import json
from pathlib import Path

import pytest

import ecgzoo
from ecgzoo.errors import EcgZooError, WeightsError, WriteError
from ecgzoo.files import write_atomic, write_json
from ecgzoo.model import EcgModel
from ecgzoo.weights import folder as module
from ecgzoo.weights.hub import push
from ecgzoo.weights.layout import NEXT_CONFIG


@pytest.fixture
def models() -> tuple[EcgModel, EcgModel]:
    made = [ecgzoo.create_model("xresnet1d18", ("I",), 3) for _ in range(2)]
    for number, model in enumerate(made):
        model.config = dataclasses.replace(model.config, classes=("A", "B", "C"), temperature=number + 1.0)
    return made[0], made[1]


class Stopped(BaseException):
    pass


@pytest.mark.parametrize("before", ["write_bytes", "write_text"])
def test_stopped_between_its_files(
    models: tuple[EcgModel, EcgModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    old, new = models
    ecgzoo.save_pretrained(old, tmp_path)

    def stop(*_: object) -> None:
        raise Stopped

    with monkeypatch.context() as patched:
        patched.setattr(module, before, stop)
        with pytest.raises(Stopped):
            ecgzoo.save_pretrained(new, tmp_path)
    found, wanted = ecgzoo.load_pretrained(tmp_path), old if before == "write_bytes" else new
    assert found.config == wanted.config
    assert (found.get_classifier().weight == wanted.get_classifier().weight).all()
    if wanted is new:
        with pytest.raises(WeightsError, match="saving was interrupted"):
            push(tmp_path, "org/name", dry_run=True)
    ecgzoo.save_pretrained(new, tmp_path)
    assert not (tmp_path / NEXT_CONFIG).exists()
    assert "would push" in push(tmp_path, "org/name", dry_run=True)


def test_read_while_it_is_replaced(
    models: tuple[EcgModel, EcgModel], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = models
    ecgzoo.save_pretrained(old, tmp_path)
    read = module.read_bytes

    def replaced_first(path: Path, *rest: int) -> bytes:
        if path.name == "model.safetensors":
            ecgzoo.save_pretrained(new, tmp_path)
        return read(path, *rest)

    monkeypatch.setattr(module, "read_bytes", replaced_first)
    assert ecgzoo.load_pretrained(tmp_path).config == new.config


@pytest.mark.parametrize("points", [[[0.1, 0.2, 0]], [[0.1, 0.2]], 3])
def test_metrics_that_make_no_plot_leave_what_is_there(
    models: tuple[EcgModel, EcgModel], tmp_path: Path, points: object
) -> None:
    old, new = models
    ecgzoo.save_pretrained(old, tmp_path)
    metrics = {
        **{"data": "x", "folds": [9], "macro_auc": 0.9, "ci": [0.8, 1], "records": 3, "fmax": 0.1, "brier": 0.1},
        **{"per_class": {}, "positives": {}, "macro_average_precision": 0.5, "ece": 0.1, "reliability": points},
    }
    new.config = dataclasses.replace(new.config, metrics=metrics)
    with pytest.raises(WeightsError, match="calibration plot"):
        ecgzoo.save_pretrained(new, tmp_path)
    assert ecgzoo.load_pretrained(tmp_path).config == old.config


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("I/O error (os error 28)")])
def test_a_full_disk_is_one_line(tmp_path: Path, error: Exception) -> None:
    def write(_: Path) -> None:
        raise error

    write_json(tmp_path / "a\x1b.json", 1)
    with pytest.raises(WriteError) as caught:
        write_atomic(tmp_path / "a\x1b.json", write)
    assert isinstance(caught.value, EcgZooError)
    assert caught.value.errno == 28
    assert str(caught.value).endswith(
        "a\\x1b.json cannot be written: No space left on device. Make room, or choose another place."
    )
    assert json.loads((tmp_path / "a\x1b.json").read_text()) == 1
    assert len(list(tmp_path.iterdir())) == 1
