"""Finds, loads and isolates plugins; keeps a record of each, also of those that failed.

Entry points of group ``ecgzoo`` are loaded one at a time, in (distribution, name) order: import, register, call the
hooks, check the specs they return. An error at any step drops that plugin and is kept as a `PluginFailure`; the others
still work. ``ECGZOO_PLUGINS="a,b"`` loads only these distributions or entry points, ``ECGZOO_PLUGINS=""`` loads none.
The registry warns about failures, or raises them with ``ECGZOO_STRICT_PLUGINS=1`` (`ecgzoo.registry`).
"""

import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points, version
from types import ModuleType

import pluggy

from ecgzoo import hookspecs
from ecgzoo.errors import EcgZooWarning, RegistryError, did_you_mean
from ecgzoo.specs import (
    API,
    BackboneSpec,
    DatasetSpec,
    LossSpec,
    ReaderSpec,
    RecipeSpec,
    Spec,
    TransformSpec,
    WeightsSpec,
)

GROUP = "ecgzoo"
BUILT_IN = "ecgzoo"

# kind, its hook, its spec
_KINDS = (
    ("backbone", "ecgzoo_backbones", BackboneSpec),
    ("loss", "ecgzoo_losses", LossSpec),
    ("transform", "ecgzoo_transforms", TransformSpec),
    ("reader", "ecgzoo_readers", ReaderSpec),
    ("dataset", "ecgzoo_datasets", DatasetSpec),
    ("weights", "ecgzoo_weights", WeightsSpec),
    ("recipe", "ecgzoo_recipes", RecipeSpec),
)
KINDS: dict[str, type[Spec]] = {kind: spec for kind, _, spec in _KINDS}
HOOKS = {hook: kind for kind, hook, _ in _KINDS}
_NAME = re.compile(r"([a-z0-9][a-z0-9_.-]*/)?[a-z0-9][a-z0-9_.-]*")
_loading: ContextVar[bool] = ContextVar("_loading", default=False)


@dataclass(frozen=True)
class Plugin:
    """A loaded plugin and what it provides, as ``(kind, spec)`` pairs."""

    distribution: str
    version: str
    entry: str
    provides: tuple[tuple[str, Spec], ...]


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that was dropped, and the phase in which it failed: ``import``, ``register``, ``hook`` or ``spec``."""

    distribution: str
    version: str
    entry: str
    phase: str
    error: str
    exception: BaseException = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"plugin {self.entry} of {self.distribution} {self.version} failed at {self.phase}: {self.error}"


@dataclass(frozen=True)
class LoadedPlugins:
    """All plugins that were found, built-ins first."""

    plugins: tuple[Plugin, ...]
    failures: tuple[PluginFailure, ...]


@lru_cache(maxsize=1)
def load_plugins() -> LoadedPlugins:
    """Load the built-ins and every installed plugin, once per process. An error in a plugin is kept, not raised.

    Raises:
        RegistryError: a plugin calls this while it is being loaded.
    """
    from ecgzoo import builtins

    if _loading.get():
        raise RegistryError("a plugin uses the registry while it is being loaded; use the registry in its factories")
    token = _loading.set(True)
    try:
        return _load(builtins)
    finally:
        _loading.reset(token)


def _load(builtins: ModuleType) -> LoadedPlugins:
    manager = pluggy.PluginManager("ecgzoo")
    manager.add_hookspecs(hookspecs)
    plugins = [Plugin(BUILT_IN, version("ecgzoo"), "builtins", _provided(manager, lambda: builtins, frozenset()))]
    failures = []
    for distribution, release, entry in _entry_points():
        siblings = [plugin for plugin in plugins if plugin.distribution == distribution]
        taken = frozenset((kind, name) for plugin in siblings for kind, spec in plugin.provides for name in _all(spec))
        try:
            plugins.append(Plugin(distribution, release, entry.name, _provided(manager, entry.load, taken)))
        except _PhaseError as failed:
            failures.append(PluginFailure(distribution, release, entry.name, failed.phase, failed.reason, failed.error))
    return LoadedPlugins(tuple(plugins), tuple(failures))


def _provider(entry: EntryPoint) -> tuple[str, str]:
    """Distribution and version; leftover metadata of an installer may lack both."""
    if entry.dist is None:
        return "unknown", "unknown"
    metadata = entry.dist.metadata  # each access reads the file again
    fields = {name: metadata[name] for name in metadata}
    return fields.get("Name") or "unknown", fields.get("Version") or "unknown"


def _reason(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:
        said = "(its message cannot be read)"
    return " ".join(f"{type(error).__name__}: {said}".split())  # pluggy's messages have several lines


def _entry_points() -> list[tuple[str, str, EntryPoint]]:
    """Distribution, version and entry point of each plugin that is wanted, in (distribution, name) order."""
    found = [(*_provider(entry), entry) for entry in entry_points(group=GROUP)]
    found.sort(key=lambda plugin: (plugin[0], plugin[1], plugin[2].name))
    chosen = os.environ.get("ECGZOO_PLUGINS")
    if chosen is None:
        return found
    # the spelling by which pip compares names; imported only here, because listing names must be fast
    from packaging.utils import canonicalize_name

    wanted = {canonicalize_name(name): name for name in map(str.strip, chosen.split(",")) if name}
    names = {name for distribution, _, entry in found for name in (distribution, entry.name)}
    for name in sorted(wanted[unknown] for unknown in wanted.keys() - set(map(canonicalize_name, names))):
        warnings.warn(
            f"ECGZOO_PLUGINS names {name!r}, which is no installed plugin. {did_you_mean(name, names)}",
            EcgZooWarning,
            stacklevel=2,
        )
    return [plugin for plugin in found if set(map(canonicalize_name, (plugin[0], plugin[2].name))) & wanted.keys()]


class _PhaseError(Exception):
    def __init__(self, phase: str, error: BaseException, reason: str) -> None:
        super().__init__(phase)
        self.phase, self.error, self.reason = phase, error, reason


@contextmanager
def _phase(name: str, reason: str = "{}") -> Iterator[None]:
    """Code of a plugin; what it raises is a `_PhaseError`, which `reason` describes."""
    try:
        with redirect_stdout(sys.stderr):  # output of a plugin must not get into a command's JSON
            yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may raise anything or call sys.exit; ecgzoo must still work
        raise _PhaseError(name, error, reason.format(_reason(error))) from error


def _provided(
    manager: pluggy.PluginManager, load: Callable[[], ModuleType], taken: frozenset[tuple[str, str]]
) -> tuple[tuple[str, Spec], ...]:
    """Load one plugin and call its hooks; a plugin that fails leaves nothing in the manager."""
    with _phase("import"):
        module = load()
    try:
        with _phase("register"):
            manager.register(module)
            callers = manager.get_hookcallers(module) or []
            for caller in callers:
                if caller.name not in HOOKS:
                    raise RegistryError(f"no hook is called {caller.name}. {did_you_mean(caller.name, HOOKS)}")
            marked = {caller.name for caller in callers}
            if unmarked := [hook for hook in HOOKS if hook not in marked and callable(getattr(module, hook, None))]:
                raise RegistryError(
                    f"{unmarked[0]} is no hook without @hookimpl above it (from ecgzoo import hookimpl)"
                )
        provided = tuple(
            (HOOKS[caller.name], spec)
            for caller in callers
            for implementation in caller.get_hookimpls()
            if implementation.plugin is module
            for spec in _specs_of(caller.name, implementation.function)
        )
        with _phase("spec"):
            seen = set(taken)
            for kind, spec in provided:
                _check(kind, spec)
                for name in _all(spec):
                    if (kind, name) in seen:
                        raise RegistryError(f"it provides the {kind} {name} twice")
                    seen.add((kind, name))
    except _PhaseError:
        if manager.is_registered(module):
            manager.unregister(module)
        raise
    return provided


def _specs_of(hook: str, function: Callable[[], object]) -> list[Spec]:
    """What a hook returns, which `_check` has still to check."""
    with _phase("hook", f"{hook} raised {{}} (ECGZOO_STRICT_PLUGINS=1 ecgzoo plugins shows the traceback)"):
        returned = function()
        if isinstance(returned, Iterable):
            return list(returned)
    found = "None" if returned is None else f"a {type(returned).__name__}"
    error = RegistryError(f"{hook} returned {found}, expected a list of {KINDS[HOOKS[hook]].__name__}")
    raise _PhaseError("hook", error, str(error))


def _all(spec: Spec) -> tuple[str, ...]:
    return (spec.name, *spec.aliases)


def _check(kind: str, spec: Spec) -> None:
    """Check that a spec returned by a hook can be registered."""
    if not isinstance(spec, KINDS[kind]):
        raise RegistryError(f"a {kind} hook returned a {type(spec).__name__}, not a {KINDS[kind].__name__}")
    if spec.api != API:
        behind = "ecgzoo" if isinstance(spec.api, int) and spec.api > API else "the plugin"
        raise RegistryError(
            f"{kind} {spec.name} is written for api {spec.api!r}; this ecgzoo has api {API}: update {behind}"
        )
    for field_name in ("aliases", "tasks", "leads", "starts"):
        value = getattr(spec, field_name, ())
        if not (isinstance(value, tuple) and all(isinstance(item, str) for item in value)):
            raise RegistryError(f"{kind} {spec.name}: {field_name} are {value!r}; expected a tuple of strings")
    if isinstance(spec, DatasetSpec) and not spec.tasks:
        raise RegistryError(f"{kind} {spec.name}: its spec names no task")
    if not isinstance(spec.summary, str):
        raise RegistryError(f"{kind} {spec.name}: its summary is not a string")
    for name in _all(spec):
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise RegistryError(
                f"{kind} {name!r}: a name has only lower-case letters, digits, '_', '-' and '.', and at most one '/'"
            )
        if isinstance(spec, BackboneSpec) and "." in name:
            raise RegistryError(f"backbone {name}: the name of a backbone has no '.', which is before a tag of weights")
    if not (isinstance(spec.factory, str) and spec.factory.count(":") == 1):
        raise RegistryError(f"{kind} {spec.name}: factory {spec.factory!r} is not 'package.module:callable'")
    if (spec.deprecated_by is None) != (spec.removed_in is None):
        raise RegistryError(f"{kind} {spec.name}: set deprecated_by and removed_in together, or neither")
    if spec.removed_in is not None:
        # imported only where it is needed, because listing names must be fast
        from packaging.version import InvalidVersion, Version

        try:
            Version(spec.removed_in)
        except (InvalidVersion, TypeError) as error:
            raise RegistryError(
                f"{kind} {spec.name}: removed_in is {spec.removed_in!r}; expected a version of the distribution, "
                "such as '2.0'"
            ) from error
        if not isinstance(spec.deprecated_by, str):
            raise RegistryError(f"{kind} {spec.name}: deprecated_by is {spec.deprecated_by!r}; expected a name")
