"""Terms and arguments are read back from what they are written as."""

from typing import Any

import numpy as np
import pytest
import torch

from ecgzoo import LossTerm, Recipe
from ecgzoo.errors import RecipeError
from ecgzoo.training.terms import TransformTerm, literal, parse_arguments, parse_term


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"critic": "infonce", "temperature": 0.07, "dim": 64},
        {"flag": True, "none": None},
        {"weights": [1, 2.5], "text": "3", "yes": "true", "table": {"a": [1]}},
    ],
)
@pytest.mark.parametrize("number", [1, 0.05, 2.0, 1e-5])
@pytest.mark.parametrize("kind", [LossTerm, TransformTerm])
def test_a_term_is_read_back_from_its_text(kind, number: float, arguments: dict) -> None:
    for name in ("some.name", "my-ecg::family/name"):
        term = kind(name, number, arguments)
        assert parse_term(kind, str(term)) == term


def test_a_whole_number_is_written_without_a_fraction() -> None:
    assert str(LossTerm("clt", 2.0, {"critic": "infonce", "text": "3"})) == 'clt=2,critic=infonce,text="3"'


def test_true_is_no_weight() -> None:
    with pytest.raises(RecipeError, match="expected name=weight with a positive weight"):
        parse_term(LossTerm, {"name": "bce", "weight": True})
    with pytest.raises(RecipeError, match="transform 'noise': expected name=amount"):
        parse_term(TransformTerm, "noise")


def test_arguments_are_a_mapping_or_texts() -> None:
    given = {"drop_rate": 0}
    assert parse_arguments(given) == given
    assert parse_arguments(given) is not given
    assert parse_arguments(["drop_rate=0.5", "act=relu=x", "sizes=[1, 2]"]) == {
        "drop_rate": 0.5,
        "act": "relu=x",
        "sizes": [1, 2],
    }
    assert parse_arguments(()) == {}
    for wrong in ("drop_rate=0", ["drop_rate"], ["=1"], ["a=1", "b="]):
        with pytest.raises(RecipeError, match="expected a mapping, or texts name=value"):
            parse_arguments(wrong)


def test_what_is_no_json_is_text() -> None:
    assert [literal(text) for text in ("1", "1.5", "null", "relu", "[1")] == [1, 1.5, None, "relu", "[1"]
    assert literal("[" * 100_000) == "[" * 100_000


@pytest.mark.parametrize("value", [np.array([1.0, 2.0]), torch.tensor([1.0, 2.0]), np.float32(0.5), np.int64(3)])
def test_values_that_no_recipe_can_save_are_refused(value: Any) -> None:
    for fields in (
        {"losses": (LossTerm("mkd", 1, {"class_weights": value}),)},
        {"losses": ({"name": "mkd", "weight": 1, "arguments": {"class_weights": value}},)},
        {"student_arguments": {"drop_rate": value}},
    ):
        with pytest.raises(RecipeError, match=r"of an array, give its \.tolist\(\)"):
            Recipe(**fields)
    assert Recipe(losses=(LossTerm("mkd", 1, {"class_weights": np.ones(5).tolist()}),)).to_dict()


def test_an_argument_is_given_once() -> None:
    for fields in ({"losses": ("mkd=1,temperature=2,temperature=4",)}, {"student_arguments": ["a=1", "a=1"]}):
        with pytest.raises(RecipeError, match=r"argument (temperature|a) is given twice"):
            Recipe(**fields)
