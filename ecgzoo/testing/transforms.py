"""assert_transform_conforms: the transform contract, checked on a registered transform."""

import torch
from torch import Tensor

from ecgzoo.create import create_transform
from ecgzoo.losses.contract import Batch, DataInfo
from ecgzoo.transforms.contract import Crops, Draws, Transform

_RECORDS, _CLASSES, _SAMPLES, _RATE_HZ = 8, 3, 251, 100.0
_LEADS = ("I", "II", "V2")


def assert_transform_conforms(name: str, amount: float = 0.5) -> None:
    """Check a registered transform against the contract of ``ecgzoo.transforms.contract``.

    With its default arguments it keeps shape, precision and device, gives finite signals, changes nothing in place,
    changes labels and identity only if it says so, and draws from `Crops.draws` alone: the same draws give the same
    crops, others give others, and each of two processes gets its rows of what one alone would get.

    Args:
        name: as registered.
        amount: a usual one; it must be enough to change some of eight records.

    Raises:
        AssertionError: what does not conform, in a sentence.
        RegistryError: no transform has this name.
    """
    random = torch.Generator().manual_seed(0)
    labels = (torch.rand(_RECORDS, _CLASSES, generator=random) < 0.4).float()
    transform = create_transform(name, DataInfo(tuple("ABC"), labels, auxiliary=labels.repeat(1, 2)), amount)
    whole = _crops(labels, random, _LEADS)
    before, state = whole.millivolts.clone(), torch.random.get_rng_state()

    changed = _applied(transform, whole, seed=0)
    assert torch.equal(whole.millivolts, before), f"{name}: changes the crops that it is given"
    assert torch.equal(torch.random.get_rng_state(), state), f"{name}: draws from torch's own random numbers"
    _check_kept(name, transform, whole, changed)
    assert not torch.equal(changed.millivolts, before), f"{name}: with amount {amount} it changes nothing"
    assert torch.equal(_applied(transform, whole, 0).millivolts, changed.millivolts), f"{name}: does not repeat itself"
    assert not torch.equal(_applied(transform, whole, 1).millivolts, changed.millivolts), f"{name}: ignores the draws"

    for one in (_crops(labels[:1], random, _LEADS), _crops(labels, random, ("II",))):  # one record, one lead
        for done in (0.0, 0.9):
            _check_kept(name, transform, one, _applied(transform, one, 0, done))
    if not transform.uses_done:
        later = _applied(transform, whole, 0, done=0.9).millivolts
        assert torch.equal(later, changed.millivolts), f"{name}: uses the share of epochs done and does not say so"
    if transform.keeps_identity:
        for process in (0, 1):
            own = Crops(before[process::2], _rows(whole.batch, process), _LEADS, _RATE_HZ, whole.draws)
            found = _applied(transform, own, 0, process=process, processes=2).millivolts
            same = torch.allclose(found, changed.millivolts[process::2], atol=1e-5)
            assert same, f"{name}: process {process} of 2 does not get its rows of what one alone would get"


def _crops(labels: Tensor, random: torch.Generator, leads: tuple[str, ...]) -> Crops:
    records = len(labels)
    millivolts = torch.randn(records, len(leads), _SAMPLES, generator=random)
    batch = Batch(labels, torch.arange(records), labels.repeat(1, 2))
    return Crops(millivolts, batch, leads, _RATE_HZ, Draws((0,), records, millivolts.device))


def _rows(batch: Batch, process: int) -> Batch:
    assert batch.auxiliary is not None
    return Batch(batch.labels[process::2], batch.index[process::2], batch.auxiliary[process::2])


def _applied(
    transform: Transform, crops: Crops, seed: int, done: float = 0.0, process: int = 0, processes: int = 1
) -> Crops:
    records = len(crops.millivolts) * processes
    draws = Draws((seed,), records, crops.millivolts.device, process, processes)
    return transform(Crops(crops.millivolts, crops.batch, crops.leads, crops.rate_hz, draws), done)


def _check_kept(name: str, transform: Transform, given: Crops, found: Crops) -> None:
    assert isinstance(found, Crops), f"{name}: gives a {type(found).__name__}, expected Crops"
    for what in ("shape", "dtype", "device"):
        had, has = getattr(given.millivolts, what), getattr(found.millivolts, what)
        assert had == has, f"{name}: millivolts of {what} {had} become {has}"
    assert found.millivolts.isfinite().all(), f"{name}: gives signals that are not finite"
    assert (found.leads, found.rate_hz) == (given.leads, given.rate_hz), f"{name}: changes lead names or rate"
    assert found.batch.labels.shape == given.batch.labels.shape, f"{name}: changes the number of labels"
    if transform.keeps_labels:
        assert torch.equal(found.batch.labels, given.batch.labels), f"{name}: changes labels and does not say so"
    if transform.keeps_identity:
        assert torch.equal(found.batch.index, given.batch.index), f"{name}: changes record numbers and does not say so"
