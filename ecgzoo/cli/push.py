"""``ecgzoo push``: upload a folder of weights to the Hub."""

from argparse import ArgumentParser, Namespace
from pathlib import Path


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder of weights")
    parser.add_argument(
        "--repo-id", required=True, metavar="ORG/NAME", help="repository on the Hub; created if it does not exist"
    )
    parser.add_argument("--private", action="store_true", help="create it as a private repository")
    parser.add_argument("--revision", help="branch, created if it does not exist; main if not given")
    parser.add_argument("--dry-run", action="store_true", help="print what would be uploaded, without any request")


def run(given: Namespace) -> None:
    """Publish a model: load and verify it, then upload it in one commit."""
    from ecgzoo.weights.hub import push

    said = push(given.folder, given.repo_id, private=given.private, revision=given.revision, dry_run=given.dry_run)
    print(said)
