"""assert_dataset_conforms: the data set contract, checked on a registered data set."""

from pathlib import Path

import numpy as np

from ecgzoo import registry
from ecgzoo.create import load_cohort
from ecgzoo.data import Cohort
from ecgzoo.errors import DataError
from ecgzoo.signal import canonical_lead


def assert_dataset_conforms(name: str, root: str | Path | None = None) -> None:
    """Check every task of a registered data set against the contract of ``ecgzoo.data.Cohort``.

    Checked are shapes and types, classes in alphabetical order, multi-hot labels, leads by their usual names, ascending
    record ids, patients within one fold, signals that are there and look like microvolts, and that loading again gives
    the same; also that a missing folder and an unknown task are refused.

    Args:
        name: as registered.
        root: folder of its files, if it needs one; a small sample is enough.

    Raises:
        AssertionError: what does not conform, in a sentence that names the data set.
        RegistryError: no data set has this name.
    """
    spec = registry.get("dataset", name).spec
    _refused(name, root, "no such task")
    if spec.needs_root:
        _refused(name, None, spec.tasks[0])
    for task in spec.tasks:
        first, second = load_cohort(name, root, task), load_cohort(name, root, task)
        _check(f"{name}/{task}", first)
        assert (first.name, first.task) == (spec.name, task), f"{name}/{task}: calls itself {first.name}/{first.task}"
        assert first.fingerprint == second.fingerprint, f"{name}/{task}: loading it again gives another fingerprint"
        for field in ("positions", "labels", "folds", "patients", "record_ids"):
            same = np.array_equal(getattr(first, field), getattr(second, field))
            assert same, f"{name}/{task}: loading it again gives other {field}"
        assert np.array_equal(first.signals(slice(3)), second.signals(slice(3))), f"{name}/{task}: signals change"


def _refused(name: str, root: str | Path | None, task: str) -> None:
    try:
        load_cohort(name, root, task)
    except DataError:
        return
    raise AssertionError(f"{name}: task {task!r} from folder {root} is not refused with a DataError")


def _check(what: str, cohort: Cohort) -> None:
    number, classes = len(cohort), len(cohort.classes)
    shapes = {
        "positions": (number,),
        "labels": (number, classes),
        "folds": (number,),
        "patients": (number,),
        "record_ids": (number,),
    }
    assert number > 0, f"{what}: no records"
    assert classes > 0, f"{what}: no classes"
    for field, shape in shapes.items():
        found = getattr(cohort, field)
        assert found.shape == shape, f"{what}: {field} has shape {found.shape}, expected {shape}"
        assert np.issubdtype(found.dtype, np.integer), f"{what}: {field} are {found.dtype}, expected integers"
    assert list(cohort.classes) == sorted(set(cohort.classes)), f"{what}: classes {cohort.classes} unsorted"
    assert np.isin(cohort.labels, (0, 1)).all(), f"{what}: labels are not 0 and 1"
    assert len(set(cohort.leads)) == len(cohort.leads), f"{what}: a lead is named twice"
    for lead in cohort.leads:
        assert canonical_lead(lead) == lead, f"{what}: lead {lead!r} is spelt {canonical_lead(lead)!r} in ecgzoo"
    assert cohort.rate_hz > 0, f"{what}: rate_hz is {cohort.rate_hz}"
    assert cohort.store.dtype == np.int16, f"{what}: the store is {cohort.store.dtype}, expected int16 microvolts"
    assert cohort.store.ndim == 3, f"{what}: the store has shape {cohort.store.shape}, expected [M, L, T]"
    assert cohort.store.shape[1] == len(cohort.leads), f"{what}: {cohort.store.shape[1]} channels, not one a lead"
    inside = cohort.positions.min() >= 0 and cohort.positions.max() < len(cohort.store)
    assert inside, f"{what}: positions beyond the store's {len(cohort.store)} records"
    assert (np.diff(cohort.record_ids) > 0).all(), f"{what}: record_ids do not ascend"
    pairs = {(int(patient), int(fold)) for patient, fold in zip(cohort.patients, cohort.folds, strict=True)}
    assert len(pairs) == len(np.unique(cohort.patients)), f"{what}: a patient is in two folds"
    assert cohort.fingerprint, f"{what}: no fingerprint of what it was made from"
    spread = float(np.median(np.ptp(cohort.signals(slice(50)), axis=2)))
    assert 50 < spread < 20_000, f"{what}: leads typically span {spread:g}, which is no ECG in microvolts"
