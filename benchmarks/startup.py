"""How long until a user sees something? Wall time of fresh interpreters, medians of alternating rounds."""

import statistics
import subprocess
import sys
import time

from _report import report

ROUNDS = 7
COMMANDS = {
    "python -c pass": ([sys.executable, "-c", "pass"], None),
    "import ecgzoo": ([sys.executable, "-c", "import ecgzoo"], 0.15),
    "ecgzoo --help": ([sys.executable, "-m", "ecgzoo", "--help"], 0.5),
}


def main() -> None:
    """Print the table and write the JSON."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(ROUNDS):
        for name, (command, _limit) in COMMANDS.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            times[name].append(time.perf_counter() - start)
    rows = [
        {"what": name, "seconds": statistics.median(times[name]), "limit": "" if limit is None else limit}
        for name, (_, limit) in COMMANDS.items()
    ]
    report("startup", "seconds of a whole interpreter, its own start included", rows)


if __name__ == "__main__":
    main()
