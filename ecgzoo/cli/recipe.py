"""What all recipes share: flags from the recipe's fields, the final table, errors in one line."""

import os
import signal
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence

from accelerate import PartialState
from rich.console import Console

from ecgzoo.cli.messages import cell, show_our_warnings_in_one_line
from ecgzoo.errors import EcgZooError, did_you_mean, printable
from ecgzoo.training.options import add_flags, options
from ecgzoo.training.recipe import Recipe
from ecgzoo.training.report import Report

STOPPED = "stopped; --resume continues after the last whole epoch"


def run_recipe(main: Callable[[Recipe], Report], default: Recipe, description: str | None, argv: Sequence[str]) -> None:
    """Read the flags `argv` over `default`, run `main` and print its table; an `EcgZooError` exits with status 2.

    `description` is the first paragraph of ``--help``.
    """
    # turn a kill into an exception, so that temporary files are removed
    _on_kill(lambda number, _: sys.exit(_failed(STOPPED, 128 + number)))
    show_our_warnings_in_one_line()
    parser = ArgumentParser(
        # argparse knows the program only, not the command that runs this
        prog=f"ecgzoo recipe {sys.argv[2]}" if _by_command(argv) else None,
        usage="%(prog)s [--flag value ...]",
        description=description,
        formatter_class=RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_flags(parser, default)
    given, unknown = parser.parse_known_args(argv)
    if unknown:
        flag = unknown[0].partition("=")[0]
        known = [f"--{name.replace('_', '-')}" for name in options(default)]
        hint = did_you_mean(flag, known) if flag.startswith("-") else "A value follows a --flag."
        parser.error(f"unrecognized arguments: {printable(' '.join(unknown))}. {hint}")
    try:
        recipe = Recipe(**vars(given))
        report = main(recipe)
    except EcgZooError as error:
        sys.exit(_failed(f"error: {error}", 2))
    except KeyboardInterrupt:
        sys.exit(_failed(STOPPED, 130))
    if PartialState().is_main_process:
        console = Console()
        console.print(report.table())
        console.print(f"weights, results.json and plots are in {cell(recipe.output)}")
    PartialState().destroy_process_group()


def _by_command(argv: Sequence[str]) -> bool:
    """Whether ``ecgzoo recipe NAME`` was called with the flags `argv`, and no script."""
    return sys.argv[1:2] == ["recipe"] and len(sys.argv) > 2 and sys.argv[3:] == list(argv)


def _on_kill(action: Callable[[int, object], object] | signal.Handlers) -> None:
    """What a signal to end does; one that nohup ignores stays ignored."""
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, action)


def _failed(message: str, status: int) -> int:
    _on_kill(signal.SIG_DFL)  # from here on, an exception could come up in a finalizer, which prints its traceback
    if message != STOPPED or os.environ.get("RANK", "0") == "0":  # a stop reaches all processes: print it once
        print(message, file=sys.stderr)
    return status
