"""SIGKILL at every line of every writer, within every write, and at random times during training."""

import hashlib
import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import ecgzoo
from benchmarks._faults.common import Deadline, Tally, small_model
from ecgzoo.data.store import open_store, write_signals, write_table
from ecgzoo.files import read_bytes, read_json, write_atomic, write_json, write_text
from ecgzoo.training.checkpoint import load_state, save_state
from ecgzoo.training.state import CHECKPOINT, LOG

OLD, NEW = 1, 2
WATCHED = ("ecgzoo/files.py", "ecgzoo/weights/folder.py", "ecgzoo/training/checkpoint.py", "ecgzoo/data/store.py")
BYTES = (0, 1, 100, 500, 1000, 2000, 4000, 8000)  # number of bytes after which a write is cut off
RECORD = np.dtype([("signals", np.int16, (2, 50)), ("record_ids", np.int64)])
_PAYLOAD = 3000
HANGS_S = 120.0


@dataclass(frozen=True)
class Writer:
    """A write that may be killed: `write` stores a number, `read` returns the stored one, or None."""

    name: str
    write: Callable[[Path, int], object]
    read: Callable[[Path], int | None]
    replaces: bool = True


def _write_atomic(folder: Path, number: int) -> None:
    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            for _ in range(8):
                file.write(bytes([number]) * (_PAYLOAD // 8))
                file.flush()

    write_atomic(folder / "file", write)


def _read_atomic(folder: Path) -> int | None:
    if not (folder / "file").exists():
        return None
    content = read_bytes(folder / "file")
    return content[0] if content == content[:1] * _PAYLOAD else -1


def _write_json(folder: Path, number: int) -> None:
    write_json(folder / "file.json", [number] * _PAYLOAD)


def _read_json(folder: Path) -> int | None:
    if not (folder / "file.json").exists():
        return None
    values = read_json(folder / "file.json")
    return int(values[0]) if values == values[:1] * _PAYLOAD else -1


def _read_model(folder: Path) -> int | None:
    if not (folder / "model" / "config.json").exists():
        return None
    model = ecgzoo.load_pretrained(folder / "model")
    found = {parameter.flatten()[0].item() for parameter in model.backbone.parameters()} | {model.config.temperature}
    return int(found.pop()) if len(found) == 1 else -1


def _write_state(folder: Path, number: int) -> None:
    save_state(folder / CHECKPOINT, {"a": torch.full((500,), float(number)), "history": [{"epoch": number}]})
    write_text(folder / LOG, json.dumps({"epoch": number}) + "\n")


def _read_state(folder: Path) -> int | None:
    """The checkpoint's number; the log next to it must be complete, and may be one epoch behind."""
    if not (folder / CHECKPOINT).exists():
        return None
    state = load_state(folder / CHECKPOINT)
    number = int(state["history"][0]["epoch"])
    log = (folder / LOG).read_text() if (folder / LOG).exists() else ""
    whole = log == "" or json.loads(log)["epoch"] <= number
    return number if whole and torch.equal(state["a"], torch.full((500,), float(number))) else -1


def _open_store(folder: Path, number: int) -> Any:
    """Open the store in the cache; if there is none, build one with `number`."""

    def build(unfinished: Path) -> list[str]:
        write_signals(unfinished, (np.full((2, 50), number, np.int16) for _ in range(20)), (20, 2, 50))
        write_table(unfinished, {"record_ids": np.full(20, number, np.int64)})
        return ["built"]

    os.environ["ECGZOO_CACHE"] = str(folder)
    return open_store("key", build, RECORD)


def _read_store(folder: Path) -> int | None:
    if not (folder / "key").exists():
        return None
    store = _open_store(folder, OLD)
    found = set(np.unique(store.signals)) | set(np.unique(store.table["record_ids"]))
    return int(found.pop()) if len(found) == 1 else -1


def _write_model(folder: Path, number: int) -> None:
    ecgzoo.save_pretrained(MODELS[number], folder / "model")


MODELS: dict[int, Any] = {}
WRITERS = (
    Writer("write_atomic", _write_atomic, _read_atomic),
    Writer("write_json", _write_json, _read_json),
    Writer("save_pretrained", _write_model, _read_model),
    Writer("checkpoint and log", _write_state, _read_state),
    Writer("open_store's build", _open_store, _read_store, replaces=False),
)


def _forked(work: Callable[[], object]) -> int:
    """Exit status of a child process that did `work`: 0, minus the signal, or 1 after an exception."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _killed_at_line(number: int, work: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        left = number

        def trace(frame: Any, event: str, _: Any) -> Any:
            nonlocal left
            if not frame.f_code.co_filename.endswith(WATCHED):
                return None
            left -= event == "line"
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        work()
        sys.settrace(None)

    return run


def _killed_at_byte(number: int, work: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)  # Python ignores this signal and would raise an OSError
        resource.setrlimit(resource.RLIMIT_FSIZE, (number, number))
        work()

    return run


def _stages(work: Callable[[], object], step: int) -> Iterator[tuple[str, Callable[[], None]]]:
    for number in BYTES:
        yield f"byte {number}", _killed_at_byte(number, work)
    for number in range(0, 100_000, step):
        yield f"line {number}", _killed_at_line(number, work)


def kill_writers(folder: Path, quick: bool) -> Iterator[Tally]:
    """Kill each writer at each stage; the old or the new content must remain, and the next write must succeed."""
    MODELS.update({number: small_model(number) for number in (OLD, NEW)})
    for writer in WRITERS:
        yield _kill_writer(folder, writer, quick)


def _kill_writer(folder: Path, writer: Writer, quick: bool) -> Tally:
    tally = Tally(f"killed: {writer.name}")
    for before in (OLD, None) if writer.replaces else (None,):
        at = folder / "killed"

        def work(at: Path = at) -> None:
            writer.write(at, NEW)

        for stage, killed in _stages(work, 17 if quick else 1 if before is not None or not writer.replaces else 3):
            shutil.rmtree(at, ignore_errors=True)
            at.mkdir()
            if before is not None:
                writer.write(at, before)
            start = time.perf_counter()
            status = _forked(killed)
            if status == 0 and stage.startswith("line"):
                break
            if status == 0:
                continue
            try:
                found = writer.read(at)
                writer.write(at, NEW)
                after = writer.read(at)
                problem = None
                if status >= 0 or found not in (before, NEW) or after != NEW:
                    problem = f"status {status}, found {found} after {before}, then {after}"
                elif left := _left_over(at):
                    problem = f"left a temporary file, {left[0].name}"
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            tally.count(problem and f"{stage}, {before} there: {problem}", time.perf_counter() - start)
    return tally


def _left_over(folder: Path) -> list[Path]:
    """Temporary files that the next write has not removed; a store removes its own an hour later, with the folder."""
    found = folder.rglob("*.ecgzoo-????????-*-*")
    return [path for path in found if not path.parent.name.startswith(".ecgzoo-unfinished")]


def kill_training(folder: Path, deadline: Deadline, sequences: int, kills: int) -> Tally:
    """Runs with one process, each killed several times at random and resumed; all must give the same weights."""
    from ecgzoo.create import load_cohort

    main = importlib.import_module("ecgzoo.recipes.baseline").main
    load_cohort("faults", None, "superdiagnostic")  # once for all child processes, like the slow imports
    for module in ("timm.optim", "timm.utils", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        importlib.import_module(module)
    flags = [*_flags(), "--output"]

    def child(output: Path) -> int:
        pid = os.fork()
        if not pid:
            status = 1
            try:
                os.dup2(os.open(output.with_suffix(".out"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
                os.dup2(1, 2)
                main([*flags, str(output)])
                status = 0
            finally:
                os._exit(status)
        return pid

    tally, dice, wanted, seconds = Tally("killed: training, one process"), random.Random(0), "", 0.0
    for sequence in range(sequences + 1):
        if deadline.over:
            break
        output, start = folder / f"training-{sequence}", time.perf_counter()
        for kill in range(kills + 1 if sequence else 1):
            pid = child(output)
            if sequence and kill < kills:
                time.sleep(dice.uniform(0.05, 0.6) * seconds)
                os.kill(pid, signal.SIGKILL)
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            if status >= 0:
                break  # it finished before the kill, or failed to resume
            tally.count(None)
        found = _hash(output / "baseline" / "model.safetensors") if status == 0 else ""
        problem = None if status == 0 else _said(output, f"run {sequence} ended with status {status}")
        if not sequence:
            wanted, seconds = found, time.perf_counter() - start
        elif found != wanted:
            problem = problem or f"run {sequence}: weights {found[:12]}, uninterrupted {wanted[:12]}"
        if problem:
            tally.count(problem)
        tally.slowest_s = max(tally.slowest_s, time.perf_counter() - start)
        shutil.rmtree(output, ignore_errors=True)
    return tally


def kill_two_processes(folder: Path, deadline: Deadline, kills: int) -> Tally:
    """The same with two processes of torchrun: all are killed, or one rank, and then the others must end too."""
    tally, dice, wanted, seconds = Tally("killed: training, two processes"), random.Random(1), "", 0.0
    script = Path(__file__).parents[2] / "recipes" / "baseline.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(script)]
    for attempt in range(2):
        output, start = folder / f"two-{attempt}", time.perf_counter()
        for kill in range(kills + 1 if attempt else 1):
            last = not attempt or kill == kills or deadline.left < 2 * seconds
            with open(output.with_suffix(".out"), "w") as said:
                begun = time.perf_counter()
                launcher = subprocess.Popen([*command, *_flags(), "--output", str(output)], stdout=said, stderr=said)
                if not last:
                    time.sleep(dice.uniform(0.4, 0.9) * seconds)
                    ranks = _below(launcher.pid)
                    for pid in ranks[:1] if kill % 2 and ranks else [launcher.pid, *ranks]:
                        os.kill(pid, signal.SIGKILL)
                try:
                    status = launcher.wait(HANGS_S)
                    problem = None
                except subprocess.TimeoutExpired:
                    status, problem = -1, f"hangs for {HANGS_S:g} s after kill {kill}"
                    for pid in (launcher.pid, *_below(launcher.pid)):
                        os.kill(pid, signal.SIGKILL)
                    launcher.wait()
            if last and status:
                problem = problem or _said(output, f"ended with status {status}")
            if problem or not last:
                tally.count(problem, time.perf_counter() - begun)
            if last:
                break
        if last and not status:
            found = _hash(output / "baseline" / "model.safetensors")
            if attempt and found != wanted:
                tally.count(f"weights {found[:12]}, uninterrupted {wanted[:12]}")
            wanted, seconds = found, time.perf_counter() - start
        shutil.rmtree(output, ignore_errors=True)
    return tally


def _flags() -> list[str]:
    fixed = ["--data", "faults", "--student", "faults_net", "--epochs", "10", "--precision", "fp32"]
    return [*fixed, "--batch-size", "16", "--resume"]


def _below(pid: int) -> list[int]:
    """All descendants of a process."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [descendant for child in map(int, children) for descendant in (child, *_below(child))]


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _said(output: Path, what: str) -> str:
    lines = output.with_suffix(".out").read_text(errors="replace").strip().splitlines()
    return f"{what}: {lines[-1][:300] if lines else 'no output'}"
