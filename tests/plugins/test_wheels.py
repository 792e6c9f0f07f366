"""Our packages as real wheels in a real virtual environment, alone and together with five broken wheels."""

import json
import os
import runpy
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("ecgzoo-losses", "ecgzoo-tcn", "ecgzoo-plugin-template")
PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"
[project]
name = "{name}"
version = "0.7"
[project.entry-points.ecgzoo]
{module} = "{module}"
[tool.hatch.build.targets.wheel]
include = ["{module}.py"]
"""
HOOK = """
from ecgzoo import hookimpl
from ecgzoo.specs import LossSpec

@hookimpl
def ecgzoo_losses():
    return [LossSpec(name="broken", factory="nowhere:Loss", summary="")]
"""
BROKEN = {
    "broken-import": ("import", "import a_library_that_is_not_there"),
    "broken-name": ("register", HOOK.replace("ecgzoo_losses", "ecgzoo_loss")),
    "broken-hook": ("hook", HOOK.replace("return [", "return 1 / 0 or [")),
    "broken-type": ("spec", HOOK.replace("LossSpec(", "dict(")),
    "broken-api": ("spec", HOOK.replace("LossSpec(", "LossSpec(api=2, ")),
}

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def call(*command: object, **environment: str) -> str:
    names = ("ECGZOO_PLUGINS", "ECGZOO_STRICT_PLUGINS", "PYTHONPATH")
    kept = {key: value for key, value in os.environ.items() if key not in names}
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, cwd="/", env={**kept, **environment}
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def build(folders: list[Path], wheels: Path) -> None:
    call(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", wheels, *folders)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with wheels of ecgzoo and the three packages, and our libraries."""
    folder = tmp_path_factory.mktemp("wheels")
    wheels = folder / "wheels"
    build([ROOT, *(ROOT / "plugins" / name for name in PACKAGES)], wheels)
    venv.create(folder / "venv", symlinks=True)
    python = folder / "venv" / "bin" / "python"
    site = next((folder / "venv" / "lib").glob("python*/site-packages"))
    # torch and the other libraries; an editable ecgzoo is not found this way, only its wheel is
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    pip_install(python, wheels)
    return python


def pip_install(python: Path, wheels: Path) -> None:
    files = sorted(wheels.glob("*.whl"))
    call(sys.executable, "-m", "pip", "--python", python, "install", "-q", "--no-deps", "--no-index", "-I", *files)


def of_tiny() -> dict[str, str]:
    """The environment of a process that reads the data set of the fixture ``tiny``."""
    return {name: os.environ[name] for name in ("ECGZOO_CACHE", "PYTHONPATH")}


SHORT = ["--data", "tiny", "--epochs", "1", "--no-compare", "--teacher", "xresnet1d_tiny"]


def plugins(python: Path) -> dict[str, list[dict[str, object]]]:
    found: dict[str, list[dict[str, object]]] = json.loads(call(python, "-m", "ecgzoo", "plugins", "--json"))
    return found


def test_the_wheels_are_what_runs(python: Path) -> None:
    where = call(python, "-c", "import ecgzoo, ecgzoo_tcn; print(ecgzoo.__file__, ecgzoo_tcn.__file__)").split()
    assert all(str(python.parents[1]) in path for path in where)
    found = plugins(python)
    assert found["failures"] == []
    provided = {plugin["distribution"]: {given["name"] for given in plugin["provides"]} for plugin in found["plugins"]}
    assert {"tcn_small", "tcn_base"} <= provided["ecgzoo-tcn"]
    losses = {"fitnet", "at", "rkd", "dkd", "dist", "simkd", "mld", "logit_std"}
    assert provided["ecgzoo-losses"] == losses


def test_recipes_come_with_the_wheel(python: Path, tiny: str, tmp_path: Path) -> None:
    listed = call(python, "-m", "ecgzoo", "recipe", "list").splitlines()
    expected = {"mvkt", "mvkt_plus", "handheld", "tiny", "kd", "teacher", "baseline"}
    assert {line.split()[0] for line in listed} == expected
    mine = tmp_path / "mine.py"
    call(python, "-m", "ecgzoo", "recipe", "copy", "kd", mine)
    assert mine.read_bytes() == (ROOT / "recipes" / "kd.py").read_bytes()
    flags = [*SHORT, "--student", "xresnet1d_tiny", "--output"]
    call(python, mine, *flags, tmp_path / "copied", **of_tiny())
    runpy.run_path(str(ROOT / "recipes" / "kd.py"))["main"]([*flags, str(tmp_path / "run")])  # of the checkout
    logs = [(tmp_path / run / "student" / "log.jsonl").read_text().split('"seconds"')[0] for run in ("copied", "run")]
    assert logs[0] == logs[1]


def test_the_guide_word_for_word(python: Path, tmp_path: Path, guide_blocks) -> None:
    pip = python.with_name("pip")  # as in any environment; this one takes pip from beside, as it does the libraries
    pip.write_text(f'#!/bin/sh\nexec "{python}" -m pip "$@"\n')
    pip.chmod(0o755)
    settings = {
        **{"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"},  # which turns isolation off
        "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
    }
    folder, printed = tmp_path, ""
    for block in guide_blocks:
        if block.written:
            assert (folder / block.file).read_text(encoding="utf-8") == block.text
        elif block.file:
            with (folder / block.file).open("a", encoding="utf-8") as file:
                file.write(block.text)
        elif block.language == "sh":
            said = call("bash", "-e", "-c", f"cd '{folder}'\n{block.text}\npwd", **settings)
            folder = Path(said.splitlines()[-1])
            printed += said
    assert folder == tmp_path / "my-ecg"
    recipe = json.loads((folder / "runs" / "my_recipe" / "recipe.json").read_text())
    assert (recipe["data"], recipe["student"], recipe["losses"][1]) == ("my_data", "my_net", "my_ecg_cosine=1")
    assert "packaged: my_net.demo of my-ecg 0.1.0" in printed
    call(pip, "uninstall", "-q", "-y", "my-ecg")


def test_five_broken_wheels_break_nothing(python: Path, tiny: str, tmp_path: Path) -> None:
    folders = []
    for name, (_, source) in BROKEN.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "pyproject.toml").write_text(PYPROJECT.format(name=name, module=name.replace("-", "_")))
        (folder / f"{name.replace('-', '_')}.py").write_text(source)
        folders.append(folder)
    build(folders, tmp_path / "wheels")
    pip_install(python, tmp_path / "wheels")
    failures = plugins(python)["failures"]
    assert {(failure["distribution"], failure["phase"]) for failure in failures} == {
        (name, phase) for name, (phase, _) in BROKEN.items()
    }
    assert all(failure["version"] == "0.7" for failure in failures)
    flags = ["--student", "tcn_small", "--losses", "bce=1", "dist=1", "clt=0.5", "--requires", "ecgzoo-tcn>=1"]
    call(python, "-m", "ecgzoo", "recipe", "mvkt", *SHORT, *flags, "--output", tmp_path / "run", **of_tiny())
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["arms"].keys() == {"teacher", "student"}
    trained = json.loads((tmp_path / "run" / "student" / "config.json").read_text())["training"]
    versions = {name: version(name) for name in ("ecgzoo-losses", "ecgzoo-tcn")}
    assert results["provenance"]["plugins"] == trained["plugins"] == versions
