"""``ecgzoo pull``: download a model from the Hub into the cache."""

from argparse import ArgumentParser, Namespace


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("repo_id", metavar="ORG/NAME", help="repository on the Hub")
    parser.add_argument("--revision", help="commit, branch or tag; main if not given")


def run(given: Namespace) -> None:
    """Download a model from the Hub, verify it, and print how to load it."""
    from ecgzoo.weights.hub import pull

    folder = pull(given.repo_id, given.revision)
    print(folder)
    print(f'model = ecgzoo.load_pretrained("hf-hub:{given.repo_id}@{folder.name}")')
