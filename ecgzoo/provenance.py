"""Versions and machine with which a result was computed; saved with every result."""

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path


def provenance() -> dict[str, str | int | None]:
    """Versions, machine and, in a git checkout of ecgzoo, the revision."""
    return {
        "ecgzoo": version("ecgzoo"),
        "revision": _revision(),
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "timm", "accelerate", "numpy", "scikit-learn")},
        "machine": f"{platform.system()} {platform.machine()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:  # networks of our own need no timm
        return None


def _revision() -> str | None:
    here = Path(__file__).resolve().parent.parent
    if not (here / ".git").exists():
        return None
    try:
        revision = _git(here, "rev-parse", "--short=12", "HEAD")
        # results that a benchmark has just written are not a change of the code
        changed = _git(here, "status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{revision}-dirty" if changed else revision


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True)
    return done.stdout.strip()
