"""``ecgzoo recipe``: a training recipe that a plugin provides."""

from typing import Annotated

import typer

from ecgzoo import registry
from ecgzoo.errors import EcgZooError


def command(
    context: typer.Context, name: Annotated[str, typer.Argument(help="as `ecgzoo list --kind recipe` shows it")]
) -> None:
    """Run a plugin's recipe; what follows its name is its own.

    On several processes: torchrun --nproc_per_node 2 -m ecgzoo recipe NAME.
    """
    found = registry.get("recipe", name)
    run = registry.factory(found)
    try:
        run(context.args)
    except EcgZooError:
        raise
    except Exception as error:
        raise registry.failed(found, error) from error
