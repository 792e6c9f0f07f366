"""name -> spec: wildcards, aliases, deprecations, collisions. Plain functions over what the plugins provide."""

import fnmatch
import importlib
import os
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ecgzoo.errors import AmbiguousName, EcgZooError, EcgZooWarning, RegistryError, did_you_mean
from ecgzoo.plugins import BUILT_IN, KINDS, load_plugins
from ecgzoo.specs import Spec


@dataclass(frozen=True)
class Registered:
    """A spec and the distribution that provides it."""

    kind: str
    spec: Any  # the kind's own dataclass of ecgzoo.specs
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.kind} {self.spec.name} of {self.distribution} {self.version}"

    @property
    def name(self) -> str:
        """The shortest name that means it: bare, or ``distribution::name`` where the bare one means something else."""
        alone = _table(self.kind).entries.get(self.spec.name) == (self,)
        return self.spec.name if alone else f"{self.distribution}::{self.spec.name}"

    @property
    def built_in(self) -> bool:
        """Whether it comes with ecgzoo itself."""
        return self.distribution == BUILT_IN


@dataclass(frozen=True)
class Conflict:
    """A name that a plugin cannot have alone; ``distribution::name`` reaches what it means.

    `kept` is the distribution that the bare name means, or None if it means nothing because two plugins provide it.
    """

    kind: str
    name: str
    kept: str | None
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
            found = Registered(kind, spec, plugin.distribution, plugin.version)
            for name in (spec.name, *spec.aliases):
                entries[f"{plugin.distribution}::{name}"] += (found,)
                if any(other.built_in for other in entries[name]):
                    conflicts.append(Conflict(kind, name, BUILT_IN, plugin.distribution))
                    names.add(f"{plugin.distribution}::{spec.name}")
                else:
                    entries[name] += (found,)
                    names.add(spec.name)
    for name, several in [(name, several) for name, several in entries.items() if len(several) > 1]:
        names.discard(name)
        names.update(f"{found.distribution}::{found.spec.name}" for found in several)
        conflicts += [Conflict(kind, name, None, found.distribution) for found in several]
    return _Table(dict(entries), tuple(sorted(names)), tuple(conflicts))


def names(kind: str, pattern: str = "*") -> list[str]:
    """Names of a kind that match a shell pattern, sorted; one that two plugins share is ``distribution::name``.

    Raises:
        RegistryError: no such kind, or a plugin failed and ``ECGZOO_STRICT_PLUGINS=1``.
    """
    _raise_if_strict()
    return fnmatch.filter(_table(kind).names, pattern)


def conflicts(kind: str) -> tuple[Conflict, ...]:
    """Names of this kind that more than one distribution provides."""
    return _table(kind).conflicts


def lookup(kind: str, name: str) -> Registered:
    """The spec that `name`, an alias or ``distribution::name`` stands for, and who provides it.

    Raises:
        RegistryError: nothing has this name (the message lists close matches), or as `names`.
        AmbiguousName: two plugins provide it.
    """
    _raise_if_strict()
    found = _table(kind).entries.get(name, ())
    if not found:
        left_out = ", ".join(sorted({failure.distribution for failure in load_plugins().failures}))
        note = f" Left out for an error, see `ecgzoo plugins`: {left_out}." if left_out else ""
        raise RegistryError(f"No {kind} is called {name!r}. {did_you_mean(name, names(kind))}{note}")
    if len(found) > 1:
        choices = " or ".join(f"{entry.distribution}::{name}" for entry in found)
        raise AmbiguousName(f"Two plugins provide the {kind} {name!r}; write {choices}.")
    return found[0]


def get(kind: str, name: str) -> Registered:
    """`lookup`, for use: a deprecated name warns."""
    found = lookup(kind, name)
    spec: Spec = found.spec
    if spec.deprecated_by:
        warnings.warn(
            f"{found} is deprecated and goes in {found.distribution} {spec.removed_in}; use {spec.deprecated_by}",
            EcgZooWarning,
            stacklevel=3,
        )
    return found


def factory(found: Registered) -> Callable[..., Any]:
    """Import what the spec's factory names.

    Raises:
        RegistryError: the module or the callable cannot be imported.
    """
    module, _, attribute = found.spec.factory.partition(":")
    with blamed(found):
        made: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
    return made


@contextmanager
def blamed(found: Registered) -> Iterator[None]:
    """Run what `found` provides: whatever it raises becomes one line that names it, its distribution and version.

    Raises:
        RegistryError: it raised anything but an `EcgZooError`, which passes as it is.
    """
    try:
        yield
    except EcgZooError:
        raise
    except (Exception, SystemExit) as error:  # a stranger's code may raise anything
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise RegistryError(
            f"{found} failed with {type(error).__name__}: {reason}. "
            f"If what it was given is right, update {found.distribution} or report it to its authors."
        ) from error


def _raise_if_strict() -> None:
    failures = load_plugins().failures
    if failures and os.environ.get("ECGZOO_STRICT_PLUGINS") == "1":
        raise RegistryError(f"{failures[0]} (raised because ECGZOO_STRICT_PLUGINS=1)") from failures[0].exception
