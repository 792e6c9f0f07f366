"""Resuming a run with damaged or hostile files gives one line of error."""

import json
import os
import struct
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from ecgzoo.errors import EcgZooError, RecipeError, WeightsError
from ecgzoo.files import write_text
from ecgzoo.training.checkpoint import load_state, save_state
from ecgzoo.training.recipe import Recipe, claim_folder
from ecgzoo.training.report import _read_log
from ecgzoo.training.terms import LossTerm, parse_term

DEEP = "[" * 100_000


def tree_file(path: Path, tree: str) -> Path:
    save_file({"0": torch.zeros(4)}, path, metadata={"tree": tree})
    return path


def nested(depth: int) -> str:
    return '{"list": [' * depth + "1" + "]}" * depth


@pytest.mark.parametrize(
    "tree",
    [
        DEEP,
        nested(900),
        nested(400),
        "[]",
        "3",
        '{"dict": 3}',
        '{"dict": [[[], 1]]}',
        '{"dict": [["a"]]}',
        '{"tensor": 0}',
        '{"tensor": "9"}',
        '{"tensor": []}',
        '{"list": 1}',
        '{"list": [' + ",".join(['{"tensor": "0"}'] * 2) + "]}",
        '{"list": [' + "[]," * 300_000 + "1]}",
        "9" * 5000,
        "\x1b[2J",
    ],
)
def test_metadata_of_no_checkpoint(tmp_path: Path, tree: str) -> None:
    start = time.process_time()
    with pytest.raises(WeightsError, match="is not a checkpoint of ecgzoo") as caught:
        load_state(tree_file(tmp_path / "checkpoint", tree))
    assert str(caught.value).isprintable()
    assert time.process_time() - start < 2


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["pipe", "header", "cut", "device", "link", "nul"])
def test_a_file_of_no_checkpoint(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "checkpoint"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind in ("device", "link"):
        path.symlink_to("/dev/zero" if kind == "device" else "nowhere")
    elif kind == "nul":
        path = Path("a\0b")
    else:
        with open(path, "wb") as file:
            file.write(struct.pack("<Q", 90 << 20) + b"{")
            if kind == "header":
                file.truncate(91 << 20)
    with pytest.raises(WeightsError, match="is not a checkpoint"):
        load_state(path)


def test_a_checkpoint_still_comes_back(tmp_path: Path) -> None:
    tensor = torch.arange(3.0)
    save_state(tmp_path / "checkpoint", {"a": [tensor, {1: tensor}], "b": None})
    back = load_state(tmp_path / "checkpoint")
    assert torch.equal(back["a"][0], tensor)
    assert torch.equal(back["a"][1][1], tensor)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("content", [DEEP, '{"a":' * 50_000, "[]", "9" * 5000, "x" * (5 << 20), "pipe"])
def test_a_recipe_file_that_is_none(tmp_path: Path, content: str) -> None:
    if content == "pipe":
        os.mkfifo(tmp_path / "recipe.json")
    else:
        (tmp_path / "recipe.json").write_text(content)
    with pytest.raises(RecipeError, match=r"recipe\.json") as caught:
        claim_folder(Recipe(output=tmp_path, resume=True), "fingerprint")
    assert str(caught.value).isprintable()


def test_a_folder_that_can_be_none() -> None:
    for recipe in (Recipe(output="a\0b"), Recipe(output="runs/x", pretrain_folder="a\0b")):
        with pytest.raises(RecipeError):
            claim_folder(recipe, "fingerprint")


def test_folds_without_end() -> None:
    with pytest.raises(EcgZooError, match="folds"):
        Recipe(train_folds="1-9999999999")


def test_an_argument_that_is_nested_too_deeply_is_text() -> None:
    assert parse_term(LossTerm, f"kd=1,x={DEEP}").arguments["x"] == DEEP


@pytest.mark.parametrize(
    "content", [DEEP, "", "[]", "{}", '{"epoch": 0, "val_macro_auc": "x"}', '{"epoch": 0}', "\x1b"]
)
def test_a_log_that_is_none(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(content)
    with pytest.raises(RecipeError, match=r"log\.jsonl is damaged"):
        _read_log(path)
    path.write_text('{"epoch": 1, "val_macro_auc": 0.5}\n')
    assert _read_log(path)[0]["epoch"] == 1


def test_resuming_sweeps_what_dead_runs_left(tmp_path: Path) -> None:
    recipe = Recipe(output=tmp_path)
    claim_folder(recipe, "fingerprint")
    (tmp_path / "student").mkdir()
    left = tmp_path / "student" / ".checkpoint.safetensors.ecgzoo-00000000-1-00000000"
    left.write_text("half")
    os.utime(left, (0, 0))
    own = tmp_path / "student" / ".notes"
    write_text(own, json.dumps("a user's own"))
    claim_folder(Recipe(output=tmp_path, resume=True), "fingerprint")
    assert not left.exists()
    assert own.exists()
