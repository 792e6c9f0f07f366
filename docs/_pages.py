"""Pages of the site that are generated from code: command line, gallery, and each file that a page links to."""

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
LANGUAGES = {".py": "python", ".toml": "toml", ".md": "markdown", ".yml": "yaml", ".c": "c", ".html": "html"}


def write(docs: Path) -> None:
    """Write all generated pages into ``_generated``."""
    folder = docs / "_generated"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "code").mkdir(parents=True)
    (folder / "commands.md").write_text(commands(), encoding="utf-8")
    (folder / "examples.md").write_text(examples(), encoding="utf-8")
    for page in docs.glob("*.md"):
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            (docs / f"{page_of(target)}.md").write_text(code(target), encoding="utf-8")


def commands() -> str:
    """The help of each command and the flags of a recipe, as argparse prints them."""
    pages = [
        ("ecgzoo", []),
        *((f"ecgzoo {name}", [name]) for name in COMMANDS),
        ("ecgzoo data import", ["data", "import"]),
        ("ecgzoo data export", ["data", "export"]),
    ]
    pages += [("ecgzoo recipe mvkt", [])]
    return "\n\n".join(f"## `{title}`\n\n```text\n{help_of(title, given)}```" for title, given in pages)


def help_of(title: str, given: list[str]) -> str:
    """The output of ``--help``."""
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
    """Each script and each package of examples/: its docstring, then its code."""
    parts = []
    for example in sorted((ROOT / "examples").iterdir()):
        files = [example] if example.suffix == ".py" else sources(example)
        trees = [ast.parse(file.read_text(encoding="utf-8")) for file in files if file.suffix == ".py"]
        if trees:
            said = next(filter(None, map(ast.get_docstring, trees)), "")
            first = trees[0].body[1].lineno if files == [example] else 1  # a script's docstring is shown above it
            parts += [f"## {example.stem}\n\n{said}\n", *(shown(file, "../", first) for file in files)]
    return "\n".join(parts)


def sources(folder: Path) -> list[Path]:
    """The source files in a folder."""
    return sorted(file for file in folder.rglob("*") if file.suffix in LANGUAGES)


def page_of(target: str) -> str:
    """The page that shows a file or folder."""
    return f"_generated/code/{target.strip('/').replace('/', '.')}"


def code(target: str) -> str:
    """The page of a file, or of the source files of a folder."""
    path = ROOT / target
    files = [path] if path.is_file() else sources(path)
    return f"---\norphan: true\n---\n\n# `{target}`\n\n" + "\n".join(shown(file, "../../../") for file in files)


def shown(file: Path, root: str, first: int = 1) -> str:
    """A code block with the file from line `first` on; `root` is the project's path relative to the page."""
    name, language = file.relative_to(ROOT).as_posix(), LANGUAGES.get(file.suffix, "text")
    return f"```{{literalinclude}} {root}{name}\n:language: {language}\n:caption: {name}\n:lines: {first}-\n```\n"
