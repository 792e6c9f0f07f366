"""name -> spec: wildcards, aliases, deprecations, collisions. Plain functions over what the plugins provide."""

import fnmatch
import importlib
import inspect
import os
import sys
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ecgzoo.errors import AmbiguousNameError, EcgZooError, EcgZooWarning, RegistryError, did_you_mean
from ecgzoo.plugins import BUILT_IN, KINDS, load_plugins
from ecgzoo.providers import PROVIDES, provider
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
        """What always means it, whatever else is installed: a built-in's bare name, else ``distribution::name``."""
        return self.spec.name if self.built_in else f"{self.distribution}::{self.spec.name}"

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
    _report_failures()
    return fnmatch.filter(_table(kind).names, pattern)


def conflicts(kind: str) -> tuple[Conflict, ...]:
    """Names of this kind that more than one distribution provides."""
    return _table(kind).conflicts


def lookup(kind: str, name: str) -> Registered:
    """The spec that `name`, an alias or ``distribution::name`` stands for, and who provides it.

    Raises:
        RegistryError: nothing has this name (the message lists close matches), or as `names`.
        AmbiguousNameError: two plugins provide it.
    """
    _report_failures()
    found = _table(kind).entries.get(name, ())
    if not found:
        raise RegistryError(f"No {kind} is called {name!r}. {_what_to_do(kind, name)}")
    if len(found) > 1:
        choices = " or ".join(f"{entry.distribution}::{name}" for entry in found)
        raise AmbiguousNameError(f"Two plugins provide the {kind} {name!r}; write {choices}.")
    return found[0]


def _what_to_do(kind: str, name: str) -> str:
    failures = sorted({failure.distribution for failure in load_plugins().failures})
    note = f" Left out for an error, see `ecgzoo plugins`: {', '.join(failures)}." if failures else ""
    return (to_install(kind, name) or did_you_mean(name, names(kind))) + note


def to_install(kind: str, name: str) -> str | None:
    """A sentence that says which plugin to install for `name`; None if none is known, or it is installed."""
    loaded, wanted = load_plugins(), provider(kind, name)
    installed = {plugin.distribution for plugin in loaded.plugins}
    installed |= {failure.distribution for failure in loaded.failures}
    if wanted is None or wanted in installed:
        return None
    state = "not installed" + (" or left out by ECGZOO_PLUGINS" if "ECGZOO_PLUGINS" in os.environ else "")
    if wanted in PROVIDES:
        return f"It comes with a plugin that is {state}: pip install {wanted}"
    # whoever wrote the name, in a model's config perhaps, chose the package
    return f"It is of the package {wanted}, which is {state}. If you trust it: pip install {wanted}"


def has(kind: str, name: str) -> bool:
    """Whether `name` is a name, an alias or ``distribution::name`` of this kind, even if two plugins provide it."""
    return name in _table(kind).entries


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
        try:
            made: Callable[..., Any] = getattr(importlib.import_module(module), attribute)
        except SystemExit as error:
            raise ImportError(f"it called sys.exit({error.code})") from error
    return made


def build(
    found: Registered, given: tuple[Any, ...], arguments: Mapping[str, Any], refusal: type[EcgZooError] = RegistryError
) -> Any:
    """What the spec's factory makes of `given` and of further arguments by name.

    Raises:
        refusal: an argument that the factory does not have (the message lists those it has), or a value it refuses.
        RegistryError: the factory cannot be imported, or fails.
    """
    make = factory(found)
    if arguments:  # asking for a signature takes longer than making a reader, of which a file may ask for ten
        known = list(inspect.signature(make).parameters)[len(given) :]
        if unknown := [name for name in arguments if name not in known]:
            raise refusal(f"{found} takes no argument {unknown[0]!r}; it takes {', '.join(known) or 'none'}.")
    with blamed(found):
        try:
            return make(*given, **arguments)
        except (TypeError, ValueError) as error:
            if not arguments:
                raise
            raise refusal(f"{found} does not take {dict(arguments)}: {error}") from error


@contextmanager
def blamed(found: Registered) -> Iterator[None]:
    """Make what `found` provides: whatever it raises becomes one line that names it, its distribution and version.

    What it prints goes to stderr: it must not stand in a command's JSON.

    Raises:
        RegistryError: it raised anything but an `EcgZooError`, which passes as it is.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except EcgZooError:
        raise
    except Exception as error:  # a stranger's code may raise anything
        raise failed(found, error) from error


def failed(found: Registered, error: Exception) -> RegistryError:
    """What to raise for an error of a stranger's code."""
    reason = (str(error).splitlines() or ["no reason given"])[0]
    return RegistryError(
        f"{found} failed with {type(error).__name__}: {reason}. "
        f"If what it was given is right, update {found.distribution} or report it to its authors."
    )


def _report_failures() -> None:
    failures = load_plugins().failures
    if failures and os.environ.get("ECGZOO_STRICT_PLUGINS") == "1":
        raise RegistryError(f"{failures[0]} (raised because ECGZOO_STRICT_PLUGINS=1)") from failures[0].exception
    _warn_of_failures()


@lru_cache(maxsize=1)
def _warn_of_failures() -> None:
    for failure in load_plugins().failures:
        warnings.warn(f"{failure}; it is left out", EcgZooWarning, stacklevel=5)
