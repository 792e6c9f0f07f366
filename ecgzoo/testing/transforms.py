"""assert_transform_conforms: check the transform contract on a registered transform."""

from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor

from ecgzoo.create import create_transform
from ecgzoo.losses.contract import Batch, DataInfo
from ecgzoo.testing.findings import Findings, Require
from ecgzoo.transforms.contract import Crops, Draws, Transform

_RECORDS, _CLASSES, _SAMPLES, _RATE_HZ = 8, 3, 251, 100.0
_LEADS = ("I", "II", "V2")
_MOST_MV = 100.0


def assert_transform_conforms(name: str, amount: float = 0.5) -> None:
    """Check a registered transform against the contract of ``ecgzoo.transforms.contract``.

    With default arguments it must keep shape, precision and device, give finite signals in millivolts, change nothing
    in place, and change labels and identity only if it declares this; if it mixes records, it must mix the labels of
    the second task, too. It must use only random numbers from `Crops.draws`: the same draws give the same crops, other
    draws give other crops, and each of two processes gets its rows of what a single process would get.

    Args:
        name: registered name.
        amount: a typical amount; it must be enough to change some of eight records.

    Raises:
        AssertionError: one sentence for each failure.
        RegistryError: no transform has this name.
    """
    check_transform(name, amount).conclude()


def check_transform(name: str, amount: float = 0.5) -> Findings:
    """The findings of `assert_transform_conforms`."""
    findings, random = Findings(name), torch.Generator().manual_seed(0)
    labels = (torch.rand(_RECORDS, _CLASSES, generator=random) < 0.4).float()
    transform = create_transform(name, DataInfo(tuple("ABC"), labels, auxiliary=labels.repeat(1, 2)), amount)
    whole = _crops(labels, random, _LEADS)
    before, changed = whole.millivolts, whole
    with findings.clause("result") as require:
        state = torch.random.get_rng_state()
        changed = _applied(transform, whole, require)
        require(torch.equal(torch.random.get_rng_state(), state), "uses torch's global random numbers")
        if not _check_kept(transform, whole, changed, require):
            return findings
        require(not torch.equal(changed.millivolts, before), f"changes nothing with amount {amount}")
    with findings.clause("draws") as require:
        again, other = (_applied(transform, whole, require, seed).millivolts for seed in (0, 1))
        require(torch.equal(again, changed.millivolts), "does not repeat itself")
        require(not torch.equal(other, changed.millivolts), "ignores the draws")
    with findings.clause("one record, one lead") as require:
        for one in (_crops(labels[:1], random, _LEADS), _crops(labels, random, ("II",))):
            for done in (0.0, 0.9):
                _check_kept(transform, one, _applied(transform, one, require, done=done), require)
    if not transform.uses_done:
        with findings.clause("share of epochs done") as require:
            later = _applied(transform, whole, require, done=0.9).millivolts
            require(torch.equal(later, changed.millivolts), "uses the share of epochs done without declaring it")
    if transform.keeps_identity:
        with findings.clause("two processes") as require:
            for process in (0, 1):
                own = Crops(before[process::2], _rows(whole.batch, process), _LEADS, _RATE_HZ, whole.draws)
                found = _applied(transform, own, require, process=process, processes=2).millivolts
                same = torch.allclose(found, changed.millivolts[process::2], atol=1e-5)
                require(same, f"process {process} of 2 does not get its rows of what a single process would get")
    return findings


def _crops(labels: Tensor, random: torch.Generator, leads: tuple[str, ...]) -> Crops:
    records = len(labels)
    millivolts = torch.randn(records, len(leads), _SAMPLES, generator=random)
    batch = Batch(labels, torch.arange(records), labels.repeat(1, 2))
    return Crops(millivolts, batch, leads, _RATE_HZ, Draws((0,), records, millivolts.device))


def _rows(batch: Batch, process: int) -> Batch:
    assert batch.auxiliary is not None
    return Batch(batch.labels[process::2], batch.index[process::2], batch.auxiliary[process::2])


def _applied(
    transform: Transform,
    crops: Crops,
    require: Require,
    seed: int = 0,
    done: float = 0.0,
    process: int = 0,
    processes: int = 1,
) -> Crops:
    """What the transform makes of a copy of `crops`, which it must not change."""
    records = len(crops.millivolts) * processes
    draws = Draws((seed,), records, crops.millivolts.device, process, processes)
    given = replace(deepcopy(crops), draws=draws)
    found = transform(given, done)
    require(torch.equal(given.millivolts, crops.millivolts), "changes the crops that it is given")
    changed = [part for part, tensor in vars(crops.batch).items() if not _equal(getattr(given.batch, part), tensor)]
    require(not changed, f"changes {', '.join(changed)} of the batch that it is given")
    return found


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)


def _check_kept(transform: Transform, given: Crops, found: Crops, require: Require) -> bool:
    """Check what must stay the same; return whether the result can be compared further."""
    if not require(isinstance(found, Crops), f"gives a {type(found).__name__}, expected Crops"):
        return False
    kept = [
        require(
            (had := getattr(given.millivolts, what)) == (has := getattr(found.millivolts, what)),
            f"millivolts of {what} {had} become {has}",
        )
        for what in ("shape", "dtype", "device")
    ]
    require(bool(found.millivolts.isfinite().all()), "gives signals that are not finite")
    peak = found.millivolts.abs().max().item()
    require(not peak > _MOST_MV, f"gives signals of {peak:.3g} mV for crops of about 1 mV; expected millivolts")
    require((found.leads, found.rate_hz) == (given.leads, given.rate_hz), "changes lead names or rate")
    same = require(found.batch.labels.shape == given.batch.labels.shape, "changes the number of labels")
    kept_labels = same and torch.equal(found.batch.labels, given.batch.labels)
    kept_auxiliary = _equal(found.batch.auxiliary, given.batch.auxiliary)
    if transform.keeps_labels and same:
        require(kept_labels and kept_auxiliary, "changes labels without declaring it")
    if not transform.keeps_identity and same and not kept_labels:
        require(not kept_auxiliary, "mixes records and their labels, but not those of the second task (auxiliary)")
    if transform.keeps_identity:
        require(torch.equal(found.batch.index, given.batch.index), "changes record indices without declaring it")
    return all(kept)
