"""``ecgzoo push`` and ``ecgzoo pull``, as typed."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import TELEMETRY, Client
from server import Hub

import ecgzoo

TOKEN = "hf_verysecrettoken"


def ecgzoo_command(client: Client, hub: Hub, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "ecgzoo", *arguments]
    environment = client.environment(hub.url, **changes)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    return ecgzoo.save_pretrained(ecgzoo.create_student("xresnet1d18"), tmp_path / "model")


def test_a_dry_run_says_what_and_makes_no_request(hub: Hub, client: Client, folder: Path) -> None:
    (folder / "log.jsonl").write_text("")
    arguments = ["push", str(folder), "--repo-id", "org/name", "--revision", "v1", "--dry-run"]
    done = ecgzoo_command(client, hub, *arguments, **TELEMETRY)
    assert (done.returncode, hub.log) == (0, []), done.stderr
    head, *lines, left_out = done.stdout.splitlines()
    assert left_out.strip() == "left out: log.jsonl"
    (folder / "log.jsonl").unlink()
    assert head == "would push to hf-hub:org/name@v1:"
    assert sorted(line.split()[0] for line in lines) == sorted(path.name for path in folder.iterdir())
    for line in lines:
        name, size, unit, kind, digest = line.split()
        assert (unit, kind) == ("bytes", "sha256")
        assert int(size) == (folder / name).stat().st_size
        assert digest == hashlib.sha256((folder / name).read_bytes()).hexdigest()


def test_push_then_pull(hub: Hub, client: Client, folder: Path) -> None:
    hub.token = TOKEN
    arguments = ["push", str(folder), "--repo-id", "org/name", "--private", "--revision", "v1"]
    pushed = ecgzoo_command(client, hub, *arguments, HF_TOKEN=TOKEN)
    assert pushed.returncode == 0, pushed.stderr
    assert hub.repositories["org/name"].private
    commit = hub.repositories["org/name"].branches["v1"]
    assert pushed.stdout.splitlines()[-1] == f"hf-hub:org/name@{commit}"
    pulled = ecgzoo_command(client, hub, "pull", "org/name", "--revision", "v1", HF_TOKEN=TOKEN)
    assert pulled.returncode == 0, pulled.stderr
    where, how = pulled.stdout.splitlines()
    assert Path(where).name == commit
    assert how == f'model = ecgzoo.load_pretrained("hf-hub:org/name@{commit}")'
    for name in ("config.json", "model.safetensors", "README.md"):
        assert (Path(where) / name).read_bytes() == (folder / name).read_bytes()
    code = f"""
import ecgzoo, torch
x = torch.randn(2, 1, 250)
hub = ecgzoo.create_student("xresnet1d18", pretrained="hf-hub:org/name@{commit}")
print(torch.equal(hub(x), ecgzoo.load_pretrained({str(folder)!r})(x)), hub.weights_source.origin)
print(ecgzoo.load_pretrained("hf-hub:org/name@v1").weights_source.location)
"""
    environment = client.environment(hub.url, HF_TOKEN=TOKEN)
    hub.log.clear()
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == ["True", "hub", f"hf-hub:org/name@{commit}"], done.stderr
    assert hub.log == ["GET /api/models/org/name/revision/v1"]  # a pinned commit that is in the cache costs none


def test_an_error_is_one_line(hub: Hub, client: Client) -> None:
    done = ecgzoo_command(client, hub, "pull", "org/name")
    assert done.returncode == 2
    assert done.stderr.startswith("error: hf-hub:org/name@main: no such repository")
    assert done.stderr.count("\n") == 1
