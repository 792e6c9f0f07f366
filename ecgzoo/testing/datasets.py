"""assert_dataset_conforms: check the data set contract on a registered data set."""

from pathlib import Path

import numpy as np

from ecgzoo import registry
from ecgzoo.create import load_cohort
from ecgzoo.data.cohort import MICROVOLTS_PER_MILLIVOLT, Cohort
from ecgzoo.errors import DataError
from ecgzoo.signal.quality import assess
from ecgzoo.testing.findings import Findings, Require

_COLUMNS = ("positions", "labels", "folds", "patients", "record_ids", "lengths", "unit_uv")
_RECORDS_LOOKED_AT, _SECONDS_LOOKED_AT = 20, 10.0


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
            for field in ("classes", "leads", "rate_hz", *_COLUMNS):
                same = np.array_equal(getattr(first, field), getattr(second, field))
                require(same, f"loading it again gives other {field}")
            require(np.array_equal(first.signals(slice(3)), second.signals(slice(3))), "signals change")
            findings.notes["signals"] = _quality(first)
    return findings


def _quality(cohort: Cohort) -> str:
    """What signal quality says of some records: with a wrong rate or unit, no check of the contract fails."""
    rows = np.linspace(0, len(cohort) - 1, min(len(cohort), _RECORDS_LOOKED_AT)).astype(np.int64)
    found = []
    for row, samples, unit in zip(rows, cohort.samples(rows), cohort.units(rows), strict=True):
        seconds = min(int(samples) / cohort.rate_hz, _SECONDS_LOOKED_AT)
        signal = cohort.store[cohort.positions[row], :, : round(seconds * cohort.rate_hz)]
        millivolts = signal * unit / MICROVOLTS_PER_MILLIVOLT
        found.append(assess(millivolts, cohort.rate_hz, window_s=seconds, leads=cohort.leads))
    unreadable = sum(quality.unreadable is not None for quality in found)
    rates = [quality.heart_rate_bpm for quality in found if quality.heart_rate_bpm]
    beats = f"{np.median(rates):.0f} beats a minute" if rates else "no heart rate"
    return f"{beats}, {unreadable} of {len(rows)} records unreadable; if this is unusual, check rate and unit"


def _refused(name: str, root: str | Path | None, task: str, require: Require) -> None:
    try:
        load_cohort(name, root, task)
    except DataError:
        return
    require(False, f"task {task!r} from folder {root} is not refused with a DataError")
