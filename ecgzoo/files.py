"""Safe reading and writing of files.

Writing: content goes to a temporary file, which is synced and renamed, so a reader finds either the complete old file
or the complete new one. Reading: only regular files are read, and the size of JSON is checked before it is parsed.
"""

import errno
import hashlib
import json
import os
import platform
import re
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

from ecgzoo.errors import WriteError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

JSON_BYTES = 4 << 20
_FIRST_BYTES = 1 << 16
JSON_CONTAINERS = 250_000  # lists and objects; each needs about 70 bytes of memory for two characters of text
STALE_S = 86_400.0

_RUST = re.compile(r"\(os error (\d{1,4})\)")  # how safetensors reports the number of an OSError
_TEMPORARY = re.compile(r"\..+\.ecgzoo-(?P<machine>[0-9a-f]{8})-(?P<process>\d{1,9})-[0-9a-f]{8}")


def lock(descriptor: int) -> None:
    """Lock an open file for this process, until it is unlocked or closed, or the process ends.

    Raises:
        BlockingIOError: another process has locked it.
        OSError: this system or this file system has no locks.
    """
    if fcntl is None:
        raise OSError("this system has no locks")
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def unlock(descriptor: int) -> None:
    """Unlock an open file; where there are no locks, do nothing."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)


def open_regular(path: str | Path) -> BinaryIO:
    """Open `path` for reading; a pipe or a device is refused, so that reading never blocks.

    Raises:
        OSError: it cannot be opened or is not a regular file; its ``strerror`` says what is wrong.
    """

    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    try:
        file = open(path, "rb", opener=without_waiting)  # noqa: SIM115 # the caller closes it
    except ValueError as error:  # a zero byte, or a character that the system's encoding does not have
        raise OSError(errno.EINVAL, "not a valid file name", str(path)) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    return file


def read_bytes(path: str | Path, at_most: int | None = None) -> bytes:
    """The content of a regular file.

    Raises:
        OSError: see `open_regular`; or it has more than `at_most` bytes.
    """
    with open_regular(path) as file:
        if at_most is None:
            return file.read()
        content = file.read(min(at_most + 1, _FIRST_BYTES))  # Python allocates what is asked for
        if len(content) == _FIRST_BYTES:
            content += file.read(at_most + 1 - _FIRST_BYTES)
    if len(content) > at_most:
        raise OSError(errno.EFBIG, f"it has more than {at_most} bytes", str(path))
    return content


def read_json(path: str | Path) -> Any:
    """The JSON value in a regular file.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not JSON, or too large or too deeply nested.
    """
    return parse_json(read_bytes(path, JSON_BYTES))


def parse_json(text: str | bytes) -> Any:
    """Parse the JSON value in `text`.

    Raises:
        ValueError: it is not JSON, or too large or too deeply nested.
    """
    containers = text.count("[") + text.count("{") if isinstance(text, str) else text.count(b"[") + text.count(b"{")
    if len(text) > JSON_BYTES or containers > JSON_CONTAINERS:
        raise ValueError(f"more than {JSON_BYTES} bytes, or than {JSON_CONTAINERS} lists and objects")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What is done here to write a file: an OSError becomes a `WriteError` of its file, or of `path` if it names none.

    Raises:
        WriteError: it cannot be written.
    """
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(error.errno or 0, error.strerror or str(error), str(error.filename or path)) from error


def write_atomic(path: Path, write: Callable[[Path], object], new: bool = False) -> None:
    """Let `write` fill a temporary file next to `path`, then sync it and rename it to `path`.

    The file gets the usual permissions of a new file (umask). Temporary files of dead processes are removed.

    Raises:
        FileExistsError: `path` exists although it must be `new`. If two processes write it at once, one is refused.
        WriteError: the file cannot be written; `path` is unchanged. This is also an OSError.
    """
    try:
        _write_atomic(path, write, new)
    except (WriteError, FileExistsError):
        raise
    except Exception as error:
        said = _RUST.search(str(error))
        number = error.errno if isinstance(error, OSError) else int(said[1]) if said else None
        if number is None:
            raise
        raise WriteError(number, os.strerror(number), str(path)) from error


def _write_atomic(path: Path, write: Callable[[Path], object], new: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sweep(path.parent, path.name)
    temporary = path.with_name(f".{path.name}.ecgzoo-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}")
    os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))  # less the umask
    try:
        mode = stat.S_IMODE(temporary.stat().st_mode)
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)  # `write` may have replaced the file
        _place_new(temporary, path) if new else os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def sweep(folder: Path, name: str | None = None) -> None:
    """Remove temporary files in `folder`, for `name` or for all names, whose process is dead or that are a day old."""
    try:
        found = [path for path in folder.iterdir() if name is None or path.name.startswith(f".{name}.ecgzoo-")]
    except OSError:
        return
    for path in found:
        match = _TEMPORARY.fullmatch(path.name)
        try:
            if match and (_is_dead(match) or time.time() - path.lstat().st_mtime > STALE_S):
                path.unlink(missing_ok=True)
        except OSError:
            continue


def _is_dead(match: re.Match[str]) -> bool:
    """Whether the process that wrote it ran on this machine and has ended; False for other machines."""
    if os.name != "posix" or match["machine"] != _machine():
        return False
    try:
        os.kill(int(match["process"]), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


def _machine() -> str:
    """A hash of this machine's name and its process namespace, as each container numbers its own processes."""
    try:
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:
        numbers = ""
    return hashlib.sha256(f"{platform.node()} {numbers}".encode()).hexdigest()[:8]


def _place_new(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: the file is new, but incomplete if this process is killed
        with path.open("xb") as file:
            file.write(temporary.read_bytes())
            file.flush()
            os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes, new: bool = False) -> None:
    """Write `content` completely or not at all."""
    write_atomic(path, lambda temporary: temporary.write_bytes(content), new)


def write_text(path: Path, text: str, new: bool = False) -> None:
    """Write `text` completely or not at all."""
    write_bytes(path, text.encode(), new)


def write_json(path: Path, values: Any, new: bool = False) -> None:
    """Write `values` as JSON, completely or not at all; NaN is refused because it is not JSON."""
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n", new)
