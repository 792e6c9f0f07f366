"""How long do the events and hours of a day take? 24 h of lead I at 250 Hz, from samples to events.

Its memory is the recording's samples and what the prediction adds to the peak of this process. ``quality s`` is the
part of the signal quality, by CPU time.
"""

import argparse
import time

import numpy as np
import torch

from benchmarks._report import peak_growth_mb, report
from ecgzoo import live
from ecgzoo.events import Event, find_events, summarize_hours
from ecgzoo.signal import Record
from ecgzoo.signal.quality import Quality, assess_many
from ecgzoo.weights import load_pretrained

MODEL, RATE_HZ, HOURS = "xresnet1d18.ptbxl_super_i", 250, 24


def recording() -> Record:
    """Beats and a little noise."""
    time_s = np.arange(60 * RATE_HZ) / RATE_HZ % 0.83
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    beats = np.stack([size * np.exp(-(((time_s - at) / width) ** 2)) for size, at, width in waves]).sum(axis=0)
    signal = np.tile(beats.astype(np.float32), HOURS * 60)[None]
    signal += np.random.default_rng(0).normal(0, 0.02, signal.shape).astype(np.float32)
    return Record(signal, ("I",), RATE_HZ, "a day")


def main() -> None:
    """Print the table and write the JSON."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    model, day = load_pretrained(MODEL), recording()
    model.predict(Record(day.signal[:, :10_000], ("I",), RATE_HZ, "a minute"), per_window=True)
    judging, events = [0.0], list[Event]()

    def timed(*given: object, **more: object) -> list[Quality]:
        begin = time.process_time()
        try:
            return assess_many(*given, **more)  # type: ignore[arg-type] # as it is called
        finally:
            judging[0] += time.process_time() - begin

    def work() -> None:
        found = model.predict(day, per_window=True)
        events.extend(find_events(found))
        summarize_hours(found)

    live.assess_many = timed  # type: ignore[attr-defined]
    begin, cpu = time.perf_counter(), time.process_time()
    megabytes = peak_growth_mb(work) + day.signal.nbytes / 2**20
    seconds = time.perf_counter() - begin
    row = {"what": f"{HOURS} h of lead I at {RATE_HZ} Hz", "threads": torch.get_num_threads(), "seconds": seconds}
    row |= {"CPU s": time.process_time() - cpu, "quality s": judging[0], "MB with the samples": megabytes}
    row |= {"events": len(events), "met": seconds <= 20 and megabytes <= 400}
    report("long_events", "at most 20 s and 400 MB", [row])


if __name__ == "__main__":
    main()
