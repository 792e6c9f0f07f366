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
