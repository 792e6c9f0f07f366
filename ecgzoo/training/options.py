"""Declarations of a recipe's fields: default, range, help, section and scope of each field in one place.

They are used to check values, for the messages, for the sections of ``--help``, to decide what is published, and for
the key of pretrained weights.
"""

import dataclasses
import math
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ecgzoo.errors import RecipeError

KINDS = {bool: "True or False", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True, kw_only=True)
class Option:
    """A declaration.

    Attributes:
        help: one sentence.
        section: section of ``--help``.
        scope: ``recipe`` is published with the weights; ``run`` is not published, but fixed for a run; ``machine`` may
            change when a run is resumed.
        pretraining: whether pretrained weights depend on it.
        above, at_least, below: bounds of a number.
        convert: applied to the given value before it is checked.
        metavar: placeholder of the flag's value in ``--help``.
    """

    help: str
    section: str
    scope: Literal["recipe", "run", "machine"] = "recipe"
    pretraining: bool = False
    above: float = -math.inf
    at_least: float = -math.inf
    below: float = math.inf
    convert: Callable[[Any], Any] | None = None
    metavar: str | None = None

    def problem(self, value: Any, hint: Any) -> str | None:
        """What is wrong with `value`, whose declared type is `hint`; None if nothing is."""
        if get_origin(hint) is Literal:
            return None if value in get_args(hint) else f"expected {' or '.join(get_args(hint))}"
        accepted = (int, float) if hint is float else hint
        if hint in KINDS and (not isinstance(value, accepted) or (isinstance(value, bool) and hint is not bool)):
            return f"it must be {KINDS[hint]}"
        if hint not in (int, float) or (self.above < value < self.below and value >= self.at_least):
            return None
        if self.below < math.inf:
            return f"it must be in [{self.at_least:g}, {self.below:g})"
        return "it must be positive" if self.above == 0 else "it must not be negative"


def option(default: Any, section: str, help: str, **said: Any) -> Any:
    """A dataclass field with its `Option`; `said` are further attributes of the option."""
    return dataclasses.field(default=default, metadata={"option": Option(help=help, section=section, **said)})


def options(of: Any) -> dict[str, Option]:
    """The declarations of a dataclass or an instance, by field name."""
    return {field.name: field.metadata["option"] for field in dataclasses.fields(of)}


def check(instance: Any) -> None:
    """Convert and check every field of a frozen dataclass.

    Raises:
        RecipeError: the first value that its declaration does not allow.
    """
    hints = get_type_hints(type(instance))
    for name, declared in options(instance).items():
        value = getattr(instance, name)
        if declared.convert is not None:
            try:
                value = declared.convert(value)
            except RecipeError as error:
                raise RecipeError(f"{name}: {error}") from error
            object.__setattr__(instance, name, value)
        if problem := declared.problem(value, hints[name]):
            raise RecipeError(f"{name} is {value!r}; {problem}")


def add_flags(parser: ArgumentParser, default: Any) -> None:
    """A flag for every field of `default`, in its section of the help."""
    declarations, hints = options(default), get_type_hints(type(default))
    sections = {
        name: parser.add_argument_group(name) for name in dict.fromkeys(d.section for d in declarations.values())
    }
    for name, declared in declarations.items():
        value, hint = getattr(default, name), hints[name]
        kind: dict[str, Any] = {"metavar": declared.metavar or "TEXT"}
        if hint is bool:
            kind = {"action": BooleanOptionalAction}
        elif get_origin(hint) is Literal:
            kind = {"choices": get_args(hint)}
        elif isinstance(value, (tuple, dict)):
            kind["nargs"] = "*"
        elif hint in (int, float):
            kind = {"type": hint, "metavar": "N" if hint is int else "X"}
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        text = declared.help + ("" if shown in (None, "", {}) else f" (default: {shown})")
        flag = f"--{name.replace('_', '-')}"
        sections[declared.section].add_argument(flag, default=value, help=text.replace("%", "%%"), **kind)
