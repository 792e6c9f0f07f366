"""A Hub that means harm: names that are paths, and cards that take hours to search."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Client
from server import Hub

Files = Callable[..., dict[str, bytes]]


@pytest.mark.parametrize("etag", ["../../../owned", "{tmp_path}/owned", "..", ".owned", "a/b", "a\\b", "x" * 300])
@pytest.mark.parametrize("file", ["config.json", "model.safetensors"])
def test_an_etag_that_is_a_path_is_refused_before_the_client_writes(
    hub: Hub, client: Client, model_files: Files, tmp_path: Path, etag: str, file: str
) -> None:
    etag = etag.format(tmp_path=tmp_path)
    hub.commit("org/name", model_files())
    hub.fail(f"(HEAD|GET) /org/name/resolve/.*/{file}", headers={"ETag": f'"{etag}"', "X-Linked-ETag": f'"{etag}"'})
    before = {path for path in tmp_path.rglob("*") if "owned" in path.name}
    answer = client.pull(hub.url)
    assert "ETag" in str(answer.error)
    assert "check HF_ENDPOINT" in str(answer.error)
    assert {path for path in tmp_path.rglob("*") if "owned" in path.name} == before
    assert not [request for request in hub.log if request.startswith("GET /org") and request.endswith(file)]


def test_a_commit_that_is_a_path_is_refused_before_the_client_writes(
    hub: Hub, client: Client, model_files: Files, tmp_path: Path
) -> None:
    hub.commit("org/name", model_files())
    hub.fail("(HEAD|GET) /org/name/resolve/", headers={"X-Repo-Commit": "../../../../owned"})
    assert "answers with commit ../../../../owned" in str(client.pull(hub.url).error)
    assert not [path for path in tmp_path.rglob("*") if "owned" in path.name]


def test_a_config_of_many_megabytes_is_not_fetched(hub: Hub, client: Client, model_files: Files) -> None:
    hub.commit("org/name", {**model_files(), "config.json": b" " * (5 << 20)})
    assert "so it is not a config" in str(client.pull(hub.url).error)
    assert not [request for request in hub.log if request.startswith("GET") and request.endswith("config.json")]


@pytest.mark.parametrize(
    "text", ["![", "![](", "<img ", "<img src", "<img src=", "![a](  ", 'ecgzoo.load_pretrained("\\', "<img a "]
)
def test_a_card_is_searched_at_once(text: str) -> None:
    from ecgzoo.weights.hub import CARD_BYTES, SHOWN, addressed

    card = text * (CARD_BYTES // len(text))
    start = time.perf_counter()
    SHOWN.findall(card)
    addressed(card.encode(), "hf-hub:a/b")
    assert time.perf_counter() - start < 2


def test_the_pictures_of_a_card_are_still_found() -> None:
    from ecgzoo.weights.hub import SHOWN

    card = '![a [b] c](a.png) ![](<b.png>) <img width="3" src="c.png"> <img src = d.png>'
    assert {a or b for a, b in SHOWN.findall(card)} >= {"b.png", "c.png", "d.png"}
