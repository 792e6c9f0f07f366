"""Every built-in data set against the contract, and the contract against data sets that break it."""

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest

from ecgzoo import registry
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import DataError
from ecgzoo.testing import assert_dataset_conforms
from ecgzoo.testing.datasets import check_dataset


def test_the_simulated_cohort_conforms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(load_synthetic.__kwdefaults__, "num_records", 480)  # the larger one begins with the smaller
    assert_dataset_conforms("synthetic")


def test_ptbxl_conforms(test_data: Path) -> None:
    assert_dataset_conforms("ptbxl", test_data / "ptbxl-small")


@pytest.mark.parametrize("name", ["cpsc2018", "cinc2021"])
def test_the_challenges_conform(test_data: Path, name: str) -> None:
    assert_dataset_conforms(name, test_data / name)


def test_every_built_in_is_tested_here() -> None:
    built_in = {name for name in registry.names("dataset") if registry.lookup("dataset", name).built_in}
    elsewhere = {"folder", "ludb"}  # tests/test_ingest.py, test_challenge.py
    assert built_in == {"synthetic", "ptbxl", "cpsc2018", "cinc2021"} | elsewhere


@pytest.mark.parametrize(
    ("field", "change", "reason"),
    [
        ("classes", lambda c: c.classes[::-1], "not sorted"),
        ("labels", lambda c: c.labels + 1, "not only 0 and 1"),
        ("labels", lambda c: c.labels[:-1], "labels has shape"),
        ("leads", lambda c: ("i", *c.leads[1:]), "spelt 'I'"),
        ("record_ids", lambda c: c.record_ids[::-1], "are not ascending"),
        ("patients", lambda c: c.patients * 0, "a patient is in two folds"),
        ("store", lambda c: c.store.astype(np.float32), "int16"),
        ("store", lambda c: c.store // 1000, "not an ECG in microvolts"),
        ("positions", lambda c: c.positions + 1, "outside the store"),
        ("rate_hz", lambda c: 0.0, "rate_hz"),
        ("fingerprint", lambda c: "", "fingerprint is ''"),
        ("name", lambda c: "other", "calls itself other"),
    ],
)
def test_a_data_set_that_breaks_the_contract_is_told_how(
    monkeypatch: pytest.MonkeyPatch, field: str, change, reason: str
) -> None:
    good = load_synthetic(None, "superdiagnostic", num_records=40)
    bad = dataclasses.replace(good, **{field: change(good)})

    def load(root: Path | None, task: str):
        if root is None or task == "superdiagnostic":
            return bad
        raise DataError("no")

    monkeypatch.setattr(registry, "factory", lambda found: load)
    with pytest.raises(AssertionError, match=reason):
        assert_dataset_conforms("synthetic")


@pytest.mark.parametrize("field", ["leads", "rate_hz", "unit_uv"])
def test_a_data_set_that_is_another_when_loaded_again_does_not_conform(
    monkeypatch: pytest.MonkeyPatch, field: str
) -> None:
    good = load_synthetic(None, "superdiagnostic", num_records=40)
    others = {"leads": good.leads[::-1], "rate_hz": 500.0, "unit_uv": np.full(40, 2)}
    loaded = itertools.cycle([good, dataclasses.replace(good, **{field: others[field]})])

    def load(root: Path | None, task: str):
        if task != "superdiagnostic":
            raise DataError("no")
        return next(loaded)

    monkeypatch.setattr(registry, "factory", lambda found: load)
    with pytest.raises(AssertionError, match=f"loading it again gives other {field}"):
        assert_dataset_conforms("synthetic")


@pytest.mark.parametrize(
    ("rate_hz", "said"), [(100.0, "beats a minute, 0 of 20 records unreadable"), (20.0, "20 of 20 records unreadable")]
)
def test_a_check_says_what_a_wrong_rate_would_show(monkeypatch: pytest.MonkeyPatch, rate_hz: float, said: str) -> None:
    cohort = dataclasses.replace(load_synthetic(None, "superdiagnostic", num_records=40), rate_hz=rate_hz)
    monkeypatch.setattr(registry, "factory", lambda found: lambda root, task: cohort)
    assert said in check_dataset("synthetic").notes["signals"]
