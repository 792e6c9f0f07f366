"""Noises of ECG recordings, ``[B, leads, T]``, with a root mean square of about 1 and different in each lead."""

import math

import torch
from torch import Tensor

from ecgzoo.transforms.contract import Crops

WANDER_HZ = (0.05, 0.5)  # breathing and slow movement
MUSCLE_HZ = 20.0  # muscle activity is above this frequency
SWINGS = 3


def wander(crops: Crops) -> Tensor:
    """Baseline wander: three slow sines of random frequency, the same for all leads of a record, and random phase."""
    leads = len(crops.leads)
    low, high = WANDER_HZ
    hertz = crops.draws.uniform(1, SWINGS, 1, low=low, high=high)
    phase = crops.draws.uniform(leads, SWINGS, 1, high=2 * math.pi)
    return (2 * math.pi * hertz * seconds(crops) + phase).sin().sum(2) * math.sqrt(2 / SWINGS)


def mains(crops: Crops) -> Tensor:
    """50 or 60 Hz as sampled by a device without an anti-alias filter: above half the rate, it is aliased."""
    hertz = 50.0 + 10.0 * crops.draws.integers(2, 1, 1)
    phase = crops.draws.uniform(len(crops.leads), 1, high=2 * math.pi)
    return (2 * math.pi * hertz * seconds(crops) + phase).sin() * math.sqrt(2)


def muscle(crops: Crops) -> Tensor:
    """White noise above 20 Hz; at rates too low for that, all of the white noise."""
    samples = crops.millivolts.shape[2]
    white = crops.draws.normal(len(crops.leads), samples)
    spectrum = torch.fft.rfft(white)
    hertz = torch.fft.rfftfreq(samples, 1 / crops.rate_hz, device=white.device)
    kept = (hertz >= MUSCLE_HZ) | (hertz[-1] < MUSCLE_HZ)
    rest: Tensor = torch.fft.irfft(spectrum * kept, n=samples)
    return rest / rest.square().mean(2, keepdim=True).sqrt().clamp(min=1e-6)


def seconds(crops: Crops) -> Tensor:
    """The time ``[T]`` of each sample."""
    return torch.arange(crops.millivolts.shape[2], device=crops.millivolts.device) / crops.rate_hz
