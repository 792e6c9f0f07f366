"""What does it cost in AUC if each process normalizes its own records only (``--batch-norm per-process``)?

Trains the recipe `teacher` on PTB-XL with one process and with several, folds as in `benchmarks.paper.grid`: 1 to 7
for training, 8 for choosing the epoch, 9 for the AUC. With synchronized batch norms several processes take the
same steps as one (tests/training/test_distributed.py), so one process stands for them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.progress import track

from benchmarks._report import CHECKOUT, report


def trained(root: str, epochs: int, seed: int, processes: int) -> dict[str, Any]:
    """The results of a teacher on fold 9."""
    with tempfile.TemporaryDirectory() as output:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        command += ["-m", "ecgzoo", "recipe", "teacher", "--data", "ptbxl", "--root", root, "--seed", str(seed)]
        command += ["--train-folds", "1-7", "--val-folds", "8", "--test-folds", "9", "--epochs", str(epochs)]
        command += ["--batch-norm", "per-process", "--output", output]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        subprocess.run(command, check=True, cwd=CHECKOUT, env=environment, stdout=subprocess.DEVNULL)
        found: dict[str, Any] = json.loads((Path(output) / "results.json").read_text())["arms"]["teacher"]
    return found


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True, help="folder of PTB-XL")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    rows, differences = [], []
    for seed in track(range(given.seeds), "seeds"):
        aucs = []
        for processes in (1, given.processes):
            found = trained(given.root, given.epochs, seed, processes)
            aucs.append(found["macro_auc"])
            low, high = found["ci"]
            rows.append(
                {
                    "seed": seed,
                    "processes": processes,
                    "records per batch norm": 64 // processes,
                    "macro AUC": found["macro_auc"],
                    "from": low,
                    "to": high,
                    "difference": aucs[-1] - aucs[0],
                }
            )
        differences.append(aucs[1] - aucs[0])
    spread = f"{min(differences):+.4f} to {max(differences):+.4f}"
    report("batch_norm", f"mean difference {statistics.mean(differences):+.4f} ({spread})", rows)


if __name__ == "__main__":
    main()
