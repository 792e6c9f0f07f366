"""A Hub that is dead, slow or damaged, a cache that is damaged, a disk that is full."""

import hashlib
import json
import resource
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TELEMETRY, Client
from server import Hub

Files = Callable[..., dict[str, bytes]]


def test_nothing_listens(client: Client) -> None:
    with socket.socket() as taken:  # bound, and not listening
        taken.bind(("127.0.0.1", 0))
        answer = client.pull(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert answer.seconds <= 5
    assert "refused" in str(answer.error)
    assert "check the network, HF_ENDPOINT, HF_TOKEN and the proxy" in str(answer.error)


def test_no_name_resolves(client: Client) -> None:
    answer = client.pull("http://no-such-host.invalid")
    assert answer.seconds <= 5
    assert "no-such-host.invalid" in str(answer.error)
    assert "check the network, HF_ENDPOINT, HF_TOKEN and the proxy" in str(answer.error)


def test_taken_and_never_answered(hub: Hub, client: Client, model_files: Files) -> None:
    hub.commit("org/name", model_files())
    hub.fail("GET /api/", hang=True)
    answer = client.pull(hub.url, **TELEMETRY)
    assert 3 <= answer.seconds <= 5
    assert "check the network" in str(answer.error)
    assert [request for request in hub.log if "/models/" in request] == ["GET /api/models/org/name/revision/main"]


def test_a_header_that_drips_is_no_answer(client: Client) -> None:
    """Each byte is in time, and yet nothing is ever answered: the whole has a limit too."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            taken, _ = server.accept()
            with taken:
                try:
                    for _ in range(60):
                        taken.sendall(b"H")
                        time.sleep(0.2)
                except OSError:
                    pass

        threading.Thread(target=drip, daemon=True).start()
        answer = client.pull(f"http://127.0.0.1:{server.getsockname()[1]}", HF_HUB_ETAG_TIMEOUT="1")
    assert 1 <= answer.seconds <= 3
    assert "did not answer in time; check the network, HF_ENDPOINT and the proxy, or set HF_HUB_ETAG_TIMEOUT" in str(
        answer.error
    )


def test_files_that_are_never_answered(hub: Hub, client: Client, model_files: Files) -> None:
    hub.commit("org/name", model_files())
    hub.fail("HEAD .*/model.safetensors", hang=True)
    answer = client.pull(hub.url, HF_HUB_ETAG_TIMEOUT="1")
    assert answer.seconds <= 3
    assert answer.error


def test_a_slow_download_goes_on(hub: Hub, client: Client, model_files: Files) -> None:
    hub.commit("org/name", model_files())
    hub.fail("GET /cdn/", pause_s=0.2)
    answer = client.pull(hub.url, HF_HUB_ETAG_TIMEOUT="1")
    assert answer.seconds >= 2  # the patience is 1 s
    assert (answer.folder / "model.safetensors").read_bytes() == model_files()["model.safetensors"]


def test_a_proxy_is_used(hub: Hub, client: Client, model_files: Files) -> None:
    hub.commit("org/name", model_files())
    answer = client.pull("http://hub.invalid", HTTP_PROXY=hub.url, NO_PROXY="localhost")
    assert answer.folder.is_dir()
    assert {headers["Host"] for headers in hub.headers} == {"hub.invalid", f"localhost:{hub.port}"}


def test_a_download_that_dies_is_resumed(hub: Hub, client: Client, model_files: Files) -> None:
    """The body is cut short of its Content-Length, twice; the client keeps whole pieces of 10 MiB."""
    files = model_files(size=22_000_000)
    hub.commit("org/name", files)
    hub.fail("GET /cdn/", times=2, cut=11_000_000)
    answer = client.pull(hub.url)
    assert (answer.folder / "model.safetensors").read_bytes() == files["model.safetensors"]
    requests = zip(hub.log, hub.headers, strict=True)
    ranges = [headers.get("Range") for request, headers in requests if "GET /cdn" in request]
    assert ranges == [None, f"bytes={10 * 2**20}-", f"bytes={20 * 2**20}-"]


def test_a_download_that_stays_dead_is_an_error(hub: Hub, client: Client, model_files: Files) -> None:
    hub.commit("org/name", model_files())
    hub.fail("GET /cdn/", cut=0)
    answer = client.pull(hub.url)
    assert answer.seconds <= 10
    assert "the exchange with" in str(answer.error)
    assert "check the network" in str(answer.error)
    assert not list(client.home.rglob("snapshots/*/model.safetensors"))
    hub.faults.clear()
    assert client.pull(hub.url).folder.is_dir()


def test_other_bytes_than_announced_are_removed(hub: Hub, client: Client, model_files: Files) -> None:
    files = model_files()
    hub.commit("org/name", files)
    others = model_files(1)["model.safetensors"]
    hub.fail("GET /cdn/", body=others)
    answer = client.pull(hub.url)
    for text in (
        "model.safetensors has sha256 " + hashlib.sha256(others).hexdigest(),
        "its config says " + hashlib.sha256(files["model.safetensors"]).hexdigest(),
        "has been removed from the cache; pull again",
    ):
        assert text in str(answer.error)
    assert not [path for path in client.home.rglob("*") if path.is_file() and path.read_bytes() == others]
    assert "is not in" in str(client.pull(hub.url, ECGZOO_OFFLINE="1").error)
    hub.faults.clear()
    assert (client.pull(hub.url).folder / "model.safetensors").read_bytes() == files["model.safetensors"]


@pytest.mark.parametrize("links", [True, False])
def test_a_cached_file_that_decayed_is_found_and_removed(
    hub: Hub, client: Client, model_files: Files, links: bool
) -> None:
    settings = {} if links else {"HF_HUB_DISABLE_SYMLINKS": "1"}  # as on Windows
    sha = hub.commit("org/name", model_files())
    weights = client.pull(hub.url, sha, **settings).folder / "model.safetensors"
    assert weights.is_symlink() == links
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1] + b"?")
    hub.log.clear()
    assert "has been removed from the cache; pull again" in str(client.pull(hub.url, sha, **settings).error)
    assert hub.log == []
    assert (client.pull(hub.url, sha, **settings).folder / "model.safetensors").read_bytes() == whole


def test_weights_published_with_another_config_stay_and_are_refused(
    hub: Hub, client: Client, model_files: Files
) -> None:
    files = model_files(0)
    sha = hub.commit("org/name", {**files, "model.safetensors": model_files(1)["model.safetensors"]})
    for revision in (None, sha):
        answer = client.pull(hub.url, revision)
        assert "was published like this; use another revision, and tell its publisher" in str(answer.error)
    assert list(client.home.rglob("snapshots/*/model.safetensors"))
    assert hub.log.count("GET /cdn/" + hashlib.sha256(model_files(1)["model.safetensors"]).hexdigest()) == 1
    assert "is not in" in str(client.pull(hub.url, ECGZOO_OFFLINE="1").error)


def test_a_config_that_changed_hands(hub: Hub, client: Client, model_files: Files) -> None:
    """A file of the cache that someone edited is not what the Hub has."""
    sha = hub.commit("org/name", model_files())
    config = client.pull(hub.url).folder / "config.json"
    config.write_text(json.dumps({"weights_sha256": "0" * 64}))
    assert "its config says 0000" in str(client.pull(hub.url, sha).error)


def test_a_full_disk(hub: Hub, client: Client, model_files: Files) -> None:
    hub.commit("org/name", model_files())

    def small_files_only() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    answer = client.pull(hub.url, before=small_files_only)
    assert "File too large" in str(answer.error)
    assert "check space and permissions there, or set HF_HOME" in str(answer.error)
    assert not list(client.home.rglob("*.incomplete"))
    assert client.pull(hub.url).folder.is_dir()


def test_a_home_that_is_a_file(hub: Hub, client: Client, model_files: Files) -> None:
    hub.commit("org/name", model_files())
    client.home.write_text("")
    assert f"{client.home}" in str(client.pull(hub.url).error)


def test_a_cache_that_is_read_only_serves(hub: Hub, client: Client, model_files: Files) -> None:
    sha = hub.commit("org/name", model_files())
    client.pull(hub.url, sha)
    (repository,) = Path(client.home).glob("hub/models--org--name")
    (repository / "refs").write_text("no branch can be noted here")
    assert client.pull(hub.url).folder.name == sha
