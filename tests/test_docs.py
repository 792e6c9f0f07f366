"""The code blocks of README and docs run, unless they say that they need files."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, object] = {}
    blocks = re.findall(r"```python\n(.*?)```(?:\n+```text\n(.*?)```)?", page.read_text(encoding="utf-8"), re.DOTALL)
    for block, output in blocks:
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(block, page.name, "exec"), namespace)
        if output:
            shown, printed = (re.split(r"(\d\.\d+)", text.strip()) for text in (output, said.getvalue()))
            assert printed[::2] == shown[::2]
            # another processor rounds otherwise
            assert list(map(float, printed[1::2])) == pytest.approx(list(map(float, shown[1::2])), abs=0.002)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
        assert target.startswith("http") or (page.parent / target).exists(), target


def test_make_has_the_readmes_commands() -> None:
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for command in re.findall(r"make ([\w-]+)", (ROOT / "README.md").read_text()):
        assert command in targets
