"""Times of samples: which columns of a text hold them, and the rate that they tell."""

import math
import re
from pathlib import Path

import numpy as np

from ecgzoo.signal.leads import known_lead
from ecgzoo.signal.readers.common import fail
from ecgzoo.signal.readers.given import is_another_rate
from ecgzoo.signal.units import per_millivolt

SECONDS = {
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "msecs", "millis", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "μs", "usec", "micros", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nsec", "nanos", "nanosecond", "nanoseconds"), 1e-9),
}
"""Seconds in each unit of time, by its casefolded name."""

_UNSAID = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}  # units that times without one may have
_WORDS = {"time", "times", "timestamp", "timestamps", "zeit", "zeitstempel", "temps", "tiempo", "tempo"}
_STEMS = {*_WORDS, "t", "elapsed", "stamp", "unix", "epoch"}  # what a unit may follow, as in t_ms
_MOSTLY = 0.9  # of the steps of a column that counts or tells time rise, whatever its faults

# Stamps that are rounded, or spread over a packet by its arrival, depart from an even grid by a few dozen milliseconds
# and come back. A rate that is 3 % off departs by 0.12 s within 4 s, and goes on.
_STRETCH_S, _MOST_DRIFT_S = 4.0, 0.12
_SLACK = 1e-3  # of a step: 512 Hz rounded to milliseconds has steps of just half the usual one


def seconds_in(name: str, unit: str | None) -> float | None:
    """Seconds in the unit of a column of times; None where neither its unit nor its name (``ms``) is one of time."""
    return SECONDS.get((unit or name).casefold())


def time_and_unit(name: str) -> tuple[str, str] | None:
    """The parts of ``time_s``, ``timestamp ms`` or ``unix_time_ms``; None for other names."""
    match = re.fullmatch(r"(?P<name>.+)[\s_-](?P<unit>[^\s_-]+)", name)
    if match is None or match["unit"].casefold() not in SECONDS or not _STEMS & {*_words(match["name"])}:
        return None
    return match["name"], match["unit"]


def holds_times(name: str, unit: str | None, column: np.ndarray) -> bool:
    """Whether a column is of times, by its name, or else by a part of its name or its unit if its numbers rise."""
    if known_lead(name) or (unit is not None and per_millivolt(unit)):
        return False
    words = {*_words(name)}
    if words & {*_WORDS, "elapsed"} and words <= _STEMS:
        return True
    hinted = bool(words & {*_WORDS, "epoch"}) or words == {"t"} or seconds_in(name, unit) is not None
    return hinted and mostly_rises(column)  # RR intervals are in ms, too


def mostly_rises(column: np.ndarray) -> bool:
    """Whether more than nine of ten numbers are larger than those before them."""
    return len(column) > 1 and float((np.diff(column) > 0).mean()) > _MOSTLY


def rate_of_column(path: Path, title: str, column: np.ndarray, unit: str | None, given: float | None) -> float:
    """The rate that a column of times tells, where its unit or the rate is known.

    Args:
        path: what messages call the file.
        title: the column's name.
        column: times, float64 ``[samples]``.
        unit: of the times; where it is none of `SECONDS`, it is one of s, ms, µs and ns.
        given: the rate in Hz that the caller gives.

    Raises:
        SignalError: neither is known; the times do not fit the given rate in any unit; what `rate_of_times` refuses.
    """
    if len(missing := np.flatnonzero(np.isnan(column))):
        fail(
            path,
            f"column {title!r} has no time for sample {missing[0] + 1}; write it, or remove a line that is no sample",
        )
    since = column - column[:1]  # in float64, an epoch's milliseconds are exact, and its seconds are not
    known = seconds_in(title, unit)
    if known is not None:
        return rate_of_times(path, since * known)
    if given is None:
        fail(
            path,
            f"column {title!r} does not say its unit; name it 'time (s)' or 'time (ms)', or pass rate_hz= (on the "
            "command line --rate)",
        )
    step = float(np.median(np.diff(since))) if len(since) > 1 else 0.0
    nearest = min(_UNSAID, key=lambda name: abs(math.log(step * _UNSAID[name] * given))) if step > 0 else "s"
    rate = rate_of_times(path, since * _UNSAID[nearest])
    if is_another_rate(rate, given):
        fail(
            path,
            f"column {title!r} rises by {step:.6g} a sample, which is {rate:.6g} Hz if it is in {nearest}, and "
            f"{given:g} Hz is given; give that rate, or name its unit, such as 'time (s)', or 'sample' if it counts "
            "the samples",
        )
    return rate


def rate_of_times(path: Path, seconds: np.ndarray) -> float:
    """The rate of evenly spaced samples at these times, float64 ``[samples]``.

    A whole number of Hz is taken where it is within half a sample of every time, since times are often rounded.

    Args:
        path: what messages call the file.
        seconds: times from any start; take one off that is as large as an epoch's before its unit is converted.

    Raises:
        SignalError: there are fewer than two, samples are missing, doubled or out of order, or the rate changes.
    """
    steps = np.diff(seconds)
    usual = float(np.median(steps)) if len(steps) else 0.0
    if not usual > 0:
        fail(
            path, "its times do not tell a rate; leave out their column, and pass rate_hz= (on the command line --rate)"
        )
    uneven = np.flatnonzero(~((steps > (0.5 - _SLACK) * usual) & (steps < (1.5 + _SLACK) * usual)))
    if len(uneven):
        at = int(uneven[0])
        fail(
            path,
            f"its samples are not evenly spaced: {steps[at]:.4g} s after sample {at + 1}, else {usual:.4g} s; cut the "
            "file there and read the parts",
        )
    del steps
    rate = (len(seconds) - 1) / float(seconds[-1] - seconds[0])
    _refuse_a_change(path, seconds, rate)
    whole = round(rate)
    if whole and np.abs(seconds - seconds[0] - np.arange(len(seconds)) / whole).max() < 0.5 / whole:
        return float(whole)
    return rate


def _refuse_a_change(path: Path, seconds: np.ndarray, rate: float) -> None:
    """Refuse times that gain or lose more than 0.12 s within 4 s against samples of the rate of the whole."""
    late = seconds - seconds[0] - np.arange(len(seconds)) / rate
    stretch = max(1, round(_STRETCH_S * rate))
    drift = late[stretch:] - late[:-stretch] if stretch < len(late) - 1 else late
    if not np.abs(drift).max() > _MOST_DRIFT_S:
        return
    at = int(np.abs(late).argmax())  # between two rates, the times are furthest from those of their mean
    before, after = max(0, at - stretch), min(len(seconds) - 1, at + stretch)
    rates = [(last - first) / (seconds[last] - seconds[first]) for first, last in ((before, at), (at, after))]
    fail(
        path,
        f"its rate changes: about {rates[0]:.4g} Hz before sample {at + 1} and {rates[1]:.4g} Hz after it; cut the "
        "file there and read the parts",
    )


def _words(name: str) -> list[str]:
    return re.split(r"[\s_-]+", name.casefold())
