"""What a file does not say must be given: the rules that readers share, and their sentences."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ecgzoo.errors import SignalError
from ecgzoo.signal.readers.common import fail, refuse_another_order
from ecgzoo.signal.record import FASTEST_HZ, RATE, SLOWEST_HZ, as_number
from ecgzoo.signal.units import require_voltage


def given_rate(path: Path, given: float | None) -> float | None:
    """The sampling rate in Hz that the caller gives, as a number.

    Raises:
        SignalError: it is not a number, or outside the rates of recorders (10 Hz to 100 kHz).
    """
    if given is None:
        return None
    rate = as_number(given, RATE, str(path))
    if not SLOWEST_HZ <= rate <= FASTEST_HZ:
        fail(path, f"expected {RATE}, got {given!r}; correct rate_hz (on the command line --rate)")
    return rate


def is_another_rate(rate_hz: float, said_hz: float) -> bool:
    """Whether a rate differs by more than 1 % from the one that is said."""
    return abs(rate_hz - said_hz) > 0.01 * abs(said_hz)


def rate_of(path: Path, said: float | None, given: float | None) -> float:
    """The sampling rate in Hz that the file says, or else the caller.

    Raises:
        SignalError: neither says it, both and they differ by more than 1 %, or what `given_rate` refuses.
    """
    given = given_rate(path, given)
    if said is None and given is None:
        fail(path, "does not say its sampling rate; pass rate_hz=500 for 500 Hz (on the command line --rate 500)")
    if said is not None and given is not None and is_another_rate(given, said):
        fail(path, f"says {said:g} Hz, and {given:g} Hz is given; leave out rate_hz (on the command line --rate)")
    return given if said is None else said  # type: ignore[return-value] # one of them is a number


def scale_of(path: Path, said: str | None, given: str | None, what: str = "the samples") -> float:
    """Units a millivolt, of the unit that the file says, or else the caller.

    Raises:
        SignalError: neither says it, it is no voltage, or both say it and differ.
    """
    units = said or given
    if units is None:
        fail(path, f"does not say the unit of {what}; pass units='mV' or 'uV' (on the command line --units mV)")
    scale = require_voltage(units, str(path))
    if given is not None and require_voltage(given, str(path)) != scale:
        fail(path, f"says {said} for {what}, and {given} is given; leave out units (on the command line --units)")
    return scale


def names_of(path: Path, said: Sequence[str] | None, given: tuple[str, ...] | None, channels: int) -> tuple[str, ...]:
    """A name for each channel: what the caller gives, or else what the file says.

    Raises:
        SignalError: neither says it, or the caller gives another number of names, or the file's in another order.
    """
    if given is not None and len(given) != channels:
        has = f" ({', '.join(said)})" if said else ""
        fail(
            path,
            f"has {channels} channels{has}, and leads= names {len(given)} ({', '.join(given)}); name each of them, in "
            "order (on the command line --leads)",
        )
    if given is None and said is None:
        example = "I" if channels == 1 else "I,II,..."
        fail(
            path,
            f"does not say which lead {'it is' if channels == 1 else f'each of its {channels} channels is'}; pass "
            f"leads='{example}' with a name for each (on the command line --leads {example})",
        )
    refuse_another_order(path, said or (), given or ())
    return given or tuple(said or ())


def all_of(path: Path, *asks: Callable[[], Any]) -> list[Any]:
    """What `asks` give, calls of the functions above; one error says all that is missing or wrong.

    Raises:
        SignalError: one of them raises it.
    """
    found: list[Any] = []
    problems: list[str] = []
    for ask in asks:
        try:
            found.append(ask())
        except SignalError as error:
            problems.append(str(error).removeprefix(f"{path}: "))
    if problems:
        fail(path, "; it ".join(problems))
    return found


def to_millivolts(columns: Sequence[np.ndarray], scales: Sequence[float]) -> np.ndarray:
    """float32 millivolts ``[leads, samples]`` of numbers in units of which `scales` make a millivolt."""
    out = np.empty((len(columns), len(columns[0])), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # what is too large becomes infinite, and Record refuses it
        for row, column, scale in zip(out, columns, scales, strict=True):
            np.divide(column, scale, out=row, dtype=np.float64, casting="unsafe")
    return out
