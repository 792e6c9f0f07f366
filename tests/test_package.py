"""The public face: lazy imports, layering, the two verbs."""

import ast
import inspect
import pickle
import pydoc
import subprocess
import sys
from pathlib import Path

import pytest

import ecgzoo

PACKAGE = Path(ecgzoo.__file__).parent

# who may import whom; the key's folder or file may import only these parts of ecgzoo (and itself)
BASE = {"errors", "specs"}
TRAINING = {"backbones", "config", "create", "data", "errors", "evaluation", "files", "losses", "model", "provenance"}
LAYERS = {
    "errors": set(),
    "specs": {"errors"},
    "files": {"errors"},
    "provenance": set(),
    "offline": set(),
    "hookspecs": {"specs"},
    "plugins": {*BASE, "hookspecs", "builtins"},
    "providers": set(),
    "registry": {*BASE, "plugins", "providers"},
    "builtins": {"specs", "hookspecs", "backbones", "losses", "transforms", "signal", "data", "recipes"},
    "recordings": {"errors", "files", "registry", "signal"},
    "recipes": {"specs"},
    "signal": {"errors", "files", "specs"},
    "data": {*BASE, "signal", "files"},
    "backbones": {*BASE, "offline"},
    "losses": BASE,
    "transforms": {*BASE, "losses"},
    "config": {"errors", "signal"},
    "normalization": {"config"},
    "aggregates": set(),
    "prediction": {"errors"},
    "events": {"errors", "prediction"},
    "live": {"aggregates", "config", "errors", "prediction", "signal"},
    "model": {
        *(
            "aggregates",
            "backbones",
            "config",
            "errors",
            "live",
            "losses",
            "normalization",
            "plugin_network",
            "prediction",
            "recordings",
            "registry",
        ),
        "signal",
    },
    "plugin_network": {"errors", "registry"},
    "batch": {"errors", "files", "model", "prediction", "recordings", "signal", "weights", "workers"},
    "ingest": {"data", "errors", "files", "run_folder", "signal", "workers"},
    "run_folder": {"errors", "files"},
    "workers": {"errors"},
    "weights": {"errors", "config", "files", "model", "offline", "registry", "signal"},
    "create": {"errors", "config", "data", "losses", "model", "registry", "signal", "transforms", "weights"},
    "evaluation": {"aggregates", "config", "errors", "data", "model", "signal"},
    "training": {*TRAINING, "exporting", "plugin_network", "registry", "run_folder", "signal", "transforms", "weights"},
    "exporting": {
        *("aggregates", "backbones", "config", "data", "errors", "evaluation", "files", "model", "normalization"),
        *("signal", "weights"),
    },
    "show": {"prediction", "config", "errors", "files", "model", "signal", "weights"},
    "testing": {
        "errors",
        "specs",
        "plugins",
        "registry",
        "losses",
        "transforms",
        "signal",
        "data",
        "model",
        "plugin_network",
        "create",
        "recordings",
        "weights",
    },
}

# imported by a method when it is called, or named in its annotations: a record draws itself
WHEN_CALLED = {"signal/record.py": {"show", "model"}}


def imports(path: Path) -> set[str]:
    """Parts of ecgzoo that a file imports, but for those that `WHEN_CALLED` lets its functions import."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    late = WHEN_CALLED.get(path.relative_to(PACKAGE).as_posix(), set())
    return parts(tree) - (late - parts(at_import(tree)))


def at_import(tree: ast.Module) -> ast.Module:
    """What runs when a file is imported."""

    class Without(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            """Nothing of it is left."""

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if ast.unparse(node.test) == "TYPE_CHECKING" else self.generic_visit(node)

    copied = ast.parse(ast.unparse(tree))
    Without().visit(copied)
    return copied


def parts(tree: ast.Module) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "ecgzoo":
            names = node.module.split(".")
            found |= {names[1]} if len(names) > 1 else {alias.name for alias in node.names}
    return found


def test_what_is_imported_late_is_imported_late() -> None:
    early = "from ecgzoo.show import plot\nclass A:\n    def f(self):\n        return plot"
    late = "if TYPE_CHECKING:\n    from ecgzoo.model import M\nclass A:\n def f(self):\n  from ecgzoo.show import p"
    assert parts(at_import(ast.parse(early))) == {"show"}
    assert parts(at_import(ast.parse(late))) == set()
    assert parts(ast.parse(late)) == {"show", "model"}


@pytest.mark.parametrize("part", sorted(LAYERS))
def test_imports_point_one_way(part: str) -> None:
    files = (PACKAGE / part).rglob("*.py") if (PACKAGE / part).is_dir() else [PACKAGE / f"{part}.py"]
    found = set().union(*(imports(path) for path in files)) - {part}
    assert found <= LAYERS[part], f"{part} must not import {sorted(found - LAYERS[part])}"


def test_every_part_has_a_layer() -> None:
    parts = {path.stem for path in PACKAGE.glob("*.py")} | {
        p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()
    }
    assert parts - {"__init__", "__main__", "cli"} == set(LAYERS)


def interpreter(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_import_is_light() -> None:
    out = interpreter("import ecgzoo, sys; print([m for m in ('torch', 'timm', 'wfdb', 'numpy') if m in sys.modules])")
    assert out.strip() == "[]"


def test_help_is_light() -> None:
    code = """
import sys
from ecgzoo.cli.app import main
sys.argv = ["ecgzoo", "--help"]
try:
    main()
except SystemExit as end:
    print("status", end.code, [name for name in ("torch", "wfdb", "numpy") if name in sys.modules])
"""
    assert interpreter(code).splitlines()[-1] == "status 0 []"


def test_every_public_name_is_there() -> None:
    for name in ecgzoo.__all__:
        assert getattr(ecgzoo, name) is not None
    assert set(ecgzoo.__all__) <= set(dir(ecgzoo))
    with pytest.raises(AttributeError, match="nothing_like_it"):
        ecgzoo.nothing_like_it  # noqa: B018 # reading the attribute is the test


@pytest.mark.parametrize("name", ["distill", "evaluate"])
def test_distill_and_evaluate_are_plain_functions(name: str) -> None:
    function = getattr(ecgzoo, name)
    assert inspect.isfunction(function)
    assert pickle.loads(pickle.dumps(function)) is function
    assert list(inspect.signature(function).parameters)
    assert "Raises:" in pydoc.render_doc(function)


def test_each_public_name_is_written_once() -> None:
    stub = (PACKAGE / "__init__.pyi").read_text(encoding="utf-8")
    names = [alias.asname for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(names) == sorted(set(names)) == ecgzoo.__all__
    assert not set(names) & {path.stem for path in PACKAGE.iterdir()}  # a name that is a module too would be either


def test_what_a_plugin_imports_loads_no_torch() -> None:
    code = "from ecgzoo import LossSpec, TransformSpec, hookimpl; import sys; print('torch' in sys.modules)"
    assert interpreter(code).strip() == "False"
