"""A pull gives one commit, whole and verified, from as few requests as it can."""

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TELEMETRY, Client
from server import Hub

Files = Callable[..., dict[str, bytes]]
TOKEN = "hf_verysecrettoken"


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_pull_is_bit_equal_and_light(hub: Hub, client: Client, model_files: Files) -> None:
    sha = hub.commit("org/name", {**model_files(), "notes.txt": b"not of the model", "pytorch_model.bin": b"pickle"})
    answer = client.pull(hub.url, HF_TOKEN=TOKEN)
    assert content(answer.folder) == model_files()
    assert answer.folder.name == sha
    assert not answer.torch
    assert hub.log[0] == "GET /api/models/org/name/revision/main"
    assert sum("/api/" in request for request in hub.log) == 1
    # the token is for the Hub, not for the host that large files come from
    sent = [headers.get("Authorization") for headers in hub.headers]
    assert [token for request, token in zip(hub.log, sent, strict=True) if "/cdn/" in request] == [None]
    assert set(sent) == {f"Bearer {TOKEN}", None}


def test_what_is_cached_costs_no_request_or_one(hub: Hub, client: Client, model_files: Files) -> None:
    sha = hub.commit("org/name", model_files(size=8_000_000))
    first = client.pull(hub.url)
    hub.log.clear()
    pinned = client.calls(hub.url, [("pull", {"repo_id": "org/name", "revision": sha})] * 5, **TELEMETRY)
    assert hub.log == []
    assert {answer.folder for answer in pinned} == {first.folder}
    assert min(answer.seconds for answer in pinned) <= 0.05, "verification of 8 MB"
    assert client.pull(hub.url).folder == first.folder
    assert hub.log == ["GET /api/models/org/name/revision/main"]


def test_a_pin_stays_and_a_branch_moves(hub: Hub, client: Client, model_files: Files) -> None:
    old = hub.commit("org/name", model_files(0))
    assert content(client.pull(hub.url).folder) == model_files(0)
    new = hub.commit("org/name", model_files(1))
    hub.repositories["org/name"].branches["v1"] = old
    moved, pinned, branch, short = client.calls(
        hub.url, [("pull", {"repo_id": "org/name", "revision": revision}) for revision in (None, old, "v1", new)]
    )
    assert content(moved.folder) == content(short.folder) == model_files(1)
    assert content(pinned.folder) == content(branch.folder) == model_files(0)


def test_config_and_weights_are_of_one_commit(hub: Hub, client: Client, model_files: Files) -> None:
    """A publisher's commit in the middle of a pull changes nothing of it."""
    old = hub.commit("org/name", model_files(0))
    hub.fail(r"GET /org/name/resolve/.*/config.json", before=lambda: hub.commit("org/name", model_files(1)))
    answer = client.pull(hub.url)
    assert answer.folder.name == old
    assert content(answer.folder) == model_files(0)


@pytest.mark.parametrize("variable", ["ECGZOO_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_is_the_cache_and_no_request(hub: Hub, client: Client, model_files: Files, variable: str) -> None:
    sha = hub.commit("org/name", model_files(0))
    hub.repositories["org/name"].branches["v1"] = sha
    calls = [("pull", {"repo_id": "org/name", "revision": revision}) for revision in (None, "v1", sha, "v2")]
    calls.append(("pull", {"repo_id": "org/other"}))
    refused = client.calls(hub.url, calls, **{variable: "1"})
    assert all("is not in" in str(answer.error) and "ecgzoo pull" in str(answer.error) for answer in refused)
    client.calls(hub.url, calls[:2])
    hub.commit("org/name", model_files(1))
    hub.log.clear()
    *there, branch, other = client.calls(hub.url, calls, **{variable: "1"}, **TELEMETRY)
    assert {answer.folder.name for answer in there} == {sha}
    assert "hf-hub:org/name@v2 is not in" in str(branch.error)
    assert "hf-hub:org/other@main is not in" in str(other.error)
    assert hub.log == []


def test_a_pull_that_failed_leaves_the_commit_before_it(hub: Hub, client: Client, model_files: Files) -> None:
    old = hub.commit("org/name", model_files(0))
    client.pull(hub.url)
    hub.commit("org/name", model_files(1))
    hub.fail(r"HEAD .*/model.safetensors", status=500)
    failed = client.pull(hub.url)
    assert "has an error (status 500)" in str(failed.error)
    assert "ECGZOO_OFFLINE=1 to use the commit in the cache" in str(failed.error)
    assert client.pull(hub.url, ECGZOO_OFFLINE="1").folder.name == old
