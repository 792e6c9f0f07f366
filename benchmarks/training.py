"""How fast is a training step, and which parts make it fast?

A step of a lead-I student on 2.5 s crops is forward, BCE, backward and AdamW. The variants go from a simple loop to
the engine's own path. ``plain`` is the same network with torch's own ``nn.Conv1d`` and ``nn.BatchNorm1d``.
``--compile`` adds torch.compile, which needs a C++ compiler and half a minute per row.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from rich.progress import track
from torch import Tensor, nn

from benchmarks._report import report
from ecgzoo.backbones import _blocks
from ecgzoo.create import create_model
from ecgzoo.training.run import has_bf16

ROUNDS, STEPS, BATCH, CROP = 15, 10, 64, 250


class MaxPool(nn.Module):
    """The pooling of the plain network: ``nn.MaxPool1d``."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.pool = nn.MaxPool1d(3, stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, T]``."""
        pooled: Tensor = self.pool(x)
        return pooled


def plain(module: Any) -> Any:
    """Replace the layers of `module` by torch's own one-dimensional layers, with the same parameters."""
    for name, child in module.named_children():
        if isinstance(child, _blocks.Conv):
            child.__class__ = nn.Conv1d  # type: ignore[assignment] # the same parameters, torch's own forward
        elif isinstance(child, nn.BatchNorm2d):
            setattr(module, name, _norm_1d(child))
        elif isinstance(child, _blocks.MaxPool):
            setattr(module, name, MaxPool(child.stride))
        elif isinstance(child, _blocks.PairMean):
            setattr(module, name, nn.AvgPool1d(2, ceil_mode=True))
        else:
            plain(child)
    return module


def _norm_1d(norm: nn.BatchNorm2d) -> nn.BatchNorm1d:
    same = nn.BatchNorm1d(norm.num_features, dtype=norm.running_var.dtype if norm.running_var is not None else None)
    same.load_state_dict(norm.state_dict())
    return same.train(norm.training)


class PlainNet(nn.Module):
    """The backbone without the fourth dimension and the channels-last layout."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = plain(backbone)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, C]``."""
        logits: Tensor = self.backbone.forward_head(self.backbone.stages(self.backbone.stem(x)))
        return logits


def make_step(name: str, architecture: str) -> Callable[[], None]:
    """Return a function that takes one step of the variant."""
    torch.manual_seed(0)
    backbone = create_model(architecture, ("I",)).backbone
    model: nn.Module = PlainNet(backbone) if name == "plain" else backbone
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True if "fused" in name else None)
    x, labels = torch.randn(BATCH, 1, CROP), torch.randint(0, 2, (BATCH, 5)).float()
    forward: Any = torch.compile(model) if "compile" in name else model

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in name):
            logits = forward(x)
        F.binary_cross_entropy_with_logits(logits.float(), labels).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--architecture", default="xresnet1d18")
    arguments = parser.parse_args()
    names = ["plain", "channels last", "channels last, fused"]
    names += ["channels last, fused, bf16"] if has_bf16() else []
    names += [f"compile, {name}" for name in names[2:]] if arguments.compile else []
    steps = {name: make_step(name, arguments.architecture) for name in names}
    times: dict[str, list[float]] = {name: [] for name in names}
    for number in track(range(ROUNDS + 1), "rounds"):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(STEPS):
                step()
            if number:  # the first round warms up
                times[name].append((time.perf_counter() - start) / STEPS)
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    rows = [
        {
            "step": name,
            "ms": seconds * 1e3,
            "records per second": BATCH / seconds,
            "times plain": medians["plain"] / seconds,
            "limit met": medians["plain"] / seconds >= 1.5,
            "threads": torch.get_num_threads(),
        }
        for name, seconds in medians.items()
    ]
    report("training", f"{arguments.architecture}: the default path at least 1.5 times plain", rows)


if __name__ == "__main__":
    main()
