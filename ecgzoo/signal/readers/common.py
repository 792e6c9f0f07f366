"""What readers share: errors, whole files, and for the formats of recorders how channels become a `Record`."""

import math
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np

from ecgzoo.errors import SignalError
from ecgzoo.files import open_regular
from ecgzoo.signal.leads import is_ecg, known_lead
from ecgzoo.signal.record import FASTEST_HZ, SLOWEST_HZ, Record
from ecgzoo.signal.units import per_millivolt

DAMAGED = "The file is damaged: fetch it again."
STEPS_PER_MILLIVOLT = (1e-3, 1e12)  # of the coarsest and the finest recorder imaginable
_LARGEST_MV = 1e9  # beyond, no recorder and no arithmetic
_MEASURED = {"bpm", "1/min", "%", "ohm", "kohm", "ms", "s"}  # units of what is measured on an ECG, such as "ECG HR"
_BLOCK = 1 << 18  # samples that are scaled at a time


@dataclass(frozen=True, eq=False)
class Channel:
    """One channel as it is stored.

    Attributes:
        name: what the file calls it.
        digital: stored samples ``[n]``; a view is enough.
        step_mv: millivolts of one digital unit.
        offset_mv: millivolts of digital 0.
        missing: the digital value of a sample that is none.
    """

    name: str
    digital: np.ndarray
    step_mv: float
    offset_mv: float = 0.0
    missing: int | None = None


def fail(path: Path, problem: str, cause: BaseException | None = None) -> NoReturn:
    """Raise the `SignalError` of a file."""
    raise SignalError(f"{path}: {problem}") from cause


def needs_formats(path: Path, library: str, cause: ImportError) -> NoReturn:
    """Raise what to install where an optional library is missing."""
    fail(path, f'reading it needs {library}, which is not installed: pip install "ecgzoo[formats]"', cause)


def whole_file(path: Path, at_most: int | None = None) -> bytes:
    """The content of `path`.

    Raises:
        SignalError: it cannot be read, is empty, or has more than `at_most` bytes.
    """
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size  # before it is read: reading up to a limit takes the limit's memory
            if at_most is not None and size > at_most:
                fail(path, f"has {size} bytes; expected {at_most} at most.")
            return file.read() or fail(path, "is empty; fetch or export it again")
    except OSError as error:
        fail(path, f"cannot be read ({error.strerror}); pass the path of a recording", error)


def refuse_stated(path: Path, units: str | None, rate_hz: float | None) -> None:
    """Refuse arguments whose values the file itself states."""
    given = [name for name, value in (("units", units), ("rate_hz", rate_hz)) if value is not None]
    if given:
        fail(
            path,
            f"the file itself says what {' and '.join(given)} would; leave {'it' if len(given) < 2 else 'them'} out",
        )


def millivolts_of(path: Path, unit: str, what: str) -> float:
    """Millivolts of one `unit`.

    Raises:
        SignalError: it is no voltage.
    """
    found = per_millivolt(unit)
    if found is None:
        fail(path, f"{what} is in {unit!r}; expected a voltage: nV, uV, mV or V.")
    return 1 / found


def refuse_another_order(path: Path, said: Sequence[str], given: Sequence[str]) -> None:
    """Refuse names `given` that are the leads that the file has `said`, in another order, such as aVL before aVF."""
    known = [known_lead(name) or name for name in said]
    if known != list(given) and sorted(known) == sorted(given):
        fail(
            path,
            f"names its channels {', '.join(known)}, and leads= gives the same names in another order; leave it out, "
            "or if the file is wrong, rename its channels (record.rename, on the command line --rename I=II)",
        )


def refuse_a_lost_ecg(path: Path, kept: Iterable[str], left_out: Mapping[str, str]) -> None:
    """Refuse channels `kept` of which none is an ECG by its name, if one is `left_out`, by its name, for its unit.

    Another channel, such as respiration, would get the name that is meant for it.
    """
    lost = next((name for name, unit in left_out.items() if is_ecg(name) and unit.casefold() not in _MEASURED), None)
    if lost is not None and not any(map(is_ecg, kept)):
        fail(path, f"channel {lost} is in {left_out[lost]!r}; expected a voltage: nV, uV, mV or V. Correct its unit.")


def finite(path: Path, what: str, text: str | None) -> float:
    """The number that `text` is.

    Raises:
        SignalError: it is none, or not finite.
    """
    try:
        value = float(text or "")
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        fail(path, f"expected a number as {what}, got {(text or '')[:80]!r}. {DAMAGED}")
    return value


def numbered(names: Sequence[str]) -> tuple[str, ...]:
    """Names of channels, where those that share one are numbered (ECG 1, ECG 2), unless it is a lead's."""
    shared = {name for name, count in Counter(names).items() if count > 1 and known_lead(name) is None}
    return tuple(f"{name} {names[: k + 1].count(name)}" if name in shared else name for k, name in enumerate(names))


def to_record(
    path: Path, channels: Sequence[Channel], rate_hz: float, leads: tuple[str, ...] | None, notes: Sequence[str] = ()
) -> Record:
    """The record of `channels`, which `leads` name anew.

    Raises:
        SignalError: no channel, another number or order of names, lengths that differ, or a rate or scale of no
            recorder.
    """
    names = ", ".join(channel.name for channel in channels)
    if not channels or not len(channels[0].digital):
        fail(path, f"holds no samples of an ECG. {' '.join(notes)}".strip())
    if leads is not None and len(leads) != len(channels):
        fail(path, f"leads= names {len(leads)}, the file has {len(channels)} channels: {names}. Name each.")
    refuse_another_order(path, [channel.name for channel in channels], leads or ())
    if not SLOWEST_HZ <= rate_hz <= FASTEST_HZ:
        fail(path, f"expected a sampling rate of {SLOWEST_HZ} to {FASTEST_HZ} Hz, got {rate_hz:g}.")
    if len({len(channel.digital) for channel in channels}) > 1:
        lengths = ", ".join(f"{channel.name} {len(channel.digital)}" for channel in channels)
        fail(path, f"its channels differ in length ({lengths} samples). {DAMAGED}")
    signal = np.empty((len(channels), len(channels[0].digital)), np.float32)
    for channel, row in zip(channels, signal, strict=True):
        steps = 1 / channel.step_mv if channel.step_mv else math.inf
        if not STEPS_PER_MILLIVOLT[0] <= abs(steps) <= STEPS_PER_MILLIVOLT[1] or abs(channel.offset_mv) > _LARGEST_MV:
            fail(path, f"channel {channel.name} has {steps:g} steps per mV and an offset of {channel.offset_mv:g} mV.")
        _scale(channel, row)
    return Record(signal, leads or numbered([channel.name for channel in channels]), rate_hz, str(path), tuple(notes))


def _scale(channel: Channel, out: np.ndarray) -> None:
    """Fill `out`, in blocks: double precision for a day's recording at once would take four times its file."""
    for start in range(0, len(out), _BLOCK):
        block = channel.digital[start : start + _BLOCK]
        millivolts = block * channel.step_mv + channel.offset_mv
        if channel.missing is not None:
            millivolts[block == channel.missing] = np.nan
        out[start : start + _BLOCK] = millivolts
