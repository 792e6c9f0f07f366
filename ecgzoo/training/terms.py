"""The syntax of ``--losses`` and ``--transforms``: ``name=number[,argument=value…]``."""

import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar

from ecgzoo.errors import RecipeError


@dataclass(frozen=True)
class LossTerm:
    """One term of the student's objective: ``weight · loss(arguments)``.

    Attributes:
        name: name of a registered loss.
        weight: weight of the loss, above 0.
        arguments: arguments of the loss, by name.
    """

    name: str
    weight: float
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return _text(self)


@dataclass(frozen=True)
class TransformTerm:
    """One transform of the training crops.

    Attributes:
        name: name of a registered transform.
        amount: strength, above 0, in the unit that the transform defines.
        arguments: further arguments of the transform, by name.
    """

    name: str
    amount: float
    arguments: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return _text(self)


Term = TypeVar("Term", LossTerm, TransformTerm)


def parse_term(kind: type[Term], given: Any) -> Term:
    """A term, parsed from text or from a mapping of its fields, or unchanged if it is a term already.

    Raises:
        RecipeError: `given` has another form, or the number is not positive.
    """
    number = fields(kind)[1].name
    refusal = RecipeError(
        f"{'loss term' if kind is LossTerm else 'transform'} {str(given)!r}: expected name={number} with a positive "
        f"{number}, then ,argument=value; for example clt=0.8,critic=infonce or noise=0.05,share=0.5"
    )
    try:
        if isinstance(given, str):
            (name, _, first), *others = (part.partition("=") for part in re.split(r",(?=\w+=)", given))
            given = {"name": name, number: float(first), "arguments": {key: literal(text) for key, _, text in others}}
        term = given if isinstance(given, kind) else kind(**given)
        named, value = re.fullmatch(r"[\w.:-]+", term.name), asdict(term)[number]
        if not named or isinstance(value, bool) or not 0 < value < math.inf:
            raise refusal
    except (TypeError, ValueError) as error:
        raise refusal from error
    return term


def parse_arguments(given: Any) -> dict[str, Any]:
    """Keyword arguments from a mapping or from texts ``name=value``.

    Raises:
        RecipeError: `given` has another form.
    """
    if isinstance(given, Mapping):
        return dict(given)
    if (
        isinstance(given, str)
        or not isinstance(given, Iterable)
        or not all(re.fullmatch(r"\w+=.+", str(text)) for text in given)
    ):
        raise RecipeError(f"found {given!r}; expected a mapping, or texts name=value, such as drop_rate=0")
    return {name: literal(value) for name, _, value in (str(text).partition("=") for text in given)}


def literal(text: str) -> Any:
    """The JSON value in `text`, or the text itself if it is not JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _text(term: LossTerm | TransformTerm) -> str:
    """The text of a term, which `parse_term` can read."""
    name, number, arguments = asdict(term).values()
    shown = {key: value if literal(str(value)) == value else json.dumps(value) for key, value in arguments.items()}
    number = int(number) if float(number).is_integer() else number
    return ",".join([f"{name}={number}", *(f"{key}={value}" for key, value in shown.items())])
