"""What does CLT over the whole bank cost, compared with the sampled NCE of the published code?

``published`` is an NCE with 1,024 negatives in the style of the published code: numpy draws the negatives of every
anchor, their rows are gathered into ``[B, K + 1, D]``, and exp is applied to the scores. A step is forward, backward
and the update of both banks. The variants run alternately. Our loss runs with embeddings in single precision and in
bfloat16, which is the default where the machine supports it. Memory is the growth of the peak during a step, in a
separate process that holds the bank.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from rich.progress import track

from benchmarks._report import CHECKOUT, peak_growth_mb, report
from ecgzoo.create import create_loss
from ecgzoo.losses.clt import CLT
from ecgzoo.losses.contract import Batch, DataInfo, ModelInfo, View
from ecgzoo.training.run import has_bf16

BATCH, DIM, CLASSES, NEGATIVES, TAU = 64, 128, 5, 1024, 0.07
SIZES = (17_418, 100_000, 1_000_000)


def ours(labels: torch.Tensor, critic: str, dtype: torch.dtype = torch.float32, **arguments: int) -> Callable[[], None]:
    """Return a function that runs one step of our loss: forward, backward, update."""
    info = ModelInfo("net", ("I",), CLASSES, DIM, DIM)
    clt = create_loss("clt", info, info, DataInfo(tuple("abcde"), labels), critic=critic, **arguments)
    assert isinstance(clt, CLT)
    everyone = torch.arange(len(labels))
    clt.bank.update(everyone, *(F.normalize(torch.randn(len(labels), DIM), dim=1) for _ in range(2)))

    def step() -> None:
        index = torch.randint(0, len(labels), (BATCH,))
        student, teacher = (
            torch.randn(BATCH, DIM, dtype=dtype, requires_grad=True),
            torch.randn(BATCH, DIM, dtype=dtype),
        )
        seen, taught = (View(e[:, :CLASSES], e, e[..., None]).full_precision() for e in (student, teacher))
        clt(seen, taught, Batch(labels[index], index)).backward()
        clt.after_backward()

    return step


def published(labels: torch.Tensor) -> Callable[[], None]:
    """Return a function that runs one step of the sampled NCE."""
    random = np.random.default_rng(0)
    banks = [F.normalize(torch.randn(len(labels), DIM), dim=1) for _ in range(2)]
    heads = [torch.nn.Linear(DIM, DIM) for _ in range(2)]
    kinds = labels.numpy()
    patterns, kind_of = np.unique(kinds, axis=0, return_inverse=True)
    disjoint = {kind: np.flatnonzero(kinds @ pattern == 0) for kind, pattern in enumerate(patterns)}

    def step() -> None:
        index = torch.randint(0, len(labels), (BATCH,))
        rows = [random.choice(disjoint[int(kind_of[i])], NEGATIVES, replace=True) for i in index.tolist()]
        picked = torch.cat([index[:, None], torch.from_numpy(np.stack(rows))], dim=1)
        student, teacher = torch.randn(BATCH, DIM, requires_grad=True), torch.randn(BATCH, DIM)
        z = [F.normalize(head(e), dim=1) for head, e in zip(heads, (student, teacher), strict=True)]
        total = torch.zeros(())
        for side, other in ((0, 1), (1, 0)):
            weights = banks[other].index_select(0, picked.flatten()).view(BATCH, NEGATIVES + 1, DIM)
            score = torch.bmm(weights, z[side][:, :, None]).squeeze(2).div(TAU).exp()
            p = score / (score.mean().detach() * len(labels))
            noise = NEGATIVES / len(labels)
            total = total - (p[:, 0] / (p[:, 0] + noise + 1e-7)).log().sum() / BATCH
            total = total - (noise / (p[:, 1:] + noise + 1e-7)).log().sum() / BATCH
        total.backward()
        for bank, new in zip(banks, z, strict=True):
            bank[index] = F.normalize(0.5 * bank[index] + 0.5 * new.detach(), dim=1)

    return step


def some_labels(size: int) -> torch.Tensor:
    """Multi-hot labels; the first column is the most common, and every pattern has a disjoint one."""
    return (torch.rand(size, CLASSES) < torch.tensor([0.4, 0.25, 0.22, 0.22, 0.12])).float()


def growth_mb(critic: str, size: int) -> float:
    """Growth of peak memory during a step, in a process that holds the bank, in MB (Linux)."""
    code = f"from benchmarks import clt; print(clt.measure_growth({critic!r}, {size}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    return float(done.stdout)


def measure_growth(critic: str, size: int) -> float:
    """Run by `growth_mb` in a separate process."""
    for _ in range(2):  # so that memory allocated once by the libraries is not counted
        ours(some_labels(256), critic)()
    return peak_growth_mb(ours(some_labels(size), critic, max_rows=size))


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    rows = []
    for size in SIZES:
        torch.manual_seed(0)
        labels = some_labels(size)
        steps = {
            "published": published(labels),
            "nce": ours(labels, "nce", max_rows=size),
            "infonce": ours(labels, "infonce", max_rows=size),
        }
        if has_bf16():
            steps |= {
                f"{critic}, bf16": ours(labels, critic, torch.bfloat16, max_rows=size) for critic in ("nce", "infonce")
            }
        times: dict[str, list[float]] = {name: [] for name in steps}
        for number in track(range(rounds + 2), f"N = {size:,}"):
            for name, step in steps.items():
                start = time.perf_counter()
                step()
                if number > 1:  # the first two warm up
                    times[name].append(time.perf_counter() - start)
        medians = {name: statistics.median(seconds) for name, seconds in times.items()}
        for name, seconds in medians.items():
            rows.append(
                {
                    "N": size,
                    "loss": name,
                    "ms per step": seconds * 1e3,
                    "times published": seconds / medians["published"],
                    "at most 0.5": seconds <= 0.5 * medians["published"],
                    "MB added per step": growth_mb(name, size) if name in ("nce", "infonce") else "",
                    "MB of B×N floats": BATCH * size * 4 / 2**20,
                }
            )
    report("clt", "at N = 17,418 at most 0.5 times published, and at most B×N floats of memory besides the bank", rows)


if __name__ == "__main__":
    main()
