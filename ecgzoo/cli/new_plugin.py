"""``ecgzoo new-plugin``: write a plugin template into a new folder."""

import keyword
import re
import sys
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from pathlib import Path

from ecgzoo.errors import RegistryError, printable
from ecgzoo.files import write_text

_PACKAGE = Path(__file__).parents[1]
_SHIPPED = _PACKAGE / "template"  # in a wheel; a checkout has it in plugins/
TEMPLATE = _SHIPPED if _SHIPPED.is_dir() else _PACKAGE.parent / "plugins" / "ecgzoo-plugin-template"
WRITTEN = ("LICENSE", "README.md", "pyproject.toml", "ecgzoo_plugin_template/*", "tests/*.py")


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="a new folder; its name is the plugin's name")


def run(given: Namespace) -> None:
    """Write a small plugin, one loss with its test, into a new folder."""
    folder: Path = given.folder
    name, package = names(folder)
    new_plugin(folder, name, package)
    print(printable(f"{folder} holds the plugin {name}. Install it, then check it:"))
    print(printable(f"  pip install -e {folder}"))
    print(printable(f"  ecgzoo plugins --check {name}"))


def names(folder: Path) -> tuple[str, str]:
    """The distribution and the package that are named after `folder`: ``my-ecg`` and ``my_ecg``.

    Raises:
        RegistryError: its name cannot name a package, or is taken.
    """
    last = folder.resolve().name
    name = re.sub(r"[-_. ]+", "-", last.lower())
    package = name.replace("-", "_")
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(package):
        raise RegistryError(
            f"{last!r} cannot name a Python package; choose a folder of lower-case letters, digits and '-', "
            "such as my-ecg"
        )
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        found = None
    if package in sys.stdlib_module_names or (found is not None and found.origin):
        raise RegistryError(f"a package {package} is installed already; choose another name than {last!r}")
    return name, package


def new_plugin(folder: Path, name: str, package: str) -> None:
    """Write the template into `folder`, with `name` for the distribution and `package` for its package.

    Raises:
        RegistryError: `folder` exists and is not an empty folder.
        WriteError: `folder` cannot be written.
    """
    try:
        taken = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    except (OSError, ValueError) as error:
        raise RegistryError(f"{folder} cannot be used ({error}); choose another folder") from error
    if taken:
        raise RegistryError(f"{folder} exists and is not an empty folder; choose another name")
    renamed = {
        "ecgzoo-plugin-template": name,
        "ecgzoo_plugin_template": package,
        "plugin_template": package,
        "template_cosine": f"{package}_cosine",
    }
    old = re.compile("|".join(renamed))  # in one pass, because a new name may contain an old one
    for file in sorted(path for pattern in WRITTEN for path in TEMPLATE.glob(pattern) if path.is_file()):
        text, place = (
            old.sub(lambda found: renamed[found[0]], given)
            for given in (file.read_text(encoding="utf-8"), file.relative_to(TEMPLATE).as_posix())
        )
        write_text(folder / place, text)
