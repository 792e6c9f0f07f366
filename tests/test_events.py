"""Events and hours of a long recording."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import wfdb

import ecgzoo
from ecgzoo.cli import app
from ecgzoo.prediction import Prediction

CLASSES = ("A", "B")


def window(start_s: float, a: float | None, rate: float | None = 70.0, b: str = "absent") -> Prediction:
    """A window of 5 s in which class A has this probability and is present from 0.5 on; None is unreadable."""
    when = {"start_s": start_s, "end_s": start_s + 5}
    if a is None:
        return Prediction("x", CLASSES, (), 0, ("I",), 0.1, unreadable="flat", windows_left_out=1, **when)
    findings = {"A": "present" if a >= 0.5 else "absent", "B": b}
    return Prediction("x", CLASSES, (a, 0.2), 1, ("I",), 1.0, findings, heart_rate_bpm=rate, **when)


def test_windows_in_a_row_are_an_event() -> None:
    windows = [
        *(window(0, 0.1), window(2.5, 0.6), window(5, 0.9), window(7.5, 0.7, b="uncertain"), window(10, 0.2)),
        *(window(12.5, 0.8), window(15, None), window(17.5, 0.6), window(80, 0.55, b="present")),
    ]
    assert ecgzoo.find_events(windows) == [
        ecgzoo.Event("A", 2.5, 12.5, 0.9, 3),
        ecgzoo.Event("A", 12.5, 17.5, 0.8, 1),
        ecgzoo.Event("A", 17.5, 22.5, 0.6, 1),
        ecgzoo.Event("A", 80, 85, 0.55, 1),
        ecgzoo.Event("B", 80, 85, 0.2, 1),
    ]
    assert ecgzoo.find_events([]) == []


def test_events_of_a_class_do_not_overlap() -> None:
    starts = np.arange(40) * 0.5  # windows of 5 s every half second
    present = (starts < 3) | ((starts >= 4) & (starts < 8)) | (starts > 18)
    windows = [window(start, 0.9 if now else 0.1) for start, now in zip(starts.tolist(), present, strict=True)]
    events = ecgzoo.find_events(windows)
    assert [(event.from_s, event.to_s, event.windows) for event in events] == [(0, 4, 6), (4, 12.5, 8), (18.5, 24.5, 3)]
    covered = np.any(
        [(start <= np.arange(0, 30, 0.5)) & (np.arange(0, 30, 0.5) < start + 5) for start in starts[present]], axis=0
    )
    assert sum(event.to_s - event.from_s for event in events) == covered.sum() / 2


def test_predictions_may_come_from_a_generator() -> None:
    windows = [window(0, 0.6), window(2.5, 0.7)]
    for function in (ecgzoo.find_events, ecgzoo.summarize_hours):
        assert function(one for one in windows) == function(windows) != []


def test_windows_side_by_side_are_an_event_whatever_is_rounded() -> None:
    windows = [replace(window(0, 0.6), start_s=12.34 + 5 * n, end_s=12.34 + 5 * n + 5) for n in range(200)]
    assert any(one.end_s < later.start_s for one, later in pairwise(windows))
    (event,) = ecgzoo.find_events(windows)
    assert (event.from_s, event.to_s, event.windows) == (12.34, pytest.approx(1012.34), 200)


@pytest.mark.parametrize("function", [ecgzoo.find_events, ecgzoo.summarize_hours])
def test_what_is_not_of_one_recording_in_time_order_is_refused(function: Callable[[object], object]) -> None:
    first, later = window(0, 0.6), window(5, 0.6)
    for given, message in (
        ([first, replace(later, source="y")], "windows of one recording, got x, y"),
        ([later, first], "x: expected windows in time order"),
        ([replace(first, start_s=None, end_s=None)], "got one of a whole recording"),
        (first, "list of predictions of windows, got one. "),
        (None, "got a NoneType. "),
        ([1, 2], "got a int. "),
        ("record.hea", "got a str. "),
    ):
        with pytest.raises(ecgzoo.SignalError, match=message):
            function(given)
    assert function([first, replace(first, start_s=0.0)])


def test_an_hour_is_a_row() -> None:
    windows = [window(0, 0.2, 60), window(3597.5, 0.6, 80), window(3600, None), window(7200, 0.4, None)]
    hours = ecgzoo.summarize_hours(windows)
    assert [(row["hour"], row["windows"], row["windows_left_out"]) for row in hours] == [
        (0, 2, 0),
        (1, 0, 1),
        (2, 1, 0),
    ]
    assert hours[0]["mean_A"] == pytest.approx(0.4)
    assert (hours[0]["peak_A"], hours[0]["present_A"], hours[0]["heart_rate_bpm"]) == (0.6, 0.5, 70)
    assert (hours[1]["mean_A"], hours[1]["present_A"], hours[1]["heart_rate_bpm"]) == (None, None, None)
    assert hours[2]["heart_rate_highest"] is None


def test_the_command_prints_both(tmp_path, capsys, monkeypatch) -> None:
    time = np.arange(6000) / 100 % 0.83
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    beat = np.sum([size * np.exp(-(((time - at) / width) ** 2)) for size, at, width in waves], axis=0)[:, None]
    beat[4000:] = 0.3
    wfdb.wrsamp("long", fs=100, units=["mV"], sig_name=["I"], p_signal=beat, write_dir=str(tmp_path), fmt=["16"])
    words = ["ecgzoo", "predict", str(tmp_path / "long"), "--model", "xresnet1d18.ptbxl_super_i", "--events"]
    monkeypatch.setattr("sys.argv", words)
    app.main()
    assert "peak probability" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", [*words, "--json"])
    app.main()
    said = json.loads(capsys.readouterr().out)
    assert said["events"]
    assert max(event["to_s"] for event in said["events"]) <= 45
    assert said["hours"][0]["windows_left_out"] > 0
    assert said["hours"][0]["heart_rate_bpm"] == pytest.approx(60 / 0.83, rel=0.02)


def test_the_table_of_hours_is_whole_in_a_narrow_terminal(tmp_path, capsys, monkeypatch) -> None:
    time = np.arange(6000) / 100 % 0.83
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    beat = np.sum([size * np.exp(-(((time - at) / width) ** 2)) for size, at, width in waves], axis=0)[:, None]
    wfdb.wrsamp("long", fs=100, units=["mV"], sig_name=["I"], p_signal=beat, write_dir=str(tmp_path), fmt=["16"])
    words = ["ecgzoo", "predict", str(tmp_path / "long"), "--model", "xresnet1d18.ptbxl_rhythm_i", "--events"]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.argv", words)  # of 13 labels
    app.main()
    said = capsys.readouterr().out
    assert "…" not in said
    assert re.search(r"│ 0 +│ \d\d +│ 0 +│ 72 \(\d\d–\d\d\) +│ SR 100% +│", said)
    without = ["AFLT", "BIGU", "PSVT", "SVARR", "SVTAC", "TRIGU"]
    assert f"no threshold, so never an event: {', '.join(without)}\n" in said
    monkeypatch.setattr("sys.argv", [*words, "--json"])
    app.main()
    found = json.loads(capsys.readouterr().out)
    assert found["no_thresholds"] == without
    assert all(found["hours"][0][f"present_{label}"] is None for label in without)


def test_the_command_says_what_is_wrong_with_the_signal(tmp_path, capsys, monkeypatch) -> None:
    time = np.arange(6000) / 100 % 0.83
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    inverted = -np.sum([size * np.exp(-(((time - at) / width) ** 2)) for size, at, width in waves], axis=0)[:, None]
    inverted[4000:] = 0.3
    for name, signal in (("inverted", inverted), ("microvolts", inverted * 1000)):
        wfdb.wrsamp(name, fs=100, units=["mV"], sig_name=["I"], p_signal=signal, write_dir=str(tmp_path), fmt=["16"])
    words = ["--model", "xresnet1d18.ptbxl_super_i", "--events"]
    monkeypatch.setattr("sys.argv", ["ecgzoo", "predict", str(tmp_path / "inverted"), *words])
    app.main()
    said = capsys.readouterr().out
    assert re.search(r"^note, 1\d of 23 windows: lead I: .*inverted", said, re.MULTILINE)
    # the shares of the windows differ
    assert re.search(r"^unreadable, \d+ of 23 windows: lead I: flat for …% of the time", said, re.MULTILINE)
    monkeypatch.setattr("sys.argv", ["ecgzoo", "predict", str(tmp_path / "microvolts"), *words, "--json"])
    with pytest.raises(SystemExit, match="3"):
        app.main()
    found = json.loads(capsys.readouterr().out)
    assert sum(count for text, count in found["unreadable"].items() if "microvolts given as millivolts" in text) > 10
    assert isinstance(found["notes"], dict)
