"""Times of samples: those of ordinary loggers tell the rate, and those of two rates, or with a gap, are refused."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from ecgzoo import SignalError, read_record
from ecgzoo.signal.readers.times import rate_of_times

ANY = Path("strip.csv")


def at_rates(*parts: tuple[float, float]) -> np.ndarray:
    """Times in seconds of parts, each of a duration in seconds and a rate in Hz."""
    steps = [np.full(round(seconds * rate), 1 / rate) for seconds, rate in parts]
    return np.concatenate([[0.0], np.cumsum(np.concatenate(steps))])


@given(
    rate=st.sampled_from([10.0, 100, 125, 128, 130, 250, 256, 300, 333, 360, 400, 500, 511.562, 512, 1000]),
    rounded_ms=st.sampled_from([0, 1, 4, 10]),
    jitter=st.floats(0, 0.2),
    packet_s=st.sampled_from([0, 0.1, 0.5, 1]),
    late_s=st.floats(0, 0.05),
    drift_ppm=st.floats(-300, 300),
    seconds=st.sampled_from([0.5, 3, 10, 60]),
    seed=st.integers(0, 99),
)
def test_loggers_with_imperfect_stamps_are_read(
    rate: float,
    rounded_ms: int,
    jitter: float,
    packet_s: float,
    late_s: float,
    drift_ppm: float,
    seconds: float,
    seed: int,
) -> None:
    random = np.random.default_rng(seed)
    times = np.arange(max(4, round(seconds * rate))) / rate * (1 + drift_ppm * 1e-6)
    if packet_s >= 4 * late_s:  # a packet's samples are spread from the arrival of the last one to its own
        ends = np.arange(0, times[-1] + 2 * packet_s, packet_s or 1)
        times = np.interp(times, ends, ends + random.uniform(0, late_s, len(ends)))
    if not rounded_ms:
        times += random.uniform(-jitter, jitter, len(times)) / rate
    elif rounded_ms * rate <= 1000:  # stamps that are coarser than the samples tell no rate
        times = np.round(times / rounded_ms * 1000) * rounded_ms / 1000
    spread = np.diff(times) * rate
    # two samples must not be as far apart as where one is missing, or as near as where one is doubled
    assume(spread.min() > 0.6 and spread.max() < 1.4)
    found = rate_of_times(ANY, 1.7e9 + times - 1.7e9)
    assert found == pytest.approx(rate, abs=2 / (times[-1] - times[0]), rel=1e-3 + 0.11 / (times[-1] - times[0]))


@pytest.mark.parametrize("rate", [100, 125, 250, 300, 360, 500, 512, 1000])
@pytest.mark.parametrize("rounded_ms", [1, 4, 10])
def test_rounded_stamps_give_the_rate_that_they_are_of(rate: int, rounded_ms: int) -> None:
    if rounded_ms * rate > 1000:
        rounded_ms = 1
    times = np.round(np.arange(30 * rate) / rate / rounded_ms * 1000) * rounded_ms / 1000
    assert rate_of_times(ANY, times) == rate


@pytest.mark.parametrize(
    ("parts", "sample"),
    [
        (((5, 250), (5, 180)), 1251),
        (((5, 180), (5, 250)), 901),
        (((1, 250), (1, 180)), 251),
        (((30, 250), (30, 230)), 7501),
        (((600, 500), (5, 400), (600, 500)), None),
        (((3600, 250), (3600, 230)), 900_001),
    ],
)
@pytest.mark.parametrize("rounded_ms", [0, 1])
def test_a_change_of_rate_is_refused_where_it_is(
    parts: tuple[tuple[float, float], ...], sample: int | None, rounded_ms: int
) -> None:
    times = at_rates(*parts)
    if rounded_ms:
        times = times.round(3)
    with pytest.raises(SignalError, match="its rate changes: about") as caught:
        rate_of_times(ANY, times)
    if sample:
        said = str(caught.value)
        assert abs(int(said.split("before sample ")[1].split()[0]) - sample) <= 2
        assert f"about {parts[0][1]:g} Hz before" in said or rounded_ms


def test_a_file_whose_rate_changes(tmp_path: Path) -> None:
    times = at_rates((5, 250), (5, 180))
    (tmp_path / "strip.csv").write_text("time (s),I (mV)\n" + "".join(f"{time:.6f},{time % 1:.3f}\n" for time in times))
    with pytest.raises(SignalError, match=r"about 250 Hz before sample 1251 and 180 Hz after it; cut the file there"):
        read_record(tmp_path / "strip.csv")


@pytest.mark.parametrize("missing", [1, 3, 1000])
def test_missing_samples_are_refused_where_they_are(missing: int) -> None:
    times = np.delete(np.arange(5000) / 250, np.s_[800 : 800 + missing])
    with pytest.raises(SignalError, match=f"{(missing + 1) / 250:.4g} s after sample 800, else 0.004 s"):
        rate_of_times(ANY, times)


# --- columns of a text


def table(header: str, times: np.ndarray, form: str = "g") -> str:
    """Rows of a time, or a count, and a number that is an ECG's."""
    return header + "\n" + "".join(f"{time:{form}},{np.sin(row / 9):.3f}\n" for row, time in enumerate(times))


LOST = np.r_[0:400, 700:1000]  # three seconds at 100 Hz
SHUFFLED = np.random.default_rng(0).permutation(1000)
EPOCH_MS = 1_700_000_000_000


@pytest.mark.parametrize(
    ("header", "times", "given", "message"),
    [
        ("timestamp,I (mV)", EPOCH_MS + 10 * LOST, {"rate_hz": 100}, "not evenly spaced: 3.01 s after sample 400"),
        ("time,I (mV)", LOST / 100, {"rate_hz": 100}, "not evenly spaced: 3.01 s after sample 400"),
        ("time,I (mV)", LOST * 10, {"rate_hz": 100}, "not evenly spaced: 3.01 s after sample 400"),
        ("unix_time,I (mV)", EPOCH_MS + 10 * LOST, {"rate_hz": 100}, "not evenly spaced: 3.01 s after sample 400"),
        ("device timestamp,I (mV)", 10 * LOST, {"rate_hz": 100}, "not evenly spaced: 3.01 s after sample 400"),
        ("clock (ms),I (mV)", 10 * LOST, {"rate_hz": 100}, "not evenly spaced: 3.01 s after sample 400"),
        ("t,I (mV)", LOST / 100, {"rate_hz": 100}, "not evenly spaced: 3.01 s after sample 400"),
        ("time,I (mV)", SHUFFLED / 100, {"rate_hz": 100}, "do not tell a rate|not evenly spaced"),
        ("timestamp (ms),I (mV)", np.arange(1000) * 10, {"rate_hz": 200}, "says 100 Hz, and 200 Hz is given"),
        ("timestamp_ms,I (mV)", np.arange(1000) * 10, {"rate_hz": 200}, "says 100 Hz, and 200 Hz is given"),
        ("t (s),I (mV)", np.arange(1000) / 100, {"rate_hz": 200}, "says 100 Hz, and 200 Hz is given"),
        ("seconds,I (mV)", np.arange(1000) / 100, {"rate_hz": 200}, "says 100 Hz, and 200 Hz is given"),
        ("t,I (mV)", np.arange(1000) / 100, {"rate_hz": 200}, "is 100 Hz if it is in s, and 200 Hz is given"),
        ("time,I (mV)", np.arange(1000) * 10, {"rate_hz": 200}, "is 100 Hz if it is in ms, and 200 Hz is given"),
        ("time,I (mV)", np.arange(1000), {"rate_hz": 500}, "rises by 1 a sample, .* or 'sample' if it counts"),
        ("timestamp,I (mV)", EPOCH_MS + np.arange(99) * 10, {}, "'timestamp' does not say its unit; name it 'time "),
        ("sample,I (mV)", LOST, {"rate_hz": 100}, "from 399 to 700 after sample 400: samples 400 to 699 are missing"),
        ("index,I (mV)", SHUFFLED, {"rate_hz": 100}, "column 'index' goes from .* if it does not count the samples"),
        ("sample_number,I (mV)", np.r_[0:9, 8:500], {"rate_hz": 100}, "from 8 to 8 after sample 9: expected one more"),
    ],
)
def test_times_and_counts_that_do_not_fit_are_refused(
    tmp_path: Path, header: str, times: np.ndarray, given: dict[str, float], message: str
) -> None:
    (tmp_path / "strip.csv").write_text(table(header, times, ".13g"))
    with pytest.raises(SignalError, match=message):
        read_record(tmp_path / "strip.csv", **given)  # type: ignore[arg-type] # a rate


@pytest.mark.parametrize(
    ("header", "times", "rate_hz"),
    [
        ("timestamp (ms),I (mV)", EPOCH_MS + np.arange(1000) * 4, None),
        ("timestamp_ms,I (mV)", EPOCH_MS + np.arange(1000) * 4, None),
        ("unix time (s),I (mV)", EPOCH_MS / 1000 + np.arange(1000) / 250, None),
        ("t (s),I (mV)", np.arange(1000) / 250, None),
        ("t_us,I (mV)", np.arange(1000) * 4000, None),
        ("ms,I (mV)", np.arange(1000) * 4, None),
        ("clock [ns],I (mV)", np.arange(1000) * 4_000_000, None),
        ("time (min),I (mV)", np.arange(1000) / 15000, None),
        ("time,I (mV)", np.arange(1000) / 250, 250),
        ("Timestamp,I (mV)", EPOCH_MS + np.arange(1000) * 4, 250),
        ("time,I (mV)", np.arange(1000) * 4000, 250),
        ("Sample #,I (mV)", 7 + np.arange(1000), 250),
        ("row,I (mV)", np.arange(1000), 250),
    ],
)
def test_times_and_counts_that_fit_are_no_leads(
    tmp_path: Path, header: str, times: np.ndarray, rate_hz: float | None
) -> None:
    (tmp_path / "strip.csv").write_text(table(header, times, ".13g"))
    record = read_record(tmp_path / "strip.csv", rate_hz=rate_hz)
    assert (record.leads, record.rate_hz, record.notes) == (("I",), 250, ())


def test_what_is_named_like_times_or_counts_and_is_neither(tmp_path: Path) -> None:
    rows = "".join(f"{800 + row % 7},{row % 5},{row % 3},{row / 100}\n" for row in range(500))
    (tmp_path / "strip.csv").write_text("RR (ms),samples,T (mV),time (s)\n" + rows)
    record = read_record(tmp_path / "strip.csv", units="mV")
    assert (record.leads, record.rate_hz) == (("samples", "T"), 100)
    assert record.notes == ("Column RR left out: its unit 'ms' is not a voltage.",)


def test_of_several_columns_of_times_the_one_that_says_its_unit_counts(tmp_path: Path) -> None:
    rows = "".join(f"{EPOCH_MS + 250 * (row // 50)},{row / 200},{row % 3}\n" for row in range(500))
    (tmp_path / "strip.csv").write_text("timestamp,time (s),I (mV)\n" + rows)
    record = read_record(tmp_path / "strip.csv")
    assert (record.leads, record.rate_hz) == (("I",), 200)
    assert record.notes == ("Column timestamp left out: the times are those of column time.",)


@pytest.mark.parametrize(
    "date",
    [
        *("2026-07-16T21:34:53.930", "2026-07-16 21:34:53.930", "21:34:53.930", "0:00.004", "1:02:03.5"),
        *("31.03.2024 01:59:58", "3/31/2024 1:59:58"),
    ],
)
@pytest.mark.parametrize("mark", [",", ";", "\t"])
def test_dates_are_no_times(tmp_path: Path, date: str, mark: str) -> None:
    (tmp_path / "strip.csv").write_text(f"time{mark}I (mV)\n" + f"{date}{mark}0.25\n" * 9)
    with pytest.raises(SignalError, match=f"hold dates or times of day .'{date}'.*; write seconds from the start"):
        read_record(tmp_path / "strip.csv", rate_hz=100)


@pytest.mark.parametrize("rate_hz", ["abc", float("nan"), 0, -5, [250]])
@pytest.mark.parametrize("header", ["time (s),I (mV)", "time,I (mV)", "sample,I (mV)"])
def test_a_rate_that_is_none(tmp_path: Path, header: str, rate_hz: object) -> None:
    (tmp_path / "strip.csv").write_text(table(header, np.arange(50)))
    with pytest.raises(SignalError, match="expected a rate of 10 to 100000 Hz, got"):
        read_record(tmp_path / "strip.csv", rate_hz=rate_hz)  # type: ignore[arg-type] # what a caller may pass
