"""The Hub on loopback, and huggingface_hub, unmodified, in its own processes: it reads its settings when imported."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from server import Hub

TELEMETRY = {"HF_HUB_DISABLE_TELEMETRY": ""}

DRIVER = """
import json, sys, time, traceback

from ecgzoo.errors import WeightsError
from ecgzoo.weights import hub

answers = []
for name, arguments in json.loads(sys.argv[1]):
    start, answer = time.perf_counter(), {"value": None, "error": None}
    try:
        answer["value"] = str(getattr(hub, name)(**arguments))
    except WeightsError as error:
        answer["error"] = str(error)
        traceback.print_exc()
    answers.append({**answer, "seconds": time.perf_counter() - start, "torch": "torch" in sys.modules})
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Answer:
    """What a call returned or why it failed; `output` is all that its process wrote, tracebacks too."""

    value: str | None
    error: str | None
    seconds: float
    torch: bool
    output: str

    @property
    def folder(self) -> Path:
        assert self.value is not None, self.error
        return Path(self.value)


class Client:
    """huggingface_hub with a separate cache."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def environment(self, endpoint: str, **changes: str) -> dict[str, str]:
        """Of a process: nothing of this machine's own Hub settings."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and not k.lower().endswith("_proxy")}
        settings = {
            "HF_ENDPOINT": endpoint,
            "HF_HOME": str(self.home),
            "HF_HUB_DISABLE_XET": "1",  # xet uses another server
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",  # it asks the Hub once a day for a list of agents, before anything else
            "NO_PROXY": "127.0.0.1,localhost",
        }
        return {**kept, **settings, **changes}

    def calls(
        self,
        endpoint: str,
        calls: Sequence[tuple[str, dict[str, Any]]],
        before: Callable[[], None] | None = None,
        **changes: str,
    ) -> list[Answer]:
        """The answers of functions of ecgzoo.weights.hub, called one after the other in one process."""
        done = subprocess.run(
            [sys.executable, "-c", DRIVER, json.dumps(calls)],
            env=self.environment(endpoint, **changes),
            capture_output=True,
            text=True,
            timeout=120,
            preexec_fn=before,
        )
        assert done.returncode == 0, done.stderr
        return [Answer(**answer, output=done.stdout + done.stderr) for answer in json.loads(done.stdout)]

    def pull(
        self,
        endpoint: str,
        revision: str | None = None,
        repo_id: str = "org/name",
        before: Callable[[], None] | None = None,
        **changes: str,
    ) -> Answer:
        arguments = {"repo_id": repo_id, "revision": revision}
        return self.calls(endpoint, [("pull", arguments)], before, **changes)[0]


@pytest.fixture
def hub() -> Iterator[Hub]:
    with Hub() as running:
        yield running


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return Client(tmp_path / "hf")


def model_files(seed: int = 0, size: int = 300_000) -> dict[str, bytes]:
    """A repository's files, which a pull takes for a model: it verifies them, and does not load them."""
    weights = hashlib.shake_128(bytes([seed])).digest(size)
    config = {"seed": seed, "weights_sha256": hashlib.sha256(weights).hexdigest()}
    card = f"# {seed}\n".encode()
    return {"config.json": json.dumps(config).encode(), "model.safetensors": weights, "README.md": card}


@pytest.fixture(name="model_files", scope="session")
def model_files_fixture() -> Callable[..., dict[str, bytes]]:
    return model_files
