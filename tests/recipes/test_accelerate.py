"""recipes/accelerate: what accelerate reads in its files, and two "machines" on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "recipes" / "accelerate"
FLAGS = "mvkt --data tiny --teacher resnet1d18 --student resnet1d18 --no-compare --epochs 2 --batch-size 32 --lr 5e-4 "
FLAGS += "--opt sgd --sched constant --precision fp32 --output"


@pytest.mark.parametrize(("name", "given", "processes"), [("one_gpu", [], 1), ("gpus", ["--num_processes", "4"], 4)])
def test_accelerate_reads_its_configurations(name: str, given: list[str], processes: int) -> None:
    from accelerate.commands.launch import _validate_launch_command, launch_command_parser

    config = ["--config_file", str(FOLDER / f"{name}.yaml"), *given]
    parsed = launch_command_parser().parse_args([*config, "-m", "ecgzoo", "recipe", "mvkt"])
    arguments, *_ = _validate_launch_command(parsed)
    assert (arguments.num_processes, arguments.num_machines, arguments.multi_gpu) == (processes, 1, processes > 1)
    assert (arguments.mixed_precision, str(arguments.dynamo_backend).lower()) == ("no", "no")


def start(script: str, output: Path, **variables: object) -> "subprocess.Popen[str]":
    environment = {**os.environ, "PYTHON": sys.executable, **{name: str(value) for name, value in variables.items()}}
    command = ["sh", str(FOLDER / script), *FLAGS.split(), str(output)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def log(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith("seconds")} for line in lines]


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="finds the processes of torchrun in /proc")
def test_two_nodes_with_a_killed_process_follow_one(tiny: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {"HOST": "127.0.0.1", "PORT": port, "NODES": 2, "PROCESSES": 1, "PET_LOCAL_ADDR": "127.0.0.1"}
    nodes = [start("nodes.sh", tmp_path / "two", **given) for _ in range(2)]
    request.addfinalizer(lambda: [node.kill() for node in nodes])
    first_epoch = tmp_path / "two" / "teacher" / "checkpoint.safetensors"
    while not first_epoch.exists():
        assert all(node.poll() is None for node in nodes), nodes[0].communicate()[1][-3000:]
        time.sleep(0.05)
    killed = int(Path(f"/proc/{nodes[1].pid}/task/{nodes[1].pid}/children").read_text().split()[0])
    os.kill(killed, signal.SIGKILL)
    said = [node.communicate(timeout=600)[1] for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], said[0][-3000:] + said[1][-3000:]
    assert f"(pid: {killed})" in said[1]  # it really died, and was started again

    one = start("cpu.sh", tmp_path / "one", PROCESSES=1)
    assert one.wait(600) == 0
    for arm in ("teacher", "student"):
        for a, b in zip(log(tmp_path / "one" / arm), log(tmp_path / "two" / arm), strict=True):
            assert b.pop("val_macro_auc") == pytest.approx(a.pop("val_macro_auc"), abs=5e-3)
            assert b == pytest.approx(a, rel=1e-4, abs=1e-5)
    assert json.loads((tmp_path / "two" / "results.json").read_text())["processes"] == 2
