"""A cohort as Parquet: what is written is what the cohort has."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest

from ecgzoo.cli.app import main
from ecgzoo.data import parquet
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import DataError

pq = pytest.importorskip("pyarrow.parquet")
WHOLE = load_synthetic(num_records=40)
LENGTHS = np.tile([1000, 300, 450, 1000, 250], 8)


@pytest.mark.parametrize("unit_uv", [None, np.where(np.arange(40) % 4, 1, 9)])
def test_every_record_is_there(unit_uv: np.ndarray | None, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(parquet, "FILE_BYTES", 15 * 24_000)
    monkeypatch.setattr(parquet, "_AT_ONCE", 4)
    cohort = dataclasses.replace(WHOLE, lengths=LENGTHS, unit_uv=unit_uv, license="CC-BY-4.0", notes=("One.",))
    done: list[tuple[int, int]] = []
    assert parquet.write_parquet(cohort, tmp_path / "x", lambda *count: done.append(count)) == 3
    assert done[-1] == (40, 40)
    paths = sorted((tmp_path / "x" / "data").iterdir())
    assert [path.name for path in paths] == [f"records-0000{number}-of-00003.parquet" for number in range(3)]
    rows = [row for path in paths for row in pq.read_table(path).to_pylist()]
    assert list(rows[0]) == ["record_id", "patient", "fold", "labels", *WHOLE.leads]
    for number, row in enumerate(rows):
        numbers = (cohort.record_ids[number], cohort.patients[number], cohort.folds[number])
        assert (row["record_id"], row["patient"], row["fold"]) == numbers
        assert row["labels"] == [name for name, one in zip(cohort.classes, cohort.labels[number], strict=True) if one]
        microvolts = cohort.signals()[number].astype(int) * (1 if unit_uv is None else unit_uv[number])
        for lead, samples in zip(cohort.leads, microvolts, strict=True):
            assert row[lead] == samples[: LENGTHS[number]].tolist()
    card = (tmp_path / "x" / "README.md").read_text()
    assert "  data_files: data/*.parquet\n---" in card
    assert "license: cc-by-4.0" in card
    assert "40 records of 12 leads at 100 Hz" in card
    assert "- One." in card
    with pytest.raises(DataError, match="is a file or holds files; choose another --output"):
        parquet.write_parquet(cohort, tmp_path / "x")


def test_no_labels_are_not_an_empty_list(tmp_path: Path) -> None:
    labels = WHOLE.labels.copy()
    labels[10:] = 0
    labelled = np.arange(40) < 20
    parquet.write_parquet(dataclasses.replace(WHOLE, labels=labels, labelled=labelled), tmp_path / "x")
    (path,) = (tmp_path / "x" / "data").iterdir()
    found = pq.read_table(path)["labels"].to_pylist()
    assert all(found[:10])
    assert found[10:] == [[]] * 10 + [None] * 20
    assert (
        "`; null if the record has no labels, empty if it has none of these |"
        in (tmp_path / "x" / "README.md").read_text()
    )


def test_without_pyarrow_one_sentence_says_what_to_install(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(parquet, "find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"Parquet needs pyarrow; pip install 'ecgzoo\[parquet\]'"):
        parquet.write_parquet(WHOLE, tmp_path / "x")


def test_the_command(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("ecgzoo.create.load_cohort", lambda *given: WHOLE)
    monkeypatch.setattr(sys, "argv", ["ecgzoo", "data", "export", "--data", "synthetic", "-o", str(tmp_path / "x")])
    main()
    assert f"{tmp_path / 'x'}: 40 records in 1 Parquet files" in capsys.readouterr().out
