"""What is said of a recipe's field, in one declaration beside it: default, range, help, and what it belongs to.

From it come the check and its message, the sections of ``--help``, what is published, and the key of a pretraining.
"""

import dataclasses
import math
from argparse import ArgumentParser, BooleanOptionalAction
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin, get_type_hints

from ecgzoo.errors import RecipeError


@dataclass(frozen=True, kw_only=True)
class Option:
    """A declaration.

    Attributes:
        help: one sentence.
        section: of ``--help``.
        scope: ``recipe`` is published with the weights; ``run`` is not, but fixed for a run; ``machine`` may change
            between a run and its resumption.
        pretraining: whether pretrained weights depend on it.
        above, at_least, below, at_most: bounds of a number.
        convert: applied to what is given, before it is checked.
        metavar: of the flag.
    """

    help: str
    section: str
    scope: Literal["recipe", "run", "machine"] = "recipe"
    pretraining: bool = False
    above: float = -math.inf
    at_least: float = -math.inf
    below: float = math.inf
    at_most: float = math.inf
    convert: Callable[[Any], Any] | None = None
    metavar: str | None = None

    def problem(self, value: Any, hint: Any) -> str | None:
        """What is wrong with `value`, whose declared type is `hint`; None if nothing is."""
        if get_origin(hint) is Literal and value not in get_args(hint):
            return f"expected {' or '.join(get_args(hint))}"
        if hint is bool and not isinstance(value, bool):
            return "expected True or False"
        if hint is int and (isinstance(value, bool) or not isinstance(value, int)):
            return "it must be a whole number"
        if hint is float and (isinstance(value, bool) or not isinstance(value, (int, float))):
            return "it must be a number"
        if hint is str and not isinstance(value, str):
            return "it must be text"
        if hint in (int, float):
            inside = self.above < value < self.below and self.at_least <= value <= self.at_most
            return None if inside and math.isfinite(value) else f"it must {self._range()}"
        return None

    def _range(self) -> str:
        if self.below == self.at_most == math.inf:
            return "be positive" if self.above == 0 else "not be negative" if self.at_least == 0 else "be finite"
        low = f"[{self.at_least:g}" if math.isfinite(self.at_least) else f"({self.above:g}"
        high = f"{self.at_most:g}]" if math.isfinite(self.at_most) else f"{self.below:g})"
        return f"be in {low}, {high}"


def option(default: Any, help: str, section: str, **said: Any) -> Any:
    """A dataclass field with its `Option`; `said` are further attributes of it."""
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
    """A flag for every field of `default`, a section of the help for every section."""
    hints, sections = get_type_hints(type(default)), {}
    for name, declared in options(default).items():
        if declared.section not in sections:
            sections[declared.section] = parser.add_argument_group(declared.section)
        value, hint = getattr(default, name), hints[name]
        kind: dict[str, Any]
        if hint is bool:
            kind = {"action": BooleanOptionalAction}
        elif get_origin(hint) is Literal:
            kind = {"choices": get_args(hint)}
        elif isinstance(value, (tuple, dict)):
            kind = {"nargs": "*", "metavar": declared.metavar}
        elif hint in (int, float):
            kind = {"type": hint, "metavar": "N" if hint is int else "X"}
        else:
            kind = {"metavar": declared.metavar or "TEXT"}
        shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
        text = declared.help + ("" if shown in (None, "", {}) else f" (default: {shown})")
        flag = f"--{name.replace('_', '-')}"
        sections[declared.section].add_argument(flag, default=value, help=text.replace("%", "%%"), **kind)
