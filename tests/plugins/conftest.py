"""Temporary distributions with an entry point, for this process and for those that it starts; the guide's blocks."""

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

Lay = Callable[..., Path]
GUIDE = Path(__file__).parents[2] / "docs" / "plugins.md"


class Block(NamedTuple):
    """A block of code in the guide: of a shell, or of a file; one that is `written` is what new-plugin writes."""

    language: str
    file: str | None
    written: bool
    text: str


@pytest.fixture(scope="session")
def guide_blocks() -> list[Block]:
    """All blocks of docs/plugins.md, in their order."""
    found = re.findall(r"```(\w+)(?: file=(\S+))?( written)?\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    return [Block(language, file or None, bool(written), text) for language, file, written, text in found]


def lay_down(site: Path, distribution: str, source: str, version: str = "1.2", extra: str = "") -> Path:
    """Write module and metadata of a distribution whose one entry point is its module; `extra` entry points too."""
    module = distribution.replace("-", "_")
    (site / f"{module}.py").write_text(source)
    meta = site / f"{module}-{version}.dist-info"
    meta.mkdir(exist_ok=True)
    (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
    (meta / "entry_points.txt").write_text(f"[ecgzoo]\n{module} = {module}\n{extra}")
    return site


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forget_plugins: Callable[[], None]) -> Iterator[Lay]:
    """Write a distribution that this process then finds, as the only plugin except for the built-ins."""
    site = tmp_path / "site"
    site.mkdir()
    laid: list[str] = []
    entries: list[str] = []

    def lay(distribution: str, source: str, version: str = "1.2", extra: str = "") -> Path:
        laid.append(distribution.replace("-", "_"))
        entries.extend([laid[-1], *(line.partition(" = ")[0] for line in extra.splitlines())])
        monkeypatch.setenv("ECGZOO_PLUGINS", ",".join(entries))
        forget_plugins()
        return lay_down(site, distribution, source, version, extra)

    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    yield lay
    forget_plugins()
    for module in laid:
        sys.modules.pop(module, None)
