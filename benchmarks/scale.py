"""How do time and memory grow with the number of records?

python -m benchmarks.scale --records 10000 100000 --leads 1 12

For each number of leads and of records: import simulated records into a cohort, open it, draw batches, train, evaluate.
Each part runs in a process of its own, so that its peak of memory is its own. Figures are written as soon as they are
there; what was measured is not measured again, unless with --again. Needs about 2.4 GB of disk for 100,000 records of
twelve leads in --folder, and leaves nothing there. ``python docs/figures.py`` writes the table.
"""

import argparse
import contextlib
import csv
import json
import math
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress

import ecgzoo
from benchmarks._report import RESULTS, show, write
from ecgzoo.data import Cohort, check_cohort
from ecgzoo.data.folder import load_folder
from ecgzoo.data.prepare import Layout
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.ingest import import_records

HEARTS, IN_A_FOLDER = 200, 1000
BATCH, STEPS, SECONDS, WARM = 64, 200, 10.0, 5  # of a measurement: at most so many steps and seconds
SCORED, RESAMPLED = 2000, 2_000_000  # records that are scored; records times resamples of the bootstrap
MEGABYTES, RECORDS_PER_CPU_SECOND = 1000, 10_000
LIMIT = (
    f"drawing batches leaves at most {MEGABYTES:,} MB resident, and one core draws at least {RECORDS_PER_CPU_SECOND:,} "
    f"records per second. Seconds are of all records: an epoch is extrapolated from up to {STEPS} steps, the scores "
    f"of fold 10 from {SCORED:,} records, a bootstrap of 1,000 resamples from fewer"
)
PARTS = ("imported", "opened", "trained", "evaluated")
Figures = dict[str, float]


def main() -> None:
    """Measure what is not in the JSON, write it, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, nargs="+", default=[10_000, 100_000])
    parser.add_argument("--leads", type=int, nargs="+", default=[1, 12], choices=(1, 12))
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()), help="where the cohorts are made")
    parser.add_argument("--again", action="store_true", help="measure what was measured before")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)  # in a process of its own
    given = parser.parse_args()
    if given.part:
        figures = globals()[given.part](given.folder, given.records[0], given.leads[0])
        print(json.dumps(figures))
        return
    wanted = [(leads, records) for leads in given.leads for records in given.records]
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=len(wanted) * len(PARTS))
        for leads, records in wanted:
            row = _rows().get((leads, records), {}) if not given.again else {}
            with tempfile.TemporaryDirectory(prefix="ecgzoo-scale-", dir=given.folder) as folder:
                for part in PARTS:
                    progress.update(bar, description=f"{records:,} records, {leads} leads: {part}")
                    if part not in row.get("parts", ()):
                        if part != "imported" and not (Path(folder) / "store").exists():
                            _in_its_own_process("imported", folder, records, leads)
                        row |= _in_its_own_process(part, folder, records, leads)
                        row |= {"leads": leads, "records": records, "parts": [*row.get("parts", ()), part]}
                        rows = _rows() | {(leads, records): row}
                        write("scale", LIMIT, [rows[key] for key in sorted(rows)])
                    progress.advance(bar)
    show("scale", LIMIT, exponents(list(_rows().values())))


def _rows() -> dict[tuple[int, int], dict[str, Any]]:
    """What was measured, by leads and records."""
    path = RESULTS / "scale.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return {(row["leads"], row["records"]): row for row in rows}


def exponents(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """For each number of leads and each figure: its values, and how it grows from one number of records to the next."""
    made = []
    for leads in sorted({row["leads"] for row in rows}):
        its = sorted((row for row in rows if row["leads"] == leads), key=lambda row: row["records"])
        for name in dict.fromkeys(name for row in its for name in row if name.endswith((" s", " MB"))):
            line: dict[str, Any] = {"leads": leads, "figure": name}
            for row in its:
                line[f"{row['records']:,}"] = row.get(name)
            last = [row for row in its if row.get(name)][-2:]
            if len(last) == 2:
                few, many = last
                line["exponent"] = math.log(many[name] / few[name]) / math.log(many["records"] / few["records"])
            made.append(line)
    columns = list(dict.fromkeys(name for line in made for name in line if name != "exponent"))
    return [{**{name: line.get(name) for name in columns}, "exponent": line.get("exponent")} for line in made]


def _in_its_own_process(part: str, folder: str, records: int, leads: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.scale", "--part", part, "--folder", folder]
    command += ["--records", str(records), "--leads", str(leads)]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}  # threads that wait use CPU time, too
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=one_thread)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


class Clock:
    """Wall and CPU time of a block, of this process or with its children."""

    def __enter__(self) -> "Clock":
        self._wall, self._cpu = time.perf_counter(), _cpu_s()
        return self

    def __exit__(self, *error: object) -> None:
        self.s, self.cpu_s = time.perf_counter() - self._wall, _cpu_s() - self._cpu

    def figures(self, name: str, times: float = 1) -> Figures:
        """What it took, or would have taken for `times` as much."""
        return {f"{name} s": self.s * times, f"{name} CPU s": self.cpu_s * times}


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def simulated(path: Path) -> ecgzoo.Record:
    """The recording that the number in `path` stands for; no two are the same."""
    number = int(path.name)
    heart, turn = number % HEARTS, number // HEARTS
    millivolts = np.roll(_hearts()[heart], turn % 1000, axis=1) * np.float32(1 + turn // 1000 / 100)
    return ecgzoo.Record(millivolts, ecgzoo.LEADS_12, 100.0, str(path))


@lru_cache
def _hearts() -> np.ndarray:
    millivolts: np.ndarray = load_synthetic(num_records=HEARTS).signals() / np.float32(1000)
    return millivolts


def imported(folder: Path, records: int, leads: int) -> Figures:
    """Import with two processes. The recordings are simulated as they are read: for files, see `benchmarks.ingest`."""
    shutil.rmtree(folder / "store", ignore_errors=True)
    labels = [";".join(np.array(_classes())[row > 0]) or "[]" for row in load_synthetic(num_records=HEARTS).labels]
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("path", "patient", "labels"))
        for number in range(records):
            name = f"{number // IN_A_FOLDER}/{number}"
            if number % IN_A_FOLDER == 0:
                (folder / "files" / name).parent.mkdir(parents=True)
            (folder / "files" / name).touch()
            table.writerow((name, number, labels[number % HEARTS]))
    layout = Layout(ecgzoo.LEADS_12[:leads])
    with Clock() as clock:
        import_records(
            folder / "files", folder / "table.csv", folder / "store", read=simulated, layout=layout, workers=2
        )
        for process in multiprocessing.active_children():  # their CPU time is known when they have ended
            process.join()
    shutil.rmtree(folder / "files")
    store = sum(path.stat().st_size for path in (folder / "store").rglob("*") if path.is_file())
    return clock.figures("import") | {"import MB": _peak_mb(), "store MB": store / 1e6}


def _classes() -> tuple[str, ...]:
    return load_synthetic(num_records=1).classes


def opened(folder: Path, records: int, leads: int) -> Figures:
    """Open the cohort, then open it after its digests are forgotten, as on another machine."""
    with Clock() as clock:
        assert len(load_folder(folder / "store")) == records
    (folder / "store" / "verified.json").unlink()
    with Clock() as verified:
        load_folder(folder / "store")
    return clock.figures("open") | verified.figures("verify") | {"open MB": _peak_mb()}


def trained(folder: Path, records: int, leads: int) -> Figures:
    """Batches from the store, steps of a student alone, steps of MVKT if there are twelve leads, a checkpoint."""
    import torch

    from ecgzoo.training.batches import TrainingRecords

    with Clock() as first:
        cohort = load_folder(folder / "store")
        check_cohort(cohort)
        rows = cohort.rows(range(1, 9))
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # none is kept in memory: by default those are that fit into 4 GiB
        data = TrainingRecords(cohort, rows, list(range(leads)), 250, BATCH, device, resident_bytes=0)
        next(iter(data.epoch(0, 0)))
    with Clock() as drawing:
        drawn = sum(len(batch.index) for _, batch in _at_most(data.epoch(0, 1)))
    figures = first.figures("first batch") | drawing.figures("batches", len(rows) / drawn) | {"batches MB": _peak_mb()}
    fast = drawn / drawing.cpu_s >= RECORDS_PER_CPU_SECOND
    figures["limits met"] = fast and figures["batches MB"] <= MEGABYTES
    for name, losses in {"student": ("bce=1",), "MVKT": ("bce=1", "mkd=1", "clt=0.8")}.items():
        if name == "MVKT" and leads < 12:
            continue
        figures |= _steps(name, losses, cohort, rows, data, folder)
    return figures


def _at_most(steps: Iterator[Any]) -> Iterator[Any]:
    """The first steps of an epoch, until there are enough."""
    start = time.perf_counter()
    for number, step in enumerate(steps, start=1):
        yield step
        if number >= STEPS or time.perf_counter() - start > SECONDS:
            return


def _steps(name: str, losses: tuple[str, ...], cohort: Cohort, rows: np.ndarray, data: Any, folder: Path) -> Figures:
    import torch
    from timm.optim import create_optimizer_v2

    from ecgzoo.training.state import CHECKPOINT, MEMORY, TrainingState

    torch.manual_seed(0)
    student = ecgzoo.create_student("xresnet1d18", leads=1, num_classes=len(cohort.classes))
    teacher = None if len(losses) == 1 else ecgzoo.create_teacher("xresnet1d18", num_classes=len(cohort.classes))
    info = ecgzoo.DataInfo(cohort.classes, torch.from_numpy(cohort.labels[rows]))
    distiller = ecgzoo.Distiller(student, teacher, ecgzoo.create_losses(losses, student, teacher, info)).to(data.device)
    optimizer = create_optimizer_v2(distiller, opt="adamw", lr=1e-3, fused=True)

    def run(steps: Iterator[Any]) -> int:
        count = 0
        for millivolts, batch in steps:
            loss, _ = distiller(millivolts[:, :1], millivolts, batch)
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            distiller.after_backward()
            count += len(batch.index)
        loss.item()  # waits for the device
        return count

    distiller.train()
    steps = data.epoch(0, 2)
    run(step for _, step in zip(range(WARM), steps, strict=False))
    with Clock() as clock:
        whole = len(rows) / run(_at_most(steps))
    made = clock.figures(name, whole) | {f"{name} MB": _peak_mb()}
    if teacher is not None:
        with Clock() as saved:
            TrainingState(distiller, optimizer, 0.0).save(folder)
        files = [folder / name for name in (CHECKPOINT, MEMORY)]
        made |= saved.figures("checkpoint")
        made["checkpoint MB"] = sum(path.stat().st_size for path in files if path.exists()) / 1e6
    return made


def evaluated(folder: Path, records: int, leads: int) -> Figures:
    """Scores of fold 10, and the bootstrap of its metrics."""
    from ecgzoo.evaluation.bootstrap import bootstrap_aucs
    from ecgzoo.evaluation.cohort import cohort_scores, score_rows

    cohort = load_folder(folder / "store")
    rows = cohort.rows([10])
    model = ecgzoo.create_student("xresnet1d18", leads=1, num_classes=len(cohort.classes))
    some = rows[:: max(1, len(rows) // SCORED)]
    with Clock() as scored:
        score_rows(model, cohort, some)
    scores = cohort_scores(cohort, (10,), rows, np.random.default_rng(0).random((len(rows), len(cohort.classes))))
    with Clock() as metrics:
        scores.evaluation(num_resamples=2)
    resamples = min(1000, max(50, RESAMPLED // len(rows)))
    with Clock() as resampled:
        bootstrap_aucs(scores.y_true, scores.y_score, scores.patients, resamples)
    figures = scored.figures("scores", len(rows) / len(some)) | metrics.figures("metrics")
    return figures | resampled.figures("bootstrap", 1000 / resamples) | {"evaluation MB": _peak_mb()}


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
