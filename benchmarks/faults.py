"""What is lost when processes are killed, disks are full and files are malformed? The limit is nothing.

Kills and fuzzers run at the same time, one process each, within `--minutes`. Exit status 1 means that something was
lost; each lost case is printed with the command that repeats it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks._faults.common import Deadline, Tally, install_plugin
from benchmarks._report import CHECKOUT, report, show

LIMIT = "none lost; 2 s and 50 MB + twice the file size per case"
MEMORY = Path("/dev/shm")  # files in memory on Linux, so that a hundred thousand cases do not wait for a disk
PARTS = ("kills", "disk", "fuzz")


def part(name: str, folder: Path, quick: bool, deadline: Deadline) -> Iterator[Tally]:
    """Run one of `PARTS` in this process."""
    install_plugin(folder)
    if name == "disk":
        from benchmarks._faults.disk import fill_disk

        yield from fill_disk(folder)
    elif name == "fuzz":
        from benchmarks._faults.fuzz import fuzz

        yield from fuzz(folder, deadline, quick)
    else:
        from benchmarks._faults.kills import kill_training, kill_two_processes, kill_writers

        yield from kill_writers(folder, quick)
        if not quick:
            yield kill_two_processes(folder, Deadline(deadline.left * 0.5), 5)
        yield kill_training(folder, deadline, 1 if quick else 100, 2 if quick else 8)


def start(name: str, folder: Path, quick: bool, seconds: float, prefix: list[str]) -> "subprocess.Popen[bytes]":
    """Start a part in a separate process; it writes its rows as JSON to `folder`."""
    inner = ("-m", "benchmarks.faults", "--part", name, "--folder", str(folder), "--seconds", str(seconds))
    command = [*prefix, sys.executable, *inner, *["--quick"] * quick]
    (folder / name).mkdir()
    return subprocess.Popen(command, cwd=CHECKOUT, env={**os.environ, "OMP_NUM_THREADS": "1"})


def repeat(case: str, folder: Path) -> int:
    """Repeat one case of a fuzzer, with its traceback."""
    from benchmarks._faults.fuzz import Harness
    from benchmarks._faults.mutate import Dice

    name, _, number = case.rpartition(":")
    install_plugin(folder)
    dice = Dice(case)
    try:
        Harness(folder).prepare(name)(dice)
    finally:
        print(f"case {number}: {dice.said!r}")
    return 0


def main() -> int:
    """Run all parts and print the table; return 1 if anything was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a hundredth of the cases, and no results file")
    parser.add_argument("--minutes", type=float, default=12.0, help="time after which no new case starts (default: 12)")
    parser.add_argument("--only", choices=PARTS, help="run only this part")
    parser.add_argument("--case", metavar="TARGET:N", help="repeat one case of a fuzzer, with its traceback")
    for inner in ("--part", "--folder", "--seconds"):
        parser.add_argument(inner, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        folder = Path(given.folder) / given.part
        rows = []
        for row in part(given.part, folder, given.quick, Deadline(float(given.seconds))):
            rows.append(row.to_dict())
            (folder / "rows.json").write_text(json.dumps(rows))  # partial results, in case the next one fails
        return 0
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as name:
        return repeat(given.case, Path(name)) if given.case else every_part(Path(name), given)


def every_part(folder: Path, given: argparse.Namespace) -> int:
    """Run the parts and combine their rows."""
    from benchmarks._faults.disk import namespace

    prefix, seconds = namespace(), given.minutes * 60
    wanted = [name for name in PARTS if given.only in (None, name) and (name != "disk" or prefix)]
    running = {name: start(name, folder, given.quick, seconds, (prefix or []) * (name == "disk")) for name in wanted}
    failed = [name for name, process in running.items() if process.wait()]
    found = {name: folder / name / "rows.json" for name in wanted}
    tallies = [row for path in found.values() if path.exists() for row in json.loads(path.read_text())]
    rows = [_row(tally) for tally in tallies]
    if prefix is None:
        print("full disks are not tested: this user cannot mount (that needs root rights or user namespaces)")
    if rows:
        show("faults", LIMIT, rows) if given.quick or given.only else report("faults", LIMIT, rows)
    for tally in tallies:
        for said in tally["said"]:
            print(f"lost, {tally['fault']}: {said}".encode("unicode_escape").decode())
    for name in failed:
        print(f"{name} ended with status {running[name].returncode}")
    return int(bool(failed or any(tally["lost"] for tally in tallies)))


def _row(tally: dict[str, Any]) -> dict[str, Any]:
    return {
        "fault": tally["fault"],
        "tried": tally["tried"],
        "survived": tally["tried"] - tally["lost"],
        "lost": tally["lost"],
        "slowest s": tally["slowest_s"],
        "growth MB": tally["growth_mb"],
    }


if __name__ == "__main__":
    sys.exit(main())
