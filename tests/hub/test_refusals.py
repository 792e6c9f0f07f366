"""A refused pull gives one sentence at once, with what to do, and never with the token."""

import hashlib
import re
from collections.abc import Callable

import pytest
from conftest import Answer, Client
from server import Hub

Files = Callable[..., dict[str, bytes]]
TOKEN = "hf_verysecrettoken"

# what is wrong with org/<case>, and what the message must say of it
REFUSALS = {
    "no-repository": "no such repository, or you have no access .* set HF_TOKEN",
    "no-revision": "no such revision",
    "no-config": "holds no config.json, so it was not published by ecgzoo",
    "no-weights": "holds no model.safetensors",
    "no-file": "there is no file config.json on the Hub",
    "foreign-config": "has no weights_sha256",
    "broken-config": "config.json is not JSON; delete .*models--org--broken-config and pull again",
    "deep-config": "config.json is not JSON",
    "private": "or you have no access to it",
    "gated": "request it on the model's page",
    "disabled": "your token does not allow it .*disabled",
    "pickle": r"holds pytorch_model.bin and no model.safetensors: a pickle can run any code .*save_pretrained",
    "pickled-checkpoint": "holds last.ckpt and no model.safetensors: a pickle can run any code",
    "busy-long": "too many requests; try again in 3600 s",
    "busy-limit": "too many requests; try again in 55 s",
    "busy-unsaid": "too many requests; try again later",
    "busy-for-ever": "too many requests; try again in 1 s",
    "trouble": "has an error .status 500",
    "files-in-trouble": "has an error .status 502",
    "teapot": "refuses with status 418 .short and stout",
    "portal": "the exchange with .* failed .JSONDecodeError",
    "no-hub": "the exchange with .* failed",
    "other-commit": "answers with commit '0000",
    "short-file": "the exchange with .* failed .*should be of size 300000 but has size 5",
}


def prepare(hub: Hub, model_files: Files) -> None:
    files = model_files()
    for case in REFUSALS:
        if case != "no-repository":
            hub.commit(f"org/{case}", files, private=case == "private")
    for case, removed, added in [
        ("no-config", "config.json", {}),
        ("no-weights", "model.safetensors", {}),
        ("pickle", "model.safetensors", {"pytorch_model.bin": b"cos\nsystem\n"}),
        ("pickled-checkpoint", "model.safetensors", {"last.ckpt": b"cos\nsystem\n"}),
        ("foreign-config", "config.json", {"config.json": b'{"model_type": "bert"}'}),
        ("broken-config", "config.json", {"config.json": b"{"}),
        ("deep-config", "config.json", {"config.json": b"[" * 100_000}),
    ]:
        repository = hub.repositories[f"org/{case}"]
        last = repository.commits[repository.branches["main"]]
        del last[removed]
        last.update(added)
    hub.token = TOKEN
    hub.fail("HEAD /org/no-file/", status=404, headers={"X-Error-Code": "EntryNotFound"})
    hub.fail("HEAD /org/gated/", status=403, headers={"X-Error-Code": "GatedRepo"})
    hub.fail("/org/disabled", status=403, headers={"X-Error-Message": "Access to this resource is disabled."})
    hub.fail("/org/busy-long", status=429, headers={"Retry-After": "3600"})
    hub.fail("/org/busy-limit", status=429, headers={"ratelimit": '"api";r=0;t=55'})
    hub.fail("/org/busy-unsaid", status=429)
    hub.fail("HEAD /org/busy-for-ever", status=429, headers={"Retry-After": "1"})
    hub.fail("/org/trouble", status=500)
    hub.fail("HEAD /org/files-in-trouble", status=502)
    hub.fail("/org/teapot", status=418, headers={"X-Error-Message": "short and stout"})
    hub.fail("/org/portal", status=200, body=b"<html>Please log in to the hotel's network.</html>")
    hub.fail("/org/no-hub", status=200, body=b"[]")
    hub.fail("/org/other-commit", status=200, body=b'{"id": "org/other-commit", "sha": "%s"}' % (b"0" * 40))
    short = model_files(1)
    hub.commit("org/short-file", short)
    hub.fail("GET /cdn/" + hashlib.sha256(short["model.safetensors"]).hexdigest(), body=b"short")


@pytest.fixture(scope="module")
def refusals(
    tmp_path_factory: pytest.TempPathFactory, model_files: Files
) -> tuple[dict[str, Answer], list[str], Client]:
    """All of them in one process; and the requests."""
    client = Client(tmp_path_factory.mktemp("refusals"))
    revisions = {"no-revision": "v9", "other-commit": "1" * 40}
    with Hub() as hub:
        prepare(hub, model_files)
        calls = [("pull", {"repo_id": f"org/{case}", "revision": revisions.get(case)}) for case in REFUSALS]
        answers = client.calls(hub.url, calls)
        return dict(zip(REFUSALS, answers, strict=True)), hub.log, client


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_say_what_and_what_to_do(case: str, refusals: tuple[dict[str, Answer], list[str], Client]) -> None:
    answer = refusals[0][case]
    assert answer.error is not None
    assert re.search(REFUSALS[case], answer.error), answer.error
    assert f"org/{case}" in answer.error or f"org--{case}" in answer.error
    assert "\n" not in answer.error
    assert len(answer.error) < 450
    assert answer.seconds <= 5


def test_no_pickle_is_fetched(refusals: tuple[dict[str, Answer], list[str], Client]) -> None:
    _, log, client = refusals
    assert not [request for request in log if "resolve" in request and "/pickle" in request]
    assert not [path for path in client.home.rglob("*") if path.suffix in {".bin", ".ckpt"}]


def test_what_is_no_address_makes_no_request(hub: Hub, client: Client) -> None:
    names = ["name", "a/b/c", "org/na me", "org/../name", "../name", "", "org/name.git", "org/name@main", "https://x/y"]
    revisions = ["../../x", "a b", "-x", "/etc/passwd", "v1\n", "a/../b"]
    calls = [("pull", {"repo_id": name}) for name in names]
    calls += [("pull", {"repo_id": "org/name", "revision": revision}) for revision in revisions]
    answers = client.calls(hub.url, calls)
    assert hub.log == []
    for answer in answers[: len(names)]:
        assert "is not the name of a repository on the Hub; write it as org/name" in str(answer.error)
    for answer in answers[len(names) :]:
        assert "is not a revision; give a branch, a tag or a commit" in str(answer.error)


def test_a_private_model_opens_to_its_token(hub: Hub, client: Client, model_files: Files) -> None:
    hub.commit("org/name", model_files(), private=True)
    hub.token = TOKEN
    assert "set HF_TOKEN" in str(client.pull(hub.url, HF_TOKEN="hf_anothertoken").error)
    assert client.pull(hub.url, HF_TOKEN=TOKEN).folder.is_dir()


def test_a_short_pause_is_granted(hub: Hub, client: Client, model_files: Files) -> None:
    hub.commit("org/name", model_files())
    hub.fail("GET /api/", times=1, status=429, headers={"Retry-After": "1"})
    hub.fail("HEAD .*/config.json", times=1, status=503, headers={"Retry-After": "0"})
    hub.fail("GET .*/config.json", times=1, status=429, headers={"Retry-After": "0"})
    answer = client.pull(hub.url)
    assert answer.folder.is_dir()
    assert 1 <= answer.seconds <= 5


@pytest.mark.parametrize("token", [TOKEN, "hf_verysecret\x0btoken", "hf_verysecret…token"])
def test_the_token_is_never_told(hub: Hub, client: Client, model_files: Files, token: str) -> None:
    """Not by a Hub that repeats it, nor by an HTTP library that finds it malformed, nor in the log."""
    repeats = {"X-Error-Message": f"no such token: {TOKEN} (Bearer {TOKEN})"}
    for status in (400, 401, 403, 404, 418, 429, 500):
        hub.commit(f"org/{status}", model_files())
        hub.fail(f"GET /api/models/org/{status}", status=status, headers=repeats, body=f"token {TOKEN}".encode())
    hub.commit("org/name", model_files())
    calls = [("pull", {"repo_id": f"org/{status}"}) for status in (400, 401, 403, 404, 418, 429, 500, "name")]
    answers = client.calls(hub.url, calls, HF_TOKEN=token, HF_DEBUG="1", HF_HUB_VERBOSITY="debug")
    assert all(answer.error for answer in answers[:-1])
    assert "Traceback" in answers[0].output
    assert "verysecret" not in answers[0].output
    if token == TOKEN:
        assert sum(headers.get("Authorization") == f"Bearer {TOKEN}" for headers in hub.headers) >= 8
