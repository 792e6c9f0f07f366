"""How long do preparing a data set and opening it again take?

python -m benchmarks.ingest        # `ecgzoo data import` of simulated recordings, with one and with two processes
python -m benchmarks.ingest DIR    # also PTB-XL, from its folder
"""

import argparse
import csv
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._report import report
from ecgzoo.data.folder import load_folder
from ecgzoo.data.ptbxl import load_ptbxl
from ecgzoo.data.synthetic import load_synthetic

RECORDS = {100: 20_000, 500: 4_000}  # imported, by their rate in Hz
RECORDS_PER_SECOND = 3500  # at 100 Hz


def main() -> None:
    """Print the tables and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=Path, metavar="DIR", help="PTB-XL's folder")
    root: Path | None = parser.parse_args().root
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ECGZOO_CACHE"] = folder
        if root is not None:
            report("ingest", "at most 6 s per 1,000 records, and 0.2 s to open again", [ptbxl(root)])
        rows = []
        for rate_hz, count in RECORDS.items():
            there = Path(folder) / str(rate_hz)
            write_records(there / "records", there / "table.csv", rate_hz, count)
            rows += [imported(there, rate_hz, count, workers) for workers in (1, 2)]
        limit = f"at least {RECORDS_PER_SECOND:,} records per second at 100 Hz with two processes; 0.2 s to open again"
        report("import", limit, rows)


def ptbxl(root: Path) -> dict[str, Any]:
    """The built-in data set, in one process."""
    start = time.perf_counter()
    records = len(load_ptbxl(root, "all"))
    read = time.perf_counter() - start
    start = time.perf_counter()
    load_ptbxl(root, "all")
    again = time.perf_counter() - start
    row = {"records": records, "ingest s": read, "s per 1,000 records": read / records * 1e3, "open again s": again}
    return {**row, "limits met": read / records * 1e3 <= 6 and again <= 0.2}


def imported(folder: Path, rate_hz: int, count: int, workers: int) -> dict[str, Any]:
    """The command on simulated WFDB records of 10 s with 12 leads."""
    table, store = folder / "table.csv", folder / f"store{workers}"
    command = [sys.executable, "-m", "ecgzoo", "data", "import", str(folder / "records"), "--table", str(table)]
    load = os.getloadavg()[0]  # of other work
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run([*command, "-o", str(store), "--workers", str(workers)], check=True, stdout=subprocess.DEVNULL)
    read = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    start = time.perf_counter()
    assert len(load_folder(store)) == count
    again = time.perf_counter() - start
    return {
        "rate_hz": rate_hz,
        "records": count,
        "processes": workers,
        "s": read,
        "records/s": count / read,
        "CPU ms per record": cpu / count * 1e3,
        "records per 2 CPU s": 2 * count / cpu,  # what two cores without other work would do
        "load before": load,
        "open again s": again,
        "limits met": again <= 0.2 and (rate_hz > 100 or workers < 2 or count / read >= RECORDS_PER_SECOND),
    }


def write_records(folder: Path, table: Path, rate_hz: int, count: int) -> None:
    """WFDB records of simulated hearts, a thousand in a folder, and their table; no two have the same samples."""
    hearts = load_synthetic(num_records=200, rate_hz=rate_hz)
    with open(make(table), "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("path", "patient", "labels"))
        for number in range(count):
            name, heart = f"{number // 1000:03}/r{number:06}", number % 200
            samples = hearts.store[heart].copy()
            own = np.array([number % 100, number // 100 % 100, number // 10_000, 1], np.int16)
            samples[0, :40] += np.repeat(20 * own, 10)  # which resampling leaves different
            path = make(folder / name)
            path.with_suffix(".dat").write_bytes(samples.T.astype("<i2").tobytes())
            lines = [f"{path.name} 12 {rate_hz} {samples.shape[1]}"]
            lines += [
                f"{path.name}.dat 16 1000.0(0)/mV 16 0 {row[0]} {row.sum() % 65_536} 0 {lead}"
                for lead, row in zip(hearts.leads, samples.astype(int), strict=True)
            ]
            path.with_suffix(".hea").write_text("\n".join(lines) + "\n")
            labels = ";".join(np.array(hearts.classes)[hearts.labels[heart].astype(bool)])
            rows.writerow((name, number // 2, labels))


def make(path: Path) -> Path:
    """`path`, with the folder that it is in."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


if __name__ == "__main__":
    main()
