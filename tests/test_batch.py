"""``ecgzoo predict`` on many files: every file a row, whatever is in it, and a stopped run goes on."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import wfdb

import ecgzoo
from ecgzoo import batch
from ecgzoo.cli import app
from ecgzoo.errors import DataError, EcgZooWarning

MODEL = "xresnet1d18.ptbxl_super_i"


def heart(samples: int) -> np.ndarray:
    """Millivolts at 100 Hz."""
    time = np.arange(samples) / 100 % 0.83
    waves = ((0.12, 0.15, 0.04), (1.0, 0.3, 0.02), (-0.25, 0.34, 0.02), (0.3, 0.55, 0.06))  # mV, s, s
    beats: np.ndarray = np.sum([size * np.exp(-(((time - at) / width) ** 2)) for size, at, width in waves], axis=0)
    return beats


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty records in two folders, of which the third and the last are broken, and files that are none."""
    root = tmp_path_factory.mktemp("many")
    beat = heart(1000)
    for number in range(20):
        part = root / ("a" if number < 10 else "b")
        part.mkdir(exist_ok=True)
        signal = beat[:, None] * [1, 1 + number / 20]
        names = {"units": ["mV"] * 2, "sig_name": ["I", "II"], "write_dir": str(part), "fmt": ["16"] * 2}
        wfdb.wrsamp(f"r{number:02d}", fs=100, p_signal=signal, **names)
    os.truncate(root / "a" / "r02.dat", 100)
    (root / "b" / "r19.hea").write_text("")
    (root / "LICENSE.txt").write_text("not a record")
    return root


def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: object) -> tuple[int, str]:
    """Exit status and output, in this process."""
    monkeypatch.setattr(sys, "argv", ["ecgzoo", "predict", "--model", MODEL, *map(str, words)])
    status = 0
    try:
        app.main()
    except SystemExit as end:
        status = int(end.code or 0)
    said = capsys.readouterr()
    return status, said.out + said.err


LIMITED = """
import resource, sys
from ecgzoo.cli.app import main

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv.pop()),) * 2)
main()
"""


def test_a_full_disk_is_one_line_and_the_run_goes_on(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    output = tmp_path / "x.csv"
    words = ["predict", str(folder / "a"), "--model", MODEL, "--output", str(output)]
    ended = subprocess.run([sys.executable, "-c", LIMITED, *words, "1500"], capture_output=True, text=True)
    said = f"error: {output} cannot be written: File too large. Make room, or choose another place.\n"
    assert (ended.returncode, ended.stderr.endswith(said)) == (2, True), ended.stderr
    assert "Traceback" not in ended.stderr
    command(capsys, monkeypatch, folder / "a", "--output", output)
    assert len({row["path"] for row in rows_of(output)}) == len(rows_of(output)) == 10


def rows_of(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return list(csv.DictReader(file))
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_every_file_is_a_row(suffix: str, folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    output = tmp_path / f"x{suffix}"
    status, said = command(capsys, monkeypatch, folder, "--output", output)
    rows = rows_of(output)
    assert (status, len(rows)) == (4, 20)
    assert "20 records, 2 failed" in said
    assert [row["path"] for row in rows] == [str(path) for path in sorted(folder.rglob("*.hea"))]
    broken = {Path(row["path"]).stem: row["error"] for row in rows if row["error"]}
    assert broken.keys() == {"r02", "r19"}
    assert "found 100" in broken["r02"]
    alone = ecgzoo.load_pretrained(MODEL).predict(folder / "a" / "r04")
    row = rows[4]
    assert float(row["p_MI"]) == pytest.approx(alone.to_dict()["probabilities"]["MI"], abs=1e-5)
    assert (row["finding_MI"], int(row["windows"])) == (alone.findings["MI"], 3)
    assert float(row["heart_rate_bpm"]) == pytest.approx(alone.heart_rate_bpm)


@pytest.mark.slow
def test_of_a_thousand_recordings_ten_are_broken(tmp_path: Path, capsys, monkeypatch) -> None:
    folder, output = tmp_path / "in", tmp_path / "x.csv"
    folder.mkdir()
    for number in range(1000):
        np.save(folder / f"r{number:03d}.npy", ((1 + number / 2000) * heart(500)).astype(np.float32))
    whole = (folder / "r000.npy").read_bytes()
    twelve = io.BytesIO()
    np.save(twelve, np.zeros((12, 500), np.float32))
    spoiled = {
        "cut off": (whole[:500], "has 372 bytes"),
        "half a header": (whole[:60], "no array of numbers"),
        "of objects": (whole.replace(b"'<f4'", b"'|O' "), "holds object"),
        "too short": (whole.replace(b"(500,)", b"(100,)")[: 128 + 400], "shorter than a window"),
        "twelve leads": (twelve.getvalue(), "has 12 channels"),
    }
    broken = {}
    for number, (content, reason) in enumerate(list(spoiled.values()) * 2):
        path = folder / f"r{97 * number + 5:03d}.npy"
        path.write_bytes(content)
        broken[str(path)] = reason
    given = ("--leads", "I", "--rate", 100, "--units", "mV", "--output", output)
    status, said = command(capsys, monkeypatch, folder, *given)
    rows = rows_of(output)
    assert (status, "1000 records, 10 failed, 0 new ones unreadable; the columns error" in said) == (4, True)
    assert {row["path"] for row in rows if row["error"]} == broken.keys()
    assert all(broken[row["path"]] in row["error"] for row in rows if row["error"])
    assert sum(bool(row["p_MI"]) for row in rows) == 990


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_run_that_was_killed_in_a_line_goes_on(
    suffix: str, folder: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    output = tmp_path / f"x{suffix}"
    command(capsys, monkeypatch, folder, "--output", output)
    whole = output.read_bytes()
    output.write_bytes(whole[: whole.index(b"r07.hea") + 40])
    status, said = command(capsys, monkeypatch, folder, "--output", output)
    assert (status, "20 records (7 were there), 2 failed" in said) == (4, True)
    assert [row["path"] for row in rows_of(output)] == [str(path) for path in sorted(folder.rglob("*.hea"))]
    command(capsys, monkeypatch, folder / "a", "--output", output)
    assert len(rows_of(output)) == 20
    monkeypatch.setattr(batch.Predictor, "answers", lambda *_: pytest.fail("nothing is left to predict"))
    command(capsys, monkeypatch, folder, "--output", output)


def test_one_process_loads_the_model_once(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    built, configs = ecgzoo.EcgModel.build, []
    monkeypatch.setattr(ecgzoo.EcgModel, "build", lambda config: configs.append(config) or built(config))
    command(capsys, monkeypatch, folder / "a", "--output", tmp_path / "x.csv")
    assert len(configs) == 1


@pytest.mark.slow
def test_several_processes_say_the_same(folder: Path, monkeypatch) -> None:
    monkeypatch.setattr(batch, "FILES_AT_ONCE", 6)

    predictor = batch.Predictor(ecgzoo.load_pretrained(MODEL), ecgzoo.read_record)

    def rows(workers: int) -> list[dict[str, object]]:
        answers = batch.predict_files(predictor, MODEL, batch.find_records([folder]), workers=workers)
        return [answer.row for some in answers for answer in some]

    for row, other in zip(rows(1), rows(2), strict=True):
        scores = [name for name in row if name.startswith("p_")]
        if row["error"] is None:
            assert [row[name] for name in scores] == pytest.approx([other[name] for name in scores], abs=1e-5)
        assert {**row, **dict.fromkeys(scores)} == {**other, **dict.fromkeys(scores)}


def test_parquet_is_collected_then_written_whole(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    output, collected = tmp_path / "x.parquet", tmp_path / "x.parquet.part.jsonl"
    command(capsys, monkeypatch, folder / "a", "--output", output)
    assert not collected.exists()
    first = pq.read_table(output).to_pylist()
    assert len(first) == 10
    predictor = batch.Predictor(ecgzoo.load_pretrained(MODEL), ecgzoo.read_record)
    table = batch.open_output(output, predictor.columns, predictor.identity)
    table.add([answer.row for answer in predictor.answers(sorted((folder / "b").glob("*.hea"))[:5])])
    table.add(first[:3])  # as one that was killed after the rename leaves them
    table._lines.finish()  # killed here
    assert len(pq.read_table(output)) == 10
    status, said = command(capsys, monkeypatch, folder, "--output", output)
    assert (status, "20 records (15 were there), 2 failed" in said) == (4, True)
    rows = pq.read_table(output).to_pylist()
    assert rows[:10] == first
    assert len({row["path"] for row in rows}) == len(rows) == 20
    assert isinstance(rows[0]["windows"], int)


def test_parquet_without_pyarrow_is_one_sentence(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(batch, "find_spec", lambda name: None)
    status, said = command(capsys, monkeypatch, folder, "--output", tmp_path / "x.parquet")
    assert (status, "pip install 'ecgzoo[parquet]'" in said) == (2, True)
    assert list(tmp_path.iterdir()) == []


def test_a_table_of_something_else_is_refused(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    output = tmp_path / "x.csv"
    output.write_text("a,b\n1,2\n")
    status, said = command(capsys, monkeypatch, folder, "--output", output)
    assert (status, "holds another table" in said) == (2, True)
    assert output.read_text() == "a,b\n1,2\n"
    command(capsys, monkeypatch, folder / "a", "--output", tmp_path / "y.csv")
    predictor = batch.Predictor(ecgzoo.load_pretrained(MODEL), ecgzoo.read_record)
    with pytest.raises(DataError, match="of other weights"):
        batch.open_output(tmp_path / "y.csv", predictor.columns, {**predictor.identity, "model": "0123"})
    with pytest.raises(DataError, match=r"ends with .csv, .jsonl, .parquet"):
        batch.open_output(tmp_path / "y.xls", predictor.columns, predictor.identity)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
@pytest.mark.parametrize(
    "content", [b"patient,remark\nA1,the only copy", b"one line", b"1\n2\n3", b"\xb5V\n\xb5", b"{}\n{"]
)
def test_a_file_of_another_program_is_left_as_it_is(
    suffix: str, content: bytes, folder: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    output = tmp_path / f"x{suffix}"
    output.write_bytes(content)
    status, said = command(capsys, monkeypatch, folder / "a", "--output", output)
    assert (status, said.count("\n"), "holds another table" in said) == (2, 1, True)
    assert output.read_bytes() == content


def test_a_header_of_another_model_is_refused(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    output = tmp_path / "x.csv"
    command(capsys, monkeypatch, folder / "a" / "r00.hea", "--output", output)
    header = output.read_text().splitlines()[0]
    other = header.replace("p_CD", "p_AFIB")
    output.write_text(other + "\n")
    assert command(capsys, monkeypatch, folder / "a" / "r00.hea", "--output", output)[0] == 2
    output.write_text(header[:-9])  # of a run that was killed at once
    assert command(capsys, monkeypatch, folder / "a" / "r00.hea", "--output", output)[0] == 0
    assert len(rows_of(output)) == 1


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_a_path_in_any_script_is_one_that_can_be_opened(suffix: str, tmp_path: Path, capsys, monkeypatch) -> None:
    names = ["ü é", "می\u200cخواهم", "क्\u200dष", '日本, "x"']  # Persian and Hindi have joiners, which are no letters
    for name in names:
        np.savetxt(tmp_path / f"{name}.txt", heart(1000), header="I (mV)", comments="")
    output = tmp_path / "tables" / f"x{suffix}"
    output.parent.mkdir()
    status, _ = command(capsys, monkeypatch, tmp_path / "*.txt", "--rate", 100, "--output", output)
    assert status == 0
    assert {Path(row["path"]) for row in rows_of(output)} == set(tmp_path.glob("*.txt"))


def test_a_class_with_a_comma_in_its_name_is_one_column(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    model = ecgzoo.load_pretrained(MODEL)
    names = {name: f'{name}, "left"' if name == "HYP" else name for name in model.config.classes}
    thresholds = {names[name]: points for name, points in model.config.thresholds.items()}
    model.config = replace(
        model.config, classes=tuple(names.values()), thresholds=thresholds, class_info={}, metrics={}, training={}
    )
    ecgzoo.save_pretrained(model, tmp_path / "model")
    output = tmp_path / "x.csv"
    given = ("--model", tmp_path / "model", "--output", output)
    for record in ("r00.hea", "r01.hea"):  # another run adds its row
        assert command(capsys, monkeypatch, folder / "a" / record, *given)[0] == 0
    expected = model.predict(folder / "a" / "r00").to_row()
    row, other = rows_of(output)
    assert None not in row
    assert None not in other.values()
    for name in names.values():
        assert float(row[f"p_{name}"]) == pytest.approx(expected[f"p_{name}"], abs=1e-6)
        assert row[f"finding_{name}"] == expected[f"finding_{name}"]


def test_other_flags_or_files_need_another_output(tmp_path: Path, capsys, monkeypatch) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "in").mkdir(parents=True)
        np.save(tmp_path / name / "in" / "r.npy", 1000 * heart(1000).astype(np.float32))
    monkeypatch.chdir(tmp_path / "one")
    given = ("in", "--leads", "I", "--rate", 100, "--output", tmp_path / "x.csv")
    assert "1 new ones unreadable" in command(capsys, monkeypatch, *given, "--units", "mV")[1]
    status, said = command(capsys, monkeypatch, *given, "--units", "uV")
    assert (status, "of other flags ('--leads I --rate 100.0 --units mV', not" in said) == (2, True)
    assert (
        "not '--leads I --rate 100.0 --units mV --insist'"
        in command(capsys, monkeypatch, *given, "--units", "mV", "--insist")[1]
    )
    monkeypatch.chdir(tmp_path / "two")
    status, said = command(capsys, monkeypatch, *given, "--units", "mV")
    assert (status, "holds predictions of files of another folder" in said) == (2, True)


@pytest.mark.parametrize("name", ["folder.csv", "file/x.csv", "sealed/x.csv"])
def test_an_output_that_cannot_be_written_is_one_sentence(
    name: str, folder: Path, tmp_path: Path, capsys, monkeypatch
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "sealed").symlink_to("/proc/1/nothing")
    status, said = command(capsys, monkeypatch, folder / "a", "--output", tmp_path / name)
    assert (status, said.count("\n"), "cannot be written" in said) == (2, 1, True)


def test_errors_name_the_flags(folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    there = shutil.copytree(folder / "a", tmp_path / "there")
    for header in there.glob("*.hea"):
        header.write_text(header.read_text().replace(" I\n", " ECG\n"))
    for workers in (1, 2):
        _, said = command(capsys, monkeypatch, there, "--workers", workers)
        assert said.count("pass --rename ECG=I if that channel is this lead") == 9
        assert "record.rename" not in said


@pytest.mark.slow
def test_a_pipe_that_is_closed_is_silent(folder: Path) -> None:
    words = f"{sys.executable} -m ecgzoo predict {folder} --model {MODEL}"
    done = subprocess.run(f"{words} | head -1", shell=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.startswith(f"{folder}/a/r00")
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_what_a_path_means(folder: Path, tmp_path: Path) -> None:
    assert len(list(batch.find_records([folder]))) == 20
    assert len(list(batch.find_records([f"{folder}/a/*"]))) == 10
    assert len(list(batch.find_records([f"{folder}/*"]))) == 20
    assert len(list(batch.find_records([folder, folder / "a" / "r00.hea"]))) == 20
    assert list(batch.find_records(["nowhere"])) == [Path("nowhere")]  # a row that says so
    odd = tmp_path / "[1]"
    shutil.copytree(folder / "a", odd)
    assert len(list(batch.find_records([odd]))) == 10
    (tmp_path / "empty").mkdir()
    for nothing in (tmp_path / "empty", f"{tmp_path}/*.hea"):
        with pytest.raises(DataError, match="no record is there"):
            list(batch.find_records([nothing]))


def test_the_files_of_a_record_are_one_record_where_a_shell_names_them_all(folder: Path) -> None:
    named = sorted((folder / "a").iterdir())  # what a shell makes of a/*
    assert {path.suffix for path in named} == {".dat", ".hea"}
    assert list(batch.find_records(named)) == sorted((folder / "a").glob("*.hea"))
    record = folder / "a" / "r00"
    assert list(batch.find_records([record, f"{record}.hea"])) == [Path(f"{record}.hea")]
    assert list(batch.find_records([f"{record}.dat"])) == [Path(f"{record}.dat")]


def test_a_record_that_a_pattern_matches_several_times_is_one(folder: Path) -> None:
    every = sorted(folder.rglob("*.hea"))
    assert sorted(batch.find_records([str(folder / "**")])) == every


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_two_runs_do_not_write_one_table(suffix: str, folder: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    output = tmp_path / f"x{suffix}"
    predictor = batch.Predictor(ecgzoo.load_pretrained(MODEL), ecgzoo.read_record)
    first = batch.open_output(output, predictor.columns, predictor.identity)
    status, said = command(capsys, monkeypatch, folder, "--output", output)
    assert status == 2
    assert f"another run writes {output}" in said.replace("\n", "")
    first.add([predictor.answers([folder / "a" / "r04.hea"])[0].row])
    first.finish()
    status, said = command(capsys, monkeypatch, folder, "--output", output)
    assert (status, "20 records (1 were there), 2 failed" in said) == (4, True)


def test_files_that_no_reader_knows_are_counted(folder: Path, tmp_path: Path) -> None:
    there = tmp_path / "there"
    shutil.copytree(folder / "a", there)
    (there / "empty.edf").touch()
    (there / "notes.pdf").write_bytes(b"%PDF-1.7")
    with pytest.warns(EcgZooWarning, match=r"no reader knows are left out: 2, the first is .*empty\.edf"):
        assert len(list(batch.find_records([there]))) == 10
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(list(batch.find_records([folder / "a"]))) == 10  # not the files beside a header


def test_recordings_beside_headers(folder: Path, tmp_path: Path) -> None:
    there = shutil.copytree(folder / "a", tmp_path / "there")
    strip = b"I (mV)\n" + b"0.5\n" * 300
    (there / "r00.csv").write_bytes(strip)  # another recording than r00.hea
    (there / "r01.qrs").write_bytes(bytes(8))  # annotations
    (there / "lost.dat").write_bytes(bytes(64))  # without a header
    (there / "other.dat").write_bytes(bytes(64))  # with one of another name
    (there / "two.hea").write_text("two 1 100 32\nother.dat 16 200 16 0 0 0 0 I\n")
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "there").symlink_to(there)
    (there / "back").symlink_to(tmp_path / "more")
    with pytest.warns(EcgZooWarning, match=r"left out: 1, the first is .*lost\.dat"):
        found = list(batch.find_records([tmp_path / "more"]))
    assert [path.name for path in found if not path.name.startswith("r0")] == ["two.hea"]
    assert [path.name for path in found if path.stem == "r00"] == ["r00.csv", "r00.hea"]
    assert sorted(path.name for path in found) == sorted(["r00.csv", "two.hea", *(f"r{n:02}.hea" for n in range(10))])


def test_without_an_output_each_is_printed(folder: Path, capsys, monkeypatch) -> None:
    status, said = command(capsys, monkeypatch, folder / "a" / "r01", folder / "a" / "r02", "nowhere")
    lines = said.splitlines()
    assert status == 4
    assert lines[0].startswith(f"{folder}/a/r01 [I, 3 windows]  ")
    assert lines[1].startswith(f"error: {folder}/a/r02")
    assert "nowhere" in lines[2]
    status, said = command(capsys, monkeypatch, f"{folder}/a/r0[01]*", "--json")
    assert (status, [json.loads(line)["error"] for line in said.splitlines()]) == (0, [None, None])


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ("a/r01 --workers 0", "--workers 0: expected 1 or more"),
        ("a/r01 --output x.csv --json", "--json prints what --output writes to a file"),
        ("a/r01 --events --workers 3", "--events prints the events of one recording"),
        ("a/r0[12]*.hea --events", "--events prints the events of one recording"),
        ("a --events", "--events prints the events of one recording"),
    ],
)
def test_a_flag_that_would_do_nothing_is_refused(words: str, problem: str, folder: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(folder)
    status, said = command(capsys, monkeypatch, *words.split())
    assert status == 2
    assert problem in said
    assert not (folder / "x.csv").exists()


def test_a_reader_that_breaks_is_one_row(folder: Path) -> None:
    def read(path: Path) -> ecgzoo.Record:
        if path.stem == "r01":
            raise ZeroDivisionError("a plugin's mistake")
        return ecgzoo.read_record(path)

    predictor = batch.Predictor(ecgzoo.load_pretrained(MODEL), read)
    rows = [answer.row for answer in predictor.answers(sorted((folder / "a").glob("*.hea"))[:2])]
    assert rows[0]["error"] is None
    assert rows[1]["error"].endswith("r01.hea: ZeroDivisionError: a plugin's mistake")
    assert list(rows[0]) == list(rows[1]) == predictor.columns
