"""What a declaration refuses, and the flags that come of it."""

from argparse import ArgumentParser
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from ecgzoo.errors import RecipeError
from ecgzoo.training.options import Option, add_flags, check, option
from ecgzoo.training.terms import parse_arguments


@dataclass(frozen=True)
class Said:
    epochs: int = option(3, "training", "How often.", above=0)
    rate: float = option(0.5, "training", "In 100 % of cases.", at_least=0, below=1)
    decay: float = option(0.0, "training", "How much.", at_least=0)
    kind: Literal["a", "b"] = option("a", "network", "Which.")
    fast: bool = option(False, "network", "Whether.")
    name: str = option("", "network", "Its name.", metavar="NAME")
    leads: tuple[str, ...] = option(("I", "II"), "network", "Which leads.")
    arguments: dict[str, Any] = field(
        default_factory=dict,
        metadata={"option": Option(help="More.", section="network", convert=parse_arguments)},
    )

    def __post_init__(self) -> None:
        check(self)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"epochs": 0}, "epochs is 0; it must be positive"),
        ({"epochs": 1.5}, "epochs is 1.5; it must be a whole number"),
        ({"epochs": True}, "epochs is True; it must be a whole number"),
        ({"rate": 1}, r"rate is 1; it must be in \[0, 1\)"),
        ({"rate": -0.1}, r"rate is -0.1; it must be in \[0, 1\)"),
        ({"rate": float("nan")}, "rate is nan"),
        ({"decay": -1}, "decay is -1; it must not be negative"),
        ({"decay": float("inf")}, "decay is inf"),
        ({"decay": "0"}, "it must be a number"),
        ({"kind": "c"}, "kind is 'c'; expected a or b"),
        ({"fast": 1}, "fast is 1; it must be True or False"),
        ({"name": 1}, "name is 1; it must be text"),
        ({"arguments": "a"}, "arguments: found 'a'; expected a mapping"),
    ],
)
def test_what_a_declaration_does_not_allow(fields: dict[str, Any], reason: str) -> None:
    with pytest.raises(RecipeError, match=reason):
        Said(**fields)


def test_the_ends_that_belong_to_a_range_are_allowed() -> None:
    assert Said(epochs=1, rate=0, decay=0).rate == 0
    assert Said(arguments=["a=1"]).arguments == {"a": 1}


def test_each_field_has_a_flag_of_its_kind() -> None:
    parser = ArgumentParser(prog="x")
    add_flags(parser, Said())
    assert Said(**vars(parser.parse_args([]))) == Said()
    text = "--epochs 5 --rate 0.25 --decay 1 --kind b --fast --name N --leads V1 V2 --arguments a=1 b=c"
    given = text.split()
    found = Said(**{**vars(parser.parse_args(given)), "leads": ("V1", "V2")})
    assert parser.parse_args(given).leads == ["V1", "V2"]
    assert found == Said(5, 0.25, 1.0, "b", True, "N", ("V1", "V2"), {"a": 1, "b": "c"})
    assert parser.parse_args(["--no-fast"]).fast is False
    for wrong in (["--kind", "c"], ["--epochs", "x"], ["--epochs", "1.5"]):
        with pytest.raises(SystemExit):
            parser.parse_args(wrong)


def test_the_help_has_sections_and_defaults() -> None:
    parser = ArgumentParser(prog="x")
    add_flags(parser, Said())
    text = " ".join(parser.format_help().split())
    for part in (
        "training: --epochs N How often. (default: 3)",
        "--rate X In 100 % of cases. (default: 0.5)",
        "network: --kind {a,b} Which. (default: a)",
        "--name NAME Its name. --leads",
        "Which leads. (default: I II)",
    ):
        assert part in text
    assert text.endswith("More.")
