"""Files: written whole, with the process's rights; read only if regular, and only so much."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ecgzoo.files import parse_json, read_bytes, read_json, sweep, write_atomic, write_text

WRITER = """
import sys, time
from pathlib import Path
from ecgzoo.files import write_atomic

def write(temporary):
    temporary.write_text("half")
    print(temporary.name, flush=True)
    time.sleep(600)

write_atomic(Path(sys.argv[1]), write)
"""


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_the_umask_holds(tmp_path: Path, umask: int) -> None:
    from safetensors.torch import save_file

    before = os.umask(umask)
    try:
        write_text(tmp_path / "text", "new")
        write_atomic(tmp_path / "tensors", lambda path: save_file({}, path))
    finally:
        os.umask(before)
    for name in ("text", "tensors"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o666 & ~umask


def writer(path: Path) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


def test_what_a_dead_run_left_is_swept_and_what_a_live_one_writes_is_not(tmp_path: Path) -> None:
    others = [".model.backup12", ".model.ecgzoo-mine", ".other.ecgzoo-00000000-1-00000000"]
    for name in others:
        (tmp_path / name).write_text("a user's own")
    dead, left = writer(tmp_path / "model")
    alive, kept = writer(tmp_path / "model")
    try:
        assert left.startswith(".model.")
        dead.send_signal(signal.SIGKILL)
        dead.wait()
        assert (tmp_path / left).exists()
        write_text(tmp_path / "model", "new")
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, kept, "model"])
    finally:
        alive.kill()
        alive.wait()
    sweep(tmp_path)
    assert not (tmp_path / kept).exists()
    assert (tmp_path / others[0]).exists()


def test_what_another_machine_left_goes_after_a_day(tmp_path: Path) -> None:
    path = tmp_path / ".model.ecgzoo-00000000-1-00000000"
    path.write_text("half")
    write_text(tmp_path / "model", "new")
    assert path.exists()
    os.utime(path, (time.time() - 90_000,) * 2)
    write_text(tmp_path / "model", "new")
    assert not path.exists()


@pytest.mark.timeout(20)
def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    for path in (tmp_path / "pipe", tmp_path / "link", tmp_path, Path("/dev/zero"), "a\0b", "\ud800"):
        with pytest.raises(OSError, match=r".") as caught:
            read_bytes(path)
        assert caught.value.strerror
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bytes(tmp_path / "file", 5) == b"12345"
    with pytest.raises(OSError, match="more than 4 bytes"):
        read_bytes(tmp_path / "file", 4)


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "{" * 100_000, "[],", "1" * 5000, "[" + "[]," * 300_000 + "1]", '{"a":' * 5000]
)
def test_json_is_bounded(tmp_path: Path, text: str) -> None:
    for given in (text, text.encode()):
        with pytest.raises(ValueError, match=re.compile(".")):
            parse_json(given)
    (tmp_path / "json").write_text(text)
    with pytest.raises(ValueError, match=re.compile(".")):
        read_json(tmp_path / "json")
