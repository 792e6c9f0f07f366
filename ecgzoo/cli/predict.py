"""``ecgzoo predict``: a model on one recording, or on many."""

import json
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from ecgzoo.cli import many, reading
from ecgzoo.cli.messages import cell, wrapped

if TYPE_CHECKING:
    from ecgzoo.batch import Answer, Read

UNREADABLE = 3  # exit status


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    many.add_argument(parser)
    parser.add_argument(
        "--model", required=True, help="a folder, a name or name.tag of installed weights, or hf-hub:org/name"
    )
    parser.add_argument("--insist", action="store_true", help="read every window, whatever its quality")
    parser.add_argument("--json", action="store_true", help="print JSON; for many records, one line per record")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help="write a row for each record to a .csv, .jsonl or .parquet file; records that it holds are skipped",
    )
    parser.add_argument(
        "--events",
        action="store_true",
        help="for one long recording: when each class was present, and a summary of each hour",
    )
    parser.add_argument("--workers", type=int, default=1, metavar="N", help="processes for many records (default: 1)")
    reading.add_arguments(parser)


def run(given: Namespace) -> None:
    """Apply a model to a recording, or to many. Research use only.

    For one recording, the exit status is 3 if it is unreadable: too little of it shows heartbeats. For many (several
    paths, a folder, a pattern, or --output), it is 4 if some files could not be predicted. Their rows say why, and the
    other files are predicted.
    """
    from ecgzoo.errors import DataError

    if given.workers < 1:
        raise DataError(f"--workers {given.workers}: expected 1 or more")
    if given.output and given.json:
        raise DataError("--json prints what --output writes to a file; give one of them")
    if given.events:
        _events(given)
    elif given.output or many.several(given.record):
        _many(given)
    else:
        _one(given, Path(given.record[0]))


def reader(given: Namespace) -> "Read":
    """The function that reads a path by the flags of ``cli/reading.py``, for this process and others."""
    flags = {name: getattr(given, name) for name in ("leads", "units", "rate", "rename", "derive")}
    return partial(reading.read, given=Namespace(**flags))


def _one(given: Namespace, path: Path) -> None:
    from ecgzoo.weights import load_pretrained

    model = load_pretrained(given.model)
    prediction = model.predict(reader(given)(path), insist=given.insist)
    print(json.dumps(prediction.to_dict(), indent=2) if given.json else wrapped(str(prediction)))
    if prediction.unreadable:
        sys.exit(UNREADABLE)


def _events(given: Namespace) -> None:
    from ecgzoo.errors import DataError, printable
    from ecgzoo.events import find_events, summarize_hours
    from ecgzoo.weights import load_pretrained

    if many.several(given.record) or given.output or given.workers > 1:
        raise DataError(
            "--events prints the events of one recording; leave out --output, --workers and the other paths"
        )
    record = reader(given)(Path(given.record[0]))
    model = load_pretrained(given.model)
    found = model.predict(record, insist=given.insist, per_window=True)
    unsaid = [label for label in model.config.labels if label not in model.config.thresholds]
    events, hours = find_events(found), summarize_hours(found)
    notes = _counted(note for one in found for note in one.notes)
    unreadable = _counted(why for one in found if one.unreadable for why in one.unreadable.split("; "))
    if given.json:
        said = {"source": record.source, "events": list(map(asdict, events)), "hours": hours}
        print(json.dumps({**said, "notes": notes, "unreadable": unreadable, "no_thresholds": unsaid}, indent=2))
    else:
        table = Table("class", "from", "to", "peak probability", "windows", title=cell(record.source))
        for event in events:
            when = (_clock(event.from_s), _clock(event.to_s))
            table.add_row(cell(event.label), *when, f"{event.peak_probability:.3f}", str(event.windows))
        Console().print(table)
        table = Table(
            "hour", "read", "left out", "heart rate (lowest–highest)", "share of the windows in which it is present"
        )
        for hour in hours:
            rates = [hour[name] for name in ("heart_rate_bpm", "heart_rate_lowest", "heart_rate_highest")]
            rate = "—" if None in rates else "{:.0f} ({:.0f}–{:.0f})".format(*rates)
            shares = [(name, hour[f"present_{name}"]) for name in found[0].classes]
            # a column for each class would be cut off at the width of a terminal
            present = ", ".join(f"{cell(name)} {100 * share:.3g}%" for name, share in shares if share)
            table.add_row(*map(str, (hour["hour"], hour["windows"], hour["windows_left_out"])), rate, present or "—")
        Console().print(table)
        if unsaid:
            print(f"no threshold, so never an event: {printable(', '.join(unsaid))}")
        for what, counts in (("note", notes), ("unreadable", unreadable)):
            for text, count in counts.items():
                print(f"{what}, {count} of {len(found)} windows: {printable(text)}")
    if not any(one.probabilities for one in found):
        sys.exit(UNREADABLE)


def _counted(texts: Iterable[str]) -> dict[str, int]:
    """In how many windows each text is said, the most frequent first; ``…`` stands for numbers that differ."""
    alike: dict[str, list[str]] = {}
    for text in texts:
        alike.setdefault(re.sub(r"\b\d+(\.\d+)?\b", "…", text), []).append(text)
    said = {own[0] if len(set(own)) == 1 else text: len(own) for text, own in alike.items()}
    return dict(sorted(said.items(), key=lambda pair: -pair[1]))


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes // 60)}:{int(minutes % 60):02d}:{rest:04.1f}"


def _many(given: Namespace) -> None:
    from ecgzoo.batch import Predictor, find_records, open_output, predict_files
    from ecgzoo.errors import printable
    from ecgzoo.weights import load_pretrained

    names = [str(path) for path in find_records(given.record)]
    paths: Iterator[Path] = map(Path, names)
    output, before, failed = None, 0, 0
    flags = reading.flags(given)
    predictor = Predictor(load_pretrained(given.model), reader(given), given.insist, flags, reading.said)
    if given.output:
        output = open_output(given.output, predictor.columns, predictor.identity)
        held = frozenset(output.done)
        paths = (path for path in paths if printable(path) not in held)
        before, failed = len(held), output.failed
    new = unreadable = 0
    answers = predict_files(predictor, given.model, paths, workers=given.workers)
    with many.progress() as progress:
        task = progress.add_task("records", total=len(names), completed=before)
        for some in answers:
            new += len(some)
            failed += sum(bool(answer.row["error"]) for answer in some)
            unreadable += sum(bool(answer.row["unreadable"]) for answer in some)
            if output:
                output.add([answer.row for answer in some])
            else:
                _print(some, given.json)
            progress.update(task, advance=len(some))
    if output:
        output.finish()
        there = f" ({before} were there)" if before else ""
        why = "; the columns error and unreadable say why" * bool(failed or unreadable)
        print(f"{given.output}: {before + new} records{there}, {failed} failed, {unreadable} new ones unreadable{why}")
    if failed:
        sys.exit(many.SOME_FAILED)


def _print(answers: "list[Answer]", as_json: bool) -> None:
    for answer in answers:
        if as_json:
            print(json.dumps(answer.row))
        else:
            print(wrapped(f"error: {answer.text}" if answer.row["error"] else answer.text), flush=True)
