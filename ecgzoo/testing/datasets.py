"""assert_dataset_conforms: the data set contract, checked on a registered data set."""

from pathlib import Path

import numpy as np

from ecgzoo import registry
from ecgzoo.create import load_cohort
from ecgzoo.errors import DataError


def assert_dataset_conforms(name: str, root: str | Path | None = None) -> None:
    """Check every task of a registered data set against the contract of ``ecgzoo.data.Cohort``.

    Checked are all that `ecgzoo.data.check_cohort` checks whenever a cohort is used, and that loading again gives the
    same; also that a missing folder and an unknown task are refused.

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
        try:
            first, second = load_cohort(name, root, task), load_cohort(name, root, task)
        except DataError as error:
            raise AssertionError(f"{name}/{task}: {error}") from error
        assert first.name == spec.name, f"{name}/{task}: calls itself {first.name}"
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
