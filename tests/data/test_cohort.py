"""A cohort that breaks its contract is refused wherever it is used."""

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ecgzoo import registry
from ecgzoo.create import create_model, load_cohort
from ecgzoo.data import check_cohort
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import DataError
from ecgzoo.evaluation import evaluate

GOOD = load_synthetic(num_records=40)


def changed(field: str, row: int, value: object) -> np.ndarray:
    column = np.array(getattr(GOOD, field))
    column[row] = value
    return column


def on_two_patients(folds: tuple[int, int]) -> dict[str, np.ndarray]:
    patients = np.arange(40)
    patients[[3, 30]] = 99
    every = np.ones(40, np.int16)
    every[[3, 30]] = folds
    return {"patients": patients, "folds": every}


FAULTS = {
    "float millivolts": ({"store": GOOD.store / 1000.0}, "float64, expected int16 microvolts. Multiply"),
    "int16 millivolts": ({"store": GOOD.store // 1000}, "not an ECG in microvolts"),
    "another byte order": ({"store": GOOD.store.astype(">i2")}, "expected int16"),
    "a list of records": ({"store": GOOD.store.tolist()}, "the store is list"),
    "one lead without its axis": ({"store": GOOD.store[:, 0], "leads": ("I",)}, r"shape \(40, 1000\)"),
    "no samples": ({"store": GOOD.store[:, :, :0]}, r"shape \(40, 12, 0\)"),
    "three names for two rows": (
        {"store": GOOD.store[:, :2], "leads": ("I", "II", "V2")},
        "2 channels, expected one per lead, 3 for",
    ),
    "leads in a string": ({"leads": "I"}, "leads are 'I', expected a tuple"),
    "an unknown lead": ({"leads": ("V9", *GOOD.leads[1:])}, "lead 'V9' is unknown"),
    "a lead in another spelling": ({"leads": ("MLII", *GOOD.leads[1:])}, "spelt 'II'"),
    "a lead twice": ({"leads": ("II", *GOOD.leads[1:])}, "named twice"),
    "labels of one dimension": ({"labels": GOOD.labels[:, 0]}, r"labels has shape \(40,\).*\(40, 5\)"),
    "labels of another class count": ({"labels": GOOD.labels[:, :4]}, "labels has shape"),
    "probabilities": ({"labels": GOOD.labels * 0.5}, "labels are float64, expected integers"),
    "labels that are NaN": (
        {"labels": np.where(GOOD.record_ids[:, None] == GOOD.record_ids[3], np.nan, GOOD.labels)},
        "labels of 1 records are NaN, expected 0 or 1. Leave out",
    ),
    "labels of 2": ({"labels": GOOD.labels * 2}, "not only 0 and 1"),
    "labels of -1": ({"labels": GOOD.labels.astype(np.int8) * -1}, "not only 0 and 1"),
    "lengths of no samples": ({"lengths": np.zeros(40, np.int64)}, "lengths from 0 to 0 do not fit"),
    "lengths beyond the store": ({"lengths": np.full(40, 1001)}, "lengths from 1001 to 1001 do not fit"),
    "samples behind a shorter record": ({"lengths": np.full(40, 500)}, "followed by samples that are not 0"),
    "one length": ({"lengths": np.array([1000])}, r"lengths has shape \(1,\)"),
    "one labelled": ({"labelled": np.array([True])}, r"labelled has shape \(1,\)"),
    "labelled as numbers": ({"labelled": np.ones(40, np.uint8)}, "labelled are uint8, expected bool"),
    "labels of what is not labelled": ({"labelled": np.arange(40) > 30}, "is not labelled, but its labels are not all"),
    "class names that are numbers": ({"classes": (1, 2, 3, 4, 5)}, "classes are"),
    "class names in a list": ({"classes": list(GOOD.classes)}, "expected a tuple"),
    "a class twice": ({"classes": ("CD", "CD", "MI", "NORM", "STTC")}, "not sorted"),
    "a rate that is no number": ({"rate_hz": float("nan")}, "rate_hz is nan"),
    "an infinite rate": ({"rate_hz": float("inf")}, "rate_hz is inf"),
    "a rate in text": ({"rate_hz": "100"}, "rate_hz is '100'"),
    "positions before the store": ({"positions": GOOD.positions - 1}, "from -1 to 38 are outside"),
    "positions after it": ({"positions": GOOD.positions + 1}, "from 1 to 40 are outside"),
    "no positions": ({"positions": np.zeros(0, np.int64)}, "no records"),
    "positions in a list": ({"positions": [0, 1]}, "no records: positions are"),
    "float positions": ({"positions": GOOD.positions / 1.0}, "positions are float64"),
    "folds in a list": ({"folds": GOOD.folds.tolist()}, "folds is a list"),
    "a patient in two folds": (on_two_patients((1, 4)), "a patient is in two folds: 99 in 1 and 4"),
    "a recording in two folds": ({"positions": changed("positions", 39, 0)}, "a recording of the store is in two"),
    "an id twice": ({"record_ids": changed("record_ids", 1, 1)}, "are not ascending"),
    "unsigned ids that descend": ({"record_ids": GOOD.record_ids[::-1].astype(np.uint64)}, "are not ascending"),
    "sexes of another length": ({"sexes": np.zeros(39, np.int8)}, r"sexes has shape \(39,\)"),
    "sexes 1 and 2": ({"sexes": np.arange(40) % 2 + 1}, "sexes are not only 0"),
    "sexes in letters": ({"sexes": np.array(["m"] * 40)}, "sexes are <U1"),
    "ages of another length": ({"ages": np.zeros((40, 1))}, r"ages has shape \(40, 1\)"),
    "an age of -1": ({"ages": np.full(40, -1.0)}, "ages are negative"),
    "no name": ({"name": ""}, "name is ''"),
    "no task": ({"task": None}, "task is None"),
    "a fingerprint of bytes": ({"fingerprint": b"1"}, "fingerprint is b'1'"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_cohort_that_breaks_its_contract_is_refused(fault: str) -> None:
    fields, reason = FAULTS[fault]
    with pytest.raises(DataError, match=reason) as caught:
        check_cohort(dataclasses.replace(GOOD, **fields))
    assert "\n" not in str(caught.value)


def test_sound_cohorts_pass() -> None:
    check_cohort(GOOD)
    ages = np.array([np.nan, 30, 300, *range(37)], np.float32)
    check_cohort(dataclasses.replace(GOOD, sexes=np.arange(40) % 3 - 1, ages=ages))
    check_cohort(dataclasses.replace(GOOD, **on_two_patients((4, 4)), labels=GOOD.labels.astype(np.int64)))
    check_cohort(dataclasses.replace(GOOD, store=GOOD.store[:, :1], leads=("I",), rate_hz=100))
    with pytest.raises(DataError, match=r"expected an ecgzoo\.Cohort, got a dict"):
        check_cohort({})  # type: ignore[arg-type]


def test_which_records_have_labels_is_part_of_what_a_run_belongs_to() -> None:
    bare = dataclasses.replace(GOOD, labels=GOOD.labels * 0)
    check_cohort(dataclasses.replace(bare, labelled=np.zeros(40, bool)))
    found = {dataclasses.replace(bare, labelled=np.arange(40) < count).records_sha256 for count in (0, 20)}
    assert len(found | {bare.records_sha256}) == 3


def test_a_lead_that_spans_more_than_int16_is_no_small_one() -> None:
    huge = np.where(np.arange(1000) % 2, 30_000, -30_000).astype(np.int16)
    with pytest.raises(DataError, match="typically span 60000"):
        check_cohort(dataclasses.replace(GOOD, store=np.broadcast_to(huge, (40, 12, 1000))))


@pytest.mark.parametrize("where", [0, 4000])
def test_records_are_looked_at_from_first_to_last(where: int) -> None:
    """A store of 5,000 records whose first or last half is empty is found, without reading all of the other half."""
    store = np.zeros((5000, 1, 300), np.int16)
    store[where : where + 1000] = GOOD.store[:1, :1, :300]
    every = np.arange(5000)
    cohort = dataclasses.replace(
        GOOD,
        store=store,
        leads=("I",),
        positions=every,
        labels=np.zeros((5000, 5), np.uint8),
        folds=every,
        patients=every,
        record_ids=every,
    )
    with pytest.raises(DataError, match="typically span 0"):
        check_cohort(cohort)


def test_a_large_store_is_not_read(tmp_path: Path) -> None:
    """Resident memory shows what was read of a sparse file of 2.4 GB."""
    script = """
import resource, sys
import numpy as np
from ecgzoo.data import Cohort, check_cohort
from ecgzoo.errors import DataError
from ecgzoo.signal import LEADS_12
every = np.arange(100_000)
store = np.lib.format.open_memmap(sys.argv[1], "w+", np.int16, (100_000, 12, 1000))
cohort = Cohort(name="a", task="b", classes=("c",), leads=LEADS_12, rate_hz=100.0, store=store, positions=every,
                labels=np.zeros((100_000, 1), np.uint8), folds=every, patients=every, record_ids=every, fingerprint="d")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    check_cohort(cohort)
except DataError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a.npy")], capture_output=True, text=True, check=True
    )
    (tmp_path / "a.npy").unlink()
    error, kilobytes = done.stdout.splitlines()
    assert "typically span 0" in error
    assert int(kilobytes) < 100_000


@pytest.mark.parametrize("fault", ["float millivolts", "a patient in two folds", "three names for two rows"])
def test_evaluate_refuses_it(fault: str) -> None:
    model = create_model("xresnet1d18", ("I",), 5)
    model.config = dataclasses.replace(model.config, classes=GOOD.classes)
    with pytest.raises(DataError, match=FAULTS[fault][1]):
        evaluate(model, dataclasses.replace(GOOD, **FAULTS[fault][0]), [1])


@pytest.mark.parametrize("fault", ["float millivolts", "a patient in two folds", "labels of one dimension"])
def test_a_plugin_that_gives_it_is_named(tiny: str, monkeypatch: pytest.MonkeyPatch, fault: str) -> None:
    bad = dataclasses.replace(GOOD, **FAULTS[fault][0])
    monkeypatch.setattr(registry, "factory", lambda _: lambda *_: bad)
    with pytest.raises(DataError, match=f"dataset tiny of tiny-cohort 1.0 gave a cohort.*{FAULTS[fault][1]}"):
        load_cohort(tiny)


def test_a_plugin_that_gives_another_task_is_refused(tiny: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "factory", lambda _: lambda *_: GOOD)
    with pytest.raises(DataError, match="its task is 'superdiagnostic', expected 'diagnostic'"):
        load_cohort(tiny, None, "diagnostic")


def test_a_cohort_is_shown_in_one_line() -> None:
    shown = repr(dataclasses.replace(GOOD, leads=("I", "II"), classes=tuple(f"C{n:02}" for n in range(30))))
    assert shown.startswith("Cohort(synthetic/superdiagnostic (simulated): 40 records, leads I, II, 100 Hz, folds 1, 2")
    assert shown.endswith("C18, C19 and 10 more)")
