"""assert_dataset_conforms: check the data set contract on a registered data set."""

from pathlib import Path

import numpy as np

from ecgzoo import registry
from ecgzoo.create import load_cohort
from ecgzoo.errors import DataError
from ecgzoo.testing.findings import Findings, Require


def assert_dataset_conforms(name: str, root: str | Path | None = None) -> None:
    """Check every task of a registered data set against the contract of ``ecgzoo.data.Cohort``.

    This runs `ecgzoo.data.check_cohort`, which also runs whenever a cohort is used. It checks that loading again gives
    the same, and that a missing folder and an unknown task are refused.

    Args:
        name: registered name.
        root: folder with its files, if it needs one; a small sample is enough.

    Raises:
        AssertionError: one sentence for each failure.
        RegistryError: no data set has this name.
    """
    check_dataset(name, root).conclude()


def check_dataset(name: str, root: str | Path | None = None) -> Findings:
    """The findings of `assert_dataset_conforms`; without a `root` that is needed, only whether errors are refused."""
    findings, spec = Findings(name), registry.get("dataset", name).spec
    with findings.clause("refusals") as require:
        _refused(name, root, "no such task", require)
        if spec.needs_root:
            _refused(name, None, spec.tasks[0], require)
    if spec.needs_root and root is None:
        findings.notes["records"] = "not checked; give the folder with its files, --root DIR or root="
        return findings
    for task in spec.tasks:
        with findings.clause(f"task {task}") as require:
            first, second = load_cohort(name, root, task), load_cohort(name, root, task)
            require(first.name.split("/")[0] == spec.name, f"calls itself {first.name}")
            require(first.fingerprint == second.fingerprint, "loading it again gives another fingerprint")
            for field in ("positions", "labels", "folds", "patients", "record_ids"):
                same = np.array_equal(getattr(first, field), getattr(second, field))
                require(same, f"loading it again gives other {field}")
            require(np.array_equal(first.signals(slice(3)), second.signals(slice(3))), "signals change")
    return findings


def _refused(name: str, root: str | Path | None, task: str, require: Require) -> None:
    try:
        load_cohort(name, root, task)
    except DataError:
        return
    require(False, f"task {task!r} from folder {root} is not refused with a DataError")
