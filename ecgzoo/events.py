"""Events of a long recording: where a class was found for some time, and a summary by the hour."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any

from ecgzoo.errors import SignalError
from ecgzoo.prediction import Prediction

ROUNDING_S = 1e-6  # a window that begins where another ends may begin this much later


@dataclass(frozen=True)
class Event:
    """Windows in a row in which a class was present.

    Attributes:
        label: the class.
        from_s: where the first of them begins, in seconds.
        to_s: where the last of them ends, or where the next event of the class begins, if that is earlier.
        peak_probability: the highest of their probabilities.
        windows: how many they are.
    """

    label: str
    from_s: float
    to_s: float
    peak_probability: float
    windows: int


def find_events(predictions: Iterable[Prediction]) -> list[Event]:
    """What ``predict(record, per_window=True)`` found, as events in time order.

    An event goes on while the finding of its class is ``present`` and each window begins before the last one ended; a
    window that cannot be read ends it. Events of one class do not overlap, so that their durations can be added.
    Classes without thresholds have no findings, so no events.

    Args:
        predictions: of windows, in time order.

    Raises:
        SignalError: they are not of the windows of one recording, or not in time order.
    """
    predictions = _checked(predictions)
    found: list[Event] = []
    for label in predictions[0].classes if predictions else ():
        runs: list[list[Prediction]] = [[]]
        for one in predictions:
            present = one.findings.get(label) == "present"
            if runs[-1] and (not present or _start(one) > _end(runs[-1][-1]) + ROUNDING_S):
                runs.append([])
            if present:
                runs[-1].append(one)
        runs = [run for run in runs if run]
        nexts_s = [*(_start(run[0]) for run in runs[1:]), float("inf")]
        found += [_event(label, run, next_s) for run, next_s in zip(runs, nexts_s, strict=False)]
    return sorted(found, key=lambda event: (event.from_s, event.label))


def summarize_hours(predictions: Iterable[Prediction]) -> list[dict[str, Any]]:
    """One row for each hour of a recording in which a window begins: what was read, heart rates, and each class.

    The columns are ``hour`` (from 0), ``windows``, ``windows_left_out``, ``heart_rate_bpm`` (median), its lowest and
    highest, and of each class ``mean_CLASS`` (probability), ``peak_CLASS`` and ``present_CLASS`` (share of the windows
    that were read); None where there is nothing to say.

    Args:
        predictions: of windows, in time order.

    Raises:
        SignalError: as for `find_events`.
    """
    predictions = _checked(predictions)
    return [_summary(hour, list(own)) for hour, own in groupby(predictions, key=lambda one: int(_start(one) // 3600))]


def _summary(hour: int, own: Sequence[Prediction]) -> dict[str, Any]:
    import numpy as np

    read = [one for one in own if one.probabilities]
    rates = [one.heart_rate_bpm for one in read if one.heart_rate_bpm is not None]
    row: dict[str, Any] = {
        "hour": hour,
        "windows": len(read),
        "windows_left_out": len(own) - len(read),
        "heart_rate_bpm": float(np.median(rates)) if rates else None,
        "heart_rate_lowest": min(rates, default=None),
        "heart_rate_highest": max(rates, default=None),
    }
    scores = np.array([one.probabilities for one in read])
    for at, label in enumerate(own[0].classes):
        row[f"mean_{label}"] = float(scores[:, at].mean()) if read else None
        row[f"peak_{label}"] = float(scores[:, at].max()) if read else None
        known = [one.findings[label] == "present" for one in read if label in one.findings]
        row[f"present_{label}"] = float(np.mean(known)) if known else None
    return row


def _event(label: str, run: Sequence[Prediction], next_s: float) -> Event:
    peak = max(one.probabilities[one.classes.index(label)] for one in run)
    return Event(label, _start(run[0]), min(_end(run[-1]), next_s), peak, len(run))


def _checked(given: Iterable[Prediction]) -> list[Prediction]:
    predictions = list(given) if isinstance(given, Iterable) else [given]
    others = [one for one in predictions if not isinstance(one, Prediction)]
    if isinstance(given, Prediction) or others or any(one.start_s is None for one in predictions):
        found = "one of a whole recording" if not others else f"a {type(others[0]).__name__}"
        found = "one" if isinstance(given, Prediction) else found
        raise SignalError(f"Expected a list of predictions of windows, got {found}. Pass per_window=True to predict.")
    if len(sources := sorted({one.source for one in predictions})) > 1:
        raise SignalError(f"Expected windows of one recording, got {', '.join(sources[:3])}. Call it once for each.")
    if any(_start(later) < _start(one) for one, later in pairwise(predictions)):
        raise SignalError(f"{predictions[0].source}: expected windows in time order. Sort them by start_s.")
    return predictions


def _start(one: Prediction) -> float:
    return one.start_s or 0.0


def _end(one: Prediction) -> float:
    return one.end_s or 0.0
