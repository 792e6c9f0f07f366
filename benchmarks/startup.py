"""How long do commands take to start? Wall time of new interpreters, medians of alternating rounds."""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks._report import report

ROUNDS, PLUGINS = 7, 50
PRETRAINED = "import ecgzoo; ecgzoo.create_student('resnet1d18', pretrained=True)"
COMMANDS = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "import ecgzoo": ([sys.executable, "-c", "import ecgzoo"], 0.15),
    "ecgzoo --help": ([sys.executable, "-m", "ecgzoo", "--help"], 0.5),
    f"ecgzoo list, {PLUGINS} plugins": ([sys.executable, "-m", "ecgzoo", "list"], 0.5),
    f"ecgzoo plugins, {PLUGINS} plugins": ([sys.executable, "-m", "ecgzoo", "plugins"], 0.5),
    "import torch": ([sys.executable, "-c", "import torch"], None),
    "create_student(pretrained=True), torch apart": ([sys.executable, "-c", PRETRAINED], 1.0),
}
SOURCE = """
from ecgzoo import hookimpl
from ecgzoo.specs import BackboneSpec, LossSpec

@hookimpl
def ecgzoo_backbones():
    return [BackboneSpec(name="net_{number}", factory="nowhere:net", summary="a network")]

@hookimpl
def ecgzoo_losses():
    return [LossSpec(name="loss_{number}", factory="nowhere:loss", summary="a loss")]
"""


def install_plugins(site: Path) -> None:
    """Write `PLUGINS` distributions in the form of an installer, each with a backbone and a loss."""
    for number in range(PLUGINS):
        (site / f"plugin_{number}.py").write_text(SOURCE.format(number=number))
        meta = site / f"plugin_{number}-1.0.dist-info"
        meta.mkdir()
        (meta / "METADATA").write_text(f"Metadata-Version: 2.1\nName: plugin-{number}\nVersion: 1.0\n")
        (meta / "entry_points.txt").write_text(f"[ecgzoo]\nplugin_{number} = plugin_{number}\n")


def main() -> None:
    """Print the table and write the JSON."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as site:
        install_plugins(Path(site))
        for _ in range(ROUNDS):
            for name, (command, _limit) in COMMANDS.items():
                environment = {**os.environ, "PYTHONPATH": site} if "plugins" in name else None
                start = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True, env=environment)
                times[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    medians["create_student(pretrained=True), torch apart"] -= medians["import torch"]
    rows = [
        {"what": name, "seconds": medians[name], "limit": "" if limit is None else limit}
        for name, (_, limit) in COMMANDS.items()
    ]
    report("startup", "seconds of a whole interpreter, including its start", rows)


if __name__ == "__main__":
    main()
