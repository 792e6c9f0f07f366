"""The flags with which commands read a recording, and error messages that name these flags.

reading.add_arguments(parser)
record = reading.read(path, given, model.config.leads)
"""

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ecgzoo.errors import EcgZooError, MissingLeadError, SignalError, printable

if TYPE_CHECKING:
    from ecgzoo.signal import Record


def add_arguments(parser: ArgumentParser) -> None:
    """The flags that `read` takes."""
    group = parser.add_argument_group("what the file does not say")
    group.add_argument("--leads", metavar="I,II", help="a name for each channel, in order")
    group.add_argument("--rate", type=float, metavar="HZ", help="sampling rate in Hz")
    group.add_argument("--units", metavar="UNIT", help="of the samples: mV, uV, nV or V")
    group.add_argument(
        "--rename",
        type=_renaming,
        action="append",
        default=[],
        metavar="ECG=I",
        help="channel ECG is lead I; may be repeated",
    )
    group.add_argument(
        "--derive", action="store_true", help="compute limb leads that are missing from two that are there"
    )


def read(path: Path, given: Namespace, wanted: Sequence[str] | None = None) -> "Record":
    """The recording at `path`, by the flags of `add_arguments`.

    Args:
        path: as for `read_record`.
        given: the parsed command line.
        wanted: leads that ``--derive`` adds if they are missing; all limb leads if not given.

    Raises:
        SignalError: as `read_record`, no channel has a name that ``--rename`` changes, or one is renamed twice.
    """
    from ecgzoo.recordings import read_record
    from ecgzoo.signal import LEAD_SETS

    record = read_record(path, leads=given.leads, units=given.units, rate_hz=given.rate)
    if given.rename:
        channels = [channel for channel, _ in given.rename]
        if twice := next((name for name in channels if channels.count(name) > 1), None):
            raise SignalError(f"--rename is given twice for the channel {twice}; give one lead for each channel")
        record = record.rename(dict(given.rename))
    return record.derive(wanted or LEAD_SETS[6]) if given.derive else record


def flags(given: Namespace) -> str:
    """The flags that were given, as text."""
    words = [f"--{name} {value}" for name in ("leads", "rate", "units") if (value := getattr(given, name)) is not None]
    words += [f"--rename {channel}={lead}" for channel, lead in given.rename]
    return " ".join([*words, *(["--derive"] if given.derive else [])])


def said(error: EcgZooError) -> str:
    """What a command prints of an error: one line, whose remedies are the command's flags, not Python's."""
    if not isinstance(error, MissingLeadError) or not error.missing:
        return str(error)
    from ecgzoo.signal import LEAD_SETS
    from ecgzoo.signal.leads import channel_to_rename

    channel = channel_to_rename(error.channels)
    remedies = [f"--rename {channel}={error.missing[0]} if that channel is this lead"] if channel else []
    if set(error.missing) <= set(LEAD_SETS[6]) and len(set(error.channels) & set(LEAD_SETS[6])) > 1:
        remedies += ["--derive for a limb lead that follows from two others"]
    remedies += ["--leads with a name for each channel, in order, if those names are wrong"]
    others = "Choose other leads, with a model of them (ecgzoo list --pretrained)"
    return printable(f"{error.problem} {others}, or pass {', or '.join(remedies)}.")


def _renaming(text: str) -> tuple[str, str]:
    from ecgzoo.signal import canonical_lead

    channel, _, lead = text.rpartition("=")
    if not channel:
        raise ArgumentTypeError(f"expected CHANNEL=LEAD, such as ECG=I, got {text!r}")
    try:
        return channel, canonical_lead(lead)
    except SignalError as error:
        raise ArgumentTypeError(str(error)) from error
