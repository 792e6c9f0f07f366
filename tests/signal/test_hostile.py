"""Damaged or hostile recordings give one line of error, quickly, within memory, and no wrong number."""

import os
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from ecgzoo import read_record
from ecgzoo.errors import SignalError
from ecgzoo.signal import Record, resolve_leads

MANY = "9" * 5000
GOOD = "rec 1 100 10\nrec.dat 16 1000/mV 16 0 0 0 0 I\n"


def write(folder: Path, header: str, samples: int = 10) -> Path:
    (folder / "rec.hea").write_text(header)
    np.arange(1, samples + 1, dtype="<i2").tofile(folder / "rec.dat")
    return folder / "rec"


def refused(path: Path | str, megabytes: float = 50) -> str:
    """The one line that reading `path` ends with."""
    tracemalloc.start()
    start = time.process_time()
    try:
        with pytest.raises(SignalError) as caught:
            read_record(path)
        seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    said = str(caught.value)
    assert said.isprintable()
    assert seconds < 2
    assert peak < megabytes * 2**20
    return said


@pytest.mark.parametrize(
    "header",
    [
        f"rec {MANY} 100 10\nrec.dat 16\n",
        f"rec/{MANY} 1 100 10\nrec.dat 16\n",
        f"rec 1 {MANY} 10\nrec.dat 16\n",
        f"rec 1 100 {MANY}\nrec.dat 16\n",
        *(f"rec 1 100 10\nrec.dat {said}\n" for said in (MANY, f"16x{MANY}", f"16:{MANY}", f"16+{MANY}")),
        *(f"rec 1 100 10\nrec.dat 16 {said}\n" for said in (MANY, f"100({MANY})", f"100 {MANY}", f"100 16 -{MANY}")),
        *(f"rec 1 100 10\nrec.dat 16 100 16 0 {said} I\n" for said in (f"{MANY} 0 0", f"0 {MANY} 0", f"0 0 {MANY}")),
        f"rec 1 {'1' * 400_000} x\nrec.dat 16\n",
        "rec 200000 100 10\n" + "a 16\n" * 200_000,
    ],
)
def test_numbers_and_lines_without_end(tmp_path: Path, header: str) -> None:
    refused(write(tmp_path, header))


@pytest.mark.parametrize("rate", ["1e9", "1e-6", "0.01", "1e308", "1e-320"])
def test_a_rate_of_no_recorder(tmp_path: Path, rate: str) -> None:
    assert "sampling rate of 10 to 100000 Hz" in refused(write(tmp_path, GOOD.replace("100", rate, 1)))
    with pytest.raises(SignalError, match="rate"):
        Record(np.zeros((1, 10), np.float32), ("I",), float(rate), "here")
    with pytest.raises(SignalError, match="rate"):
        Record(np.zeros((1, 10), np.float32), ("I",), 100, "here").resample(float(rate))


def test_resampling_invents_no_more_than_twenty_samples_for_one() -> None:
    record = Record(np.zeros((1, 1000), np.float32), ("I",), 10, "here")
    assert record.resample(200).signal.shape == (1, 20_000)
    with pytest.raises(SignalError, match="at most 20 times"):
        record.resample(100_000)


@pytest.mark.parametrize("gain", ["1e-36", "1e-320", "-1e-30", "1e300", "1e-4"])
def test_a_gain_of_no_recorder(tmp_path: Path, gain: str) -> None:
    assert "digital units per mV" in refused(write(tmp_path, GOOD.replace("1000/mV", f"{gain}/mV")))


@pytest.mark.parametrize(
    "name", ["../rec.dat", "/etc/passwd", "..", ".", "~", "a\0b", "x" * 300, "rec.dat/", "..\\rec.dat"]
)
def test_a_signal_file_that_is_no_file_here(tmp_path: Path, name: str) -> None:
    refused(write(tmp_path, GOOD.replace("rec.dat", name)))


@pytest.mark.parametrize("path", ["a\0b", ".", "..", "", "/", "\ud800", "x" * 5000])
def test_a_path_that_is_no_record(path: str) -> None:
    refused(path)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("suffix", [".hea", ".dat"])
@pytest.mark.parametrize("kind", ["pipe", "dangling link", "folder", "device"])
@pytest.mark.parametrize("format", ["16", "508"])
def test_what_is_no_regular_file_is_not_waited_for(tmp_path: Path, suffix: str, kind: str, format: str) -> None:
    path = write(tmp_path, GOOD.replace(" 16 1000", f" {format} 1000"))
    file = path.with_suffix(suffix)
    file.unlink()
    make = {
        "pipe": lambda: os.mkfifo(file),
        "dangling link": lambda: file.symlink_to("nowhere"),
        "folder": file.mkdir,
        "device": lambda: file.symlink_to("/dev/zero"),
    }
    make[kind]()
    refused(path)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), PermissionError(13, "Permission denied")])
@pytest.mark.parametrize("suffix", [".hea", ".dat"])
def test_a_disk_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError, suffix: str) -> None:
    path, whole = write(tmp_path, GOOD), os.open

    def fails(name: str, flags: int, mode: int = 0o777, **more: int) -> int:
        if str(name).endswith(suffix):
            raise error
        return whole(name, flags, mode, **more)

    monkeypatch.setattr(os, "open", fails)
    assert str(error.strerror) in refused(path)


@pytest.mark.parametrize("format", ["16", "212", "508", "24"])
@pytest.mark.parametrize("said", ["{f}:1000000000", "{f}x1000000000", "{f}+1000000000", "{f}:999999999999999"])
def test_what_a_header_announces_takes_no_memory(tmp_path: Path, format: str, said: str) -> None:
    refused(write(tmp_path, f"rec 1 100 10\nrec.dat {said.format(f=format)} 1000/mV\n"))


@pytest.mark.parametrize("samples", ["1000000000", "999999999999999", ""])
def test_a_compressed_file_that_holds_no_such_number_of_samples(tmp_path: Path, samples: str) -> None:
    (tmp_path / "rec.dat").write_bytes(b"fLaC" + bytes(100))
    (tmp_path / "rec.hea").write_text(f"rec 1 100 {samples}\nrec.dat 516 1000/mV\n")
    said = refused(tmp_path / "rec")
    assert "cannot hold them" in said if samples else "no number of samples" in said


def test_a_header_of_a_hundred_megabytes(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    with open(f"{path}.hea", "r+b") as file:
        file.truncate(100 << 20)
    assert "more than 1048576 bytes" in refused(path, megabytes=5)


def test_reading_takes_the_file_and_its_millivolts_and_little_more(tmp_path: Path) -> None:
    samples = np.random.default_rng(0).integers(-2000, 2000, (2_000_000, 3), dtype="<i2")
    samples.tofile(tmp_path / "rec.dat")
    (tmp_path / "rec.hea").write_text(
        "rec 3 500 2000000\n" + "".join(f"rec.dat 16 1000/mV 16 0 0 0 0 V{k}\n" for k in (1, 2, 3))
    )
    tracemalloc.start()
    signal = read_record(tmp_path / "rec").signal
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    np.testing.assert_array_equal(signal, (samples.T / 1000).astype(np.float32))
    assert peak - signal.nbytes < 2 * samples.nbytes + 10 * 2**20


def test_names_are_shown_without_their_control_characters(tmp_path: Path) -> None:
    said = refused(write(tmp_path, GOOD.replace("/mV", "/\x1b[2Jm\u202e").replace(" I\n", " \x1b]0;II\u202e\n")))
    assert "\\x1b" in said
    assert "\\u202e" in said


def test_wfdb_is_given_ascii_names_only(tmp_path: Path) -> None:
    (tmp_path / "é.dat").write_bytes(bytes(15))
    (tmp_path / "rec.hea").write_text("rec 1 100 10\né.dat 212 1000/mV\n", encoding="utf-8")
    assert "ASCII" in refused(tmp_path / "rec")


def test_leads_without_end() -> None:
    start = time.process_time()
    for leads in (["I"] * 500_000, "9" * 5000, ["x" * 1_000_000]):
        with pytest.raises(SignalError) as caught:
            resolve_leads(leads)
        assert len(str(caught.value)) < 4000
    assert time.process_time() - start < 2
