"""What to install for a name that a package of ours would provide."""

from importlib import import_module
from pathlib import Path

import pytest

from ecgzoo import create_student, registry
from ecgzoo.errors import RegistryError, WeightsError
from ecgzoo.plugins import HOOKS
from ecgzoo.providers import PROVIDES
from ecgzoo.weights import load_pretrained

PLUGINS = Path(__file__).parents[2] / "plugins"


def test_the_table_is_what_the_packages_provide(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {}
    for folder in sorted(PLUGINS.iterdir()):
        if folder.name == "ecgzoo-plugin-template":  # nobody installs it; it is copied
            continue
        monkeypatch.syspath_prepend(folder)
        module = import_module(f"{folder.name.replace('-', '_')}.plugin")
        hooks = {hook: kind for hook, kind in HOOKS.items() if hasattr(module, hook)}
        found[folder.name] = {
            kind: tuple(spec.name for spec in getattr(module, hook)()) for hook, kind in hooks.items()
        }
    assert found == PROVIDES


@pytest.fixture
def without_plugins(monkeypatch: pytest.MonkeyPatch, forget_plugins) -> None:
    monkeypatch.setenv("ECGZOO_PLUGINS", "")
    forget_plugins()


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        (
            "backbone",
            "tcn_small",
            r"plugin that is not installed or left out by ECGZOO_PLUGINS: pip install ecgzoo-tcn$",
        ),
        ("loss", "dist", r"pip install ecgzoo-losses$"),
        ("backbone", "ecgzoo-tcn::tcn_small", r"pip install ecgzoo-tcn$"),
        (
            "backbone",
            "their-nets::net",
            r"with the package their-nets, which is not installed.*\. If you trust it: pip",
        ),
        ("backbone", "nets --index-url x::net", r"Known: "),
        ("backbone", "ecgzoo::xresnet1d19", r"Did you mean"),
        ("loss", "tcn_small", r"Known: "),
    ],
)
def test_an_unknown_name_says_what_to_install(without_plugins, kind: str, name: str, said: str) -> None:
    with pytest.raises(RegistryError, match=said):
        registry.lookup(kind, name)


def test_so_do_weights(without_plugins) -> None:
    for name in ("tcn_small", "tcn_small.demo"):
        with pytest.raises(WeightsError, match="pip install ecgzoo-tcn$"):
            load_pretrained(name)


def test_a_plugin_that_is_installed_and_lacks_the_name_is_not_to_be_installed(install) -> None:
    install("ecgzoo-tcn", "")
    with pytest.raises(RegistryError, match="Known: "):
        create_student("ecgzoo-tcn::tcn_small")
