"""The grammar of ``--losses`` and ``--transforms``: ``name=number[,argument=value…]``."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ecgzoo.errors import RecipeError


@dataclass(frozen=True)
class LossTerm:
    """One term of the student's objective: ``weight · loss(arguments)``."""

    name: str
    weight: float
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return term_text(self)


@dataclass(frozen=True)
class TransformTerm:
    """One change of the training crops: how much of it, in the transform's own unit, and its further arguments."""

    name: str
    amount: float
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return term_text(self)


Term = TypeVar("Term", LossTerm, TransformTerm)


def parse_term(kind: type[Term], given: Any) -> Term:
    """A term from text, from a mapping of its fields, or as it is.

    Raises:
        RecipeError: another form, or a number that is not positive.
    """
    number = dataclasses.fields(kind)[1].name
    what = "loss term" if kind is LossTerm else "transform"
    if isinstance(given, Mapping):
        try:
            given = kind(**given)
        except TypeError as error:
            raise RecipeError(
                f"{what} {dict(given)}: expected name={number}, as fields of a mapping too ({error})"
            ) from error
    if isinstance(given, kind):
        term, text = given, str(given)
    else:
        text = str(given)
        (name, _, first), *others = (part.partition("=") for part in re.split(r",(?=\w+=)", text))
        term = kind(name, _number(first), {key: literal(value) for key, _, value in others})
    well_formed = isinstance(term.name, str) and re.fullmatch(r"[\w.:-]+", term.name)
    value = getattr(term, number)
    if not well_formed or isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise RecipeError(
            f"{what} {text!r}: expected name={number} with a positive {number}, then ,argument=value; "
            + ("for example clt=0.8,critic=infonce" if kind is LossTerm else "for example noise=0.05,share=0.5")
        )
    return term


def term_text(term: LossTerm | TransformTerm) -> str:
    """What `parse_term` reads back."""
    number = dataclasses.astuple(term)[1]
    number = int(number) if isinstance(number, float) and number.is_integer() else number
    arguments = "".join(f",{name}={value_text(value)}" for name, value in term.arguments.items())
    return f"{term.name}={number}{arguments}"


def parse_arguments(given: Any) -> dict[str, Any]:
    """Keyword arguments from a mapping, or from texts ``name=value``.

    Raises:
        RecipeError: another form.
    """
    if isinstance(given, Mapping):
        return dict(given)
    if isinstance(given, str) or not all(re.fullmatch(r"\w+=.+", str(text)) for text in given):
        raise RecipeError(f"arguments {given!r}: expected a mapping, or texts name=value, such as drop_rate=0")
    return {name: literal(value) for name, _, value in (str(text).partition("=") for text in given)}


def literal(text: str) -> Any:
    """The JSON value that `text` is, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def value_text(value: Any) -> str:
    """What `literal` reads back."""
    plain = isinstance(value, str) and literal(value) == value
    return value if plain else json.dumps(value)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
