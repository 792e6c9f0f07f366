"""What does inference with a student cost? Every backbone on lead I.

``latency`` is the time of ``model.predict`` for one 10 s record (seven windows of 2.5 s), from millivolts to
probabilities, on one CPU thread. ``records per second`` is measured on a batch of 64 records with all threads.
``--compile`` adds a column for torch.compile. A second table is for 24 h of one lead at 250 Hz: resampled, windowed and
scored. Its memory is the samples of the recording plus the growth of the peak in a separate process.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from rich.progress import track

from benchmarks._report import CHECKOUT, peak_growth_mb, report
from ecgzoo import registry
from ecgzoo.config import ModelConfig
from ecgzoo.create import create_student
from ecgzoo.model import EcgModel
from ecgzoo.signal import Record

ROUNDS, BATCH = 15, 64
LABELS = ("CD", "HYP", "MI", "NORM", "STTC")


def student(name: str) -> EcgModel:
    """A model with random weights and class names, so that `predict` accepts it."""
    torch.manual_seed(0)
    model = create_student(name)
    config = ModelConfig(architecture=name, leads=("I",), num_classes=5, classes=LABELS)
    return EcgModel(model.backbone, config).eval()


def record(seconds: float, rate_hz: float) -> Record:
    """Noise with the amplitude of an ECG."""
    signal = np.random.default_rng(0).normal(0, 0.3, (1, round(seconds * rate_hz))).astype(np.float32)
    return Record(signal, ("I",), rate_hz, "noise")


def median_ms(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median time of `rounds` calls, after three warm-up calls."""
    times = []
    for number in range(rounds + 3):
        start = time.perf_counter()
        call()
        if number > 2:
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e3


def day() -> tuple[float, float]:
    """Seconds and MB for a 24 h recording; run in a separate process."""
    model, small = student("xresnet1d18"), record(10, 250)
    model.predict(small, insist=True)
    long = record(24 * 3600, 250)
    start = time.perf_counter()
    grown = peak_growth_mb(lambda: model.predict(long, insist=True))
    return time.perf_counter() - start, grown + long.signal.nbytes / 2**20


def main() -> None:
    """Print the tables and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compile", action="store_true")
    compiled = parser.parse_args().compile
    one, threads = record(10, 100), torch.get_num_threads()
    batch = torch.from_numpy(np.repeat(one.signal[None], BATCH, axis=0))
    rows = []
    for name in track(registry.names("backbone"), "backbones"):
        model = student(name)
        torch.set_num_threads(1)
        latency_ms = median_ms(partial(model.predict, one, insist=True))
        row = {
            "backbone": name,
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "latency ms": latency_ms,
        }
        if compiled:
            model.backbone = torch.compile(model.backbone)
            row["compiled ms"] = median_ms(partial(model.predict, one, insist=True))
            model = student(name)
        torch.set_num_threads(threads)
        row["records per second"] = BATCH / median_ms(partial(model.score, batch), 3) * 1e3
        rows.append({**row, "at most 5 ms": latency_ms <= 5, "threads": threads})
    report("inference", "xresnet1d18 at most 5 ms", rows)

    code = "from benchmarks import inference; print(*inference.day())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    seconds, megabytes = map(float, done.stdout.split())
    met = seconds <= 60 and megabytes <= 500
    day_row = {"what": "24 h of lead I at 250 Hz", "seconds": seconds, "MB with the samples": megabytes, "met": met}
    report("long_recording", "at most 60 s and 500 MB", [day_row])


if __name__ == "__main__":
    main()
