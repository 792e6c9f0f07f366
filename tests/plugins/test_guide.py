"""The guide docs/plugins.md: its package works, every hook has a section. `test_wheels` follows it word for word."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from ecgzoo import create_loss, create_student, read_record, save_pretrained
from ecgzoo.cli.new_plugin import names, new_plugin
from ecgzoo.errors import RecipeError, SignalError
from ecgzoo.losses.contract import DataInfo, ModelInfo
from ecgzoo.plugins import HOOKS
from ecgzoo.testing import (
    assert_backbone_conforms,
    assert_dataset_conforms,
    assert_loss_conforms,
    assert_reader_conforms,
    assert_transform_conforms,
)
from ecgzoo.training.terms import LossTerm, parse_term

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")


@pytest.fixture
def my_ecg(guide_blocks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_plugins: Callable[[], None]):
    """The guide's package, put together from its blocks and installed."""
    package = tmp_path / "my_ecg"
    package.mkdir()
    for block in guide_blocks:
        if block.file and block.file.startswith("my_ecg/"):
            with (tmp_path / block.file).open("a", encoding="utf-8") as file:
                file.write(block.text)
    meta = tmp_path / "my_ecg-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: my-ecg\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[ecgzoo]\nmy_ecg = my_ecg.plugin\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    forget_plugins()
    yield package
    forget_plugins()
    for module in [module for module in sys.modules if module.split(".")[0] == "my_ecg"]:
        del sys.modules[module]


def test_every_hook_has_a_section(guide_blocks) -> None:
    plugin = "".join(block.text for block in guide_blocks if block.file == "my_ecg/plugin.py")
    for hook in HOOKS:
        assert f"### `{hook}`" in GUIDE
        assert f"def {hook}()" in plugin


def test_what_new_plugin_writes_is_what_the_guide_shows(guide_blocks, tmp_path: Path) -> None:
    new_plugin(tmp_path / "my-ecg", *names(tmp_path / "my-ecg"))
    shown = [block for block in guide_blocks if block.written]
    assert [block.file for block in shown] == ["pyproject.toml", "my_ecg/plugin.py", "my_ecg/cosine.py"]
    for block in shown:
        assert block.text == (tmp_path / "my-ecg" / str(block.file)).read_text(encoding="utf-8")


def test_its_backbone(my_ecg: Path) -> None:
    assert_backbone_conforms("my_net")


def test_its_loss(my_ecg: Path) -> None:
    assert_loss_conforms("my_ecg_cosine")
    info, data = ModelInfo("net", ("I",), 2, 4, 4), DataInfo(("a", "b"), torch.zeros(3, 2))
    term = parse_term(LossTerm, "my_ecg_cosine=1,margin=-1")
    with pytest.raises(RecipeError, match="margin is -1"):
        create_loss(term.name, info, info, data, **term.arguments)


def test_its_transform(my_ecg: Path) -> None:
    assert_transform_conforms("my_noise")


def test_its_reader(my_ecg: Path, tmp_path: Path) -> None:
    strip, folder = tmp_path / "strip.txt", tmp_path / "broken"
    strip.write_text("my strip\n" + "0.1\n0.5\n" * 50)
    folder.mkdir()
    assert_reader_conforms("my_strip", strip, folder, leads="I", rate_hz=100)
    assert read_record(strip, leads="I", rate_hz=100).signal.shape == (1, 100)
    with pytest.raises(SignalError, match="give leads= and rate_hz="):
        read_record(strip)


def test_its_data_set(my_ecg: Path) -> None:
    assert_dataset_conforms("my_data")


def test_its_weights(my_ecg: Path) -> None:
    save_pretrained(create_student("my_net"), my_ecg / "my_net.demo")
    student = create_student("my_net", pretrained="demo")
    assert student.config.architecture == "my-ecg::my_net"
