"""Find specs by name: wildcards, aliases, deprecations, conflicts. Plain functions over what the plugins provide."""

import fnmatch
import importlib
import inspect
import os
import sys
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
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
    spec: Any  # a dataclass of ecgzoo.specs, one per kind
    distribution: str
    version: str

    def __str__(self) -> str:
        return f"{self.kind} {self.spec.name} of {self.distribution} {self.version}"

    @property
    def name(self) -> str:
        """A name that is always unique: the bare name of a built-in, else ``distribution::name``."""
        return self.spec.name if self.built_in else f"{self.distribution}::{self.spec.name}"

    @property
    def built_in(self) -> bool:
        """Whether it comes with ecgzoo."""
        return self.distribution == BUILT_IN


@dataclass(frozen=True)
class Conflict:
    """A bare name that does not mean what a plugin provides under it; use ``distribution::name`` for that.

    `kept` is the distribution that the bare name stands for. None if two plugins provide it, so that it is ambiguous.
    """

    kind: str
    name: str
    kept: str | None
    refused: str


@dataclass(frozen=True)
class _Table:
    entries: dict[str, tuple[Registered, ...]]  # by name, alias and distribution::name
    names: tuple[str, ...]  # of what can be built
    conflicts: tuple[Conflict, ...]
    made: dict[Hashable, Any] = field(default_factory=dict)  # by `once`


@lru_cache(maxsize=len(KINDS))
def _table(kind: str) -> _Table:
    if kind not in KINDS:
        raise RegistryError(f"Unknown kind {kind!r}. {did_you_mean(kind, KINDS)}")
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
                    if not spec.unavailable:
                        names.add(spec.name)
    for name, several in [(name, several) for name, several in entries.items() if len(several) > 1]:
        names.discard(name)
        names.update(f"{found.distribution}::{found.spec.name}" for found in several)
        conflicts += [Conflict(kind, name, None, found.distribution) for found in several]
    return _Table(dict(entries), tuple(sorted(names)), tuple(conflicts))


def names(kind: str, pattern: str = "*") -> list[str]:
    """Sorted names of a kind that match a shell pattern; a name from two plugins is shown as ``distribution::name``.

    As in a shell, ``*`` stands for no ``/``: names of a family such as ``timm/`` match patterns with a ``/`` only.

    Raises:
        RegistryError: the kind is unknown, or a plugin failed and ``ECGZOO_STRICT_PLUGINS=1``.
    """
    _report_failures()
    matching = fnmatch.filter(_table(kind).names, pattern)
    return [name for name in matching if name.count("/") == pattern.count("/")]


def families(kind: str) -> dict[str, int]:
    """Patterns such as ``timm/*`` of the names that ``*`` leaves out, each with the number of its names."""
    return dict(Counter(f"{name.rpartition('/')[0]}/*" for name in _table(kind).names if "/" in name))


def conflicts(kind: str) -> tuple[Conflict, ...]:
    """Names of this kind that more than one distribution provides."""
    return _table(kind).conflicts


def lookup(kind: str, name: str) -> Registered:
    """The spec for `name`, which may be an alias or ``distribution::name``, and its distribution.

    Raises:
        RegistryError: nothing has this name (the message lists close matches), nothing can be built under it, or see
            `names`.
        AmbiguousNameError: two plugins provide it.
    """
    _report_failures()
    found = _table(kind).entries.get(name, ())
    if not found:
        raise RegistryError(f"No {kind} is called {name!r}. {_what_to_do(kind, name)}")
    if len(found) > 1:
        choices = " or ".join(f"{entry.distribution}::{name}" for entry in found)
        raise AmbiguousNameError(f"Two plugins provide the {kind} {name!r}; write {choices}.")
    if found[0].spec.unavailable:
        raise RegistryError(f"{kind} {name} is not available: {found[0].spec.unavailable}")
    return found[0]


def _what_to_do(kind: str, name: str) -> str:
    failures = sorted({failure.distribution for failure in load_plugins().failures})
    note = f" Left out because of an error, see `ecgzoo plugins`: {', '.join(failures)}." if failures else ""
    family = "*/" * name.count("/")
    return (to_install(kind, name) or did_you_mean(name, names(kind, f"{family}*") or names(kind))) + note


def to_install(kind: str, name: str) -> str | None:
    """A sentence that says which plugin to install for `name`; None if no plugin is known or it is installed."""
    loaded, wanted = load_plugins(), provider(kind, name)
    installed = {plugin.distribution for plugin in loaded.plugins}
    installed |= {failure.distribution for failure in loaded.failures}
    if wanted is None or wanted in installed:
        return None
    state = "not installed" + (" or left out by ECGZOO_PLUGINS" if "ECGZOO_PLUGINS" in os.environ else "")
    if wanted in PROVIDES:
        return f"It comes with a plugin that is {state}: pip install {wanted}"
    # the package was chosen by the author of the name, for example of a downloaded model's config
    return f"It comes with the package {wanted}, which is {state}. If you trust it: pip install {wanted}"


def has(kind: str, name: str) -> bool:
    """Whether `name` is a name, alias or ``distribution::name`` of this kind, also if two plugins provide it."""
    return name in _table(kind).entries


def get(kind: str, name: str) -> Registered:
    """`lookup` with a warning if the name is deprecated."""
    found = lookup(kind, name)
    spec: Spec = found.spec
    if spec.deprecated_by:
        warnings.warn(
            f"{found} is deprecated and will be removed in {found.distribution} {spec.removed_in}; "
            f"use {spec.deprecated_by}",
            EcgZooWarning,
            stacklevel=3,
        )
    return found


def factory(found: Registered) -> Callable[..., Any]:
    """Import the factory that the spec names.

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
    """Call the spec's factory with `given` and with keyword arguments.

    Raises:
        refusal: the factory has no such argument (the message lists its arguments), or it refuses a value.
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


def build_once(kind: str, name: str) -> Any:
    """What the factory of `name` makes without arguments, built once per process: for objects without a state.

    Raises:
        RegistryError: as for `lookup` and `build`.
    """
    return once(kind, name, lambda: build(lookup(kind, name), (), {}))


def once(kind: str, what: Hashable, make: Callable[[], Any]) -> Any:
    """What `make` returns, made once per process: it depends on the registered names of this kind only."""
    made = _table(kind).made
    if what not in made:
        made[what] = make()
    return made[what]


@contextmanager
def blamed(found: Registered) -> Iterator[None]:
    """Run code of `found`: any error becomes one line with its name, distribution and version.

    Its output goes to stderr, so that it does not get into a command's JSON.

    Raises:
        RegistryError: it raised an error that is not an `EcgZooError`; an `EcgZooError` is raised unchanged.
    """
    try:
        with redirect_stdout(sys.stderr):
            yield
    except EcgZooError:
        raise
    except Exception as error:  # third-party code may raise anything
        raise failed(found, error) from error


def failed(found: Registered, error: Exception) -> RegistryError:
    """The error to raise for an error in third-party code."""
    reason = (str(error).splitlines() or ["no reason given"])[0]
    return RegistryError(
        f"{found} failed with {type(error).__name__}: {reason}. "
        f"If its arguments are right, update {found.distribution} or report this to its authors."
    )


def strict() -> bool:
    """Whether the error of a plugin stops the work."""
    return os.environ.get("ECGZOO_STRICT_PLUGINS") == "1"


def _report_failures() -> None:
    failures = load_plugins().failures
    if failures and strict():
        raise RegistryError(f"{failures[0]} (raised because ECGZOO_STRICT_PLUGINS=1)") from failures[0].exception
    _warn_of_failures()


@lru_cache(maxsize=1)
def _warn_of_failures() -> None:
    for failure in load_plugins().failures:
        warnings.warn(f"{failure}; it is left out", EcgZooWarning, stacklevel=5)
