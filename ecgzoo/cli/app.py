"""The application: its commands, and how it ends when one fails."""

import sys

import typer

from ecgzoo.cli import evaluate, info, listing, plugins, predict, pull, push, recipes
from ecgzoo.cli.messages import show_our_warnings_in_one_line
from ecgzoo.errors import EcgZooError

app = typer.Typer(
    name="ecgzoo",
    help="12-lead ECG teachers, single-lead students: list, inspect, evaluate, predict.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("list")(listing.command)
app.command("plugins")(plugins.command)
app.command("info")(info.command)
app.command("evaluate")(evaluate.command)
app.command("predict")(predict.command)
app.command("push")(push.command)
app.command("pull")(pull.command)
# so that options after the name reach the recipe
app.command("recipe", context_settings={"allow_extra_args": True, "allow_interspersed_args": False})(recipes.command)


def main() -> None:
    """Run the command; an `EcgZooError` is one line on stderr and status 2."""
    show_our_warnings_in_one_line()
    try:
        app()
    except EcgZooError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
