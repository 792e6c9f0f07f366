"""``ecgzoo predict``: apply a model to one recording."""

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

UNREADABLE = 3  # exit status


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("record", type=Path, help="WFDB record, with or without its extension")
    parser.add_argument(
        "--model", required=True, help="a folder, a name or name.tag of installed weights, or hf-hub:org/name"
    )
    parser.add_argument("--insist", action="store_true", help="predict even if the record is unreadable")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(given: Namespace) -> None:
    """Apply a model to a recording. Research use only.

    The exit status is 3 if the recording is unreadable: too little of it shows heartbeats.
    """
    from ecgzoo.weights import load_pretrained

    prediction = load_pretrained(given.model).predict(given.record, insist=given.insist)
    print(json.dumps(prediction.to_dict(), indent=2) if given.json else prediction)
    if prediction.unreadable:
        sys.exit(UNREADABLE)
