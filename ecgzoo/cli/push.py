"""``ecgzoo push``: a folder of weights to the Hub."""

from pathlib import Path
from typing import Annotated

import typer


def command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="folder of weights")],
    repo_id: Annotated[str, typer.Option(metavar="ORG/NAME", help="repository on the Hub; created if not there")],
    private: Annotated[bool, typer.Option("--private", help="create it as a private repository")] = False,
    revision: Annotated[str | None, typer.Option(help="branch, created if not there; main if not given")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be uploaded, and make no request")] = False,
) -> None:
    """Publish a model: load and verify it, then upload it in one commit."""
    from ecgzoo.weights.hub import push

    print(push(folder, repo_id, private=private, revision=revision, dry_run=dry_run))
