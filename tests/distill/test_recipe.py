"""Recipe: parsing, contradictions, the claim on a run folder."""

import json

import pytest

from ecgzoo.distill import LossTerm, Recipe, parse_folds
from ecgzoo.distill.recipe import claim_folder
from ecgzoo.errors import RecipeError


@pytest.mark.parametrize(("text", "folds"), [("1-3", (1, 2, 3)), ("9", (9,)), ("10, 1-2", (1, 2, 10)), ("2-2,2", (2,))])
def test_folds_are_numbers_and_ranges(text: str, folds: tuple[int, ...]) -> None:
    assert parse_folds(text) == folds


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-", "1;2"])
def test_other_folds_are_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="1-7,9"):
        parse_folds(text)


def test_a_loss_term_has_a_weight_and_parameters() -> None:
    assert LossTerm.parse("clt=0.8,critic=infonce,temperature=0.1") == LossTerm(
        "clt", 0.8, {"critic": "infonce", "temperature": 0.1}
    )


@pytest.mark.parametrize("text", ["bce", "bce=x", "=1", "bce=0", "bce=-1", "clt=1,critic", "clt=1,=2"])
def test_another_loss_term_is_refused(text: str) -> None:
    with pytest.raises(RecipeError, match="name=weight"):
        LossTerm.parse(text)


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
    ],
)
def test_contradictions_are_refused(fields: dict) -> None:
    with pytest.raises(RecipeError):
        Recipe(**fields)


def test_a_folder_holds_one_recipe(tmp_path) -> None:
    recipe = Recipe(output=str(tmp_path), seed=1)
    values = claim_folder(recipe, tmp_path)
    (tmp_path / "recipe.json").write_text(json.dumps(values))
    with pytest.raises(RecipeError, match="--resume"):
        claim_folder(recipe, tmp_path)
    assert claim_folder(Recipe(output="elsewhere", seed=1, resume=True), tmp_path) is None
    with pytest.raises(RecipeError, match="seed is 1 there and 2 here"):
        claim_folder(Recipe(output=str(tmp_path), seed=2, resume=True), tmp_path)
    (tmp_path / "recipe.json").write_text("{")
    with pytest.raises(RecipeError, match="not JSON"):
        claim_folder(recipe, tmp_path)
