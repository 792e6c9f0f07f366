"""``ecgzoo data``: make a cohort of recordings, or Parquet of a cohort."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from inspect import cleandoc
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ecgzoo.cli import many, reading
from ecgzoo.cli.messages import cell
from ecgzoo.cli.predict import reader

CLASSES = 20  # that are printed
REASONS = 5  # that are printed; all are in left-out.csv


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    text = cleandoc(import_records.__doc__ or "")
    command = commands.add_parser("import", help=text.splitlines()[0], description=text)
    command.set_defaults(make=import_records)
    command.add_argument("folder", type=Path, metavar="DIR", help="folder in which the paths of the table begin")
    command.add_argument(
        "--table",
        type=Path,
        required=True,
        metavar="TABLE",
        help=".csv, .tsv or .parquet with the columns path and patient, and fold, labels and id if there are any",
    )
    command.add_argument("-o", "--output", type=Path, required=True, metavar="STORE", help="folder of the cohort")
    command.add_argument(
        "--columns", type=_column, nargs="+", default=[], metavar="path=COLUMN", help="what the table calls its columns"
    )
    command.add_argument(
        "--classes",
        metavar="A,B",
        help="all classes, if some occur in no record, or those of a teacher (default: those of the table)",
    )
    command.add_argument("--name", help="name of the cohort in tables and cards (default: that of STORE)")
    command.add_argument(
        "--missing-leads",
        choices=("error", "skip"),
        default="error",
        help="whether a recording without one of the leads is an error or left out (default: error)",
    )
    command.add_argument("--workers", type=int, default=1, metavar="N", help="number of processes (default: 1)")
    group = command.add_argument_group("the records of the cohort")
    group.add_argument("--store-leads", default="12", metavar="I,II", help="leads, by name or number (default: 12)")
    group.add_argument(
        "--store-rate", type=float, default=100.0, metavar="HZ", help="samples per second (default: 100)"
    )
    group.add_argument(
        "--seconds", type=float, default=10.0, help="longest record; of longer ones the beginning is kept (default: 10)"
    )
    group.add_argument(
        "--shortest", type=float, default=2.5, metavar="SECONDS", help="shorter ones are left out (default: 2.5)"
    )
    reading.add_arguments(command)

    text = cleandoc(export_records.__doc__ or "")
    command = commands.add_parser("export", help=text.splitlines()[0], description=text)
    command.set_defaults(make=export_records)
    command.add_argument(
        "--data", required=True, help="data set, as ecgzoo list --kind dataset names it; folder for an imported cohort"
    )
    command.add_argument("--root", type=Path, metavar="DIR", help="folder with the data set's files")
    command.add_argument("--task", help="labels (default: the first task of the data set)")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="a new folder")


def run(given: Namespace) -> None:
    """Import recordings of your own into a cohort, or write a cohort as Parquet."""
    given.make(given)


def import_records(given: Namespace) -> None:
    """Make a cohort of the recordings that a table names, or add them to one.

    Recordings of any format are resampled into one store. All records of a patient are in one fold; where the table
    has no folds, they are made from the patient's id. Labels are a list such as AFIB;SR; an empty cell means no labels.
    What cannot be used is left out and listed in STORE/left-out.csv. A stopped import is continued by the same command.
    """
    from ecgzoo.data import parse_folds
    from ecgzoo.data.prepare import CHANGES, Layout
    from ecgzoo.errors import DataError
    from ecgzoo.ingest import LEFT_OUT, import_records
    from ecgzoo.signal import resolve_leads
    from ecgzoo.training.recipe import Recipe

    if given.workers < 1:
        raise DataError(f"--workers {given.workers}: expected 1 or more")
    samples, shortest = (seconds * given.store_rate for seconds in (given.seconds, given.shortest))
    if not 10 <= given.store_rate <= 100_000 or not 1 <= shortest <= samples <= 10**8:
        raise DataError(
            f"records from {given.shortest:g} to {given.seconds:g} s at {given.store_rate:g} Hz: expected 10 to "
            "100,000 Hz, and --shortest not above --seconds"
        )
    with many.progress() as bar:
        task = bar.add_task("records", total=None)
        done = import_records(
            given.folder,
            given.table,
            given.output,
            read=reader(given),
            columns=dict(given.columns),
            layout=Layout(resolve_leads(given.store_leads), given.store_rate, round(samples), round(shortest)),
            classes=[name.strip() for name in given.classes.split(",")] if given.classes else (),
            name=given.name,
            missing_leads=given.missing_leads,
            workers=given.workers,
            advance=lambda count, total: bar.update(task, completed=count, total=total),
        )
    there = f" ({done.before} were there and were not read again)" if done.before else ""
    print(f"{given.output}: {done.records} records{there}, {len(done.left_out)} left out; {len(done.classes)} classes")
    most = sorted(done.classes.items(), key=lambda item: -item[1])[:CLASSES]
    more = f" and {len(done.classes) - CLASSES} rarer ones" if len(done.classes) > CLASSES else ""
    print("records by class: " + ", ".join(f"{name}: {count}" for name, count in most) + more)
    print("records by fold: " + ", ".join(f"{fold}: {count}" for fold, count in done.folds.items()))
    if done.made_folds:
        print(f"new records whose fold was made from the patient's id, because the table gives none: {done.made_folds}")
    for change, count in done.changes.items():
        print(f"records {CHANGES[change]}: {count}")
    if done.without_labels:
        print(f"without labels: fold {', '.join(map(str, done.without_labels))} (--unlabelled-folds)")
    if done.left_out:
        table = Table("left out", "reason")
        for path, reason in done.left_out[:REASONS]:
            table.add_row(cell(path), cell(reason))
        Console(stderr=True, soft_wrap=not sys.stderr.isatty()).print(table)
        print(f"all that were left out: {given.output / LEFT_OUT}")
    if not done.folds.keys() - set(done.without_labels):
        print(
            f"no record has labels, and a run is validated and tested on some: import such records into {given.output}"
        )
        return
    usual = Recipe()
    trained = sum(done.folds.get(fold, 0) for fold in parse_folds(usual.train_folds))
    leads = resolve_leads(given.store_leads)
    recipe, flags = "mvkt" if len(leads) > 1 else "baseline", ""  # a teacher of one lead knows no more than a student
    if len(leads) > 1 and not set(usual.teacher_leads) <= set(leads):
        flags += f" --teacher-leads {' '.join(leads)}"
    if not set(usual.student_leads) <= set(leads):
        flags += f" --student-leads {leads[0]}"
    if trained < usual.batch_size:
        flags += f" --batch-size {max(2, trained // 4)}"
    print(f"train with: ecgzoo recipe {recipe} --data folder --root {given.output} --task labels{flags}")


def export_records(given: Namespace) -> None:
    """Write the records of a cohort as Parquet files, which the Hub shows and the library datasets reads.

    Each row is a record: its number, patient, fold, labels, and a column for each lead with the samples in microvolts.
    """
    from ecgzoo.create import load_cohort
    from ecgzoo.data.parquet import write_parquet

    cohort = load_cohort(given.data, given.root, given.task)
    with many.progress() as bar:
        task = bar.add_task("records", total=None)
        files = write_parquet(cohort, given.output, lambda count, total: bar.update(task, completed=count, total=total))
    print(f"{given.output}: {len(cohort)} records in {files} Parquet files")


def _column(text: str) -> tuple[str, str]:
    name, separator, column = text.partition("=")
    if not separator or not column:
        raise ArgumentTypeError(f"expected NAME=COLUMN, such as path=filename, got {text!r}")
    return name, column
