"""What does a live stream cost? One lead at 130 Hz, in a strap's packets of 73 samples, and of one sample.

``% of a core`` is the CPU time of this process, of one thread, over the seconds of signal; ``MB more`` is what the
second half of the stream adds to its memory.
"""

import argparse
import time

import numpy as np
import torch

from benchmarks._report import memory_mb, report
from ecgzoo.live import Stream
from ecgzoo.weights import load_pretrained

RATE_HZ, MINUTES, LIMIT = 130, 20, 1.0


def signal(seconds: float) -> np.ndarray:
    """Beats and a little noise, float32 millivolts ``[1, n]``."""
    time_s = np.arange(int(seconds * RATE_HZ)) / RATE_HZ % 0.83
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    beats = np.sum([size * np.exp(-(((time_s - at) / width) ** 2)) for size, at, width in waves], axis=0)
    noisy: np.ndarray = (beats + np.random.default_rng(0).normal(0, 0.02, len(beats))).astype(np.float32)[None]
    return noisy


def push(stream: Stream, samples: np.ndarray, packet: int) -> int:
    """How many windows it gives."""
    return sum(len(stream.push(samples[:, at : at + packet])) for at in range(0, samples.shape[1], packet))


def main() -> None:
    """Print the table and write the JSON."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    rows, half = [], signal(MINUTES * 30)
    for name in ("resnet1d18.ptbxl_super_i", "xresnet1d18.ptbxl_super_i"):
        model = load_pretrained(name)
        for packet in (73, 1):
            stream = model.stream(rate_hz=RATE_HZ, leads="I")
            push(stream, half[:, : 20 * RATE_HZ], packet)  # warms up
            windows, begin = push(stream, half, packet), time.process_time()
            before = memory_mb()
            windows = push(stream, half, packet)
            core = 100 * (time.process_time() - begin) / (half.shape[1] / RATE_HZ)
            grown = memory_mb() - before
            row = {"model": name, "packet": packet, "windows": windows, "% of a core": core, "MB more": grown}
            rows.append({**row, "met": core <= LIMIT})
    report("live", f"at most {LIMIT:g} % of a core, and no more memory with time", rows)


if __name__ == "__main__":
    main()
