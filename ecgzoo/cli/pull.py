"""``ecgzoo pull``: a model from the Hub into the cache."""

from typing import Annotated

import typer


def command(
    repo_id: Annotated[str, typer.Argument(metavar="ORG/NAME", help="repository on the Hub")],
    revision: Annotated[str | None, typer.Option(help="commit, branch or tag; main if not given")] = None,
) -> None:
    """Fetch a model from the Hub, verify it, and say how to load it."""
    from ecgzoo.weights.hub import pull

    folder = pull(repo_id, revision)
    print(folder)
    print(f'model = ecgzoo.load_pretrained("hf-hub:{repo_id}@{folder.name}")')
