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
        RecipeError: `given` has another form, the number is not positive, or an argument is given twice or has a value
            that a recipe cannot save.
    """
    number = fields(kind)[1].name
    if isinstance(given, kind):
        _check_plain(given.arguments)  # else it has no text
    refusal = RecipeError(
        f"{'loss term' if kind is LossTerm else 'transform'} {str(given)!r}: expected name={number} with a positive "
        f"{number}, then ,argument=value; for example clt=0.8,critic=infonce or noise=0.05,share=0.5"
    )
    try:
        if isinstance(given, str):
            first, *others = re.split(r",(?=\w+=)", given)
            name, _, value = first.partition("=")
            given = {"name": name, number: float(value), "arguments": _arguments(others)}
        term = given if isinstance(given, kind) else kind(**given)
        named, value = re.fullmatch(r"[\w.:/-]+", term.name), asdict(term)[number]
        if not named or isinstance(value, bool) or not 0 < value < math.inf:
            raise refusal
    except (TypeError, ValueError) as error:
        raise refusal from error
    _check_plain(term.arguments)
    return term


def parse_arguments(given: Any) -> dict[str, Any]:
    """Keyword arguments from a mapping or from texts ``name=value``.

    Raises:
        RecipeError: `given` has another form, or an argument is given twice or has a value that a recipe cannot save.
    """
    if isinstance(given, Mapping):
        _check_plain(given)
        return dict(given)
    if (
        isinstance(given, str)
        or not isinstance(given, Iterable)
        or not all(re.fullmatch(r"\w+=.+", str(text)) for text in given)
    ):
        raise RecipeError(f"found {given!r}; expected a mapping, or texts name=value, such as drop_rate=0")
    return _arguments(map(str, given))


def _arguments(texts: Iterable[str]) -> dict[str, Any]:
    """The values by name in texts ``name=value``."""
    found: dict[str, Any] = {}
    for name, _, value in (text.partition("=") for text in texts):
        if name in found:
            raise RecipeError(f"argument {name} is given twice, as {found[name]!r} and {value}; give it once")
        found[name] = literal(value)
    return found


def _check_plain(arguments: Mapping[str, Any]) -> None:
    """Refuse arguments that the recipe, the config and the card could not be written with."""
    try:
        json.dumps(dict(arguments), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise RecipeError(
            f"arguments {dict(arguments)!r:.200}: expected finite numbers, texts, True, False, None, and lists of them "
            f"({error}); of an array, give its .tolist()"
        ) from error


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
