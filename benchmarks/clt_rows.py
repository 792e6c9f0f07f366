"""Which rows should CLT compare with, if it cannot compare with all: random ones, or a queue of the latest?

Trains a lead-I student on PTB-XL (folds 1 to 7, the packaged teacher) with BCE + MKD + CLT. ``random`` draws the rows
of the bank in each step, the same for all anchors, as `CLT` does above ``max_rows``. ``queue`` takes the rows that were
updated last. Both leave out the records that share a diagnosis with the anchor. AUC is that of the best epoch on fold
9, on which no arm was trained, but the best epoch of each was chosen.
"""

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from unittest import mock

import torch
from rich.progress import track

from benchmarks._report import report
from ecgzoo import Recipe, distill
from ecgzoo.losses.clt import CLT

ARMS = ("all", "random", "queue")


def trained(arm: str, rows: int, root: str, epochs: int, seed: int) -> float:
    """The macro AUC of a student."""
    queue = torch.arange(rows)  # not visited yet, so no negatives
    draw, update = CLT._rows, CLT.after_backward

    def latest(self: CLT, device: torch.device) -> torch.Tensor | None:
        return queue.unique() if arm == "queue" else draw(self, device)

    def updated(self: CLT) -> None:
        nonlocal queue
        index = self._pending[0] if self._pending else queue[:0]
        update(self)
        queue = torch.cat([queue, index])[-rows:]

    with tempfile.TemporaryDirectory() as output, ExitStack() as patches:
        patches.enter_context(mock.patch.object(CLT, "_rows", latest))
        patches.enter_context(mock.patch.object(CLT, "after_backward", updated))
        recipe = Recipe(
            data="ptbxl",
            root=root,
            train_folds="1-7",
            val_folds="9",
            test_folds="",
            teacher_weights="xresnet1d18.ptbxl_super_12",
            losses=("bce=1", "mkd=1", "clt=0.8" if arm == "all" else f"clt=0.8,max_rows={rows}"),
            compare=False,
            epochs=epochs,
            seed=seed,
            output=output,
        )
        auc: float = distill(recipe).values["arms"]["student"]["macro_auc"]
    return auc


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True, help="folder of PTB-XL")
    parser.add_argument("--rows", type=int, default=4096)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seeds", type=int, default=2)
    given = parser.parse_args()
    aucs: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for seed in track(range(given.seeds), "seeds"):
        for arm, found in aucs.items():
            found.append(trained(arm, given.rows, given.root, given.epochs, seed))
        rows = [  # written after every seed
            {
                "rows": arm if arm == "all" else f"{arm}, {given.rows:,}",
                "macro AUC": statistics.mean(found),
                "of each seed": " ".join(f"{auc:.4f}" for auc in found),
                "difference": statistics.mean(a - b for a, b in zip(found, aucs["all"], strict=True)),
                "epochs": given.epochs,
            }
            for arm, found in aucs.items()
        ]
        report("clt_rows", "the smallest loss against all rows", rows)


if __name__ == "__main__":
    main()
