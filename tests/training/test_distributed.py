"""Two gloo processes against one: the same batches, the same losses, the same bank."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

SCRIPT = Path(__file__).with_name("two_processes.py")


def distil_in_two(runs: dict[Path, dict[str, object]]) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(SCRIPT)]
    given = json.dumps({str(output): fields for output, fields in runs.items()})
    done = subprocess.run([*command, given], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-4000:]


def log(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith("seconds")} for line in lines]


@pytest.mark.slow
def test_two_processes_follow_one(tiny: str, tmp_path: Path) -> None:
    one, two, own_norms = (tmp_path / name for name in ("one", "two", "own_norms"))
    bf16 = {"precision": "bf16", "batch_norm": "per-process", "ema_decay": 0.9}
    distil_in_two({two: {"precision": "fp32"}, own_norms: bf16})  # one after the other: each start takes many seconds
    runpy.run_path(str(SCRIPT))["distil"](str(one), precision="fp32")
    for arm in ("teacher", "student"):
        for a, b in zip(log(one / arm), log(two / arm), strict=True):
            # the AUC is a step function of the scores: on 48 records one flipped pair moves it by a thousandth
            assert b.pop("val_macro_auc") == pytest.approx(a.pop("val_macro_auc"), abs=5e-3)
            assert b == pytest.approx(a, rel=1e-4, abs=1e-5)
    alone = load_file(one / "clt-0-of-1.safetensors")
    ranks = [load_file(two / f"clt-{rank}-of-2.safetensors") for rank in (0, 1)]
    for name, value in ranks[0].items():
        assert torch.equal(value, ranks[1][name]), name
    assert torch.equal(alone["bank.visited"], ranks[0]["bank.visited"])
    for name in ("bank.student", "bank.teacher", "log_z"):
        torch.testing.assert_close(ranks[0][name], alone[name], rtol=5e-4, atol=5e-4)
    results = [json.loads((run / "results.json").read_text()) for run in (one, two)]
    assert [result["processes"] for result in results] == [1, 2]

    # in bfloat16, with batch norms of their own, two processes still are one network
    (line,) = log(own_norms / "student")
    assert line["loss"] > 0
    ranks = [load_file(own_norms / f"best-{rank}-of-2.safetensors") for rank in (0, 1)]
    assert all(torch.equal(value, ranks[1][name]) for name, value in ranks[0].items())  # running statistics too
