"""Pages of the site that are made of code: the command line, the gallery, and each file that a page links to."""

import ast
import io
import re
import shutil
import sys
from contextlib import redirect_stdout, suppress
from pathlib import Path

from ecgzoo.cli.app import COMMANDS, make_parser

ROOT = Path(__file__).parents[1]
LINK = re.compile(r"\]\(\.\./([\w./-]+)\)")
LANGUAGES = {".py": "python", ".toml": "toml", ".md": "markdown", ".yml": "yaml"}


def write(docs: Path) -> None:
    """Write all of them into ``_generated``."""
    folder = docs / "_generated"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "code").mkdir(parents=True)
    (folder / "commands.md").write_text(commands(), encoding="utf-8")
    (folder / "examples.md").write_text(examples(), encoding="utf-8")
    for page in docs.glob("*.md"):
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            (docs / f"{page_of(target)}.md").write_text(code(target), encoding="utf-8")


def commands() -> str:
    """Each command's help, and the flags of a recipe, as argparse prints them."""
    pages = [("ecgzoo", []), *((f"ecgzoo {name}", [name]) for name in COMMANDS), ("ecgzoo recipe mvkt", [])]
    return "\n\n".join(f"## `{title}`\n\n```text\n{help_of(title, given)}```" for title, given in pages)


def help_of(title: str, given: list[str]) -> str:
    """What ``--help`` prints."""
    said = io.StringIO()
    with redirect_stdout(said), suppress(SystemExit):
        if title.startswith("ecgzoo recipe "):
            from ecgzoo.recipes.mvkt import main

            sys.argv[0] = title
            main(["--help"])
        else:
            make_parser().parse_args([*given, "--help"])
    return said.getvalue()


def examples() -> str:
    """Each script of examples/: its docstring as text, then its code."""
    parts = []
    for script in sorted((ROOT / "examples").glob("*.py")):
        tree = ast.parse(script.read_text(encoding="utf-8"))
        first = tree.body[1].lineno  # after the docstring
        parts.append(f"## {script.stem}\n\n{ast.get_docstring(tree)}\n\n{shown(script, '../', first)}")
    return "\n".join(parts)


def page_of(target: str) -> str:
    """Which page shows a file or folder."""
    return f"_generated/code/{target.strip('/').replace('/', '.')}"


def code(target: str) -> str:
    """The page of a file, or of the source files of a folder."""
    path = ROOT / target
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.suffix in LANGUAGES)
    return f"---\norphan: true\n---\n\n# `{target}`\n\n" + "\n".join(shown(file, "../../../") for file in files)


def shown(file: Path, root: str, first: int = 1) -> str:
    """A file in a box, from its line `first`; `root` is where the project is, seen from the page."""
    name, language = file.relative_to(ROOT).as_posix(), LANGUAGES.get(file.suffix, "text")
    return f"```{{literalinclude}} {root}{name}\n:language: {language}\n:caption: {name}\n:lines: {first}-\n```\n"
