"""What `assess` said of simulated and real recordings when it measured one window after the other.

``PYTHONPATH=. ECGZOO_TEST_DATA=... python tests/signal/test_quality_answers.py`` stores what it says today.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ecgzoo import LEADS_12, Record, read_record
from ecgzoo.signal import quality
from ecgzoo.signal.quality import Quality

STORED = Path(__file__).with_name("quality_answers.json")
CONTEXT_S, WINDOW_S = 10, 5.0


def spoiled(kind: int, x: np.ndarray, rate_hz: float, rng: np.random.Generator) -> np.ndarray:
    """`x` with a defect."""
    at = np.arange(len(x))
    return (
        np.full_like(x, np.nan),
        np.full_like(x, x[0]),
        np.sign(x),
        x + 1e3 * (at % 97 == 0),
        x + np.linspace(0, 6, len(x)),
        x + 2 * np.sin(2 * np.pi * 50 * at / rate_hz),
        1e3 * x,
        x / 1e3,
        x + rng.normal(0, 2, len(x)),
        -x,
    )[kind]


def simulated() -> Iterator[Record]:
    """Three minutes with a defect of each kind, at several rates and of one and four leads."""
    for rate_hz, leads, noise_mv in ((50, 1, 0.01), (128, 1, 0.05), (250, 4, 0.01), (333.3, 1, 0.02)):
        rng = np.random.default_rng(leads)
        time_s = np.arange(round(180 * rate_hz)) / rate_hz
        beat_s = time_s % 0.83
        waves = ((0.12, 0.15, 0.02), (1.0, 0.3, 0.011), (-0.25, 0.34, 0.012), (0.3, 0.55, 0.05))  # mV, s, s
        beats = sum(size * np.exp(-(((beat_s - at) / width) ** 2) / 2) for size, at, width in waves)
        x = beats * rng.uniform(0.5, 1.5, (leads, 1)) + rng.normal(0, noise_mv, (leads, len(time_s)))
        for number, lead in enumerate(x):
            for kind in range(10):
                begin_s = 12 * kind + 20 + 2 * number
                part = slice(round(begin_s * rate_hz), round((begin_s + 7) * rate_hz))
                lead[part] = spoiled(kind, lead[part], rate_hz, rng)
        yield Record(np.float32(x), LEADS_12[:leads], rate_hz, f"{leads} at {rate_hz:g} Hz")
        yield Record(np.float32(-x[:, -1000:]), LEADS_12[:leads], rate_hz, f"{leads} at {rate_hz:g} Hz, inverted")
        yield Record(
            np.float32(x[:, -1000:].clip(max=0.2)), LEADS_12[:leads], rate_hz, f"{leads} at {rate_hz:g} Hz, clipped"
        )


def real(folder: Path) -> Iterator[Record]:
    """Some of a handheld's and a clinic's."""
    for header in [*sorted(folder.glob("af2017/*.hea"))[::12], *sorted(folder.glob("ptbxl-small/**/*.hea"))[::40]]:
        yield read_record(header)


def answers(record: Record) -> list[dict[str, Any]]:
    """Of the whole recording, and of its first lead in contexts of ten seconds as a stream judges them."""
    found = [quality.assess(record.signal, record.rate_hz, window_s=WINDOW_S, leads=record.leads)]
    length = round(CONTEXT_S * record.rate_hz)
    for start in range(0, record.signal.shape[1] - length + 1, length)[:4]:
        context = record.signal[:1, start : start + length]
        found.append(quality.assess(context, record.rate_hz, window_s=WINDOW_S, starts_s=[5.0], leads=record.leads[:1]))
    return [answer(one) for one in found]


def answer(found: Quality) -> dict[str, Any]:
    return {
        "index": [round(index, 12) for index in found.index.tolist()],
        "reasons": [list(reasons) for reasons in found.reasons],
        "unreadable": found.unreadable,
        "notes": list(found.notes),
        "beats": len(found.beats_s),
        "heart_rate_bpm": found.heart_rate_bpm and round(found.heart_rate_bpm, 6),
    }


def check(records: Iterator[Record], stored: dict[str, list[dict[str, Any]]]) -> None:
    said = {Path(record.source).name: answers(record) for record in records}
    assert list(said) == list(stored)
    for name in said:
        for now, then in zip(said[name], stored[name], strict=True):
            np.testing.assert_allclose(now.pop("index"), then.pop("index"), atol=1e-9)
            assert now == then


def test_the_answers_on_simulated_recordings_are_the_same() -> None:
    check(simulated(), json.loads(STORED.read_text(encoding="utf-8"))["simulated"])


def test_the_answers_on_real_recordings_are_the_same(test_data: Path) -> None:
    check(real(test_data), json.loads(STORED.read_text(encoding="utf-8"))["real"])


@pytest.mark.parametrize("at_once", [1, 3 * 2500, 1 << 17])
def test_many_together_are_judged_as_each_alone(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quality, "STRETCHES_AT_ONCE", at_once)
    two = [
        record.signal[:2, : 70 * 250]
        for record in simulated()
        if record.rate_hz == 250 and record.signal.shape[1] > 1000
    ]
    signals = np.concatenate([two[0][:, at : at + 2500] for at in range(0, 15_000, 2500)]).reshape(6, 2, 2500)
    starts = np.random.default_rng(0).uniform(0, 6, (6, 3))
    found = quality.assess_many(signals, 250, window_s=4, starts_s=starts, leads=("II", "V1"))
    alone = [
        quality.assess(signal, 250, window_s=4, starts_s=of_signal, leads=("II", "V1"))
        for signal, of_signal in zip(signals, starts, strict=True)
    ]
    assert len({one.reasons for one in alone}) > 2
    for one, other in zip(found, alone, strict=True):
        np.testing.assert_allclose(one.index, other.index, atol=1e-12)
        assert (one.reasons, one.unreadable, one.notes) == (other.reasons, other.unreadable, other.notes)
        assert one.heart_rate_bpm == other.heart_rate_bpm
        np.testing.assert_array_equal(one.beats_s, other.beats_s)
        assert list(one.scores) == list(other.scores)


if __name__ == "__main__":
    of_real = real(Path(os.environ["ECGZOO_TEST_DATA"]))
    values = {
        kind: {Path(record.source).name: answers(record) for record in records}
        for kind, records in (("simulated", simulated()), ("real", of_real))
    }
    STORED.write_text(json.dumps(values, ensure_ascii=False).replace("}, {", "},\n{") + "\n", encoding="utf-8")
