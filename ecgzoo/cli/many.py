"""What commands share that take one recording or many: which are meant, progress, an output for each."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from glob import has_magic
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ecgzoo.cli import reading
from ecgzoo.errors import DataError, EcgZooError, WriteError, printable

SOME_FAILED = 4  # exit status


def add_argument(parser: ArgumentParser) -> None:
    """The paths, as ``given.record``."""
    parser.add_argument(
        "record",
        nargs="+",
        metavar="PATH",
        help="a recording, such as a WFDB record with or without its extension; a folder; or a pattern: 'x/*.hea'",
    )


def several(paths: Sequence[str]) -> bool:
    """Whether `paths` mean any number of recordings: several paths, a folder or a pattern."""
    return len(paths) > 1 or os.path.isdir(paths[0]) or (has_magic(paths[0]) and not os.path.exists(paths[0]))


def into_folder(given: Namespace) -> bool:
    """Whether what is written goes into a folder: there are several recordings, or the output is one."""
    return several(given.record) or given.output.is_dir()


def progress() -> Progress:
    """A progress bar on stderr; none if that is no terminal."""
    return Progress(
        *(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )


def write_each(given: Namespace, write: Callable[[Path, Path], object], ending: str) -> None:
    """Write an output for each recording that ``given.record`` means, and print its path.

    For one recording, the output is ``given.output``. For many, or if that is a folder, it is a file in that folder,
    named after the recording from the innermost folder on that holds all of them: ``a/r1.hea`` is ``r1.png`` and
    ``a/b/x.edf`` is ``b/x.edf.png``. A recording that fails is a line on stderr; the exit status is then `SOME_FAILED`.

    Args:
        given: the parsed command line, with ``record`` and ``output``.
        write: writes the output of a recording, both by their paths.
        ending: of the names in a folder, such as ``.png``.

    Raises:
        DataError: no recording is there, the output for many is a file, or an output is one of the recordings.
        WriteError: an output cannot be written.
    """
    if not into_folder(given):
        _refuse_input(given.output, {os.path.realpath(given.record[0])})
        write(Path(given.record[0]), given.output)
        print(given.output)
        return
    from ecgzoo.batch import find_records

    if given.output.suffix and not given.output.is_dir():
        raise DataError(f"{given.output}: many recordings need a folder; pass -o with the name of one")
    records = list(find_records(given.record))
    above = os.path.commonpath([os.path.abspath(record.parent) for record in records])
    inputs = {os.path.realpath(record) for record in records}
    failed = 0
    with progress() as bar:
        for record in bar.track(records, description="recordings"):
            name = os.path.relpath(record.with_suffix("") if record.suffix == ".hea" else record, above)
            output = given.output / f"{name}{ending}"
            try:
                _refuse_input(output, inputs)
                write(record, output)
            except WriteError:
                raise
            except Exception as error:  # others wrote the file, and maybe its reader
                failed += 1
                text = reading.said(error) if isinstance(error, EcgZooError) else f"{type(error).__name__}: {error}"
                text = text if printable(record) in text else f"{record}: {text}"
                print(f"error: {printable(text)}", file=sys.stderr, flush=True)
            else:
                print(printable(output), flush=True)
    if failed:
        print(f"{len(records)} recordings, {failed} failed", file=sys.stderr)
        sys.exit(SOME_FAILED)


def _refuse_input(output: Path, inputs: set[str]) -> None:
    if os.path.realpath(output) in inputs:
        raise DataError(f"{output}: is a recording to read, and would be overwritten; choose another output")
