"""What a data set's files, its cache and a text of folds may say: one line, and no memory taken for it."""

import os
import time
from pathlib import Path

import pytest

from ecgzoo.data import parse_folds
from ecgzoo.data.ptbxl import load_ptbxl
from ecgzoo.errors import DataError

HEADER = "ecg_id,patient_id,age,sex,scp_codes,strat_fold,filename_lr\n"
ROW = {"ecg_id": "1", "patient_id": "1.0", "age": "50", "sex": "0", "scp_codes": "{'NORM': 100.0}", "strat_fold": "1"}
FILE = "records100/00000/00001_lr"


@pytest.mark.parametrize(
    "folds", ["1-9999999999", "9" * 5000, "1-99999", "32768", ",".join(["1-32767"] * 10_000), "1\x1b[2J", 7, None]
)
def test_folds_are_bounded(folds: str) -> None:
    start = time.process_time()
    with pytest.raises(DataError) as caught:
        parse_folds(folds)
    assert time.process_time() - start < 1
    assert str(caught.value).isprintable()
    assert parse_folds("1-3,32767") == (1, 2, 3, 32767)


def ptbxl(folder: Path, file: str = FILE, **changes: str) -> Path:
    (folder / "records100").mkdir()
    (folder / "scp_statements.csv").write_text(
        ",description,diagnostic,form,rhythm,diagnostic_class,diagnostic_subclass\nNORM,normal,1.0,,,NORM,NORM\n"
    )
    row = [f'"{value}"' for value in {**ROW, **changes, "file": file}.values()]
    (folder / "ptbxl_database.csv").write_text(HEADER + ",".join(row) + "\n")
    return folder


@pytest.mark.parametrize(
    "file", ["records100/../../secret", "records100/..", "/etc/passwd", "records100/a\0b", "records100/."]
)
def test_a_record_outside_the_data_set(tmp_path: Path, file: str) -> None:
    with pytest.raises(DataError) as caught:
        load_ptbxl(ptbxl(tmp_path, file))
    assert str(caught.value).isprintable()
    if ".." in file:
        assert "expected filename_lr inside records100/" in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"scp_codes": "{" * 50_000},
        {"scp_codes": "-" * 100_000 + "1"},
        {"scp_codes": "{1: 2}"},
        {"ecg_id": "9" * 30},
        {"ecg_id": "9" * 5000},
        {"patient_id": "1e300"},
        {"strat_fold": "40000"},
        {"sex": "1000"},
    ],
)
def test_cells_without_end(tmp_path: Path, changes: dict[str, str]) -> None:
    with pytest.raises(DataError, match=r"ptbxl_database\.csv") as caught:
        load_ptbxl(ptbxl(tmp_path, **changes))
    assert str(caught.value).isprintable()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", ["ptbxl_database.csv", "scp_statements.csv"])
def test_a_pipe_is_not_waited_for(tmp_path: Path, name: str) -> None:
    root = ptbxl(tmp_path)
    (root / name).unlink()
    os.mkfifo(root / name)
    with pytest.raises(DataError):
        load_ptbxl(root)
