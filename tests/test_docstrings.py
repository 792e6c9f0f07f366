"""Docstrings of public names: what ruff's D and DOC rules, in `make lint`, cannot see.

Every parameter and field is explained, or named in backticks where the sentence is about it; what a function raises by
itself is under Raises; where a tensor goes in or out, its shape is said.
"""

import ast
import builtins
import dataclasses
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

import pytest

import ecgzoo
import ecgzoo.testing

SECTIONS = ("Args", "Attributes", "Raises", "Returns", "Yields")
OBVIOUS = {"self", "cls"}


def public() -> Iterator[tuple[str, Any]]:
    """Every public function and class, and the methods and properties that a public class adds."""
    named = {name: getattr(ecgzoo, name) for name in ecgzoo.__all__}
    named |= {f"testing.{name}": getattr(ecgzoo.testing, name) for name in ecgzoo.testing.__all__}
    for name, thing in named.items():
        if isinstance(thing, FunctionType):
            yield name, thing
        elif isinstance(thing, type):
            yield name, thing
            for own, member in vars(thing).items():
                member = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if isinstance(member, FunctionType) and not own.startswith("_"):
                    yield f"{name}.{own}", inspect.unwrap(member)


PUBLIC = dict(public())
FUNCTIONS = {name: thing for name, thing in PUBLIC.items() if isinstance(thing, FunctionType)}
CLASSES = {name: thing for name, thing in PUBLIC.items() if isinstance(thing, type)}


def section(thing: Any, title: str) -> dict[str, str]:
    """What a section says of each name in it."""
    text = re.split(rf"^{title}:$", inspect.getdoc(thing) or "", maxsplit=1, flags=re.MULTILINE)
    if len(text) == 1:
        return {}
    body = re.split(r"^\S", text[1].lstrip("\n"), maxsplit=1, flags=re.MULTILINE)[0]
    entries = re.findall(r"^    (\S[^:]*): (.*?)(?=^    \S|\Z)", body, re.MULTILINE | re.DOTALL)
    return {name.lstrip("*"): said for names, said in entries for name in names.split(", ")}


def unexplained(thing: Any, names: set[str], *titles: str) -> set[str]:
    """Those of `names` that no section of `titles` has, and no backticks."""
    said = {name for title in titles for name in section(thing, title)}
    code = re.findall(r"`([^`]+)`", (inspect.getdoc(thing) or "").replace("``", "`"))
    quoted = {word for text in code for word in re.findall(r"\w+", text)}
    return names - said - quoted


def parameters(function: Callable[..., Any]) -> set[str]:
    return set(inspect.signature(function).parameters) - OBVIOUS


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_is_explained(name: str) -> None:
    assert unexplained(FUNCTIONS[name], parameters(FUNCTIONS[name]), "Args") == set()


@pytest.mark.parametrize("name", CLASSES)
def test_every_field_and_argument_of_a_class_is_explained(name: str) -> None:
    found = CLASSES[name]
    if issubclass(found, BaseException):
        return
    wanted = set(vars(found).get("__annotations__", ())) if dataclasses.is_dataclass(found) else set()
    if "__init__" in vars(found) and not dataclasses.is_dataclass(found):
        wanted |= parameters(found.__init__)
    if name == "Recipe":  # each field's declaration says what it is, and --help prints it
        wanted = set()
    assert unexplained(found, wanted, "Args", "Attributes") == set()


@pytest.mark.parametrize("name", PUBLIC)
def test_what_is_explained_is_there(name: str) -> None:
    thing = PUBLIC[name]
    if isinstance(thing, FunctionType):
        assert set(section(thing, "Args")) <= parameters(thing)
    for error in section(thing, "Raises"):
        assert issubclass(exception(error), Exception), error


def exception(name: str) -> type[BaseException]:
    found = getattr(builtins, name, None) or getattr(ecgzoo.errors, name)
    assert isinstance(found, type), name
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_what_a_function_raises_is_said(name: str) -> None:
    documented = tuple(exception(error) for error in section(FUNCTIONS[name], "Raises"))
    for error in raised(FUNCTIONS[name]):
        assert issubclass(error, documented), f"{name} raises {error.__name__}, and its docstring does not say so"


def raised(function: FunctionType) -> set[type[BaseException]]:
    """What it raises itself and does not catch."""
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    found: set[type[BaseException]] = set()

    def named(node: ast.expr | None) -> type[BaseException] | None:
        node = node.func if isinstance(node, ast.Call) else node
        name = node.id if isinstance(node, ast.Name) else ""
        thing = function.__globals__.get(name, getattr(builtins, name, None))
        return thing if isinstance(thing, type) and issubclass(thing, BaseException) else None

    def visit(node: ast.AST, caught: tuple[type[BaseException], ...]) -> None:
        if isinstance(node, ast.Raise):
            error = named(node.exc)
            if error and not issubclass(error, (*caught, NotImplementedError)):
                found.add(error)
        inner = caught
        if isinstance(node, ast.Try):
            types = [handler.type for handler in node.handlers]
            parts = [part for given in types for part in (given.elts if isinstance(given, ast.Tuple) else [given])]
            inner = (*caught, *(error for part in parts if (error := named(part))))
        for field, value in ast.iter_fields(node):
            for child in value if isinstance(value, list) else [value]:
                if isinstance(child, ast.AST):
                    visit(child, inner if field == "body" else caught)

    visit(tree, ())
    return found


@pytest.mark.parametrize("name", FUNCTIONS)
def test_shapes_of_tensors_are_said(name: str) -> None:
    notes = [str(note) for note in inspect.get_annotations(FUNCTIONS[name]).values()]
    if any("Tensor" in note or "ndarray" in note for note in notes):
        assert re.search(r"\[[\w.*, +'()|-]+\]|scalar", inspect.getdoc(FUNCTIONS[name]) or ""), notes


@pytest.mark.parametrize("name", [name for name, found in CLASSES.items() if dataclasses.is_dataclass(found)])
def test_shapes_of_fields_are_said(name: str) -> None:
    attributes = section(CLASSES[name], "Attributes")
    for field, note in vars(CLASSES[name]).get("__annotations__", {}).items():
        if "Tensor" in str(note) or "ndarray" in str(note):
            assert "[" in attributes[field], f"{name}.{field}: {attributes[field]}"
