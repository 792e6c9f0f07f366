"""Recipe: parsing, contradictions, the claim on a run folder."""

import json
from argparse import ArgumentParser

import pytest

from ecgzoo import LossTerm, Recipe
from ecgzoo.data import parse_folds
from ecgzoo.errors import DataError, EcgZooError, RecipeError, SignalError
from ecgzoo.training.options import add_flags
from ecgzoo.training.recipe import claim_folder
from ecgzoo.training.terms import parse_term


@pytest.mark.parametrize(("text", "folds"), [("1-3", (1, 2, 3)), ("9", (9,)), ("10, 1-2", (1, 2, 10)), ("2-2,2", (2,))])
def test_folds_are_numbers_and_ranges(text: str, folds: tuple[int, ...]) -> None:
    assert parse_folds(text) == folds


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-", "1;2"])
def test_other_folds_are_refused(text: str) -> None:
    with pytest.raises(DataError, match="1-7,9"):
        parse_folds(text)


def test_a_loss_term_has_a_weight_and_parameters() -> None:
    term = LossTerm("clt", 0.8, {"critic": "infonce", "temperature": 0.1})
    assert parse_term(LossTerm, "clt=0.8,critic=infonce,temperature=0.1") == term
    assert parse_term(LossTerm, {"name": "clt", "weight": 0.8, "arguments": term.arguments}) == term
    assert parse_term(LossTerm, term) is term


def test_a_parameter_may_be_a_list() -> None:
    assert parse_term(LossTerm, "mkd=1,class_weights=[1,2.5],reduction=mean").arguments == {
        "class_weights": [1, 2.5],
        "reduction": "mean",
    }


@pytest.mark.parametrize(
    "text",
    [
        {"name": "bce"},
        {"name": "bce", "weight": 0},
        LossTerm("bce", -1),
        3,
        "bce=inf",
        "bce=nan",
        "bce",
        "bce=x",
        "=1",
        "bce=0",
        "bce=-1",
        "clt=1,critic",
        "clt=1,=2",
    ],
)
def test_another_loss_term_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="name=weight"):
        parse_term(LossTerm, text)


@pytest.mark.parametrize(
    "fields",
    [
        {"train_folds": "1-9"},
        {"test_folds": "9"},
        {"epochs": 0},
        {"lr": 0.0},
        {"ema_decay": 1.0},
        {"losses": ("bce=1", "bce=2")},
        {"losses": ()},
        {"clip_grad": -1.0},
        {"lr": float("nan")},
        {"window_s": -1.0},
        {"epochs": 2.5},
        {"batch_size": 1.5},
        {"lr": "a"},
        {"precision": "fp8"},
        {"accumulate": 0},
        {"aggregation": "median"},
        {"student_arguments": 3},
        {"losses": "bce=1"},
        {"transforms": 3},
    ],
)
def test_contradictions_are_refused(fields: dict) -> None:
    with pytest.raises(RecipeError):
        Recipe(**fields)


def test_leads_are_brought_to_their_spelling_and_paths_to_text(tmp_path) -> None:
    recipe = Recipe(student_leads="mlii, v5", output=tmp_path)
    assert recipe.student_leads == ("II", "V5")
    assert recipe.to_dict()["output"] == str(tmp_path)
    with pytest.raises(SignalError, match="V9"):
        Recipe(student_leads=("V9",))


@pytest.mark.parametrize(
    ("flags", "value", "leads"),
    [
        (["I,II"], "I,II", ("I", "II")),
        (["I", "mlii"], ("I", "II"), ("I", "II")),
        (["3"], 3, ("I", "II", "V2")),
        (["I,", "II"], None, None),
        ([], (), None),
        (["5"], 5, None),
    ],
)
def test_leads_on_the_command_line_are_as_in_python(
    flags: list[str], value: object, leads: tuple[str, ...] | None
) -> None:
    parser = ArgumentParser()
    add_flags(parser, Recipe())
    for name in ("student_leads", "teacher_leads"):
        given = vars(parser.parse_args([f"--{name.replace('_', '-')}", *flags]))
        if leads:
            assert getattr(Recipe(**given), name) == getattr(Recipe(**{name: value}), name) == leads
            continue
        for refused in (given, {name: value}):
            with pytest.raises(EcgZooError):
                Recipe(**refused)


def test_a_folder_holds_one_recipe_and_one_data_set(tmp_path) -> None:
    claim_folder(Recipe(output=tmp_path / "run", seed=1), "abc")
    with pytest.raises(RecipeError, match="--resume"):
        claim_folder(Recipe(output=tmp_path / "run", seed=1), "abc")
    claim_folder(
        Recipe(output=tmp_path / "run", seed=1, resume=True, root="moved", pretrain_folder=tmp_path / "kept"), "abc"
    )
    path = tmp_path / "run" / "recipe.json"
    older = json.loads(path.read_text())
    del older["transforms"]  # written before there were any
    path.write_text(json.dumps(older))
    claim_folder(Recipe(output=tmp_path / "run", seed=1, resume=True), "abc")
    with pytest.raises(RecipeError, match=r"transforms is \[\] there and \['mixup=0.2'\] here"):
        claim_folder(Recipe(output=tmp_path / "run", seed=1, resume=True, transforms=("mixup=0.2",)), "abc")
    with pytest.raises(RecipeError, match="seed is 1 there and 2 here"):
        claim_folder(Recipe(output=tmp_path / "run", seed=2, resume=True), "abc")
    with pytest.raises(RecipeError, match="another recipe: its records are others, or their labels"):
        claim_folder(Recipe(output=tmp_path / "run", seed=1, resume=True), "xyz")
    (tmp_path / "run" / "recipe.json").write_text("{")
    with pytest.raises(RecipeError, match="not JSON"):
        claim_folder(Recipe(output=tmp_path / "run", seed=1), "abc")
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match="cannot be written"):
        claim_folder(Recipe(output=tmp_path / "file"), "abc")
