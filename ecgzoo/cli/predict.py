"""``ecgzoo predict``: a model on one recording."""

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from ecgzoo.cli import reading

UNREADABLE = 3  # exit status


def add_arguments(parser: ArgumentParser) -> None:
    """What it takes."""
    parser.add_argument("record", type=Path, help="the recording: a file, or a WFDB record without its suffix")
    parser.add_argument(
        "--model", required=True, help="a folder, a name or name.tag of installed weights, or hf-hub:org/name"
    )
    parser.add_argument("--insist", action="store_true", help="read a record that is unreadable all the same")
    parser.add_argument("--json", action="store_true", help="print JSON")
    reading.add_arguments(parser)


def run(given: Namespace) -> None:
    """Apply a model to a recording. Research use only.

    The exit status is 3 for a recording that is unreadable: no heartbeat can be seen in enough of it.
    """
    from ecgzoo.weights import load_pretrained

    model = load_pretrained(given.model)
    prediction = model.predict(reading.read(given.record, given, model.config.leads), insist=given.insist)
    print(json.dumps(prediction.to_dict(), indent=2) if given.json else prediction)
    if prediction.unreadable:
        sys.exit(UNREADABLE)
