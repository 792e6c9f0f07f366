"""``ecgzoo export``: a model as a file that runs without Python."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ecgzoo.cli import reading
from ecgzoo.cli.messages import cell
from ecgzoo.exporting import SPECS

if TYPE_CHECKING:
    from ecgzoo.config import ModelConfig
    from ecgzoo.data import Cohort
    from ecgzoo.exporting.parity import Parity
    from ecgzoo.signal import Record

NOT_EQUAL = 1  # exit status


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--model", required=True, help="a folder, a name or name.tag of installed weights, or hf-hub:org/name"
    )
    parser.add_argument("--format", choices=SPECS, default="onnx", help="default: onnx")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it exists")
    parser.add_argument(
        "--samples", type=int, metavar="N", help="samples that a file of one length takes (default: one window)"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the comparison to this JSON file")
    group = parser.add_argument_group("records to compare on (default: simulated hearts); onnx-int8 needs some")
    group.add_argument("--calibrate", metavar="PATH", help="a folder of recordings, a file or a pattern")
    group.add_argument("--data", help="data set, as ecgzoo list --kind dataset names it")
    group.add_argument("--root", type=Path, metavar="DIR", help="folder with the data set's files")
    group.add_argument("--calibrate-folds", metavar="FOLDS", help="of the data set, such as 8")
    reading.add_arguments(parser)


def run(given: Namespace) -> None:
    """Write a model to a file that runs without Python: millivolts in, calibrated probabilities out. Research use only.

    The file is compared with the model in its own runtime first. If it is too far off, nothing is written, and the exit
    status is 1.
    """
    from ecgzoo.data import parse_folds
    from ecgzoo.exporting.parity import ParityError
    from ecgzoo.exporting.run import export
    from ecgzoo.weights import load_pretrained

    _refuse_one_name(given)
    model = load_pretrained(given.model)
    data, folds = _data(given, model.config), parse_folds(given.calibrate_folds) if given.calibrate_folds else ()
    try:
        found = export(
            model,
            given.output,
            format=given.format,
            data=data,
            folds=folds,
            samples=given.samples,
            overwrite=given.overwrite,
        )
    except ParityError as error:
        _report(given, error.parity)
        print(f"error: {error}", file=sys.stderr)
        sys.exit(NOT_EQUAL)
    _report(given, found)
    print(given.output)


def _refuse_one_name(given: Namespace) -> None:
    from ecgzoo.errors import DataError
    from ecgzoo.exporting.run import load_format

    written = load_format(given.format).files(given.output)
    if given.report and given.report.resolve() in [path.resolve() for path in written]:
        raise DataError(f"--report {given.report}: is a file of the model itself; choose another name")


def _data(given: Namespace, config: "ModelConfig") -> "Cohort | list[Record] | None":
    from ecgzoo.batch import find_records
    from ecgzoo.create import load_cohort
    from ecgzoo.errors import DataError

    if given.calibrate and (given.data or given.calibrate_folds):
        raise DataError("--calibrate names recordings and --data a data set; give one of them")
    if (said := reading.flags(given)) and not given.calibrate:
        raise DataError(f"{said}: of the recordings of --calibrate; give them, or leave this out")
    if bool(given.data) != bool(given.calibrate_folds):
        raise DataError("--data and --calibrate-folds belong together, such as --data ptbxl --calibrate-folds 8")
    if given.data:
        return load_cohort(given.data, given.root, config.task)
    paths = find_records([given.calibrate]) if given.calibrate else ()
    return [reading.read(path, given, config.leads) for path in paths] or None


def _report(given: Namespace, found: "Parity") -> None:
    from ecgzoo.files import write_json
    from ecgzoo.provenance import provenance

    table = Table(
        "figure", "value", title=f"{cell(given.model)} as {given.format}, {found.count} × {cell(found.records)}"
    )
    table.add_row("size", f"{found.size / 1e6:.3f} MB")
    table.add_row("largest difference of a probability", f"{found.probability:.2g}")
    if found.macro_auc is not None:
        table.add_row("macro AUC", f"{found.macro_auc:.4f} {found.macro_auc_difference:+.4f}")
    if found.findings:
        table.add_row("findings that differ", f"{found.flipped} of {found.findings} ({found.flipped_share:.2%})")
    latency = f"{found.latency_ms:.2f} ms (Python {found.python_latency_ms:.2f} ms)"
    table.add_row(f"one thread, {found.latency_samples} samples", latency)
    Console().print(table)
    if given.report:
        values = {"model": given.model, "format": given.format, "kept": not found.problems, **found.to_dict()}
        write_json(given.report, {**values, "provenance": provenance()})
