"""examples/web/read.js, run by node: what it reads and refuses of a text."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

READER = Path(__file__).parents[2] / "examples" / "web" / "read.js"
SCRIPT = """
import { readFileSync } from "node:fs";
const { csv } = await import(process.argv[1]);
try {
  const { rate, channels } = csv(readFileSync(0, "utf8"));
  console.log(JSON.stringify({ rate, names: channels.map(({ name }) => name) }));
} catch (error) {
  console.log(JSON.stringify({ error: error.message }));
}
"""


def read(text: str) -> dict[str, Any]:
    node = shutil.which("node")
    if not node:
        pytest.skip("node is not installed")
    command = [node, "--input-type=module", "-e", SCRIPT, READER.as_uri()]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def timed(times: list[float], header: str = "time (s),I (mV)", digits: int = 6) -> str:
    return header + "\n" + "".join(f"{time:.{digits}f},{time % 1:.3f}\n" for time in times)


@pytest.mark.parametrize(("rate", "digits"), [(250, 6), (360, 3), (512, 3), (100, 2)])
def test_even_times_give_the_rate(rate: int, digits: int) -> None:
    text = timed([k / rate for k in range(10 * rate)], digits=digits)
    assert read(text) == {"rate": rate, "names": ["I"]}


def test_a_change_of_rate_is_refused() -> None:
    times = [k / 250 for k in range(1250)] + [5 + k / 180 for k in range(900)]
    assert read(timed(times)) == {"error": "the rate changes at line 1252; cut the file there and read the parts"}
