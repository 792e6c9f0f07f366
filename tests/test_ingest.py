"""Import: a table of recordings becomes a cohort, in one command that may be stopped at any time."""

import csv
import dataclasses
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ecgzoo
from ecgzoo import ingest
from ecgzoo.cli.app import main
from ecgzoo.data import check_cohort
from ecgzoo.data import folder as folder_data
from ecgzoo.data.cohort import made_fold
from ecgzoo.data.folder import load_folder
from ecgzoo.data.prepare import Layout
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.data.table import place, read_table, whole_number
from ecgzoo.errors import DataError, EcgZooError, WriteError
from ecgzoo.signal.leads import LEADS_12
from ecgzoo.testing import assert_dataset_conforms

SIMULATED = load_synthetic(num_records=24).store  # at 100 Hz
COUNT = 24
CLASSES = ("A", "B")
Rows = list[dict[str, Any]]


def write_record(path: Path, microvolts: np.ndarray, rate_hz: int = 100, leads: tuple[str, ...] = LEADS_12) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".dat").write_bytes(microvolts.T.astype("<i2").tobytes())
    lines = [f"{path.name} {len(leads)} {rate_hz} {microvolts.shape[1]}"]
    lines += [f"{path.name}.dat 16 1000/mV 16 0 0 0 0 {lead}" for lead in leads]
    path.with_suffix(".hea").write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Records of 10 s at 100 Hz; the first is 4 s long, the second 15 s, and the third is at 200 Hz."""
    folder = tmp_path_factory.mktemp("recordings")
    for number, microvolts in enumerate(SIMULATED):
        write_record(folder / "a" / f"r{number:02}", microvolts)
    write_record(folder / "a" / "r00", SIMULATED[0, :, :400])
    write_record(folder / "a" / "r01", np.tile(SIMULATED[1], 2)[:, :1500])
    write_record(folder / "a" / "r02", SIMULATED[2].repeat(2, axis=1), rate_hz=200)
    return folder


def rows(count: int = COUNT) -> Rows:
    return [
        {"path": f"a/r{number:02}", "patient": f"p{number // 2}", "labels": "AB"[number % 2], "id": number + 1}
        for number in range(count)
    ]


def write_table(path: Path, rows: Rows) -> Path:
    with open(path, "w", newline="") as file:
        table = csv.DictWriter(file, sorted({name for row in rows for name in row}, reverse=True))
        table.writeheader()
        table.writerows(rows)
    return path


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_table(tmp_path / "t.csv", rows())


def made(folder: Path, table: Path, output: Path, **given: Any) -> ingest.Import:
    return ingest.import_records(folder, table, output, **{"read": ecgzoo.read_record, **given})


def same(one: ecgzoo.Cohort, other: ecgzoo.Cohort) -> bool:
    names = ("labels", "folds", "patients", "record_ids")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names) and np.array_equal(
        one.signals(), other.signals()
    )


def test_one_command_and_it_is_a_data_set(folder: Path, table: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    store = tmp_path / "ward"
    monkeypatch.setattr(sys, "argv", ["ecgzoo", *map(str, ("data", "import", folder, "--table", table, "-o", store))])
    main()
    said = capsys.readouterr().out
    assert f"{store}: 24 records, 0 left out; 2 classes\nrecords by class: A: 12, B: 12\n" in said
    assert "new records whose fold was made from the patient's id, because the table gives none: 24" in said
    assert "records longer than the cohort's, of which the beginning is kept: 1" in said
    cohort = ecgzoo.load_cohort("folder", store)
    trained = int((cohort.folds <= 8).sum())  # fewer than in a usual batch
    assert f"--data folder --root {store} --task labels --batch-size {trained // 4}\n" in said
    assert (cohort.title, cohort.classes, cohort.leads, cohort.rate_hz) == (
        "folder/ward/labels",
        CLASSES,
        LEADS_12,
        100,
    )
    assert cohort.record_ids.tolist() == list(range(1, 25))
    assert cohort.labels.tolist() == [[1, 0], [0, 1]] * 12
    assert cohort.patients.tolist() == [whole_number(f"p{number // 2}") for number in range(24)]
    assert cohort.folds.tolist() == [made_fold(f"p{number // 2}") for number in range(24)]
    assert cohort.lengths is not None
    assert cohort.lengths.tolist() == [400, *[1000] * 23]
    np.testing.assert_array_equal(cohort.signals(slice(3, None)), SIMULATED[3:])
    np.testing.assert_array_equal(cohort.signals()[0, :, :400], SIMULATED[0, :, :400])
    assert not cohort.signals()[0, :, 400:].any()
    np.testing.assert_array_equal(cohort.signals()[1], SIMULATED[1])  # the first 10 s
    assert np.abs(cohort.signals()[2].astype(int) - SIMULATED[2]).mean() < 10  # resampled
    assert cohort.notes == ("Records longer than the cohort's, of which the beginning is kept: 1.",)
    assert_dataset_conforms("folder", store)
    np.testing.assert_array_equal(np.load(store / "signals" / "00000.npy"), cohort.store)  # numpy reads it, too


def test_records_without_labels_alone_are_not_for_a_run(folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    unlabelled = [{**row, "labels": ""} for row in rows(4)]
    given = ("data", "import", folder, "--table", write_table(tmp_path / "t.csv", unlabelled), "-o", tmp_path / "s")
    monkeypatch.setattr(sys, "argv", ["ecgzoo", *map(str, given), "--classes", "A,B"])
    main()
    said = capsys.readouterr().out
    assert (
        f"no record has labels, and a run is validated and tested on some: import such records into {given[-1]}" in said
    )
    assert "train with" not in said


@pytest.mark.parametrize(
    ("leads", "recipe", "flags"),
    [("V1,V2", "mvkt", " --teacher-leads V1 V2 --student-leads V1"), ("I", "baseline", "")],
)
def test_the_proposed_run_has_the_leads_of_the_store(
    leads: str, recipe: str, flags: str, folder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    store = tmp_path / "s"
    table = write_table(tmp_path / "t.csv", rows())
    given = ("data", "import", folder, "--table", table, "-o", store, "--store-leads", leads)
    monkeypatch.setattr(sys, "argv", ["ecgzoo", *map(str, given)])
    main()
    said = capsys.readouterr().out
    assert f"ecgzoo recipe {recipe} --data folder --root {store} --task labels{flags} --batch-size" in said


def test_the_columns_and_the_layout_are_as_asked(folder: Path, tmp_path: Path, monkeypatch) -> None:
    table = tmp_path / "t.tsv"
    table.write_text("file\tperson\tstrat\tcodes\n" + "a/r03.hea\t7\t3\t\"['A', 'B']\"\n" + "a/r04\t8.0\t9\t[]\n")
    columns = ("--columns", "path=file", "patient=person", "fold=strat", "labels=codes")
    layout = ("--store-leads", "V1,I", "--store-rate", "50", "--seconds", "4", "--shortest", "2", "--name", "mine")
    given = ("data", "import", folder, "--table", table, "-o", tmp_path / "s", *columns, *layout)
    monkeypatch.setattr(sys, "argv", ["ecgzoo", *map(str, given)])
    main()
    cohort = ecgzoo.load_cohort("folder", tmp_path / "s")
    assert (cohort.name, cohort.leads, cohort.rate_hz, cohort.store.shape) == (
        "folder/mine",
        ("V1", "I"),
        50,
        (2, 2, 200),
    )
    by_patient = {patient: (fold, row.tolist()) for patient, fold, row in zip(*_three(cohort), strict=True)}
    assert by_patient == {7: (3, [1, 1]), 8: (9, [0, 0])}


def _three(cohort: ecgzoo.Cohort) -> tuple[list[int], list[int], np.ndarray]:
    return cohort.patients.tolist(), cohort.folds.tolist(), cohort.labels


def changed(number: int, **cells: Any) -> Rows:
    found = rows()
    found[number] |= cells
    return found


BAD_TABLES: dict[str, tuple[Rows, str]] = {
    "a missing file": (
        changed(5, path="a/none"),
        r"1 files are not there, the first is .*a/none of row 7; restore them",
    ),
    "a patient in two folds": (
        [{**row, "fold": 1 + number // 3} for number, row in enumerate(rows())],
        "row 5: patient p1 is in folds 1 and 2; put all records of a patient in one fold",
    ),
    "labels that are a mapping": (
        changed(5, labels="{'NORM': 100.0}"),
        r"row 7: labels \"\{'NORM': 100.0\}\" are no list; write AFIB;SR",
    ),
    "labels that are half a list": (changed(5, labels="['A',"), "row 7: labels .* are no list"),
    "labels of numbers": (changed(5, labels="[1, 2]"), "row 7: labels .* are no list"),
    "labels as numpy writes them": (changed(5, labels="['A' 'B']"), r"row 7: labels .* are no list; write AFIB;SR"),
    "labels as numpy writes them, in lines": (changed(5, labels="['A'\n 'B']"), "row 8: labels .* are no list"),
    "labels of a blank": (changed(5, labels="['A', ' ']"), "row 7: labels .* are no list"),
    "labels that are missing in R": (
        changed(5, labels="NA"),
        r"row 7: labels 'NA' are a missing value .*\['NA'\] if a",
    ),
    "labels between commas": (
        changed(5, labels="A,B"),
        r"row 7: labels 'A,B' have ',' in a name; write A;B, or \['A, B'\]",
    ),
    "labels between bars": (changed(5, labels="A|B"), r"row 7: labels 'A\|B' have '\|' in a name; write A;B"),
    "labels of semicolons alone": (changed(5, labels=" ; "), "row 7: labels ' ; ' are no list"),
    "a label that is missing in pandas": (
        changed(5, labels="A;nan"),
        r"row 7: labels 'A;nan' name 'nan', a missing value",
    ),
    "patients that differ in capitals and blanks": (
        changed(5, patient="P 1"),
        "row 7: the patients 'p1' and 'P 1' differ only in capitals or blanks",
    ),
    "classes that differ in capitals": (changed(5, labels="a"), "the classes 'A' and 'a' differ only in capitals"),
    "classes that differ in blanks": (
        changed(5, labels="A  B;A\u00a0B"),
        r"the classes 'A  B' and 'A\\xa0B' differ only in capitals or blanks",
    ),
    "a column that is nearly labels": (
        [{**{k: v for k, v in row.items() if k != "labels"}, "Label ": "A"} for row in rows()],
        "has a column 'Label ' and no column 'labels'; write --columns labels=Label , or rename",
    ),
    "folds by another name": ([{**row, "strat_fold": 1} for row in rows()], "'strat_fold' and no column 'fold'"),
    "folds in capitals": ([{**row, "FOLDS": 1} for row in rows()], "'FOLDS' and no column 'fold'"),
    "a patient that is missing in pandas": (changed(5, patient="nan"), "row 7: patient 'nan' stands for a missing"),
    "a patient that a spreadsheet rounded": (
        changed(5, patient="1.23457E+11"),
        "row 7: patient '1.23457E.11' is a round",
    ),
    "an id that pandas rounded": (changed(5, id=1e17), "row 7: id '1e.17' is a rounded number, .*; write all digits"),
    "an id twice, as a number": (changed(5, id="03"), "rows 4 and 7 are of the same record, 3; keep one"),
    "an id twice": (changed(5, id=3), "rows 4 and 7 are of the same record, 3; keep one"),
    "no patient": (changed(5, patient=" "), "row 7: no patient"),
    "a fold that is none": (changed(5, fold="train"), "row 7: fold 'train', expected a number from 0 to"),
    "no column of patients": (
        [{"path": row["path"]} for row in rows()],
        "has no column 'patient', it has path; name the column with --columns patient=COLUMN",
    ),
    "no labels, no classes": ([{**row, "labels": ""} for row in rows()], "no record has labels; name the classes"),
    "no rows": ([], "has no column 'path'"),
}


@pytest.mark.parametrize("kind", BAD_TABLES)
def test_a_bad_table_is_one_sentence(kind: str, folder: Path, tmp_path: Path) -> None:
    bad, said = BAD_TABLES[kind]
    with pytest.raises(DataError, match=said) as caught:
        made(folder, write_table(tmp_path / "t.csv", bad), tmp_path / "s")
    assert "\n" not in str(caught.value)


def test_texts_that_unicode_calls_the_same_are_one_patient_and_one_class(folder: Path, tmp_path: Path) -> None:
    # as macOS and other systems write the same name
    composed, decomposed = "M\u00fcller", "Mu\u0308ller"
    both = [
        {
            **row,
            "patient": f"{(composed, decomposed)[number % 2]} {number // 2}",
            "labels": (decomposed, composed)[number % 3 > 0],
        }
        for number, row in enumerate(rows())
    ]
    done = made(folder, write_table(tmp_path / "t.csv", both), tmp_path / "s")
    assert done.classes == {composed: COUNT}
    cohort = load_folder(tmp_path / "s")
    assert [len(set(cohort.folds[at : at + 2])) for at in range(0, COUNT, 2)] == [1] * (COUNT // 2)
    assert len(set(cohort.patients.tolist())) == COUNT // 2
    again = made(folder, tmp_path / "t.csv", tmp_path / "s", classes=[decomposed])
    assert (again.before, again.records) == (COUNT, COUNT)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("t.csv", b"\xff\xfe", "cannot be read"),
        ("t.csv", b"path,patient\na,b,c\n", "row 2 does not have 2 cells"),
        ("t.csv", b"path,patient\n", "has no rows"),
        ("t.csv", b"path,patient,labels,fold,labels\na,p,AFIB,1,\n", "has 2 columns 'labels'; rename all but one"),
        ("t.xls", b"", "expected a name that ends with .csv, .tsv or .parquet"),
        ("t.parquet", b"PAR1", "cannot be read as Parquet|Parquet needs pyarrow"),
    ],
)
def test_a_file_that_is_no_table(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        read_table(tmp_path / name, {})
    with pytest.raises(DataError, match="t.csv: cannot be read"):
        read_table(tmp_path / "none" / "t.csv", {})


def test_ids_that_are_numbers_and_cells_without_labels(tmp_path: Path) -> None:
    table = write_table(
        tmp_path / "t.csv",
        [
            {"path": "007", "patient": "07", "labels": " ", "id": ""},
            {"path": "b", "patient": "7", "labels": "['NA', ' AFIB ']", "id": "008"},
            {"path": "c", "patient": "x", "labels": "", "id": "9.0"},
        ],
    )
    found = read_table(table, {})
    assert [row[:3] for row in found] == [("007", "007", "7"), ("b", "8", "7"), ("c", "9", "x")]
    assert [row.labels for row in found] == [None, ("NA", "AFIB"), None]
    assert place(table, found, {}) == {"007": made_fold("7"), "8": made_fold("7"), "9": 11}
    texts = [row._replace(patient=patient) for row, patient in zip(found, ("07", "7", "x"), strict=True)]
    assert set(place(table, texts, {}).values()) == {made_fold("07"), 11}


def test_parquet_says_the_same_as_csv(table: Path, tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = [{**row, "labels": [row["labels"]]} for row in rows()]
    columns[0]["labels"], columns[1]["labels"] = None, []
    pq.write_table(pa.Table.from_pylist(columns), tmp_path / "t.parquet")
    expected = [row._replace(number=row.number - 1) for row in read_table(table, {})]
    expected[0], expected[1] = expected[0]._replace(labels=None), expected[1]._replace(labels=())
    assert read_table(tmp_path / "t.parquet", {}) == expected


def test_what_cannot_be_used_is_listed_and_read_again_later(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    odd = tmp_path / "odd"
    write_record(odd / "short", SIMULATED[0, :, :200])
    write_record(odd / "copy", SIMULATED[5])
    write_record(odd / "good", SIMULATED[5])
    write_record(odd / "flat", np.zeros((12, 1000)))
    write_record(odd / "loud", np.full((12, 1000), 1000) * np.arange(1000) % 32_000)
    (odd / "loud.hea").write_text((odd / "loud.hea").read_text().replace("1000/mV", "10/mV"))
    (odd / "text.csv").write_text("no recording")
    names = ("good", "short", "copy", "flat", "loud", "text.csv")
    table = write_table(tmp_path / "t.csv", [{"path": name, "patient": name, "labels": "A;B"} for name in names])
    monkeypatch.setattr(
        sys, "argv", ["ecgzoo", *map(str, ("data", "import", odd, "--table", table, "-o", tmp_path / "s"))]
    )
    main()
    said = capsys.readouterr()
    assert "1 records, 5 left out" in said.out
    assert "left-out.csv" in said.out
    assert "short" in said.err
    with open(tmp_path / "s" / "left-out.csv", newline="") as file:
        reasons = {row["path"]: row["reason"] for row in csv.DictReader(file)}
    assert reasons.keys() == set(names) - {"good"}
    assert "2 s (200 samples at 100 Hz) is shorter than 2.5 s (250 samples at 100 Hz)" in reasons["short"]
    assert reasons["copy"] == "has the same samples as good, which is said to be of another patient: check both"
    assert "every lead is flat" in reasons["flat"]
    assert "expected samples within ±327.67 mV" in reasons["loud"]
    assert "text.csv" in reasons["text.csv"]
    write_record(odd / "flat", SIMULATED[6])  # it was repaired
    found = made(odd, table, tmp_path / "s")
    assert (found.records, found.before) == (2, 1)
    assert [path for path, _ in found.left_out] == ["short", "copy", "loud", "text.csv"]
    nothing = write_table(tmp_path / "t.csv", [{"path": "short", "patient": 1, "labels": "A"}])
    with pytest.raises(DataError, match="no record can be used, the first, short, because: .* is shorter"):
        made(odd, nothing, tmp_path / "other")
    write_record(odd / "short", SIMULATED[7])
    assert made(odd, nothing, tmp_path / "other").records == 1


@pytest.mark.parametrize(
    "saved",
    [
        lambda text: text.encode("cp1252"),
        lambda text: text.replace(",", ";").encode(),
        lambda text: text.partition("\n")[2].encode(),
    ],
    ids=["another encoding", "semicolons", "no header"],
)
def test_a_list_that_a_spreadsheet_has_changed_is_not_lost(folder: Path, tmp_path: Path, saved: Callable) -> None:
    (tmp_path / "Müller").write_text("no recording")
    first = [{"path": "Müller", "patient": "x", "labels": "A", "id": 90}]
    recordings, store = shutil.copytree(folder, tmp_path / "r"), tmp_path / "s"
    (tmp_path / "Müller").rename(recordings / "Müller")
    made(recordings, write_table(tmp_path / "t.csv", rows(4) + first), store)
    listed = store / "left-out.csv"
    text = listed.read_text(encoding="utf-8")
    listed.write_bytes(saved(text))
    more = write_table(tmp_path / "u.csv", rows(8)[4:])
    with pytest.raises(DataError, match=r"left-out\.csv: is not the list that was written .*; restore or delete it"):
        made(recordings, more, store)
    assert len(ecgzoo.load_cohort("folder", store)) == 4
    listed.write_bytes(text.encode("utf-8-sig"))  # as spreadsheets write UTF-8
    assert made(recordings, more, store).records == 8
    assert listed.read_text(encoding="utf-8") == text


def test_what_was_changed_is_counted(tmp_path: Path) -> None:
    flat, gap = SIMULATED[0].copy(), SIMULATED[1].copy()
    flat[3], gap[2, 5] = 0, -(2**15)  # the value of a missing sample
    for name, microvolts in (("flat", flat), ("gap", gap), ("whole", SIMULATED[2])):
        write_record(tmp_path / "x" / name, microvolts)
    names = ("flat", "gap", "whole")
    table = write_table(tmp_path / "t.csv", [{"path": name, "patient": name, "labels": "A"} for name in names])
    assert made(tmp_path / "x", table, tmp_path / "s").changes == {2: 1, 4: 1}
    assert load_folder(tmp_path / "s").notes == (
        "Records with interpolated samples: 1.",
        "Records with a flat lead, kept as it is: 1.",
    )


def test_a_signal_that_is_gone_is_left_out(tmp_path: Path) -> None:
    """One device's files in volts, at a tenth of the rate or nearly without samples hide among a thousand others."""
    whole = SIMULATED[0]
    gaps, volts = whole.copy(), np.rint(whole / 1000).astype(np.int16)
    gaps[4, 300:510] = -(2**15)  # the value of a missing sample
    few = whole.copy()
    few[4, 300:490] = -(2**15)
    for name, microvolts in (("gaps", gaps), ("volts", volts), ("few", few)):
        write_record(tmp_path / "x" / name, microvolts)
    write_record(tmp_path / "x" / "slow", whole[:, ::2], rate_hz=50)
    names = ("gaps", "volts", "few", "slow")
    table = write_table(tmp_path / "t.csv", [{"path": name, "patient": name, "labels": "A"} for name in names])
    done = made(tmp_path / "x", table, tmp_path / "s")
    reasons = dict(done.left_out)
    assert (done.records, done.changes, reasons.keys()) == (1, {2: 1}, {"gaps", "volts", "slow"})
    assert "21% of the samples of lead aVL are invalid, at most 20% are interpolated" in reasons["gaps"]
    assert "no lead spans 0.02 mV, the largest 0.0" in reasons["volts"]
    assert "Check the units" in reasons["volts"]
    assert "expected at least 75 Hz for a cohort of 100 Hz, got 50 Hz" in reasons["slow"]


def test_folds_of_the_table_and_made_ones_are_counted(folder: Path, tmp_path: Path) -> None:
    half = [{**row, "fold": 3 if number < 10 else ""} for number, row in enumerate(rows())]
    first = made(folder, write_table(tmp_path / "t.csv", half[:11]), tmp_path / "s")
    assert (first.records, first.made_folds) == (11, 1)
    rest = made(folder, write_table(tmp_path / "t.csv", half), tmp_path / "s")
    assert (rest.records, rest.made_folds) == (24, 12)  # the patient of row 11 has a fold in the cohort


def test_missing_leads_are_an_error_or_left_out(tmp_path: Path, capsys, monkeypatch) -> None:
    for number in range(3):
        write_record(tmp_path / "x" / f"r{number}", SIMULATED[number])
    write_record(tmp_path / "x" / "r1", SIMULATED[1, :2], leads=("I", "ECG"))
    table = write_table(tmp_path / "t.csv", [{"path": f"r{n}", "patient": n, "labels": "A"} for n in range(3)])
    given = ["ecgzoo", *map(str, ("data", "import", tmp_path / "x", "--table", table, "-o", tmp_path / "s"))]
    monkeypatch.setattr(sys, "argv", given)
    with pytest.raises(SystemExit):
        main()
    said = capsys.readouterr().err
    assert "r1: no lead II" in said
    assert "--missing-leads skip" in said
    assert "--rename ECG=II" in said
    assert said.count("\n") == 1
    with pytest.raises(DataError, match="its import has not ended: run the command again"):
        load_folder(tmp_path / "s")
    monkeypatch.setattr(sys, "argv", [*given, "--missing-leads", "skip"])
    main()
    assert "2 records, 1 left out" in capsys.readouterr().out
    assert len(load_folder(tmp_path / "s")) == 2


def test_records_are_added_and_none_is_read_twice(folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "s"
    made(folder, write_table(tmp_path / "a.csv", rows(10)), store)
    first = load_folder(store)
    read = []

    def reading(path: Path) -> ecgzoo.Record:
        read.append(path.name)
        return ecgzoo.read_record(path)

    found = made(folder, write_table(tmp_path / "b.csv", rows()), store, read=reading)
    assert (found.records, found.before) == (24, 10)
    assert read == [f"r{number:02}" for number in range(10, 24)]
    whole = load_folder(store)
    assert whole.fingerprint != first.fingerprint
    np.testing.assert_array_equal(whole.signals(slice(10)), first.signals())
    made(folder, write_table(tmp_path / "c.csv", rows()), tmp_path / "at once")
    assert same(whole, load_folder(tmp_path / "at once"))
    made(folder, tmp_path / "b.csv", store, read=reading)
    assert len(read) == 14
    assert load_folder(store).fingerprint == whole.fingerprint
    # a copy under another id, of a record that was there
    copy = [{"path": "a/r03", "patient": "new", "labels": "A", "id": 99}]
    found = made(folder, write_table(tmp_path / "d.csv", copy), store)
    other = ", which is said to be of another patient: check both"
    assert found.left_out == [("a/r03", f"has the same samples as record 4 of the cohort{other}")]
    copy[0]["patient"] = "p1"
    found = made(folder, write_table(tmp_path / "d.csv", copy), store)
    assert found.left_out == [("a/r03", "has the same samples as record 4 of the cohort")]
    # the same file under two ids
    twice = [{"path": "a/r03", "patient": "p", "labels": "A", "id": name} for name in "ab"]
    found = made(folder, write_table(tmp_path / "e.csv", twice), tmp_path / "other")
    assert (found.records, found.left_out) == (1, [("a/r03", "has the same samples as a/r03")])


@pytest.mark.parametrize(
    ("row", "given", "said"),
    [
        ({"patient": "q"}, {}, "row 2: record 4 is in the cohort with another patient"),
        ({"labels": "A"}, {}, "row 2: record 4 is in the cohort with other labels"),
        ({"labels": ""}, {}, "row 2: record 4 is in the cohort with other labels"),
        ({"fold": 11}, {}, "row 2: patient p1 is in folds"),
        ({"id": 50, "labels": "C"}, {}, "'C' is none of the classes A, B; correct it, or import into another --output"),
        ({}, {"classes": ["A", "B", "C"]}, "has the classes A, B; leave out --classes"),
        ({}, {"layout": Layout(rate_hz=50.0)}, "holds records with leads .* at 100 Hz, from 2.5 to 10 s; import with"),
    ],
)
def test_a_table_that_contradicts_the_cohort(
    row: dict[str, Any], given: dict[str, Any], said: str, folder: Path, table: Path, tmp_path: Path
) -> None:
    made(folder, write_table(tmp_path / "a.csv", rows(6)), tmp_path / "s")
    before = load_folder(tmp_path / "s")
    other = write_table(tmp_path / "b.csv", [{**rows()[3], **row}])
    with pytest.raises(DataError, match=said):
        made(folder, other, tmp_path / "s", **given)
    assert same(load_folder(tmp_path / "s"), before)


def test_records_without_labels_have_folds_of_their_own(folder: Path, tmp_path: Path) -> None:
    some = rows()
    for number in (*range(12, 24), 3):  # of patient 1, who has labels, one record
        some[number]["labels"] = ""
    found = made(folder, write_table(tmp_path / "t.csv", some), tmp_path / "s")
    assert found.without_labels == (11,)
    assert found.left_out == [("a/r03", f"no labels, but its fold, {made_fold('p1')}, has records with labels")]
    cohort = load_folder(tmp_path / "s")
    assert (cohort.folds == 11).sum() == 12
    assert not cohort.labels[cohort.folds == 11].any()
    assert cohort.labels[cohort.folds != 11].any(axis=1).all()
    assert cohort.labelled is not None
    assert (cohort.labelled == (cohort.folds != 11)).all()
    check_cohort(cohort)
    late = write_table(tmp_path / "late.csv", [{"path": "a/r03", "patient": "p6", "labels": "A", "id": 90}])
    with pytest.raises(DataError, match="whose records in the cohort have no labels; .* or import all records into"):
        made(folder, late, tmp_path / "s")


def test_a_cohort_without_any_labels_takes_the_classes_of_a_teacher(folder: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "t.csv", [{"path": row["path"], "patient": row["patient"]} for row in rows()])
    made(folder, table, tmp_path / "s", classes=["STTC", "CD"])
    cohort = ecgzoo.load_cohort("folder", tmp_path / "s")
    assert cohort.classes == ("CD", "STTC")
    assert set(cohort.folds.tolist()) == {11}
    with pytest.raises(DataError, match="'A' is none of the classes C, D; correct it, or name all classes"):
        made(folder, write_table(tmp_path / "u.csv", rows()), tmp_path / "v", classes=["C", "D"])


KILLED = """
import os, signal, sys
from pathlib import Path
import ecgzoo
from ecgzoo import ingest

ingest.FILES_AT_ONCE = 4
count = 0

def read(path):
    global count
    count += 1
    if count > int(sys.argv[4]):
        os.kill(os.getpid(), signal.SIGKILL)
    return ecgzoo.read_record(path)

ingest.import_records(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), read=read)
"""


def test_an_import_that_was_killed_goes_on(folder: Path, table: Path, tmp_path: Path) -> None:
    store = tmp_path / "s"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(folder), str(table), str(store), "18"], capture_output=True, timeout=120
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    left = []

    def reading(path: Path) -> ecgzoo.Record:
        left.append(path.name)
        return ecgzoo.read_record(path)

    found = made(folder, table, store, read=reading)
    assert (found.records, len(left)) == (24, 8)  # 16 of 18 were kept, in tasks of 4
    made(folder, table, tmp_path / "at once")
    assert same(load_folder(store), load_folder(tmp_path / "at once"))
    assert sorted(path.name.split("-")[0] for path in store.iterdir()) == [
        *(".lock", "info.json", "signals", "table", "verified.json")
    ]


@pytest.fixture
def stopped(folder: Path, table: Path, tmp_path: Path, monkeypatch) -> Iterator[Callable[[], list[str]]]:
    """An import that was stopped after 12 records; what it yields goes on and says what was read then."""
    monkeypatch.setattr(ingest, "FILES_AT_ONCE", 4)
    read: list[str] = []

    def reading(path: Path) -> ecgzoo.Record:
        read.append(path.name)
        if len(read) == 15:
            raise KeyboardInterrupt
        return ecgzoo.read_record(path)

    with pytest.raises(KeyboardInterrupt):
        made(folder, table, tmp_path / "s", read=reading)

    def go_on() -> list[str]:
        read[:] = [""] * 100
        made(folder, table, tmp_path / "s", read=reading)
        return read[100:]

    yield go_on
    made(folder, table, tmp_path / "whole")
    assert same(load_folder(tmp_path / "s"), load_folder(tmp_path / "whole"))


def test_it_goes_on(stopped) -> None:
    assert stopped() == [f"r{number:02}" for number in range(12, 24)]


def test_half_a_line_of_the_journal_is_read_again(stopped, tmp_path: Path) -> None:
    journal = tmp_path / "s" / "journal.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])
    assert stopped() == [f"r{number:02}" for number in range(11, 24)]


def test_samples_that_did_not_reach_the_disk_are_read_again(stopped, tmp_path: Path) -> None:
    os.truncate(tmp_path / "s" / "signals" / "00000.npy", 128 + 24_000 * 9 + 77)
    assert stopped() == [f"r{number:02}" for number in range(9, 24)]


def test_samples_that_reached_the_disk_in_part_are_read_again(stopped, tmp_path: Path) -> None:
    with open(tmp_path / "s" / "signals" / "00000.npy", "r+b") as file:
        file.seek(128 + 24_000 * 7 + 5000)
        file.write(bytes(4096))
    assert stopped() == [f"r{number:02}" for number in range(7, 24)]


@pytest.mark.parametrize(
    "first", ['{"shards": 5}', '{"shards": 0}', '{"shards": 0, "per_shard": 44739, "layout": {"rate_hz": []}}', "[]"]
)
def test_a_journal_of_something_else_is_dropped(first: str, stopped, tmp_path: Path) -> None:
    journal = tmp_path / "s" / "journal.jsonl"
    journal.write_text("\n".join([first, *journal.read_text().splitlines()[1:]]) + "\n")
    assert len(stopped()) == 24


def test_a_line_of_something_else_ends_the_journal(stopped, tmp_path: Path) -> None:
    journal = tmp_path / "s" / "journal.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:4], '{"x": 1}\n', *lines[4:]]))
    assert stopped() == [f"r{number:02}" for number in range(3, 24)]


def test_other_flags_do_not_finish_it(folder: Path, table: Path, tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if done:
            raise KeyboardInterrupt

    def read(path: Path, flag: str) -> ecgzoo.Record:
        if flag == "useless":
            raise DataError("cannot be read with this flag")
        return ecgzoo.read_record(path)

    copied = shutil.copytree(folder, tmp_path / "copied")
    for flag in ("useless", "wrong"):
        with pytest.raises(KeyboardInterrupt):
            made(folder, table, tmp_path / flag, read=partial(read, flag=flag), advance=stop)
    right, wrong = (partial(read, flag=flag) for flag in ("right", "wrong"))
    assert made(folder, table, tmp_path / "useless", read=right).records == 24  # nothing was read with the other flag
    with pytest.raises(DataError, match="flag='wrong', and this one reads those of .* flag='right'; finish it as it"):
        made(folder, table, tmp_path / "wrong", read=right)
    with pytest.raises(DataError, match="finish it as it began, or choose another --output"):
        made(copied, table, tmp_path / "wrong", read=wrong)
    assert made(folder, table, tmp_path / "wrong", read=wrong).records == 24


def test_other_paths_do_not_finish_it(stopped, folder: Path, tmp_path: Path) -> None:
    moved = [{**row, "path": f"a/r{(number + 1) % 24:02}"} for number, row in enumerate(rows())]
    with pytest.raises(DataError, match="row 2: record 1 is a/r01, and the import .* has read it from a/r00"):
        made(folder, write_table(tmp_path / "moved.csv", moved), tmp_path / "s")
    stopped()


def test_another_table_does_not_finish_it(stopped, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="8 records that an import into .* has begun with are not in this table"):
        made(folder, write_table(tmp_path / "few.csv", rows(4)), tmp_path / "s")
    stopped()


def test_a_full_disk_leaves_what_was_there(folder: Path, table: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(ingest, "FILES_AT_ONCE", 4)
    store = tmp_path / "s"
    made(folder, write_table(tmp_path / "a.csv", rows(6)), store)
    before = load_folder(store)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(
        resource.RLIMIT_FSIZE, (128 + 24_000 * 15 + 100, hard)
    )  # a file that cannot grow is like a full disk
    try:
        with pytest.raises(WriteError, match="cannot be written: File too large. Make room"):
            made(folder, table, store)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert same(load_folder(store), before)
    assert made(folder, table, store).records == 24
    made(folder, table, tmp_path / "whole")
    assert same(load_folder(store), load_folder(tmp_path / "whole"))


def test_several_processes_make_the_same(folder: Path, table: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(ingest, "FILES_AT_ONCE", 3)
    done = []
    for workers in (1, 2):
        store = tmp_path / str(workers)
        made(folder, table, store, workers=workers, advance=lambda count, total: done.append((count, total)))
    assert same(load_folder(tmp_path / "1"), load_folder(tmp_path / "2"))
    assert done == [(count, 24) for count in (0, 3, 6, 9, 12, 15, 18, 21, 24)] * 2


@pytest.fixture
def shards(monkeypatch) -> None:
    """Files of five records."""
    monkeypatch.setattr(folder_data, "SHARD_BYTES", 5 * 24_000 + 100)


@pytest.mark.usefixtures("shards")
def test_signals_in_several_files(folder: Path, table: Path, tmp_path: Path, monkeypatch) -> None:
    made(folder, write_table(tmp_path / "a.csv", rows(8)), tmp_path / "s")
    paths = sorted((tmp_path / "s" / "signals").iterdir())
    before = [(path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in paths]
    assert [np.load(path).shape for path in paths] == [(5, 12, 1000), (3, 12, 1000)]
    first = load_folder(tmp_path / "s")
    made(folder, table, tmp_path / "s")
    assert [(path.stat().st_ino, path.stat().st_mtime_ns, path.read_bytes()) for path in paths] == before
    assert json.loads((tmp_path / "s" / "info.json").read_text())["shards"] == [5, 3, 5, 5, 5, 1]
    whole = load_folder(tmp_path / "s")
    np.testing.assert_array_equal(whole.signals(slice(8)), first.signals())
    monkeypatch.undo()
    made(folder, table, tmp_path / "at once")
    assert json.loads((tmp_path / "at once" / "info.json").read_text())["shards"] == [24]
    assert same(whole, load_folder(tmp_path / "at once"))
    assert whole.fingerprint == load_folder(tmp_path / "at once").fingerprint
    check_cohort(whole)
    assert_dataset_conforms("folder", tmp_path / "s")
    monkeypatch.setattr(folder_data, "_MOST_SHARDS", 6)
    with pytest.raises(DataError, match="has 6 files of signals, because each import begins one; import all records"):
        made(folder, table, tmp_path / "s")


@pytest.mark.usefixtures("shards")
@pytest.mark.parametrize(
    ("number", "damage", "again"),
    [
        (2, lambda content: content[:-1], 11),
        (2, lambda content: b"", 10),
        (2, None, 10),
        (1, lambda content: content[:-1], 9),
        (1, None, 5),
        (0, lambda content: bytes(128 + 24_000) + content[128 + 24_000 :], 0),  # without a header each is checked
    ],
)
def test_an_import_goes_on_in_its_last_file(number: int, damage, again: int, stopped, tmp_path: Path) -> None:
    path = tmp_path / "s" / "signals" / f"{number:05}.npy"
    content = path.read_bytes()
    path.unlink()
    if damage is not None:
        path.write_bytes(damage(content))
    assert stopped() == [f"r{record:02}" for record in range(again, 24)]


def test_beyond_32_mv_in_coarser_steps(tmp_path: Path) -> None:
    for name, gain in (("usual", 1000), ("offset", 1000 / 8)):
        write_record(tmp_path / "x" / name, SIMULATED[0])
        header = tmp_path / "x" / f"{name}.hea"
        header.write_text(header.read_text().replace("1000/mV", f"{gain}(-30000)/mV" if gain < 1000 else "1000/mV"))
    names = ("usual", "offset")
    table = write_table(
        tmp_path / "t.csv", [{"path": n, "patient": n, "labels": "A", "id": i} for i, n in enumerate(names)]
    )
    assert made(tmp_path / "x", table, tmp_path / "s").changes == {8: 1}
    cohort = ecgzoo.load_cohort("folder", tmp_path / "s")
    expected = ecgzoo.read_record(tmp_path / "x" / "offset").signal
    assert expected.max() > 240
    assert cohort.unit_uv is not None
    assert cohort.unit_uv.tolist() == [1, -(-round(1000 * float(expected.max())) // 32_767)]
    both = cohort.signals() * cohort.units(np.arange(2)) / 1000
    np.testing.assert_array_equal(np.rint(both[0] * 1000), SIMULATED[0])
    np.testing.assert_allclose(both[1], expected, atol=0.0041)
    assert cohort.notes == ("Records beyond ±32.767 mV, kept in coarser steps: 1.",)


def test_one_import_at_a_time(folder: Path, table: Path, tmp_path: Path) -> None:
    def reading(path: Path) -> ecgzoo.Record:
        if path.name == "r05":
            with pytest.raises(EcgZooError, match="another run uses .*s; wait for it or choose another --output"):
                made(folder, table, tmp_path / "s")
        return ecgzoo.read_record(path)

    assert made(folder, table, tmp_path / "s", read=reading).records == 24


def test_a_folder_with_other_files_is_left_alone(folder: Path, table: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds other files; choose another --output"):
        made(folder, table, folder)
    assert [path.name for path in folder.iterdir()] == ["a"]
    with pytest.raises(DataError, match="is not a folder"):
        made(folder, table, table)
    with pytest.raises(DataError, match="no cohort is there; make one with ecgzoo data import"):
        load_folder(folder)
    with pytest.raises(DataError, match="no such folder"):
        load_folder(tmp_path / "none")
    with pytest.raises(DataError, match="has no task 'other'"):
        load_folder(folder, "other")


@pytest.mark.parametrize(
    ("file", "damage", "said"),
    [
        (
            "signals/00000.npy",
            lambda content: content[:90_000] + b"\x01" + content[90_001:],
            "record 3 is not what was written",
        ),
        ("signals/00000.npy", lambda content: content[:-1], "is not an array of int16"),
        ("table-*/folds.npy", lambda content: content[:-1] + b"\x07", "it is not what was written"),
        ("info.json", lambda content: content[:-20], "is damaged"),
        ("info.json", lambda content: content.replace(b"folder 2", b"folder 9"), "its format is 'ecgzoo folder 9'"),
        ("info.json", lambda content: content.replace(b"    24\n", b"    23\n"), "another number of records"),
        ("info.json", lambda content: content.replace(b'"table-', b'"../table-'), "a name is no text, or no name"),
        ("info.json", lambda content: b"[]", "is damaged"),
    ],
)
def test_a_damaged_cohort_is_refused(file: str, damage, said: str, folder: Path, table: Path, tmp_path: Path) -> None:
    made(folder, table, tmp_path / "s")
    path = next((tmp_path / "s").glob(file))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=said):
        load_folder(tmp_path / "s")
    with pytest.raises(DataError):
        made(folder, table, tmp_path / "s")


def test_a_copy_has_the_same_fingerprint(folder: Path, table: Path, tmp_path: Path) -> None:
    for name in ("s", "t"):
        made(folder, table, tmp_path / name)
    one, other = (load_folder(tmp_path / name) for name in ("s", "t"))
    assert one.fingerprint == other.fingerprint
    assert json.loads((tmp_path / "s" / "info.json").read_text())["shards"] == [24]
    check_cohort(dataclasses.replace(one, name="x"))


@pytest.mark.slow
def test_a_student_is_trained_with_and_without_labels(tmp_path: Path) -> None:
    simulated = load_synthetic(num_records=300)
    names = [";".join(np.array(simulated.classes)[row.astype(bool)]) for row in simulated.labels]
    table = []
    for number, microvolts in enumerate(simulated.store):
        write_record(tmp_path / "x" / f"r{number}", microvolts)
        patient = int(simulated.patients[number])
        table.append({"path": f"r{number}", "patient": patient, "labels": names[number] if patient % 2 else ""})
    made(tmp_path / "x", write_table(tmp_path / "t.csv", table), tmp_path / "s")
    recipe = ecgzoo.Recipe(
        **{
            "data": "folder",
            "root": tmp_path / "s",
            "task": "labels",
            "output": tmp_path / "run",
            "epochs": 1,
            "batch_size": 32,
        },
        **{"unlabelled_folds": "11", "compare": False, "losses": ("bce=1", "mkd=1"), "test_folds": ""},
        **{"teacher_weights": "xresnet1d18.ptbxl_super_12", "precision": "fp32"},
    )
    ecgzoo.distill(recipe)
    student = ecgzoo.load_pretrained(tmp_path / "run" / "student")
    assert student.config.training["data"] == "folder/s"
    assert student.config.training["unlabelled_folds"] == "11"
