"""A full disk: every writer on a small file system with too few free pages, one more page each time."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from benchmarks._faults.common import Tally, small_model
from benchmarks._faults.kills import MODELS, NEW, OLD, WRITERS, Writer
from ecgzoo.errors import EcgZooError
from ecgzoo.training.recipe import Recipe, claim_folder

_SIZE_KB = 512
_MOST_PAGES = 40

SPACES = (["unshare", "--mount"], ["unshare", "--user", "--map-root-user", "--mount"])  # for root, for any user


def namespace() -> list[str] | None:
    """The command prefix that gives a process its own mounts, removed when it ends; None if not permitted."""
    for command in SPACES:
        try:
            if subprocess.run([*command, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0:
                return command
        except OSError:
            return None
    return None


def _claim(folder: Path, number: int) -> None:
    """Write recipe.json; without the unlink, a second write would have to be the same recipe."""
    (folder / "recipe.json").unlink(missing_ok=True)
    claim_folder(Recipe(output=folder, seed=number), "fingerprint")


def _claimed(folder: Path) -> int | None:
    from ecgzoo.files import read_json

    return int(read_json(folder / "recipe.json")["seed"]) if (folder / "recipe.json").exists() else None


def fill_disk(folder: Path) -> list[Tally]:
    """Run every writer on a full disk: the error is one line, and the old file is unchanged. Needs `namespace`."""
    MODELS.update({number: small_model(number) for number in (OLD, NEW)})
    mount = folder / "disk"
    mount.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={_SIZE_KB}k", "none", str(mount)], check=True)
    try:
        writers = (*WRITERS, Writer("recipe.json", _claim, _claimed, replaces=False))
        return [_write_until_it_fits(mount, writer) for writer in writers]
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def _write_until_it_fits(mount: Path, writer: Writer) -> Tally:
    tally = Tally(f"full disk: {writer.name}")
    for before in (OLD, None) if writer.replaces else (None,):
        for pages in range(_MOST_PAGES):
            for path in mount.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            at = mount / "there"
            at.mkdir()
            if before is not None:
                writer.write(at, before)
            free = os.statvfs(mount)
            with open(mount / "filler", "wb") as file:
                file.write(bytes(max(0, free.f_bavail * free.f_bsize - pages * free.f_bsize)))
            start, problem, fits = time.perf_counter(), None, False
            try:
                writer.write(at, NEW)
                fits = True
            except EcgZooError as error:
                if not str(error).isprintable() or len(str(error)) > 4000:
                    problem = f"an error of more than one line: {str(error)!r:.300}"
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            seconds = time.perf_counter() - start
            try:
                found = writer.read(at)
                if not problem and found not in ((NEW,) if fits else (before, NEW)):
                    problem = f"found {found}"
                (mount / "filler").unlink()
                writer.write(at, NEW)
                if not problem and writer.read(at) != NEW:
                    problem = "the second write fails although there is space"
            except Exception as error:
                problem = problem or f"then {type(error).__name__}: {error}"
            tally.count(problem and f"{pages} pages left, {before} there: {problem}", seconds)
            if fits:
                break
    return tally
