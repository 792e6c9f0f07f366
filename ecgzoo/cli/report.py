"""``ecgzoo report``: recordings and what a model says of them, each on one page."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ecgzoo.cli import many, reading


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    many.add_argument(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="the page to write: .html or .htm; for many, a folder"
    )
    parser.add_argument("--model", required=True, help="as for predict")
    parser.add_argument("--explain", metavar="LABEL", help="shade what speaks for a class of the model, and against it")
    parser.add_argument(
        "--start", type=float, default=0.0, metavar="SECONDS", help="where the picture begins (default: 0)"
    )
    reading.add_arguments(parser)


def run(given: Namespace) -> None:
    """Write one page of a recording: strip, probabilities, findings, quality, notes, the model. Research use only.

    The page needs no network and no scripts. Of many recordings, each is a page in the folder that -o names; the exit
    status is 4 if some failed, which are named.
    """
    from ecgzoo.show import write_report
    from ecgzoo.weights import load_pretrained

    model = load_pretrained(given.model)

    def write(path: Path, output: Path) -> None:
        record = reading.read(path, given, model.config.leads)
        write_report(record, model, output, explain=given.explain, start_s=given.start)

    many.write_each(given, write, ".html")
