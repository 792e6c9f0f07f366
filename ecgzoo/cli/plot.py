"""``ecgzoo plot``: a recording on ECG paper."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ecgzoo.cli import reading


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("record", type=Path, help="file of a recording")
    parser.add_argument("-o", "--output", type=Path, required=True, help="where to write it: .png, .svg or .pdf")
    parser.add_argument("--model", help="as predict takes it: its findings and the quality of its windows, too")
    parser.add_argument("--explain", metavar="LABEL", help="shade what speaks for a class of the model, and against it")
    parser.add_argument("--start", type=float, default=0.0, metavar="SECONDS", help="where the picture begins")
    reading.add_arguments(parser)


def run(given: Namespace) -> None:
    """Draw a recording on ECG paper, 25 mm/s and 10 mm/mV, in its true size. Research use only.

    Twelve leads stand as three rows of four and a rhythm strip, others as strips of 10 s. Grey windows are those that
    signal quality leaves out.
    """
    from ecgzoo.show.paper import check_suffix
    from ecgzoo.weights import load_pretrained

    check_suffix(given.output)
    model = load_pretrained(given.model) if given.model else None
    record = reading.read(given.record, given, model.config.leads if model else None)
    record.plot(given.output, model=model, explain=given.explain, start_s=given.start)
    print(given.output)
