"""The application: its commands, and how it exits when a command fails.

Each command is a module with two functions: `add_arguments` declares its arguments, and `run` does the work; the
docstring of `run` is its help. argparse is used for commands and recipes because it has subcommands, flags that take a
list, and sections in the help.
"""

import os
import sys
from argparse import ArgumentParser
from importlib.metadata import version
from inspect import cleandoc

from ecgzoo.cli import (
    data,
    evaluate,
    export,
    info,
    listing,
    new_plugin,
    plot,
    plugins,
    predict,
    pull,
    push,
    reading,
    recipes,
    report,
)
from ecgzoo.cli.messages import show_our_warnings_in_one_line
from ecgzoo.errors import EcgZooError

COMMANDS = {
    "predict": predict,
    "plot": plot,
    "report": report,
    "list": listing,
    "info": info,
    "evaluate": evaluate,
    "recipe": recipes,
    "data": data,
    "export": export,
    "push": push,
    "pull": pull,
    "plugins": plugins,
    "new-plugin": new_plugin,
}


def make_parser() -> ArgumentParser:
    """The parser of all commands."""
    parser = ArgumentParser(
        prog="ecgzoo",
        description="Networks that read an ECG from one lead, trained with the help of a teacher that sees twelve. To "
        "begin: ecgzoo predict FILE --model xresnet1d18. Flags: ecgzoo COMMAND --help. Research use only.",
    )
    python = ".".join(map(str, sys.version_info[:3]))
    parser.add_argument(
        "--version",
        action="version",
        version=f"ecgzoo {version('ecgzoo')} (torch {version('torch')}, Python {python})",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, module in COMMANDS.items():
        text = cleandoc(module.run.__doc__ or "")
        command = commands.add_parser(name, help=text.splitlines()[0], description=text)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main() -> None:
    """Run the command. An `EcgZooError` is one line on stderr and exit status 2; Ctrl-C one line and status 130."""
    show_our_warnings_in_one_line()
    given = make_parser().parse_args(sys.argv[1:] or ["--help"])
    try:
        given.run(given)
        sys.stdout.flush()
    except BrokenPipeError:  # as of `| head`
        os._exit(141)  # what is left to write would fail once more when Python ends
    except EcgZooError as error:
        print(f"error: {reading.said(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr, flush=True)
        os._exit(130)  # sys.exit would look like death by a signal if exec() was interrupted
