"""The Hub: download a published model into huggingface_hub's cache and verify it; upload a folder.

A pull makes one request for the commit, and one for each file before it is downloaded. Each of these requests must be
answered within seconds, so a Hub that does not answer gives an error, but a slow download may continue.
`huggingface_hub.snapshot_download` has no such limit: it lists a commit's files in one more request, without a timeout,
and repeats requests for minutes.
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
from ecgzoo.offline import offline
from ecgzoo.weights.layout import CARD, CONFIG, PICKLES, SHA256, WEIGHTS

COMMIT = re.compile(r"[0-9a-f]{40}")
REVISION = re.compile(r"(?!.*\.\.)\w[\w./+-]*", re.ASCII)
IMAGE = re.compile(r"\w[\w.-]*\.png")
# limited repeats: without them, a card with many opening brackets takes hours
SHOWN = re.compile(
    r"""!\[[^\]]{0,500}\]\(\s{0,20}<?([^)>\s]{1,500})|<img\b[^<>]{0,500}\bsrc\s{0,20}=\s{0,20}["']?([^"'>\s]{1,500})"""
)
BLOB = re.compile(r"(?!\.)[\w.+=~:-]{1,200}", re.ASCII)  # a valid ETag, which the client uses as a file name
CARD_BYTES = 1 << 20

ANSWER_S = 4.0  # HF_HUB_ETAG_TIMEOUT is used instead if it is set
LONGEST_PAUSE_S = 10  # a Hub that asks for a longer one is an error
ATTEMPTS = 3

T = TypeVar("T")


def pull(repo_id: str, revision: str | None = None) -> Path:
    """Download one commit of a model; return its folder in huggingface_hub's cache, with config, weights and card.

    A full commit hash that is in the cache needs no request. With ``ECGZOO_OFFLINE=1`` or ``HF_HUB_OFFLINE=1`` no
    requests are made; a branch then means the commit that was pulled last.

    Args:
        repo_id: ``org/name``.
        revision: a commit of 40 hexadecimal digits, a branch or a tag; ``main`` if not given.

    Raises:
        WeightsError: there is no such model, it is a pickle, the Hub does not answer, or the hash of the weights is
            wrong.
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
        # huggingface_hub's record of the commit of a branch. Written last, so that this commit is complete.
        # A read-only cache also works.
        with suppress(OSError):
            write_text(folder.parent.parent / "refs" / revision, folder.name)
    return folder


def push(
    folder: str | Path, repo_id: str, *, private: bool = False, revision: str | None = None, dry_run: bool = False
) -> str:
    """Publish a folder, as `save_pretrained` writes it, in one commit.

    The model is loaded first, so that a broken model is not published.

    Args:
        folder: has a config, weights, a card and the images that the card shows; other files are left out. In the
            published card, the example loads the model from the repository.
        repo_id: ``org/name``; created if it does not exist.
        private: create it as a private repository.
        revision: a branch, created from ``main`` if it does not exist; ``main`` if not given.
        dry_run: only say what would be uploaded, without requests.

    Returns:
        The address of the commit, ``hf-hub:org/name@<commit>``; in a dry run, what would be uploaded.

    Raises:
        WeightsError: the folder does not load, an image is missing, or the Hub refuses or does not answer.
    """
    folder = Path(folder)
    name = _name(repo_id, revision or constants.DEFAULT_REVISION)
    if revision and COMMIT.fullmatch(revision):
        raise WeightsError(f"{name}: cannot push to a commit; give a branch")
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
            raise WeightsError(f"{repo_id} exists and is public; make it private on the Hub, or choose another name")
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


def _name(repo_id: str, revision: str) -> str:
    """The address ``hf-hub:org/name@revision`` for messages; refused if it is not valid."""
    try:
        hf.hf_hub_url(repo_id, CONFIG)  # makes no request, but checks the id
        _organisation, _repository = repo_id.split("/")
    except ValueError:
        raise WeightsError(f"{repo_id!r} is not the name of a repository on the Hub; write it as org/name") from None
    if not REVISION.fullmatch(revision):
        raise WeightsError(f"{revision!r} is not a revision; give a branch, a tag or a commit")
    return f"hf-hub:{repo_id}@{revision}"


def _cached(repo_id: str, revision: str) -> Path | None:
    """The cached folder of `revision`, if it has both config and weights."""
    config, weights = (hf.try_to_load_from_cache(repo_id, file, revision=revision) for file in (CONFIG, WEIGHTS))
    # a missing file is None or another value that is not a path
    return Path(config).parent if isinstance(config, str) and isinstance(weights, str) else None


def _fetch(repo_id: str, revision: str, name: str) -> Path:
    """Download the files of the current commit of `revision` that are not in the cache."""
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
            raise WeightsError(f"{name} holds no {file}, so it was not published by ecgzoo; check the name")
    if folder := _cached(repo_id, commit):
        return folder
    card = [file for file in files if file == CARD or IMAGE.fullmatch(file)]
    for file in (CONFIG, *card, WEIGHTS):
        told = _ask(partial(hf.get_hf_file_metadata, hf.hf_hub_url(repo_id, file, revision=commit)))
        if told.etag is not None and not BLOB.fullmatch(told.etag):
            raise WeightsError(f"{name}: the ETag of {file} is {told.etag[:80]!r}, not a hash; check HF_ENDPOINT")
        if told.commit_hash not in (None, commit):
            raise WeightsError(f"{name}: the Hub answers with commit {told.commit_hash[:80]}; try again")
        if file == CONFIG and (told.size or 0) > JSON_BYTES:
            raise WeightsError(f"{name}: its {CONFIG} has {told.size} bytes, so it is not a config; check the name")
        path = Path(hf.hf_hub_download(repo_id, file, revision=commit))
        if path.parent.name != commit:
            raise WeightsError(f"{name}: the Hub answers with commit {path.parent.name}; try again")
        if file == CONFIG:
            _expected_sha256(path)  # before the weights, which are large
    return path.parent


def _verified(folder: Path, name: str) -> Path:
    """`folder`, if its weights match its config; a damaged file is removed, so that it is downloaded again."""
    weights = folder / WEIGHTS
    expected, found = _expected_sha256(folder / CONFIG), _sha256(weights)
    if found == expected:
        return folder
    message = f"{weights} has sha256 {found}, its config says {expected}"
    # the cache names a large file by its hash
    if weights.resolve().name == found:
        raise WeightsError(f"{message}: {name} was published like this; use another revision, and tell its publisher")
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
        raise WeightsError(f"{config} has no {SHA256}, so it was not published by ecgzoo; check the name")
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
            raise WeightsError(f"{folder / CARD} shows {image}; expected a .png in the same folder")
    return [folder / file for file in (CONFIG, WEIGHTS, CARD, *images)]


def _ask(question: Callable[..., T], attempts: int = ATTEMPTS) -> T:
    """The answer to a short request, or an error within seconds. A short pause that the Hub asks for is waited.

    The timeout of a request does not include name resolution and restarts with every byte, so the total is timed here.
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
    """Turn every error of the client into one sentence, which ends with `or_else`.

    The client also raises errors of its HTTP library, which it has changed twice, so they cannot be caught by name.
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
        return f"{error.strerror}: {where}; check space and permissions there, or set HF_HOME"
    # before 1.0, a file that is not in the cache was an HTTP error without a response
    if not isinstance(error, errors.HfHubHTTPError) or isinstance(error, errors.LocalEntryNotFoundError):
        said = _said(f"{type(error).__name__}: {error}")
        return f"the exchange with {host} failed ({said}); {check}, HF_TOKEN and the proxy"
    if isinstance(error, errors.GatedRepoError):
        return f"access must be requested; request it on the model's page at {host}, then set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return "the repository has no such revision; check the branch, tag or commit"
    if isinstance(error, errors.EntryNotFoundError):
        return f"there is no file {str(error.response.url).rpartition('/')[2]} on the Hub; check the revision"
    status = error.response.status_code
    if status in (401, 404):
        return (
            "no such repository, or you have no access to it; check the name, and set HF_TOKEN or run `hf auth login`"
        )
    if status == 429:
        pause = _pause(error)
        return f"too many requests; try again {'later' if pause is None else f'in {pause} s'}"
    if status >= 500:
        return f"{host} has an error (status {status}); try again later"
    said = _said(error.server_message or "no reason given")
    if status == 403:
        return f"your token does not allow it ({said}); create one that does at {host}/settings/tokens, set HF_TOKEN"
    return f"{host} refuses with status {status} ({said}); correct that, or try again later"


def _said(text: str) -> str:
    """A message of the client or the Hub in one short line, without the token."""
    text = re.sub(r"(?i)bearer\s.*", "", " ".join(text.split()))
    return text.replace(hf.get_token() or "\n", "…")[:300]
