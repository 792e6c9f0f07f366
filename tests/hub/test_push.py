"""A push publishes a model that loads, nothing else, in one commit; what is pulled back is the same model."""

import shutil
from pathlib import Path

import pytest
import torch
from conftest import Client
from server import Hub

import ecgzoo

TOKEN = "hf_verysecrettoken"
FILES = ("README.md", "config.json", "model.safetensors")

UNPUBLISHED = ("checkpoint.safetensors", "patients.csv", ".env", "unseen.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    folder = ecgzoo.save_pretrained(ecgzoo.create_student("xresnet1d18"), tmp_path_factory.mktemp("push") / "model")
    with (folder / "README.md").open("a") as card:
        card.write('![plot](plot.png)\n<img src="other.png" width="300">\n![badge](https://example.org/badge.svg)\n')
    for name in ("plot.png", "other.png", *UNPUBLISHED):
        (folder / name).write_bytes(b"\x89PNG " + name.encode())
    return folder


def test_pushed_and_pulled_is_the_same_model(hub: Hub, client: Client, folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other = ecgzoo.save_pretrained(ecgzoo.create_student("xresnet1d18"), tmp_path / "other")
    hub.token = TOKEN
    hub.commit("org/public", {})
    calls = [
        ("push", {"folder": str(folder), "repo_id": "org/name", "private": True}),
        ("push", {"folder": str(other), "repo_id": "org/name", "revision": "second"}),
        ("push", {"folder": str(other), "repo_id": "org/name", "revision": "second"}),
        ("push", {"folder": str(folder), "repo_id": "org/public", "private": True}),
        ("push", {"folder": str(folder), "repo_id": "org/public"}),
    ]
    first, second, _, private, public = client.calls(hub.url, calls, HF_TOKEN=TOKEN)

    repository = hub.repositories["org/name"]
    assert repository.private
    assert first.value == f"hf-hub:org/name@{repository.branches['main']}"
    published = repository.commits[repository.branches["main"]]
    assert set(published) == {*FILES, "plot.png", "other.png", ".gitattributes"}
    for name in set(published) - {".gitattributes"}:
        assert published[name] == (folder / name).read_bytes()
    assert hub.log.count("POST /api/models/org/name/commit/main") == 1
    assert repository.branches["second"] != repository.branches["main"]
    assert "org/public exists and is public" in str(private.error)
    assert public.value

    addresses = [str(answer.value).removeprefix("hf-hub:").split("@") for answer in (first, second)]
    calls = [("pull", {"repo_id": repo_id, "revision": revision}) for repo_id, revision in addresses]
    answers = client.calls(hub.url, calls, HF_TOKEN=TOKEN)
    pulled = [ecgzoo.load_pretrained(answer.folder) for answer in answers]
    x = torch.randn(2, 1, 250)
    for model, source in zip(pulled, (folder, other), strict=True):
        expected = ecgzoo.load_pretrained(source)
        assert torch.equal(model(x), expected(x))
        assert model.config == expected.config
    assert not torch.equal(pulled[0](x), pulled[1](x))


def test_what_should_not_be_published_makes_no_request(hub: Hub, client: Client, folder: Path, tmp_path: Path) -> None:
    def spoilt(name: str, file: str, content: str | None) -> str:
        copy = shutil.copytree(folder, tmp_path / name)
        if content is None:
            (copy / file).unlink()
        else:
            (copy / file).write_text(content)
        return str(copy)

    card = (folder / "README.md").read_text()
    cases = [
        ({"folder": spoilt("no-card", "README.md", None)}, "no README.md, the model's card"),
        (
            {"folder": spoilt("no-image", "plot.png", None)},
            "README.md shows plot.png; expected a .png in the same folde",
        ),
        ({"folder": spoilt("above", "README.md", card + "![](../../x.png)")}, "shows ../../x.png"),
        ({"folder": spoilt("svg", "README.md", card + "![](x.svg)")}, "shows x.svg"),
        ({"folder": spoilt("damaged", "model.safetensors", "damaged")}, "its config says"),
        ({"folder": spoilt("no-weights", "model.safetensors", None)}, "no model.safetensors"),
        ({"folder": str(tmp_path / "nowhere")}, "no config.json"),
        ({"folder": str(folder), "repo_id": "name"}, "is not the name of a repository"),
        ({"folder": str(folder), "revision": "a b"}, "is not a revision"),
        ({"folder": str(folder), "revision": "0" * 40}, "cannot push to a commit; give a branch"),
    ]
    calls = [
        ("push", {"repo_id": "org/name", "dry_run": dry_run, **case}) for case, _ in cases for dry_run in (True, 0)
    ]
    answers = client.calls(hub.url, calls)
    assert hub.log == []
    for (_, message), dry, wet in zip(cases, answers[::2], answers[1::2], strict=True):
        assert message in str(dry.error)
        assert dry.error == wet.error


def test_a_push_that_is_refused(hub: Hub, client: Client, folder: Path) -> None:
    hub.token = TOKEN
    hub.fail("POST /org/lost.git", status=404)
    hub.fail("POST /api/models/org/forbidden/preupload", status=403, headers={"X-Error-Message": "no write access"})
    hub.fail("POST /api/models/org/full/commit", status=413, headers={"X-Error-Message": "over your quota"})
    hub.fail("/org/dead", hang=True)
    push = {"folder": str(folder), "private": True}
    calls = [("push", {**push, "repo_id": f"org/{name}"}) for name in ("lost", "forbidden", "full", "dead")]
    answers = client.calls(hub.url, calls, HF_TOKEN=TOKEN, HF_HUB_ETAG_TIMEOUT="1")
    lost, forbidden, full, dead = (str(answer.error) for answer in answers)
    assert "hf-hub:org/lost@main: no such repository" in lost
    assert "your token does not allow it (no write access)" in forbidden
    assert "refuses with status 413 (over your quota)" in full
    assert "check the network" in dead
    assert answers[-1].seconds <= 3
    (answer,) = client.calls(hub.url, [("push", {**push, "repo_id": "org/closed"})], HF_TOKEN="hf_anothertoken")
    assert "set HF_TOKEN or run `hf auth login`" in str(answer.error)
    assert "anothertoken" not in answer.output
    assert "org/closed" not in hub.repositories


def test_nothing_is_pushed_offline(hub: Hub, client: Client, folder: Path) -> None:
    push = ("push", {"folder": str(folder), "repo_id": "org/name"})
    (answer,) = client.calls(hub.url, [push], ECGZOO_OFFLINE="1")
    assert "nothing is pushed while ECGZOO_OFFLINE or HF_HUB_OFFLINE is set" in str(answer.error)
    assert hub.log == []
