"""The Hub: pull a published model into huggingface_hub's cache, verified; push a folder.

A pull asks once which commit is meant, and about each file before it is downloaded; each question has seconds to be
answered, so that a dead Hub is an error, while a slow download may go on. `huggingface_hub.snapshot_download` gives no
such bound: it lists a commit's files in one more request, without a timeout, and repeats requests for minutes.
"""

import hashlib
import os
import re
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TypeVar
from urllib.parse import urlsplit

import huggingface_hub as hf
from huggingface_hub import constants, errors

from ecgzoo.errors import EcgZooError, WeightsError
from ecgzoo.files import JSON_BYTES, read_bytes, read_json, write_text
from ecgzoo.weights.layout import CARD, CONFIG, PICKLES, SHA256, WEIGHTS

COMMIT = re.compile(r"[0-9a-f]{40}")
REVISION = re.compile(r"(?!.*\.\.)\w[\w./+-]*", re.ASCII)
IMAGE = re.compile(r"\w[\w.-]*\.png")
# bounded repeats: without them, a card of opening brackets takes hours
SHOWN = re.compile(
    r"""!\[[^\]]{0,500}\]\(\s{0,20}<?([^)>\s]{1,500})|<img\b[^<>]{0,500}\bsrc\s{0,20}=\s{0,20}["']?([^"'>\s]{1,500})"""
)
BLOB = re.compile(r"(?!\.)[\w.+=~:-]{1,200}", re.ASCII)  # what an ETag may be: the client takes it for a file's name
CARD_BYTES = 1 << 20

ANSWER_S = 4.0  # HF_HUB_ETAG_TIMEOUT, if it is set, is taken instead
LONGEST_PAUSE_S = 10  # a Hub that asks for a longer one is an error
ATTEMPTS = 3

T = TypeVar("T")


def pull(repo_id: str, revision: str | None = None) -> Path:
    """The folder, in huggingface_hub's cache, of one commit of a model: config, weights and card.

    A pinned commit that is in the cache costs no request. With ``ECGZOO_OFFLINE=1`` or ``HF_HUB_OFFLINE=1`` there is
    none at all: a branch is then the commit that was pulled last.

    Args:
        repo_id: ``org/name``.
        revision: a commit of 40 hexadecimal digits, a branch or a tag; ``main`` if not given.

    Raises:
        WeightsError: there is no such model, it is a pickle, it cannot be reached, or its weights' hash is wrong.
    """
    revision = revision or constants.DEFAULT_REVISION
    name = _name(repo_id, revision)
    pinned = COMMIT.fullmatch(revision)
    with _explained(name):
        folder = _cached(repo_id, revision)
        if folder and (pinned or offline()):
            return _verified(folder, name)
    if offline():
        raise WeightsError(
            f"{name} is not in {constants.HF_HUB_CACHE}, and ECGZOO_OFFLINE or HF_HUB_OFFLINE forbids fetching it; "
            "unset it, or run `ecgzoo pull` once where there is a network"
        )
    with _explained(name, ", or set ECGZOO_OFFLINE=1 to use the commit in the cache" if folder else ""):
        folder = _verified(_fetch(repo_id, revision, name), name)
    if not pinned:
        # huggingface_hub's own record of where a branch is; written last, so that it names a commit that is whole.
        # A cache that is read only serves all the same.
        with suppress(OSError):
            write_text(folder.parent.parent / "refs" / revision, folder.name)
    return folder


def push(
    folder: str | Path, repo_id: str, *, private: bool = False, revision: str | None = None, dry_run: bool = False
) -> str:
    """Publish a folder, as `save_pretrained` writes it, in one commit.

    The model is loaded first, so that nothing is published that would not load.

    Args:
        folder: holds a config, weights, a card and the images that the card shows; other files are left out. The
            published card's load line names the repository.
        repo_id: ``org/name``; created if it is not there.
        private: create it as a private repository.
        revision: a branch, created from ``main`` if it is not there; ``main`` if not given.
        dry_run: make no request.

    Returns:
        The address of the commit, ``hf-hub:org/name@<commit>``; in a dry run, what would be uploaded.

    Raises:
        WeightsError: the folder does not load, an image is missing, the Hub refuses or cannot be reached.
    """
    folder = Path(folder)
    name = _name(repo_id, revision or constants.DEFAULT_REVISION)
    if revision and COMMIT.fullmatch(revision):
        raise WeightsError(f"{name}: a commit cannot be pushed to; give a branch")
    if offline() and not dry_run:
        raise WeightsError(f"{name}: nothing is pushed while ECGZOO_OFFLINE or HF_HUB_OFFLINE is set; unset it")
    # it imports torch, which pull does not need
    from ecgzoo.weights.folder import read_folder

    read_folder(folder)
    if _expected_sha256(folder / CONFIG) != _sha256(folder / WEIGHTS):
        raise WeightsError(f"{folder}: saving was interrupted, and its {CONFIG} is an older one; save the model again")
    files = _files_to_push(folder)
    if dry_run:
        lines = [f"{file.name}  {file.stat().st_size} bytes  sha256 {_sha256(file)}" for file in files]
        others = sorted({path.name for path in folder.iterdir()} - {file.name for file in files})
        left_out = [f"left out: {', '.join(others)}"] if others else []
        return "\n  ".join([f"would push to {name}:", *lines, *left_out])
    api, public = hf.HfApi(), False
    with _explained(name):
        with suppress(errors.RepositoryNotFoundError):  # create_repo says whether it may be created
            public = _ask(partial(api.model_info, repo_id)).private is False
        if private and public:
            raise WeightsError(f"{repo_id} exists and is public; make it private on the Hub, or take another name")
        # None, not False: an organisation may make its repositories private by default
        api.create_repo(repo_id, private=private or None, exist_ok=True)
        if revision:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        address = f"hf-hub:{repo_id}" + (f"@{revision}" if revision else "")
        card = addressed((folder / CARD).read_bytes(), address)
        operations = [hf.CommitOperationAdd(file.name, card if file.name == CARD else str(file)) for file in files]
        message = f"Weights {_sha256(folder / WEIGHTS)}"
        commit = api.create_commit(repo_id, operations=operations, commit_message=message, revision=revision)
    return f"hf-hub:{repo_id}@{commit.oid}"


def offline() -> bool:
    """Whether ``ECGZOO_OFFLINE`` or ``HF_HUB_OFFLINE`` forbids requests."""
    asked = (os.environ.get(variable, "") for variable in ("ECGZOO_OFFLINE", "HF_HUB_OFFLINE"))
    return constants.HF_HUB_OFFLINE or any(value.upper() in constants.ENV_VARS_TRUE_VALUES for value in asked)


def _name(repo_id: str, revision: str) -> str:
    """How messages write it; refused if it can be no address."""
    try:
        hf.hf_hub_url(repo_id, CONFIG)  # makes no request, but checks the id
        _organisation, _repository = repo_id.split("/")
    except ValueError:
        raise WeightsError(f"{repo_id!r} is no repository of the Hub; write it as org/name") from None
    if not REVISION.fullmatch(revision):
        raise WeightsError(f"{revision!r} is no revision; give a branch, a tag or a commit")
    return f"hf-hub:{repo_id}@{revision}"


def _cached(repo_id: str, revision: str) -> Path | None:
    """The cached folder of `revision`, if its config and weights are both there."""
    config, weights = (hf.try_to_load_from_cache(repo_id, file, revision=revision) for file in (CONFIG, WEIGHTS))
    # not only None stands for absent
    return Path(config).parent if isinstance(config, str) and isinstance(weights, str) else None


def _fetch(repo_id: str, revision: str, name: str) -> Path:
    """Download what the cache lacks of the commit that `revision` is now."""
    info = _ask(partial(hf.HfApi().model_info, repo_id, revision=revision))
    commit, files = info.sha or "", sorted(file.rfilename for file in info.siblings or ())
    if not COMMIT.fullmatch(commit) or (COMMIT.fullmatch(revision) and commit != revision):
        raise WeightsError(f"{name}: the Hub answers with commit {commit!r}; check HF_ENDPOINT")
    pickles = [file for file in files if file.endswith(PICKLES)]
    if WEIGHTS not in files and pickles:
        raise WeightsError(
            f"{name} holds {pickles[0]} and no {WEIGHTS}: a pickle can run any code when it is read, so it is not "
            "fetched; if you trust it, load it yourself and write it with ecgzoo.save_pretrained"
        )
    for file in (CONFIG, WEIGHTS):
        if file not in files:
            raise WeightsError(f"{name} holds no {file}, so it is no model that ecgzoo published; check the name")
    if folder := _cached(repo_id, commit):
        return folder
    card = [file for file in files if file == CARD or IMAGE.fullmatch(file)]
    for file in (CONFIG, *card, WEIGHTS):
        told = _ask(partial(hf.get_hf_file_metadata, hf.hf_hub_url(repo_id, file, revision=commit)))
        if told.etag is not None and not BLOB.fullmatch(told.etag):
            raise WeightsError(f"{name}: the Hub gives {file} the ETag {told.etag[:80]!r}, no hash; check HF_ENDPOINT")
        if told.commit_hash not in (None, commit):
            raise WeightsError(f"{name}: the Hub answers with commit {told.commit_hash[:80]}; try again")
        if file == CONFIG and (told.size or 0) > JSON_BYTES:
            raise WeightsError(f"{name}: its {CONFIG} has {told.size} bytes, so it is no config; check the name")
        path = Path(hf.hf_hub_download(repo_id, file, revision=commit))
        if path.parent.name != commit:
            raise WeightsError(f"{name}: the Hub answers with commit {path.parent.name}; try again")
        if file == CONFIG:
            _expected_sha256(path)  # before the weights, which are large
    return path.parent


def _verified(folder: Path, name: str) -> Path:
    """`folder`, if its weights are those of its config; a file that is damaged is removed, to be fetched again."""
    weights = folder / WEIGHTS
    expected, found = _expected_sha256(folder / CONFIG), _sha256(weights)
    if found == expected:
        return folder
    message = f"{weights} has sha256 {found}, its config says {expected}"
    # the cache names a large file by its hash
    if weights.resolve().name == found:
        raise WeightsError(f"{message}: {name} was published so; take another revision, and tell its publisher")
    for path in (weights.resolve(), weights):
        path.unlink(missing_ok=True)
    raise WeightsError(f"{message}: the file was damaged and has been removed from the cache; pull again")


def _expected_sha256(config: Path) -> str:
    try:
        values = read_json(config)
    except ValueError:
        raise WeightsError(f"{config} is not JSON; delete {config.parent.parent.parent} and pull again") from None
    expected = values.get(SHA256) if isinstance(values, dict) else None
    if not isinstance(expected, str):
        raise WeightsError(f"{config} has no {SHA256}, so it is no model that ecgzoo published; check the name")
    return expected


def _sha256(file: Path) -> str:
    return hashlib.sha256(read_bytes(file)).hexdigest()


def addressed(card: bytes, address: str) -> bytes:
    """`card` with `address` in its load line, ``ecgzoo.load_pretrained("…")``."""
    return re.sub(rb'(ecgzoo\.load_pretrained\()"(?:[^"\\\n]|\\.)*"', rb'\1"' + address.encode() + b'"', card)


def _files_to_push(folder: Path) -> list[Path]:
    """Config, weights, card and the images the card shows; refused if one is missing."""
    if not (folder / CARD).is_file():
        raise WeightsError(f"{folder}: no {CARD}, the model's card; save the model again")
    try:
        card = read_bytes(folder / CARD, CARD_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise WeightsError(f"{folder / CARD} cannot be read ({error.strerror}); save the model again") from error
    shown = {a or b for a, b in SHOWN.findall(card)}
    images = sorted(image for image in shown if not re.match(r"https?://|data:", image))
    for image in images:
        if not IMAGE.fullmatch(image) or not (folder / image).is_file():
            raise WeightsError(f"{folder / CARD} shows {image}; expected a .png that lies beside it")
    return [folder / file for file in (CONFIG, WEIGHTS, CARD, *images)]


def _ask(question: Callable[..., T], attempts: int = ATTEMPTS) -> T:
    """The answer to a short request, or an error within seconds; a short pause that the Hub asks for is granted.

    A request's own timeout leaves out the resolver, and starts anew with every byte: so all of it is timed.
    """
    patience = float(os.environ.get("HF_HUB_ETAG_TIMEOUT") or ANSWER_S)
    answer: futures.Future[T] = futures.Future()

    def run() -> None:
        try:
            answer.set_result(question(timeout=patience))
        except BaseException as error:
            answer.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        return answer.result(patience)
    except errors.HfHubHTTPError as error:
        pause = _pause(error)
        if error.response.status_code not in (429, 503) or attempts == 1 or pause is None or pause > LONGEST_PAUSE_S:
            raise
    time.sleep(pause)
    return _ask(question, attempts - 1)


def _pause(error: errors.HfHubHTTPError) -> int | None:
    """The seconds that the Hub asks to wait."""
    after, limit = (error.response.headers.get(name, "") for name in ("retry-after", "ratelimit"))
    seconds = re.fullmatch(r"(\d{1,9})", after) or re.search(r";\s*t\s*=\s*(\d{1,9})", limit[:200])
    return int(seconds[1]) if seconds else None


@contextmanager
def _explained(name: str, or_else: str = "") -> Iterator[None]:
    """Every error of the client as one sentence, which ends with `or_else`.

    It lets errors of the HTTP library through, and that changed twice: none can be caught by its name.
    """
    try:
        yield
    except EcgZooError:
        raise
    except Exception as error:
        # from None: the client's own text may quote the token
        raise WeightsError(f"{name}: {_explanation(error)}{or_else}") from None


def _explanation(error: BaseException) -> str:
    while error.__cause__ and isinstance(error, errors.LocalEntryNotFoundError | RuntimeError):
        error = error.__cause__
    host = urlsplit(constants.ENDPOINT).netloc.rpartition("@")[2]
    check = "check the network, HF_ENDPOINT"
    if isinstance(error, futures.TimeoutError):
        return f"{host} did not answer in time; {check} and the proxy, or set HF_HUB_ETAG_TIMEOUT to more seconds"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ConnectionError):
        where = error.filename or constants.HF_HUB_CACHE
        return f"{error.strerror}: {where}; check room and rights there, or set HF_HOME"
    # before 1.0, a file that is not in the cache was an HTTP error without a response
    if not isinstance(error, errors.HfHubHTTPError) or isinstance(error, errors.LocalEntryNotFoundError):
        said = _said(f"{type(error).__name__}: {error}")
        return f"the exchange with {host} failed ({said}); {check}, HF_TOKEN and the proxy"
    if isinstance(error, errors.GatedRepoError):
        return f"its owner grants access one by one; ask for it on the model's page at {host}, then set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such revision; check the branch, tag or commit"
    if isinstance(error, errors.EntryNotFoundError):
        return f"there is no file {str(error.response.url).rpartition('/')[2]} on the Hub; check the revision"
    status = error.response.status_code
    if status in (401, 404):
        return (
            "no such repository, or a private one that is not open to you; check the name, and set HF_TOKEN or run "
            "`hf auth login`"
        )
    if status == 429:
        pause = _pause(error)
        return f"too many requests; try again {'later' if pause is None else f'in {pause} s'}"
    if status >= 500:
        return f"{host} is in trouble (status {status}); try again later"
    said = _said(error.server_message or "no reason given")
    if status == 403:
        return f"your token does not allow it ({said}); make one that does at {host}/settings/tokens, set HF_TOKEN"
    return f"{host} refuses with status {status} ({said}); put that right, or try again later"


def _said(text: str) -> str:
    """Another's words in one short line, without the token."""
    text = re.sub(r"(?i)bearer\s.*", "", " ".join(text.split()))
    return text.replace(hf.get_token() or "\n", "…")[:300]
