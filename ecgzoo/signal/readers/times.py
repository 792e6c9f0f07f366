"""The rate that times of samples tell, for readers of files with such times."""

from pathlib import Path

import numpy as np

from ecgzoo.signal.readers.common import fail

# Stamps that are rounded, or spread over a packet by its arrival, depart from an even grid by a few dozen milliseconds
# and come back. A rate that is 3 % off departs by 0.12 s within 4 s, and goes on.
_STRETCH_S, _MOST_DRIFT_S = 4.0, 0.12
_SLACK = 1e-3  # of a step: 512 Hz rounded to milliseconds has steps of just half the usual one


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
    stretch = round(_STRETCH_S * rate)
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
