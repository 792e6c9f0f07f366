"""``ecgzoo report``: a recording and what a model says of it, on one page."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ecgzoo.cli import reading


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("record", type=Path, help="file of a recording")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the page to write, such as x.html")
    parser.add_argument("--model", required=True, help="as predict takes it")
    parser.add_argument("--explain", metavar="LABEL", help="shade what speaks for a class of the model, and against it")
    parser.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="where the picture begins")
    reading.add_arguments(parser)


def run(given: Namespace) -> None:
    """Write one page of a recording: strip, probabilities, findings, quality, notes, the model. Research use only.

    The page needs no network and no scripts.
    """
    from ecgzoo.show import write_report
    from ecgzoo.weights import load_pretrained

    model = load_pretrained(given.model)
    record = reading.read(given.record, given, model.config.leads)
    write_report(record, model, given.output, explain=given.explain, start_s=given.start)
    print(given.output)
