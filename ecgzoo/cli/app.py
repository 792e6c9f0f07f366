"""The application: its commands, and how it ends when one fails."""

import sys

import typer

from ecgzoo.cli import evaluate, info, listing, predict
from ecgzoo.errors import EcgZooError

app = typer.Typer(
    name="ecgzoo",
    help="12-lead ECG teachers, single-lead students: list, inspect, evaluate, predict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("list")(listing.command)
app.command("info")(info.command)
app.command("evaluate")(evaluate.command)
app.command("predict")(predict.command)


def main() -> None:
    """Run the command; an `EcgZooError` is one line on stderr and status 2."""
    try:
        app()
    except EcgZooError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
