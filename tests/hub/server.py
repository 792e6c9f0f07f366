"""A Hub on loopback, in memory: what huggingface_hub, unmodified, needs to create, upload and download.

Large files are served from a second host name, as the real Hub does: ``localhost`` beside ``127.0.0.1``.
"""

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

LARGE = ".safetensors"


@dataclass
class Repository:
    commits: dict[str, dict[str, bytes]]  # files by path, of each commit
    branches: dict[str, str]
    private: bool = False


@dataclass
class Fault:
    """What happens to requests whose ``METHOD /path`` has `pattern`, as often as `times`."""

    pattern: str
    times: int = 10**6
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None  # sent in place of the right one, which keeps its other headers
    cut: int | None = None  # close the connection after so many bytes of the body
    hang: bool = False  # take the request, and never answer
    pause_s: float = 0.0  # before each tenth of the body
    before: Callable[[], object] = lambda: None


class Hub:
    """Use as a context manager; `url` is the endpoint, `log` the requests as ``METHOD /path``."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.large: dict[str, bytes] = {}
        self.token: str | None = None  # if set, uploads and private repositories need it
        self.log: list[str] = []
        self.headers: list[Message] = []
        self.faults: list[Fault] = []
        self.closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"hub": self}))
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Hub":
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()

    def fail(self, pattern: str, **values: Any) -> None:
        self.faults.append(Fault(pattern, **values))

    def commit(self, name: str, files: Mapping[str, bytes], branch: str = "main", private: bool = False) -> str:
        """Add a commit of `files`, over those of the branch, and return its name."""
        first = Repository({"0" * 40: {".gitattributes": b""}}, {"main": "0" * 40}, private)
        repository = self.repositories.setdefault(name, first)
        parent = repository.branches[branch]
        content = {**repository.commits[parent], **files}
        tree = [(path, hashlib.sha1(body).hexdigest()) for path, body in sorted(content.items())]
        sha = hashlib.sha1(repr((parent, tree)).encode()).hexdigest()
        repository.commits[sha] = content
        repository.branches[branch] = sha
        self.large |= {hashlib.sha256(body).hexdigest(): body for path, body in files.items() if path.endswith(LARGE)}
        return sha


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def handle_any(self) -> None:
        # a client that takes this server for a proxy sends the whole address
        path = unquote(urlsplit(self.path).path)
        request = f"{self.command} {path}"
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.log.append(request)
        self.hub.headers.append(self.headers)
        self.fault = next((f for f in self.hub.faults if f.times > 0 and re.search(f.pattern, request)), Fault(""))
        self.fault.times -= 1
        self.fault.before()
        if self.fault.hang:
            self.hub.closed.wait(60)
            self.close_connection = True
        elif self.fault.status is not None:
            self.answer(self.fault.status, self.fault.body or b"")
        else:
            for pattern, route in ROUTES.items():
                if match := re.fullmatch(pattern, request):
                    return route(self, content, *match.groups())
            self.answer(404, b"no such route")

    do_GET = do_HEAD = do_POST = do_PUT = handle_any

    def answer(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        headers = {"Content-Length": str(len(body)), **(headers or {}), **self.fault.headers}
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if status == 200 and asked:
            start = int(asked[1])
            status, total, body = 206, len(body), body[start:]
            headers |= {"Content-Length": str(len(body)), "Content-Range": f"bytes {start}-{total - 1}/{total}"}
        if status == 200 and self.fault.body is not None:
            body = self.fault.body
            headers["Content-Length"] = str(len(body))
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            body = body[: self.fault.cut]
            step = len(body) // 10 + 1
            for start in range(0, len(body), step):
                time.sleep(self.fault.pause_s)
                self.wfile.write(body[start : start + step])
                self.wfile.flush()
        self.close_connection |= self.fault.cut is not None

    def answer_json(self, values: Any, status: int = 200) -> None:
        self.answer(status, json.dumps(values).encode(), {"Content-Type": "application/json"})

    def allowed(self, needed: bool) -> bool:
        if needed and self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            self.answer(401, b"", {"X-Error-Message": "Invalid username or password."})
            return False
        return True

    def found(self, name: str, revision: str) -> tuple[Repository, str] | None:
        """The repository and the commit, or None once the request has been answered."""
        repository = self.hub.repositories.get(name)
        if repository is None:
            self.answer(404, b"", {"X-Error-Code": "RepoNotFound"})
            return None
        if not self.allowed(repository.private):
            return None
        sha = repository.branches.get(revision, revision)
        if sha not in repository.commits:
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"})
            return None
        return repository, sha

    def info(self, _: bytes, name: str, revision: str | None) -> None:
        if there := self.found(name, revision or "main"):
            repository, sha = there
            files = [{"rfilename": path} for path in repository.commits[sha]]
            values = {"id": name, "modelId": name, "sha": sha, "siblings": files, "private": repository.private}
            self.answer_json({**values, "tags": [], "downloads": 0, "likes": 0})

    def resolve(self, _: bytes, name: str, revision: str, path: str) -> None:
        if not (there := self.found(name, revision)):
            return
        repository, sha = there
        body = repository.commits[sha].get(path)
        if body is None:
            return self.answer(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        git = hashlib.sha1(b"blob %d\0" % len(body) + body).hexdigest()
        headers = {"X-Repo-Commit": sha, "ETag": f'"{git}"'}
        if not path.endswith(LARGE):
            return self.answer(200, body, headers)
        digest = hashlib.sha256(body).hexdigest()
        headers |= {"X-Linked-ETag": f'"{digest}"', "X-Linked-Size": str(len(body))}
        self.answer(302, b"", {**headers, "Location": f"http://localhost:{self.hub.port}/cdn/{digest}"})

    def download(self, _: bytes, digest: str) -> None:
        self.answer(200, self.hub.large[digest], {"ETag": f'"{digest}"', "Accept-Ranges": "bytes"})

    def create(self, content: bytes) -> None:
        asked = json.loads(content)
        name = f"{asked['organization']}/{asked['name']}"
        if self.allowed(self.hub.token is not None):
            status = 409 if name in self.hub.repositories else 200
            if status == 200:
                private = bool(asked.get("private")) or asked.get("visibility") == "private"
                self.hub.commit(name, {}, private=private)
            self.answer_json({"url": f"{self.hub.url}/{name}"}, status)

    def branch(self, _: bytes, name: str, branch: str) -> None:
        if self.allowed(self.hub.token is not None) and (there := self.found(name, "main")):
            status = 409 if branch in there[0].branches else 200
            there[0].branches.setdefault(branch, there[1])
            self.answer_json({}, status)

    def preupload(self, content: bytes, name: str, revision: str) -> None:
        if self.allowed(self.hub.token is not None) and self.found(name, revision):
            paths = [file["path"] for file in json.loads(content)["files"]]
            modes = {path: "lfs" if path.endswith(LARGE) else "regular" for path in paths}
            files = [{"path": path, "uploadMode": mode, "shouldIgnore": False} for path, mode in modes.items()]
            self.answer_json({"files": files})

    def batch(self, content: bytes, _: str) -> None:
        objects = json.loads(content)["objects"]
        for one in objects:
            if one["oid"] not in self.hub.large:
                one["actions"] = {"upload": {"href": f"{self.hub.url}/put/{one['oid']}"}}
        self.answer_json({"transfer": "basic", "objects": objects})

    def put(self, content: bytes, digest: str) -> None:
        assert hashlib.sha256(content).hexdigest() == digest
        self.hub.large[digest] = content
        self.answer(200, b"")

    def add(self, content: bytes, name: str, branch: str) -> None:
        if self.allowed(self.hub.token is not None) and self.found(name, branch):
            files = {}
            for line in map(json.loads, content.splitlines()):
                value = line["value"]
                if line["key"] == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif line["key"] == "lfsFile":
                    files[value["path"]] = self.hub.large[value["oid"]]
            sha = self.hub.commit(name, files, branch)
            self.answer_json({"commitOid": sha, "commitUrl": f"{self.hub.url}/{name}/commit/{sha}"})


NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = {
    rf"GET /api/models/{NAME}(?:/revision/(.+))?": Handler.info,
    rf"(?:GET|HEAD) /{NAME}/resolve/([^/]+)/(.+)": Handler.resolve,
    r"(?:GET|HEAD) /cdn/(\w+)": Handler.download,
    r"POST /api/repos/create": Handler.create,
    r"POST /api/validate-yaml": lambda handler, _: handler.answer_json({"errors": [], "warnings": []}),
    rf"POST /api/models/{NAME}/branch/(.+)": Handler.branch,
    rf"POST /api/models/{NAME}/preupload/(.+)": Handler.preupload,
    rf"POST /{NAME}\.git/info/lfs/objects/batch": Handler.batch,
    r"PUT /put/(\w+)": Handler.put,
    rf"POST /api/models/{NAME}/commit/(.+)": Handler.add,
}
