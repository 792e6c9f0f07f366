"""``ecgzoo recipe``: the training recipes that come with ecgzoo and with plugins."""

import importlib.util
from argparse import REMAINDER, ArgumentParser, Namespace
from pathlib import Path

from ecgzoo import registry
from ecgzoo.errors import EcgZooError, RecipeError, printable
from ecgzoo.files import write_text


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.usage = "ecgzoo recipe list | copy NAME FILE | NAME [--flag value ...]"
    parser.add_argument("name", help="list, copy (with NAME FILE), or the recipe to run")
    parser.add_argument("flags", nargs=REMAINDER, metavar="...", help="flags: see ecgzoo recipe NAME --help")


def run(given: Namespace) -> None:
    """List the training recipes, copy one, or run one.

    To use several processes: torchrun --nproc_per_node 2 -m ecgzoo recipe NAME.
    """
    if given.name == "list":
        for name in registry.names("recipe"):
            print(f"{name:20} {printable(registry.lookup('recipe', name).spec.summary)}")
    elif given.name == "copy":
        if len(given.flags) != 2:
            raise RecipeError("say which recipe to copy and where: ecgzoo recipe copy mvkt mine.py")
        copy(*given.flags)
    else:
        found = registry.get("recipe", given.name)
        main = registry.factory(found)
        try:
            main(given.flags)
        except EcgZooError:
            raise
        except Exception as error:
            raise registry.failed(found, error) from error


def copy(name: str, file: str) -> None:
    """Write the source of a recipe to a new file.

    Raises:
        RecipeError: the file exists or cannot be written, or the recipe's source is not available.
        RegistryError: no recipe has this name.
    """
    found, target = registry.get("recipe", name), Path(file)
    with registry.blamed(found):
        module = importlib.util.find_spec(found.spec.factory.partition(":")[0])
    if module is None or module.origin is None or not Path(module.origin).is_file():
        raise RecipeError(f"the source of {found} is not available")
    if target.exists():
        raise RecipeError(f"{target} exists; choose another name")
    try:
        write_text(target, Path(module.origin).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        raise RecipeError(f"{target} cannot be written ({error})") from error
    print(printable(f"{target} is a copy of {found}; edit it, then run it: python {target}"))
