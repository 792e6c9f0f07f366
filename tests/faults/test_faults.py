"""The short form of `make faults`: some kills, a full disk where one may be mounted, a hundredth of the wrong forms."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PLANTED = """
import os, signal, sys, time
from pathlib import Path
from benchmarks._faults import fuzz, kills
from benchmarks._faults.common import Deadline, install_plugin
from ecgzoo.errors import EcgZooError

folder = Path(sys.argv[1])
install_plugin(folder)

def write_in_place(at, number):
    with open(at / "file", "w") as file:
        file.write(f"{number}" * 2000)

def read(at):
    text = (at / "file").read_text() if (at / "file").exists() else None
    return text and (int(text[0]) if text == text[:1] * 2000 else -1)

print("kill", kills._kill_writer(folder, kills.Writer("in place", write_in_place, read), True).lost > 0)

class BadError(EcgZooError):
    def __str__(self):
        return "two\\nlines"

def bad():
    raise BadError()

held = []
planted = {
    "foreign": lambda dice: {}["x"],
    "lines": lambda dice: bad(),
    "outside": lambda dice: (folder.parent / "outside").write_text(""),
    "slow": lambda dice: time.sleep(0.4),
    "memory": lambda dice: bytearray(90 << 20),
    "hang": lambda dice: time.sleep(60),
    "sound": lambda dice: None,
}
inside = folder / "inside"
inside.mkdir()
harness = fuzz.Harness(inside)
for name, case in planted.items():
    fuzz.SECONDS = 0.2 if name in ("slow", "hang") else 5  # a busy machine may take long to give 90 MB
    fuzz.TARGETS[name] = (lambda at, case=case: case, 1)
    print(name, harness.run(name, range(1), Deadline(60)).said)
"""


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills and memory are measured as Linux does")
def test_nothing_is_lost() -> None:
    command = [sys.executable, "-m", "benchmarks.faults", "--quick"]
    environment = {**os.environ, "COLUMNS": "150"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=environment, cwd=CHECKOUT)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    tried = {name.strip(): int(count) for name, count in re.findall(r"│ ([^│]+?) +│ (\d+) ", done.stdout)}
    assert sum(count for name, count in tried.items() if name.startswith("killed: ")) > 80
    assert sum(count for name, count in tried.items() if name.startswith("wrong form: ")) > 1000
    assert any(name.startswith("full disk: ") for name in tried) or "full disks are not tested" in done.stdout


@pytest.mark.slow
@pytest.mark.timeout(120)
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills and memory are measured as Linux does")
def test_a_loss_is_seen(tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    command = [sys.executable, "-c", PLANTED, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    expected = {
        "kill": "True",
        "foreign": "KeyError",
        "lines": "not one printable line",
        "outside": "outside its folder: open",
        "slow": "0.4 s",
        "memory": "MB, 50 allowed",
        "hang": "hangs",
        "sound": "[]",
    }
    for name, part in expected.items():
        assert part in said[name], name
