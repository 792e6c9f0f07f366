"""Nothing lost: files are written aside, synced and renamed, so a reader meets the old one or the new one, whole."""

import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

LEFT_OVER = re.compile(r"\..+\.(json|jsonl|md|png|safetensors)\.[a-z0-9_]{8}")  # as mkstemp names them below


def write_atomic(path: Path, write: Callable[[Path], None], new: bool = False) -> None:
    """Let `write` fill a temporary sibling of `path`, then sync it and rename it into place.

    Raises:
        FileExistsError: `path` exists and is to be `new`; of two that write it at once, one is refused.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)  # mkstemp's files are the owner's alone
        _place_new(temporary, path) if new else os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _place_new(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: new, but not whole if this is killed
        with path.open("xb") as file:
            file.write(temporary.read_bytes())
            file.flush()
            os.fsync(file.fileno())


def write_bytes(path: Path, content: bytes, new: bool = False) -> None:
    """Write `content` whole or not at all."""

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomic(path, write, new)


def write_text(path: Path, text: str, new: bool = False) -> None:
    """Write `text` whole or not at all."""
    write_bytes(path, text.encode(), new)


def write_json(path: Path, values: Any, new: bool = False) -> None:
    """Write `values` as JSON, whole or not at all; NaN is refused, since it is no JSON."""
    write_text(path, json.dumps(values, indent=2, allow_nan=False) + "\n", new)


def sweep(folder: Path) -> None:
    """Remove what killed processes were writing in `folder` and its own folders; nothing else may be at work there."""
    for path in (*folder.glob(".*"), *folder.glob("*/.*")):
        if LEFT_OVER.fullmatch(path.name):
            path.unlink(missing_ok=True)
