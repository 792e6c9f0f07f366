"""Checks and computations that several losses share."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ecgzoo import RecipeError


def positive(loss: str, name: str, value: object) -> float:
    """Return `value` if it is a positive number.

    Raises:
        RecipeError: `value` is not a positive number.
    """
    if isinstance(value, (int, float)) and 0 < value < math.inf:
        return value
    raise RecipeError(f"{loss}: {name} is {value!r}; it must be a positive number")


def weights(loss: str, values: dict[str, float]) -> tuple[float, ...]:
    """Return the `values` if they are valid weights: numbers of at least 0, and not all of them 0.

    Raises:
        RecipeError: the values are not valid weights.
    """
    numbers = all(isinstance(value, (int, float)) and 0 <= value < math.inf for value in values.values())
    if numbers and any(values.values()):
        return tuple(values.values())
    named = ", ".join(f"{name}={value!r}" for name, value in values.items())
    raise RecipeError(f"{loss}: {named}; weights are numbers of at least 0, and not all of them 0")


def same_length(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Both ``[B, …, T']``, the longer one adaptively average-pooled over time to the length of the shorter."""
    length = min(a.shape[-1], b.shape[-1])
    a, b = (x if x.shape[-1] == length else F.adaptive_avg_pool1d(x, length) for x in (a, b))
    return a, b


def z_scores(x: Tensor) -> Tensor:
    """Rows of ``[B, n]`` shifted and scaled to mean 0 and population deviation 1; a constant row gives zeros."""
    deviation = x - x.mean(1, keepdim=True)
    variance = deviation.square().mean(1, keepdim=True)
    # the variance of a constant row is only rounding: dividing by it would give noise and unbounded gradients
    constant = variance <= (1e-6 * x.detach().abs().amax(1, keepdim=True)).square()
    return (deviation / torch.where(constant, 1.0, variance).sqrt()).masked_fill(constant, 0.0)


def relative_distances(x: Tensor, pairs: Tensor) -> Tensor:
    """Euclidean distances ``[…, n, n]`` of rows ``[…, n, D]``, in units of their mean over the `pairs` that differ.

    Args:
        x: the rows.
        pairs: boolean, ``[…, n, n]`` or broadcast to it.
    """
    # from differences: with matrix products, close rows would give noise; the gradient at distance 0 is 0
    distance = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
    used = pairs & (distance > 0)
    mean = (distance * used).sum() / used.sum().clamp(min=1)
    return distance / torch.where(mean > 0, mean, 1.0)
