"""Finds, loads and isolates plugins; keeps a record of each, failed ones too.

Entry points of group ``ecgzoo`` are loaded one at a time, in (distribution, name) order: load, register, check that
each hook exists, call. An error at any step drops that plugin, is kept as a `PluginFailure` and warned of once; the
others work. ``ECGZOO_STRICT_PLUGINS=1`` raises instead. ``ECGZOO_PLUGINS="a,b"`` limits loading to those entry
points, ``ECGZOO_PLUGINS=""`` to none.
"""

import os
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points, version
from types import ModuleType
from typing import cast

import pluggy

from ecgzoo import hookspecs
from ecgzoo.errors import RegistryError
from ecgzoo.specs import API, BackboneSpec, DatasetSpec, LossSpec, RecipeSpec, Spec, WeightsSpec

GROUP = "ecgzoo"
BUILT_IN = "ecgzoo"

KINDS: dict[str, type[Spec]] = {
    "backbone": BackboneSpec,
    "loss": LossSpec,
    "dataset": DatasetSpec,
    "weights": WeightsSpec,
    "recipe": RecipeSpec,
}
HOOKS = {
    "ecgzoo_backbones": "backbone",
    "ecgzoo_losses": "loss",
    "ecgzoo_datasets": "dataset",
    "ecgzoo_weights": "weights",
    "ecgzoo_recipes": "recipe",
}


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin and what it provides, as ``(kind, spec)`` pairs."""

    distribution: str
    version: str
    entry: str
    provides: tuple[tuple[str, Spec], ...]


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that was dropped, and at which phase: ``import``, ``register``, ``hook`` or ``spec``."""

    distribution: str
    version: str
    entry: str
    phase: str
    error: str

    def __str__(self) -> str:
        return f"plugin {self.entry} of {self.distribution} {self.version} failed at {self.phase}: {self.error}"


@dataclass(frozen=True)
class LoadedPlugins:
    """Everything that was found, built-ins first."""

    plugins: tuple[Plugin, ...]
    failures: tuple[PluginFailure, ...]


@lru_cache(maxsize=1)
def load_plugins() -> LoadedPlugins:
    """Load the built-ins and every installed plugin, once a process.

    Raises:
        RegistryError: a plugin failed and ``ECGZOO_STRICT_PLUGINS=1``.
    """
    from ecgzoo import builtins

    manager = pluggy.PluginManager("ecgzoo")
    manager.add_hookspecs(hookspecs)
    plugins = [Plugin(BUILT_IN, version("ecgzoo"), "builtins", _provided(manager, lambda: builtins))]
    failures = []
    for entry in _entry_points():
        distribution, release = (entry.dist.name, entry.dist.version) if entry.dist else ("unknown", "unknown")
        try:
            plugins.append(Plugin(distribution, release, entry.name, _provided(manager, entry.load)))
        except _PhaseError as failed:
            error = f"{type(failed.error).__name__}: {failed.error}"
            failure = PluginFailure(distribution, release, entry.name, failed.phase, error)
            if os.environ.get("ECGZOO_STRICT_PLUGINS") == "1":
                raise RegistryError(f"{failure} (raised because ECGZOO_STRICT_PLUGINS=1)") from failed.error
            warnings.warn(f"ecgzoo: {failure}; it is left out", stacklevel=2)
            failures.append(failure)
    return LoadedPlugins(tuple(plugins), tuple(failures))


def _entry_points() -> list[EntryPoint]:
    found = sorted(entry_points(group=GROUP), key=lambda e: (e.dist.name if e.dist else "", e.name))
    wanted = os.environ.get("ECGZOO_PLUGINS")
    if wanted is None:
        return found
    names = {name.strip() for name in wanted.split(",")}
    return [entry for entry in found if entry.name in names]


class _PhaseError(Exception):
    def __init__(self, phase: str, error: Exception) -> None:
        super().__init__(phase)
        self.phase, self.error = phase, error


@contextmanager
def _phase(name: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a plugin may raise anything; it must not take the program down
        raise _PhaseError(name, error) from error


def _provided(manager: pluggy.PluginManager, load: Callable[[], ModuleType]) -> tuple[tuple[str, Spec], ...]:
    """Load one plugin and ask it what it provides; a plugin that fails leaves nothing in the manager."""
    with _phase("import"):
        module = load()
    try:
        with _phase("register"):
            manager.register(module)
            manager.check_pending()
        with _phase("hook"):
            provided = tuple(
                (HOOKS[caller.name], spec)
                for caller in manager.get_hookcallers(module) or ()
                for implementation in caller.get_hookimpls()
                if implementation.plugin is module
                for spec in cast(Iterable[Spec], implementation.function())
            )
        with _phase("spec"):
            for kind, spec in provided:
                _check(kind, spec)
    except _PhaseError:
        if manager.is_registered(module):
            manager.unregister(module)
        raise
    return provided


def _check(kind: str, spec: Spec) -> None:
    if not isinstance(spec, KINDS[kind]):
        raise RegistryError(f"a {kind} hook returned {spec!r}; expected a {KINDS[kind].__name__}")
    if spec.api != API:
        raise RegistryError(f"{kind} {spec.name} has api={spec.api}; this ecgzoo speaks api={API}")
    if spec.factory.count(":") != 1:
        raise RegistryError(f"{kind} {spec.name}: factory {spec.factory!r} is not 'package.module:callable'")
