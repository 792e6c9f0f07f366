"""What the tests of transforms share: a registered transform, applied to signals."""

from collections.abc import Callable

import pytest
import torch

from ecgzoo import create_transform
from ecgzoo.losses.contract import Batch, DataInfo
from ecgzoo.transforms.contract import Crops, Draws

CPU = torch.device("cpu")


def crops_of(millivolts: torch.Tensor, rate_hz: float = 100.0, seed: int = 0, batch: Batch | None = None) -> Crops:
    records, leads = millivolts.shape[:2]
    names = tuple(f"lead {number}" for number in range(leads))
    batch = batch or Batch(torch.zeros(records, 2), torch.arange(records))
    return Crops(millivolts, batch, names, rate_hz, Draws((seed,), records, CPU))


@pytest.fixture(scope="session")
def crops() -> Callable[..., Crops]:
    """``crops(millivolts, rate_hz=100, seed=0, batch=None)``."""
    return crops_of


@pytest.fixture(scope="session")
def apply() -> Callable[..., torch.Tensor]:
    """``apply(name, millivolts, amount, rate_hz=100, seed=0, done=0, **arguments)``: what becomes of the signals."""

    def applied(
        name: str,
        millivolts: torch.Tensor,
        amount: float,
        *,
        rate_hz: float = 100.0,
        seed: int = 0,
        done: float = 0.0,
        **arguments: object,
    ) -> torch.Tensor:
        transform = create_transform(name, DataInfo(("A", "B"), torch.zeros(1, 2)), amount, **arguments)
        return transform(crops_of(millivolts, rate_hz, seed), done).millivolts

    return applied
