"""The files around the package: the sdist, versions and dates, links, what CI runs."""

import re
import subprocess
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / name for name in ("CONTRIBUTING.md", "SECURITY.md", "recipes/README.md", "benchmarks/README.md")]
PYPROJECT, CITATION, CHANGELOG, CI = (
    (ROOT / name).read_text(encoding="utf-8")
    for name in ("pyproject.toml", "CITATION.cff", "CHANGELOG.md", ".github/workflows/ci.yml")
)


def git_files(*flags: str) -> set[str]:
    if not (ROOT / ".git").exists():
        pytest.skip("no git checkout: this compares the sdist with what is committed")
    command = ["git", "ls-files", "-z", *flags]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).exists()}


def test_the_sdist_holds_what_is_committed_and_nothing_else() -> None:
    builder = SdistBuilder(str(ROOT))
    held = {Path(file.relative_path).as_posix() for file in builder.recurse_included_files()}
    held |= set(builder.get_default_build_data()["force_include"].values())
    assert sorted(git_files() - held) == []
    assert sorted(held - git_files("--cached", "--others", "--exclude-standard")) == []


def found(pattern: str, text: str) -> list[str]:
    return re.findall(pattern, text, re.MULTILINE)


def test_version_and_date_are_the_same_everywhere() -> None:
    (version,) = found(r'^version = "(.+)"', PYPROJECT)
    assert found(r"^version: (.+)", CITATION) == [version]
    assert found(r"^date-released: '?([\d-]+)", CITATION) == found(
        rf"^## \[{re.escape(version)}\] - ([\d-]+)$", CHANGELOG
    )


def test_ci_runs_every_python_that_is_promised() -> None:
    promised = found(r'"Programming Language :: Python :: (3\.\d+)"', PYPROJECT)
    (matrix,) = found(r"python: \[(.+)\]", CI)
    assert found(r'"(.+?)"', matrix) == promised
    assert found(r'^requires-python = ">=(.+)"', PYPROJECT) == promised[:1]
    assert ".ci/run" in CI


def test_a_benchmark_that_is_asked_for_help_measures_nothing() -> None:
    for script in sorted((ROOT / "benchmarks").rglob("*.py")):
        text = script.read_text(encoding="utf-8")
        if '__name__ == "__main__"' in text:
            assert "ArgumentParser(" in text, f"{script.name} --help would run, and write its figures"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert target.startswith("http") or (page.parent / target).exists(), target
    targets = found(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"))
    assert set(re.findall(r"(?:`|^)make ([\w-]+)", text, re.MULTILINE)) <= set(targets)
