"""examples/new_loss: a plugin that ecgzoo finds, whose loss conforms and is its equation."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from ecgzoo import Batch, DataInfo, ModelInfo, RecipeError, View, create_loss, testing

FOLDER = Path(__file__).parents[2] / "examples" / "new_loss"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_plugins: Callable[[], None]) -> Iterator[None]:
    """The example under the name, version and entry point of its own pyproject.toml."""
    text = (FOLDER / "pyproject.toml").read_text(encoding="utf-8")
    said = dict(re.findall(r'^(\w+) = "([^"]+)"$', text, re.MULTILINE))
    meta = tmp_path / "ecgzoo_focal-0.1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {said['name']}\nVersion: {said['version']}\n")
    (meta / "entry_points.txt").write_text(f"[ecgzoo]\nfocal = {said['focal']}\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.syspath_prepend(FOLDER)
    forget_plugins()
    yield
    forget_plugins()
    for module in [module for module in sys.modules if module.split(".")[0] == "ecgzoo_focal"]:
        del sys.modules[module]


def test_it_is_a_plugin_whose_loss_is_its_equation(installed: None) -> None:
    testing.assert_loss_conforms("ecgzoo-focal::focal")
    info, data = ModelInfo("net", ("I",), 3, 4, 4), DataInfo(("a", "b", "c"), torch.zeros(4, 3))
    random = torch.Generator().manual_seed(0)
    logits, labels = torch.randn(4, 3, generator=random), (torch.rand(4, 3, generator=random) < 0.5).float()
    view = View(logits, torch.zeros(4, 4), torch.zeros(4, 4, 1))

    def value(name: str, **arguments: float) -> float:
        loss = create_loss(name, info, None, data, **arguments)
        return float(loss(view, view, Batch(labels, torch.arange(4))))

    p = torch.where(labels > 0, logits.sigmoid(), 1 - logits.sigmoid())
    assert value("focal", gamma=2) == pytest.approx(float(-((1 - p) ** 2 * p.log()).mean()), rel=1e-5)
    assert value("focal", gamma=0) == pytest.approx(value("bce"), rel=1e-6)
    with pytest.raises(RecipeError, match="gamma is -1"):
        value("focal", gamma=-1)


def test_each_file_is_one_screen() -> None:
    for file in FOLDER.rglob("*.py"):
        assert len(file.read_text(encoding="utf-8").splitlines()) <= 40
