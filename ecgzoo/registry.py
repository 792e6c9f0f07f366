"""name -> spec: wildcards, aliases, deprecations, collisions. Plain functions over what the plugins provide."""

import fnmatch
import importlib
import warnings
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ecgzoo.errors import AmbiguousName, RegistryError, did_you_mean
from ecgzoo.plugins import BUILT_IN, KINDS, load_plugins
from ecgzoo.specs import Spec


@dataclass(frozen=True)
class Registered:
    """A spec and the distribution that provides it."""

    spec: Spec
    distribution: str
    version: str


@dataclass(frozen=True)
class Conflict:
    """A plugin's name that a built-in already has: the built-in keeps it, ``distribution::name`` reaches the other."""

    kind: str
    name: str
    kept: str
    refused: str


@dataclass(frozen=True)
class _Table:
    entries: dict[str, tuple[Registered, ...]]  # by name, alias and distribution::name
    names: tuple[str, ...]  # what a listing shows
    conflicts: tuple[Conflict, ...]


@lru_cache(maxsize=len(KINDS))
def _table(kind: str) -> _Table:
    if kind not in KINDS:
        raise RegistryError(f"No kind {kind!r} of registered things. {did_you_mean(kind, KINDS)}")
    entries: dict[str, tuple[Registered, ...]] = defaultdict(tuple)
    names, conflicts = set(), []
    for plugin in load_plugins().plugins:
        for spec in (spec for provided, spec in plugin.provides if provided == kind):
            found = Registered(spec, plugin.distribution, plugin.version)
            for name in (spec.name, *spec.aliases):
                entries[f"{plugin.distribution}::{name}"] += (found,)
                if any(other.distribution == BUILT_IN for other in entries[name]):
                    conflicts.append(Conflict(kind, name, BUILT_IN, plugin.distribution))
                    names.add(f"{plugin.distribution}::{spec.name}")
                else:
                    entries[name] += (found,)
                    names.add(spec.name)
    for name in [name for name in names if len(entries[name]) > 1]:
        names.remove(name)
        names.update(f"{found.distribution}::{name}" for found in entries[name])
    return _Table(dict(entries), tuple(sorted(names)), tuple(conflicts))


def names(kind: str, pattern: str = "*") -> list[str]:
    """Names of a kind that match a shell pattern, sorted; one that two plugins share is ``distribution::name``."""
    return fnmatch.filter(_table(kind).names, pattern)


def conflicts(kind: str) -> tuple[Conflict, ...]:
    """Names of this kind that a plugin provides and a built-in keeps."""
    return _table(kind).conflicts


def lookup(kind: str, name: str) -> Registered:
    """The spec that `name`, an alias or ``distribution::name`` stands for, and who provides it.

    Raises:
        RegistryError: nothing has this name; the message lists close matches.
        AmbiguousName: two plugins provide it.
    """
    found = _table(kind).entries.get(name, ())
    if not found:
        raise RegistryError(f"No {kind} is called {name!r}. {did_you_mean(name, names(kind))}")
    if len(found) > 1:
        choices = " or ".join(f"{entry.distribution}::{name}" for entry in found)
        raise AmbiguousName(f"Two plugins provide the {kind} {name!r}; write {choices}.")
    if found[0].spec.deprecated_by:
        warnings.warn(f"{kind} {name!r} is deprecated; use {found[0].spec.deprecated_by!r}", stacklevel=3)
    return found[0]


def get(kind: str, name: str) -> Any:
    """The spec alone, of the kind's own dataclass; errors as `lookup`."""
    return lookup(kind, name).spec


def factory(spec: Spec) -> Callable[..., Any]:
    """Import what the spec's factory names.

    Raises:
        RegistryError: the module or the callable cannot be imported.
    """
    module, _, attribute = spec.factory.partition(":")
    try:
        built: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # importing a stranger's module may raise anything
        raise RegistryError(
            f"{spec.name}: its factory {spec.factory!r} cannot be imported ({type(error).__name__}: {error}). "
            "Reinstall the package that provides it, or report it there."
        ) from error
    return built
