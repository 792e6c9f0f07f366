"""What every script under recipes/ shares: flags from the recipe's fields, the table, errors in one line."""

import signal
import sys
from collections.abc import Callable

import tyro
from accelerate import PartialState
from rich.console import Console

from ecgzoo.cli.messages import show_our_warnings_in_one_line
from ecgzoo.training.recipe import Recipe
from ecgzoo.training.report import Report
from ecgzoo.errors import EcgZooError

STOPPED = "stopped; --resume continues after the last whole epoch"


def run_recipe(main: Callable[[Recipe], Report], default: Recipe, description: str | None) -> None:
    """Read flags over `default`, run `main`, print its table; an `EcgZooError` ends the process with status 2."""
    # a kill becomes an exception, so that what is being written aside is cleaned up
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(_failed(STOPPED, 143)))
    show_our_warnings_in_one_line()
    try:
        recipe = tyro.cli(Recipe, default=default, description=description)
        report = main(recipe)
    except EcgZooError as error:
        sys.exit(_failed(f"error: {error}", 2))
    except KeyboardInterrupt:
        sys.exit(_failed(STOPPED, 130))
    if PartialState().is_main_process:
        console = Console()
        console.print(report.table())
        console.print(f"weights, results.json and plots are in {recipe.output}")
    PartialState().destroy_process_group()


def _failed(message: str, status: int) -> int:
    print(message, file=sys.stderr)
    return status
