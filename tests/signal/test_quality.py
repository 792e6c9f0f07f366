"""Signal quality: each defect alone is found and named, nothing else is, and no input breaks it."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ecgzoo import read_record
from ecgzoo.errors import SignalError
from ecgzoo.signal import LEADS_12
from ecgzoo.signal.measures import likeness
from ecgzoo.signal.quality import CHECKS, LOWEST_RATE_HZ, USABLE, Quality, assess

WAVES = {"P": (-0.16, 0.12, 0.025), "Q": (-0.03, -0.1, 0.01), "R": (0, 1.0, 0.011), "S": (0.03, -0.2, 0.01)}
WAVES |= {"T": (0.26, 0.3, 0.05)}  # seconds from the beat, mV, seconds of width
FLOATS = st.floats(allow_nan=True, allow_infinity=True)


def ecg(
    seconds: float = 10, rate_hz: float = 250, bpm: float = 70, irregular: float = 0.0, noise_mv: float = 0.01
) -> np.ndarray:
    """A signal like lead I [1, samples] in millivolts; `irregular` is the largest change of a distance, as a share."""
    rng = np.random.default_rng(7)
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    gaps = 60 / bpm * (1 + irregular * rng.uniform(-1, 1, round(seconds * bpm / 30) + 4))
    signal = rng.normal(0, noise_mv, len(time))
    for beat in np.cumsum(gaps) - 0.5:
        for offset, height, width in WAVES.values():
            signal += height * np.exp(-(((time - beat - offset) / width) ** 2) / 2)
    return signal[None]


def quality(signal: np.ndarray, rate_hz: float = 250, window_s: float = 5.0, leads: tuple[str, ...] = ()) -> Quality:
    return assess(signal, rate_hz, window_s=window_s, leads=leads)


def with_(change: Callable[[np.ndarray], None]) -> np.ndarray:
    """The same ECG after `change` did its work on [samples] at 250 Hz."""
    signal = ecg()
    change(signal[0])
    return signal


def missing(x: np.ndarray) -> None:
    x[::10] = np.nan


def flat(x: np.ndarray) -> None:
    x[1000:1600] = x[1000]


def clipped(x: np.ndarray) -> None:
    np.clip(x, -np.inf, 0.4, out=x)


def impulsive(x: np.ndarray) -> None:
    for at in (300, 1111, 2010):
        x[at : at + 3] += 8


def wander(x: np.ndarray) -> None:
    x += 1.5 * np.sin(2 * np.pi * 0.3 * np.arange(len(x)) / 250)


def step(x: np.ndarray) -> None:
    x[1250:] += 5


def hum(hz: float) -> Callable[[np.ndarray], None]:
    def add(x: np.ndarray) -> None:
        x += 2 * np.sin(2 * np.pi * hz * np.arange(len(x)) / 250)

    return add


def scaled(factor: float) -> Callable[[np.ndarray], None]:
    def scale(x: np.ndarray) -> None:
        x *= factor

    return scale


def noise(x: np.ndarray) -> None:
    x += np.random.default_rng(0).normal(0, 2.5, len(x))


def only_sine(x: np.ndarray) -> None:
    x[:] = 0.5 * np.sin(2 * np.pi * 8 * np.arange(len(x)) / 250)


DEFECTS: dict[str, tuple[Callable[[np.ndarray], None], str, str]] = {  # what is done, the check, words of its reason
    "missing": (missing, "missing", "10% of the samples are missing"),
    "flat": (flat, "flat", "electrode off?"),
    "clipped": (clipped, "clipped", "at the end of the range"),
    "impulses": (impulsive, "impulsive", "impulses"),
    "wander": (wander, "wander", "the baseline moves by"),
    "step": (step, "wander", "wander or steps"),
    "50 Hz": (hum(50), "mains", "mains hum"),
    "60 Hz": (hum(60), "mains", "mains hum"),
    "microvolts": (
        scaled(1e3),
        "large",
        "about 1000 times too large: microvolts given as millivolts, or millivolts as volts?",
    ),
    "nanovolts": (scaled(1e6), "large", "about 1000000 times too large: nanovolts given as millivolts?"),
    "volts": (
        scaled(1e-3),
        "small",
        "about 1000 times too small: volts given as millivolts, or millivolts as microvolts?",
    ),
    "a strange amplifier": (scaled(25), "large", "about 35 times too large"),
    "noise": (noise, "alike", "no beats that repeat"),
    "a sine": (only_sine, "peaked", "no complexes stand out"),
}


@pytest.mark.parametrize("rate_hz", [50, 75, 100, 128, 199, 250, 300, 500, 1000])
def test_a_clean_ecg_is_usable_at_any_rate(rate_hz: float) -> None:
    found = quality(ecg(rate_hz=rate_hz), rate_hz, leads=("I",))
    assert found.unreadable is None
    assert found.notes == ()
    assert found.index.min() > 0.9
    assert found.reasons == ((),) * len(found.index)
    assert found.heart_rate_bpm == pytest.approx(70, abs=1)


@pytest.mark.parametrize("defect", DEFECTS)
def test_each_defect_alone_is_found_and_named(defect: str) -> None:
    change, check, words = DEFECTS[defect]
    found = quality(with_(change))
    bad = found.scores[check][0] < USABLE
    assert bad.any()
    assert (found.index[bad] < USABLE).all()
    assert all(any(words in reason for reason in found.reasons[w]) for w in np.flatnonzero(bad))


def test_the_same_ecg_without_a_defect_scores_well_in_every_check() -> None:
    for name, scores in quality(ecg()).scores.items():
        assert scores.min() > 0.9, name


def test_a_defect_stays_in_its_windows() -> None:
    signal = ecg(60)
    signal[0, 20 * 250 : 30 * 250] = 0
    found = quality(signal)
    touched = (found.starts_s + 5 > 20.6) & (found.starts_s < 29.4)
    assert (found.index[touched] < USABLE).all()
    clear = (found.starts_s + 5 <= 20) | (found.starts_s >= 30)
    assert (found.index[clear] > 0.9).all()
    assert found.unreadable is None
    assert not ((found.beats_s > 20.2) & (found.beats_s < 29.8)).any()


@pytest.mark.parametrize("irregular", [0.0, 0.45])
@pytest.mark.parametrize("bpm", [45, 75, 130])
def test_rhythm_is_no_defect(bpm: float, irregular: float) -> None:
    found = quality(ecg(30, bpm=bpm, irregular=irregular))
    assert found.index.min() > 0.75  # fast hearts stand out less
    assert found.heart_rate_bpm == pytest.approx(bpm, rel=0.2 if irregular else 0.02)


def test_two_kinds_of_beats_are_no_defect() -> None:
    signal = ecg(30, bpm=40)
    wide = np.exp(-((np.arange(100) - 50) ** 2) / 2 / 12**2) * 1.5
    for beat in quality(signal).beats_s[:-1]:
        signal[0, round((beat + 0.7) * 250) :][:100] -= wide
    assert quality(signal).unreadable is None


def test_little_clean_among_much_noise_is_found() -> None:
    signal = ecg(120)
    signal[0, 40 * 250 :] += np.random.default_rng(0).normal(0, 2.5, 80 * 250)
    found = quality(signal)
    assert (found.index[found.starts_s < 34] > 0.8).all()
    assert (found.index[found.starts_s > 41] < USABLE).all()
    assert found.unreadable is None, "half a minute is enough"


@pytest.mark.parametrize("missing", [0.0, np.nan])
def test_an_electrode_that_is_off_for_most_of_each_minute_hides_nothing_else(missing: float) -> None:
    signal = ecg(180)
    for minute in range(0, 180, 60):
        signal[0, (minute + 20) * 250 : (minute + 60) * 250] = missing
    found = quality(signal)
    within = found.starts_s % 60
    assert (found.index[within <= 14] > 0.8).all()
    assert (found.index[(within > 21) & (within < 54)] < USABLE).all()
    assert found.unreadable is None
    assert found.notes == ("most of it cannot be read",)
    assert found.heart_rate_bpm == pytest.approx(quality(ecg(30)).heart_rate_bpm or 0, rel=0.05)


def test_half_of_the_windows_of_a_short_recording_must_be_usable() -> None:
    signal = ecg()
    signal[0, 1300:] = 0
    found = quality(signal)
    assert found.usable.tolist() == [True, False, False]
    assert "2 of 3 windows cannot be read" in (found.unreadable or "")


def test_beats_of_a_long_recording_are_all_there_once() -> None:
    beats = quality(ecg(200)).beats_s
    np.testing.assert_allclose(np.diff(beats), 60 / 70, atol=0.03)
    assert len(beats) == pytest.approx(200 * 70 / 60, abs=2)


def test_a_tall_t_wave_is_no_beat() -> None:
    signal = ecg()
    for beat in quality(signal).beats_s[:-1]:
        signal[0] += 0.75 * np.exp(-(((np.arange(2500) / 250 - beat - 0.28) / 0.02) ** 2) / 2)
    assert quality(signal).heart_rate_bpm == pytest.approx(70, abs=1)


def test_an_impulse_does_not_hide_itself_in_a_short_window() -> None:
    signal = ecg()
    signal[0, 1250:1253] += 8
    found = assess(signal, 250, window_s=2.5, starts_s=[3.75, 7.0])
    assert found.usable.tolist() == [False, True]
    assert "impulses" in found.reasons[0][0]


def test_a_short_window_is_judged_by_what_is_around_it() -> None:
    signal = ecg(30)
    signal[0, 2600:3000] = 0  # 10.4 s to 12 s
    assert assess(signal, 250, window_s=0.5, starts_s=[9.0, 9.2, 12.8, 13.0]).usable.tolist() == [True] * 4
    assert not assess(signal, 250, window_s=0.5, starts_s=[10.0, 11.5, 12.2]).usable.any()


def test_a_beat_is_not_its_own_company() -> None:
    noise = np.random.default_rng(3).normal(size=1000)
    both = np.stack([noise, np.tile(noise[:300], 4)[:1000]])
    alike = likeness(both, np.array([[200, 500, -1], [100, 400, 700]]), np.array([2, 3]), 100)
    assert alike[0, :2].max() < 0.8
    assert alike[0, 2] == 0
    assert alike[1].min() > 0.999


def test_units_are_a_note_and_the_reason() -> None:
    found = quality(ecg() * 1e3, leads=("I",))
    assert found.unreadable is not None
    assert "microvolts" in found.unreadable
    assert any("1000 times too large: microvolts" in note for note in found.notes)
    assert found.heart_rate_bpm is None


@pytest.mark.parametrize("lead", ["I", "II"])
def test_an_inverted_lead_has_a_note_and_keeps_its_index(lead: str) -> None:
    upright, inverted = (quality(sign * ecg(), leads=(lead,)) for sign in (1, -1))
    assert upright.notes == ()
    assert [note for note in inverted.notes if f"lead {lead}: likely inverted" in note]
    np.testing.assert_allclose(inverted.index, upright.index, atol=1e-6)
    assert quality(-ecg(), leads=("V1",)).notes == (), "no polarity is known of other leads"


def test_too_slow_and_too_short_are_answers() -> None:
    slow = quality(ecg(rate_hz=5), 5)
    assert "5 Hz is too low" in (slow.unreadable or "")
    assert not slow.usable.any()
    assert all(slow.unreadable in reasons for reasons in slow.reasons)
    for signal, words in (
        (ecg(1.9), "too short"),
        (ecg()[:, :0], "too short"),
        (ecg(4), "too short"),
        (ecg()[:0], "no lead"),
    ):
        found = quality(signal)
        assert words in (found.unreadable or "")
        assert not found.usable.any()
    assert quality(ecg(rate_hz=LOWEST_RATE_HZ), LOWEST_RATE_HZ).unreadable is None


def test_an_ecg_of_two_seconds_is_enough() -> None:
    assert quality(ecg(2, bpm=80), window_s=2).unreadable is None


@pytest.mark.parametrize("window_s", [0.5, 1.0, 2.0, 2.5, 10.0, 30.0])
def test_windows_of_any_length(window_s: float) -> None:
    found = quality(ecg(30), window_s=window_s)
    assert found.index.min() > 0.85
    assert found.heart_rate_bpm == pytest.approx(70, abs=1)


def test_starts_may_be_given_in_any_order() -> None:
    signal = ecg(150)
    signal[0, 5000:9000] += np.random.default_rng(0).normal(0, 2, 4000)
    starts = np.arange(0, 145, 1.7)
    order = np.random.default_rng(1).permutation(len(starts))
    one = assess(signal, 250, window_s=5, starts_s=starts)
    other = assess(signal, 250, window_s=5, starts_s=starts[order])
    np.testing.assert_allclose(other.index, one.index[order])
    assert other.reasons == tuple(one.reasons[w] for w in order)
    alone = assess(signal, 250, window_s=5, starts_s=starts[:1])
    assert alone.index[0] == pytest.approx(one.index[0]), "a window's index does not depend on the other windows"


def test_of_twelve_leads_three_may_be_bad_and_are_named() -> None:
    signal = np.repeat(ecg(), 12, axis=0)
    signal[[6, 7, 8]] = 0
    found = quality(signal, leads=LEADS_12)
    assert found.usable.all()
    assert [note for note in found.notes if note.startswith("lead V2: ")]
    signal[9] = 0
    found = quality(signal, leads=LEADS_12)
    assert not found.usable.any()
    assert {reason.split(":")[0] for reason in found.reasons[0]} == {"lead V1", "lead V2", "lead V3", "lead V4"}
    assert not quality(signal[8:10]).usable.any()
    assert not quality(np.concatenate([ecg(), 0 * ecg()])).usable.any(), "of two leads both count"


@settings(max_examples=60, deadline=None)
@given(
    signal=hnp.arrays(np.float64, st.tuples(st.integers(0, 2), st.integers(0, 400)), elements=FLOATS),
    rate_hz=st.floats(1, 150),
    window_s=st.floats(0.01, 20),
)
def test_any_input_gets_a_finite_answer(signal: np.ndarray, rate_hz: float, window_s: float) -> None:
    before = signal.copy()
    found = assess(signal, rate_hz, window_s=window_s, leads=("I", "V1")[: len(signal)])
    np.testing.assert_array_equal(signal, before)
    assert len(found.index) == len(found.reasons) == len(found.starts_s)
    assert ((found.index >= 0) & (found.index <= 1)).all()
    assert all(np.isfinite(values).all() for values in found.scores.values())
    assert [bool(reasons) for reasons in found.reasons] == (found.index < USABLE).tolist()
    assert found.unreadable or found.usable.any()
    assert np.isfinite(found.beats_s).all()


def test_the_largest_floats_do_not_overflow() -> None:
    with np.errstate(all="raise", under="ignore"):
        found = quality(ecg() * 1e300, leads=("I",))
    assert all(np.isfinite(values).all() for values in found.scores.values())
    assert not found.usable.any()


@settings(max_examples=15, deadline=None)
@given(constant=st.sampled_from([0.0, 1.0, -1e300, np.nan, np.inf]), samples=st.integers(500, 3000))
def test_nothing_but_one_value_is_unreadable(constant: float, samples: int) -> None:
    found = quality(np.full((1, samples), constant), window_s=2)
    assert found.unreadable
    assert any(word in found.unreadable for word in ("flat", "missing"))
    assert {len(reasons) for reasons in found.reasons if "flat" in reasons[0]} <= {1}, "the rest follows from it"
    assert found.heart_rate_bpm is None
    assert len(found.beats_s) == 0


@settings(max_examples=15, deadline=None)
@given(factor=st.floats(0.3, 3.0), offset=st.floats(-5, 5))
def test_amplitude_and_offset_within_reason_change_nothing_but_size(factor: float, offset: float) -> None:
    clean, other = quality(ecg()), quality(factor * ecg() + offset)
    for check in set(CHECKS) - {"small", "large", "wander"}:
        np.testing.assert_allclose(other.scores[check], clean.scores[check], atol=1e-3)
    np.testing.assert_allclose(other.beats_s, clean.beats_s)


@settings(max_examples=15, deadline=None)
@given(exponent=st.floats(1.7, 4.2), sign=st.sampled_from([1, -1]))
def test_the_ratio_of_wrong_units_is_named(exponent: float, sign: int) -> None:
    reason = quality(ecg() * 10.0 ** (sign * exponent)).reasons[0][0]
    times = float(reason.split()[1])
    assert times == pytest.approx(10**exponent, rel=30)
    assert ("large" if sign > 0 else "small") in reason


def test_what_is_no_request_is_refused() -> None:
    for arguments in ({"rate_hz": 0.0}, {"rate_hz": np.nan}, {"window_s": 0.0}, {"leads": ("I", "II")}):
        with pytest.raises(SignalError, match="Expected"):
            assess(ecg(), **({"rate_hz": 250.0, "window_s": 5.0} | arguments))
    with pytest.raises(SignalError, match="Expected"):
        assess(ecg()[0], 250, window_s=5)


def test_real_recordings_are_readable_and_their_ruins_are_not(test_data: Path) -> None:
    headers = sorted((test_data / "ptbxl-small").rglob("*.hea"))[:120]
    noise_mv = np.random.default_rng(0)
    refused, noted = [], []
    for header in headers:
        record = read_record(header).select(["I"])
        x = record.signal
        late = np.where(np.arange(x.shape[1]) < 200, x, 0)
        versions = (x, -x, x * 1e3, x * 1e-3, late, noise_mv.normal(0, 0.1, x.shape))
        found = [assess(version, record.rate_hz, window_s=5, leads=("I",)) for version in versions]
        refused.append([q.unreadable is not None for q in found])
        noted.append([any("inverted" in note for note in q.notes) for q in found[:2]])
    shares, notes = np.mean(refused, axis=0), np.mean(noted, axis=0)
    assert shares[:2].max() <= 0.01
    assert shares[2:].min() >= 0.98
    assert notes[0] <= 0.03
    assert notes[1] >= 0.8


def test_fibrillation_is_not_refused(test_data: Path) -> None:
    with (test_data / "af2017" / "REFERENCE.csv").open(encoding="utf-8", newline="") as file:
        names = [name for name, kind in csv.reader(file) if kind == "A"]
    records = [read_record(test_data / "af2017" / name) for name in names]
    found = [assess(record.signal, record.rate_hz, window_s=5) for record in records]
    assert np.mean([q.unreadable is not None for q in found]) <= 0.04


@pytest.mark.parametrize("wrong", [1.0, 0.25])
def test_a_wrong_rate_is_noted(wrong: float) -> None:
    found = quality(ecg(rate_hz=250, seconds=40), 250 * wrong)
    expected = () if wrong == 1 else ("rare: is the sampling rate right?",)
    assert (
        tuple(note[-len("rare: is the sampling rate right?") :] for note in found.notes if "heart" in note) == expected
    )
