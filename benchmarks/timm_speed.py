"""How much faster is a network of timm when it is converted than on a signal of height 1 as it is?

CPU time of one thread, smallest of alternating rounds, for `resnet18` with 1 lead: a forward pass in eval mode, and a
training step (forward, backward, AdamW). ``create`` compares creating the two.
"""

import argparse
import time
from collections.abc import Callable
from typing import Any

import timm
import torch

from benchmarks._report import report
from ecgzoo.backbones import timm1d

NAME, ROUNDS = "resnet18", 9
CASES = (
    ("inference", 1, 250),
    ("inference", 1, 1000),
    ("inference", 64, 250),
    ("training", 16, 250),
    ("training", 64, 250),
)


def inference(network: Any, x: torch.Tensor) -> Callable[[], None]:
    """A forward pass."""
    network.eval()

    @torch.no_grad()
    def step() -> None:
        network(x)

    return step


def training(network: Any, x: torch.Tensor) -> Callable[[], None]:
    """A training step."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        optimizer.zero_grad()
        network(x).square().mean().backward()
        optimizer.step()

    return step


def compare(of_timm: Callable[[], object], converted: Callable[[], object]) -> tuple[float, float]:
    """Milliseconds of each."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS + 1):
        for step, seconds in zip((of_timm, converted), times, strict=True):
            start = time.process_time()
            step()
            seconds.append(time.process_time() - start)
    return min(times[0][1:]) * 1e3, min(times[1][1:]) * 1e3


def main() -> None:
    """Print the table and write the JSON."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    torch.set_num_threads(1)
    of_timm, converted = timm.create_model(NAME, in_chans=1, num_classes=5), timm1d.create(NAME, 1, 5)
    rows = []
    for what, batch, samples in CASES:
        x = torch.randn(batch, 1, samples)
        make = inference if what == "inference" else training
        slow, fast = compare(make(of_timm, x.unsqueeze(2)), make(converted, x))
        rows.append(
            {"what": what, "batch": batch, "samples": samples, "timm ms": slow, "ms": fast, "times": slow / fast}
        )
    slow, fast = compare(lambda: timm.create_model(NAME, in_chans=1, num_classes=5), lambda: timm1d.create(NAME, 1, 5))
    rows.append({"what": "create", "batch": "", "samples": "", "timm ms": slow, "ms": fast, "times": slow / fast})
    report("timm_speed", "training and inference at least 2 times; create at least 1 / 1.2 = 0.83", rows)


if __name__ == "__main__":
    main()
