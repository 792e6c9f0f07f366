"""``ecgzoo plot``: recordings on ECG paper."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ecgzoo.cli import many, reading


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    many.add_argument(parser)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, help="where to write it: .png, .svg or .pdf; for many, a folder"
    )
    parser.add_argument("--format", choices=("png", "svg", "pdf"), help="of pictures in a folder; default: png")
    parser.add_argument("--model", help="as for predict; draws its findings and the quality of its windows")
    parser.add_argument("--explain", metavar="LABEL", help="shade what speaks for a class of the model, and against it")
    parser.add_argument(
        "--start", type=float, default=0.0, metavar="SECONDS", help="where the picture begins (default: 0)"
    )
    reading.add_arguments(parser)


def run(given: Namespace) -> None:
    """Draw recordings on ECG paper, 25 mm/s and 10 mm/mV, in their true size. Research use only.

    Twelve leads stand as three rows of four and a rhythm strip, others as strips of 10 s. Grey windows are those that
    signal quality leaves out. Of many recordings (several paths, a folder, a pattern), each is a picture in the folder
    that -o names; the exit status is 4 if some could not be drawn, which are named.
    """
    from ecgzoo.errors import DataError
    from ecgzoo.show.paper import check_suffix
    from ecgzoo.weights import load_pretrained

    if given.format and not many.into_folder(given) and given.output.suffix.lower() != f".{given.format}":
        raise DataError(f"{given.output}: one picture is what its name says, --format is of those in a folder; drop it")
    model = load_pretrained(given.model) if given.model else None

    def draw(path: Path, output: Path) -> None:
        check_suffix(output)
        record = reading.read(path, given, model.config.leads if model else None)
        record.plot(output, model=model, explain=given.explain, start_s=given.start)

    many.write_each(given, draw, f".{given.format or 'png'}")
