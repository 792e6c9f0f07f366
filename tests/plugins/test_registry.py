"""Plugins as the registry meets them: real entry points of throw-away distributions on sys.path."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ecgzoo import registry
from ecgzoo.errors import AmbiguousName, RegistryError

GOOD = """
from ecgzoo.hookspecs import hookimpl
from ecgzoo.specs import BackboneSpec

@hookimpl
def ecgzoo_backbones():
    return [BackboneSpec(name={name!r}, factory="ecgzoo.backbones.xresnet:xresnet1d18", summary="a stranger's",
                         aliases=("{name}_alias",))]
"""


@pytest.fixture
def install(tmp_path: Path):
    """Lay down a distribution with one entry point; `run` then sees it in a fresh interpreter."""

    def lay(distribution: str, source: str) -> None:
        module = distribution.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        meta = tmp_path / f"{module}-1.2.dist-info"
        meta.mkdir()
        (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
        (meta / "entry_points.txt").write_text(f"[ecgzoo]\n{module} = {module}\n")

    return lay


@pytest.fixture
def run(tmp_path: Path):
    def interpreter(code: str, **environment: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "always", "-c", textwrap.dedent(code)],
            env={"PYTHONPATH": str(tmp_path), "PATH": "", **environment},
            capture_output=True,
            text=True,
            timeout=120,
        )
        return done.stdout + done.stderr

    return interpreter


LIST = "from ecgzoo import registry; print(registry.names('backbone', '*net*'))"


def test_a_plugins_backbone_is_listed_by_name_alias_and_distribution(install, run) -> None:
    install("tcn-plugin", GOOD.format(name="tcnet"))
    out = run("""
        from ecgzoo import registry
        print("tcnet" in registry.names("backbone"))
        for name in ("tcnet", "tcnet_alias", "tcn-plugin::tcnet"):
            print(registry.lookup("backbone", name).distribution)
    """)
    assert out.split() == ["True"] + ["tcn-plugin"] * 3


@pytest.mark.parametrize(
    ("source", "phase"),
    [
        ("raise OSError('no such library')", "import"),
        (GOOD.format(name="a").replace("ecgzoo_backbones", "ecgzoo_backbone"), "register"),
        (GOOD.format(name="a").replace("return [", "raise ValueError('no'); return ["), "hook"),
        (GOOD.format(name="a").replace("BackboneSpec(", "dict("), "spec"),
        (GOOD.format(name="a").replace("BackboneSpec(name", "BackboneSpec(api=2, name"), "spec"),
    ],
)
def test_a_broken_plugin_is_left_out_named_and_warned_of_once(install, run, source: str, phase: str) -> None:
    install("bad-plugin", source)
    install("good-plugin", GOOD.format(name="goodnet"))
    code = """
        from ecgzoo import registry
        from ecgzoo.plugins import load_plugins
        print("goodnet" in registry.names("backbone"), "xresnet1d18" in registry.names("backbone"))
        (failure,) = load_plugins().failures
        print(failure.distribution, failure.version, failure.phase)
    """
    out = run(code)
    assert "True True" in out
    assert f"bad-plugin 1.2 {phase}" in out
    assert out.count("UserWarning") == 1
    assert "RegistryError" in run(LIST, ECGZOO_STRICT_PLUGINS="1")


def test_ecgzoo_plugins_limits_what_is_loaded(install, run) -> None:
    install("one-plugin", GOOD.format(name="onenet"))
    install("two-plugin", GOOD.format(name="twonet"))
    assert "onenet" in run(LIST, ECGZOO_PLUGINS="one_plugin")
    assert "twonet" not in run(LIST, ECGZOO_PLUGINS="one_plugin")
    assert "onenet" not in run(LIST, ECGZOO_PLUGINS="")


def test_a_built_in_keeps_its_name(install, run) -> None:
    install("rude-plugin", GOOD.format(name="xresnet1d18"))
    out = run("""
        from ecgzoo import registry
        print(registry.lookup("backbone", "xresnet1d18").distribution)
        print(registry.lookup("backbone", "rude-plugin::xresnet1d18").distribution)
        print(registry.conflicts("backbone")[0].refused)
    """)
    assert out.split() == ["ecgzoo", "rude-plugin", "rude-plugin"]


def test_two_plugins_with_one_name_must_be_told_apart(install, run) -> None:
    install("one-plugin", GOOD.format(name="samenet"))
    install("two-plugin", GOOD.format(name="samenet"))
    out = run("""
        from ecgzoo import registry
        from ecgzoo.errors import AmbiguousName
        print(registry.names("backbone", "*samenet"))
        print(registry.lookup("backbone", "two-plugin::samenet").distribution)
        try:
            registry.get("backbone", "samenet")
        except AmbiguousName as error:
            print(error)
    """)
    assert "['one-plugin::samenet', 'two-plugin::samenet']" in out
    assert "write one-plugin::samenet or two-plugin::samenet" in out
    assert issubclass(AmbiguousName, RegistryError)


def test_listing_and_a_plugin_page_import_no_torch(install, run) -> None:
    install("good-plugin", GOOD.format(name="goodnet"))
    assert (
        run(LIST + "; import sys; print('torch' in sys.modules, 'timm' in sys.modules)").split()[-2:] == ["False"] * 2
    )


def test_an_unknown_name_lists_close_ones() -> None:
    with pytest.raises(RegistryError, match="Did you mean.*xresnet1d18"):
        registry.get("backbone", "xresnet1d81")
    with pytest.raises(RegistryError, match="No kind"):
        registry.names("backbones")


def test_a_factory_that_cannot_be_imported_says_which() -> None:
    from ecgzoo.specs import LossSpec

    with pytest.raises(RegistryError, match="nowhere.at_all"):
        registry.factory(LossSpec(name="x", factory="nowhere.at_all:X", summary=""))


def test_a_deprecated_name_warns(install, run) -> None:
    install("old-plugin", GOOD.format(name="oldnet").replace("aliases=", "deprecated_by='newnet', aliases="))
    out = run("from ecgzoo import registry; print(registry.get('backbone', 'oldnet').name)")
    assert "use 'newnet'" in out
    assert "oldnet" in out
