"""How many files a second does ``ecgzoo predict FOLDER --output x.parquet --workers 2`` predict?

The folder is simulated: ten-second WFDB records of twelve leads at 500 Hz, in format 16. Of two folders, the rate is
what the larger one takes more, without the start of processes: by the wall clock, and by CPU time as if two cores
were free, since the machines that this runs on are shared. ``MB`` is the peak of the largest process.
Needs ``ecgzoo[parquet]``.
"""

import argparse
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import wfdb

from benchmarks._report import CHECKOUT, report
from ecgzoo.signal import LEADS_12

MODEL, WORKERS, FEW, MANY, TARGET = "xresnet1d18.ptbxl_super_i", 2, 300, 1800, 300
SECONDS, RATE_HZ, HEARTS = 10, 500, 50


def write_folder(folder: Path, records: int) -> None:
    """`records` records of `HEARTS` hearts that differ in their noise."""
    random, samples = np.random.default_rng(0), SECONDS * RATE_HZ
    time_s = np.arange(samples) / RATE_HZ % 0.83
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    beat = np.sum([size * np.exp(-(((time_s - at) / width) ** 2)) for size, at, width in waves], axis=0)
    sizes = random.uniform(0.6, 1.4, len(LEADS_12))
    names = {"units": ["mV"] * 12, "sig_name": list(LEADS_12), "fmt": ["16"] * 12, "write_dir": str(folder)}
    for number in range(min(records, HEARTS)):
        signal = beat[:, None] * sizes + random.normal(0, 0.02, (samples, 12))
        wfdb.wrsamp(f"r{number:05d}", fs=RATE_HZ, p_signal=signal, **names)
    for number in range(HEARTS, records):
        one, other = f"r{number % HEARTS:05d}", f"r{number:05d}"
        header = (folder / f"{one}.hea").read_text(encoding="utf-8")
        (folder / f"{other}.hea").write_text(header.replace(one, other), encoding="utf-8")
        shutil.copy(folder / f"{one}.dat", folder / f"{other}.dat")


def seconds_of(folder: Path, output: Path) -> tuple[float, float]:
    """How long the command takes, by the wall clock and of CPU time."""
    command = [sys.executable, "-m", "ecgzoo", "predict", str(folder), "--model", MODEL]
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run([*command, "--output", str(output), "--workers", str(WORKERS)], check=True, cwd=CHECKOUT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, cpu


def main() -> None:
    """Print the table and write the JSON."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as name:
        for records in (FEW, MANY):
            folder = Path(name, str(records))
            folder.mkdir()
            write_folder(folder, records)
            seconds, cpu = seconds_of(folder, Path(name, f"{records}.parquet"))
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            rows.append({"records": records, "workers": WORKERS, "seconds": seconds, "CPU s": cpu, "MB": peak})
    few, many = rows
    rate = (MANY - FEW) / (many["seconds"] - few["seconds"])
    quiet = WORKERS * (MANY - FEW) / (many["CPU s"] - few["CPU s"])
    rates = {"records a second": rate, "by CPU time": quiet, "MB more": many["MB"] - few["MB"], "met": rate >= TARGET}
    report("predict_many", f"at least {TARGET} records a second on two cores", [{**row, **rates} for row in rows])


if __name__ == "__main__":
    main()
