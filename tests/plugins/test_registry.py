"""Plugins in the registry: real entry points of temporary distributions."""

import copy
import dataclasses
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable

import pytest

import ecgzoo
from ecgzoo import registry
from ecgzoo.errors import AmbiguousNameError, EcgZooWarning, RegistryError
from ecgzoo.plugins import HOOKS, load_plugins
from ecgzoo.specs import LossSpec


def good(name: str) -> str:
    return f"""
from ecgzoo import hookimpl
from ecgzoo.specs import BackboneSpec

@hookimpl
def ecgzoo_backbones():
    return [BackboneSpec(name={name!r}, factory="ecgzoo.backbones.xresnet:xresnet1d18", summary="third party",
                         aliases=("{name}_alias",))]
"""


def interpreter(code: str) -> str:
    done = subprocess.run([sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, timeout=120)
    return done.stdout + done.stderr


def test_a_plugins_backbone_is_listed_by_name_alias_and_distribution(install) -> None:
    install("tcn-plugin", good("tcnet"))
    assert "tcnet" in registry.names("backbone")
    for name in ("tcnet", "tcnet_alias", "tcn-plugin::tcnet"):
        found = registry.lookup("backbone", name)
        assert (found.distribution, found.version, found.name) == ("tcn-plugin", "1.2", "tcn-plugin::tcnet")


@pytest.mark.parametrize(
    ("source", "phase", "reason"),
    [
        ("raise OSError('no such library')", "import", "OSError: no such library"),
        ("import sys; sys.exit(1)", "import", "SystemExit: 1"),
        (good("a").replace("ecgzoo_backbones", "ecgzoo_backbone"), "register", "Did you mean ecgzoo_backbones"),
        (good("a").replace("ecgzoo_backbones()", "ecgzoo_backbones(leads)"), "register", "leads"),
        (good("a").replace("@hookimpl", ""), "register", "ecgzoo_backbones is no hook without @hookimpl above it"),
        (
            good("a").replace("return [", "raise ValueError('no'); return ["),
            "hook",
            "ecgzoo_backbones raised ValueError: no (ECGZOO_STRICT_PLUGINS=1 ecgzoo plugins shows the traceback)",
        ),
        (
            good("a").replace("name='a',", "name='a', latency_ms=3,"),
            "hook",
            "RegistryError: BackboneSpec('a') has the field latency_ms, which this ecgzoo does not know: update ecgzoo",
        ),
        (
            good("a").replace('summary="third party",', ""),
            "hook",
            "RegistryError: BackboneSpec('a') lacks summary: give it, or update the plugin",
        ),
        (
            good("a").replace("return [", "pass; ["),
            "hook",
            "ecgzoo_backbones returned None, expected a list of BackboneSpec",
        ),
        (
            good("a").replace("return [", "return ").replace(")]", ")"),
            "hook",
            "ecgzoo_backbones returned a BackboneSpec, expected a list of BackboneSpec",
        ),
        (good("a").replace("BackboneSpec(name", "dict(name"), "spec", "returned a dict, not a BackboneSpec"),
        (
            good("a").replace("BackboneSpec(name", "BackboneSpec(api=2, name"),
            "spec",
            "written for api 2; this ecgzoo has api 1: update ecgzoo",
        ),
        (good("a").replace("BackboneSpec(name", "BackboneSpec(api=0, name"), "spec", "has api 1: update the plugin"),
        (good("a").replace("xresnet:xresnet", "xresnet.xresnet"), "spec", "package.module:callable"),
        (good("a").replace("a_alias", "A b"), "spec", "lower-case"),
        (good("a").replace("a_alias", "a"), "spec", "twice"),
        (good("a").replace("aliases", "deprecated_by='b', aliases"), "spec", "together"),
        (
            good("a").replace("aliases", "deprecated_by='b', removed_in='two', aliases"),
            "spec",
            "removed_in is 'two'; expected a version of the distribution, such as '2.0'",
        ),
        (good("a").replace("aliases", "deprecated_by='b', removed_in=2, aliases"), "spec", "removed_in is 2; expected"),
        (good("a").replace("aliases", "deprecated_by=3, removed_in='2', aliases"), "spec", "deprecated_by is 3; exp"),
    ],
)
def test_a_broken_plugin_is_left_out_named_and_warned_of_once(
    install, monkeypatch: pytest.MonkeyPatch, source: str, phase: str, reason: str
) -> None:
    install("bad-plugin", source)
    install("good-plugin", good("goodnet"))
    with pytest.warns(EcgZooWarning, match="bad_plugin of bad-plugin 1.2 failed at") as caught:
        names = registry.names("backbone")
    assert len(caught) == 1
    assert {"goodnet", "xresnet1d18"} <= set(names)
    (failure,) = load_plugins().failures
    assert (failure.distribution, failure.version, failure.phase) == ("bad-plugin", "1.2", phase)
    assert reason in failure.error
    assert "\n" not in str(failure)
    with pytest.raises(RegistryError, match=r"Left out.*bad-plugin"):
        registry.lookup("backbone", "a")
    monkeypatch.setenv("ECGZOO_STRICT_PLUGINS", "1")
    with pytest.raises(RegistryError, match="ECGZOO_STRICT_PLUGINS"):
        registry.names("backbone")


def test_a_distribution_that_names_a_thing_in_two_entry_points_keeps_the_first(install) -> None:
    install("twice-plugin", good("twonet"), extra="second = other_half\n")
    site = install("other-half", good("twonet"))
    (site / "other_half-1.2.dist-info" / "entry_points.txt").write_text("")
    with pytest.warns(EcgZooWarning, match="twice"):
        assert registry.lookup("backbone", "twonet").distribution == "twice-plugin"
    assert [failure.phase for failure in load_plugins().failures] == ["spec"]


def test_ecgzoo_plugins_limits_what_is_loaded(
    install, monkeypatch: pytest.MonkeyPatch, forget_plugins: Callable[[], None]
) -> None:
    install("one-plugin", good("onenet"))
    install("two-plugin", good("twonet"))
    for wanted, expected in (
        *(("one_plugin", {"onenet"}), ("", set()), ("one_plugin, two_plugin", {"onenet", "twonet"})),
        *(("One-Plugin", {"onenet"}), ("one-plugin,two_plugin", {"onenet", "twonet"})),  # by distribution
    ):
        monkeypatch.setenv("ECGZOO_PLUGINS", wanted)
        forget_plugins()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert set(registry.names("backbone")) & {"onenet", "twonet"} == expected
    monkeypatch.setenv("ECGZOO_PLUGINS", "one-plugin,tow-plugin")
    forget_plugins()
    with pytest.warns(
        EcgZooWarning, match="ECGZOO_PLUGINS names 'tow-plugin', which is no installed plugin. Did you mean two"
    ):
        assert set(registry.names("backbone")) & {"onenet", "twonet"} == {"onenet"}


def test_specs_are_copied() -> None:
    spec = LossSpec(name="mine", factory="mine:Mine", summary="mine")
    assert copy.deepcopy(spec) == pickle.loads(pickle.dumps(spec)) == dataclasses.replace(spec) == spec


def test_a_built_in_keeps_its_name(install) -> None:
    install("rude-plugin", good("xresnet1d18"))
    assert registry.lookup("backbone", "xresnet1d18").distribution == "ecgzoo"
    other = registry.lookup("backbone", "rude-plugin::xresnet1d18")
    assert (other.distribution, other.name) == ("rude-plugin", "rude-plugin::xresnet1d18")
    (conflict,) = registry.conflicts("backbone")
    assert (conflict.name, conflict.kept, conflict.refused) == ("xresnet1d18", "ecgzoo", "rude-plugin")


def test_two_plugins_with_one_name_must_be_told_apart(install) -> None:
    install("one-plugin", good("samenet"))
    install("two-plugin", good("samenet"))
    assert registry.names("backbone", "*samenet") == ["one-plugin::samenet", "two-plugin::samenet"]
    assert registry.lookup("backbone", "two-plugin::samenet").distribution == "two-plugin"
    with pytest.raises(AmbiguousNameError, match="write one-plugin::samenet or two-plugin::samenet"):
        registry.get("backbone", "samenet")
    assert [(c.name, c.kept, c.refused) for c in registry.conflicts("backbone") if c.name == "samenet"] == [
        ("samenet", None, "one-plugin"),
        ("samenet", None, "two-plugin"),
    ]


def test_listing_imports_no_torch_and_no_factory(install) -> None:
    site = install("good-plugin", good("goodnet").replace("ecgzoo.backbones.xresnet:", "late_module:"))
    (site / "late_module.py").write_text("def xresnet1d18(num_leads, num_classes): ...")
    code = """
import sys
from ecgzoo import registry
from ecgzoo.cli import app
assert "goodnet" in registry.names("backbone")
registry.get("backbone", "goodnet")
print([name for name in ("torch", "timm", "late_module") if name in sys.modules])
registry.factory(registry.get("backbone", "goodnet"))
print("late_module" in sys.modules)
"""
    assert interpreter(code).split() == ["[]", "True"]


def test_the_two_imports_of_a_plugin_import_no_torch() -> None:
    code = """
import sys
from ecgzoo import hookimpl
from ecgzoo.specs import BackboneSpec, DatasetSpec, LossSpec, RecipeSpec, WeightsSpec
print("torch" in sys.modules, "numpy" in sys.modules)
"""
    assert interpreter(code).split() == ["False", "False"]


def test_an_unknown_name_lists_close_ones() -> None:
    with pytest.raises(RegistryError, match="Did you mean.*xresnet1d18"):
        registry.get("backbone", "xresnet1d81")
    with pytest.raises(RegistryError, match="Unknown kind"):
        registry.names("backbones")


def test_a_factory_that_cannot_be_imported_names_its_distribution() -> None:
    spec = LossSpec(name="x", factory="nowhere.at_all:X", summary="")
    with pytest.raises(RegistryError, match=r"loss x of some-plugin 3\.1 failed with ModuleNotFoundError.*nowhere"):
        registry.factory(registry.Registered("loss", spec, "some-plugin", "3.1"))


def test_a_deprecated_name_warns_when_used_and_not_when_listed(install) -> None:
    install("old-plugin", good("oldnet").replace("aliases=", "deprecated_by='newnet', removed_in='2', aliases="))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert registry.lookup("backbone", "oldnet").spec.name == "oldnet"
    with pytest.warns(
        EcgZooWarning, match="oldnet of old-plugin 1.2 is deprecated and will be removed in old-plugin 2; use newnet"
    ):
        registry.get("backbone", "oldnet")


def test_every_kind_has_a_hook() -> None:
    from ecgzoo import hookspecs

    assert {name for name in vars(hookspecs) if name.startswith("ecgzoo_")} == set(HOOKS)


@pytest.mark.parametrize(
    ("source", "phase", "reason"),
    [
        ("class Odd(Exception):\n    def __str__(self): raise ValueError\nraise Odd", "import", "cannot be read"),
        ("import asyncio; raise asyncio.CancelledError", "import", "CancelledError"),
        ("from ecgzoo import registry; registry.names('loss')", "import", "while it is being loaded"),
        (good("a").replace('summary="third party"', "summary=5"), "spec", "summary is not a string"),
        (good("a").replace('("a_alias",)', '"abc"'), "spec", "expected a tuple of strings"),
        (good("a.b"), "spec", "backbone a.b: the name of a backbone has no '.'"),
    ],
)
def test_odder_ways_to_break(install, source: str, phase: str, reason: str) -> None:
    install("odd-plugin", source)
    with pytest.warns(EcgZooWarning, match="odd-plugin"):
        assert "xresnet1d18" in registry.names("backbone")
    (failure,) = load_plugins().failures
    assert failure.phase == phase
    assert reason in failure.error


def test_metadata_without_a_name_is_unknown(install) -> None:
    site = install("nameless-plugin", good("namelessnet"))
    (site / "nameless_plugin-1.2.dist-info" / "METADATA").unlink()
    install("other-plugin", good("othernet"))
    assert {"namelessnet", "othernet"} <= set(registry.names("backbone"))
    assert registry.lookup("backbone", "namelessnet").distribution == "unknown"


def test_a_plugins_backbone_starts_from_weights_of_its_own_offline(install, monkeypatch: pytest.MonkeyPatch) -> None:
    install(
        "starting-plugin",
        good("startnet").replace(
            'factory="ecgzoo.backbones.xresnet:xresnet1d18"', 'factory="starting_plugin:make", starts=("ones",)'
        )
        + """
def make(num_leads, num_classes):
    from ecgzoo.backbones.xresnet import xresnet1d18
    network = xresnet1d18(num_leads, num_classes)
    def start_from(start):
        for parameter in network.parameters():
            parameter.data.fill_(1)
        return f"{start} of the plugin"
    network.start_from = start_from
    return network
""",
    )
    monkeypatch.setenv("ECGZOO_OFFLINE", "1")  # the plugin fetches nothing
    model = ecgzoo.create_model("startnet", leads="I", pretrained="ones")
    assert model.config.training == {"start": "ones of the plugin"}
    assert all(bool((parameter == 1).all()) for parameter in model.parameters())
