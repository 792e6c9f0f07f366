"""Which reader reads a file, and the contract: against ours, and against readers that break it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgzoo import Reader, Record, SignalError, read_record, registry
from ecgzoo.recordings import is_recording
from ecgzoo.testing import assert_reader_conforms


@pytest.fixture
def record(tmp_path: Path) -> Path:
    signal = np.random.default_rng(0).normal(0, 0.3, (500, 2))
    wfdb.wrsamp("rec", fs=250, units=["mV"] * 2, sig_name=["ECG", "II"], p_signal=signal, write_dir=str(tmp_path))
    return tmp_path / "rec.hea"


def test_wfdb_conforms(record: Path, tmp_path: Path) -> None:
    (tmp_path / "broken").mkdir()
    assert_reader_conforms("wfdb", record, tmp_path / "broken")


def test_channels_may_be_named(record: Path) -> None:
    assert read_record(record).leads == ("ECG", "II")
    assert read_record(record.with_suffix(""), leads=("I", "mlii")).leads == ("I", "II")
    with pytest.raises(SignalError, match="1 leads for channels ECG, II; name each"):
        read_record(record, leads="I")
    with pytest.raises(SignalError, match="leave out units and rate_hz"):
        read_record(record, rate_hz=100)


@pytest.mark.parametrize("name", ["rec.hea", "rec.csv", "rec.edf"])
def test_the_leads_of_a_file_are_not_named_in_another_order(tmp_path: Path, name: str) -> None:
    signal, leads = np.random.default_rng(0).normal(0, 0.3, (500, 3)), ["I", "avf", "aVL"]  # as MIMIC-IV has them
    wfdb.wrsamp("rec", fs=250, units=["mV"] * 3, sig_name=leads, p_signal=signal, write_dir=str(tmp_path))
    np.savetxt(tmp_path / "rec.csv", signal, delimiter=",", header="I (mV),avf (mV),aVL (mV)")
    edfio = pytest.importorskip("edfio")
    rows = [
        edfio.EdfSignal(row, 250, label=lead, physical_dimension="mV")
        for lead, row in zip(leads, signal.T, strict=True)
    ]
    edfio.Edf(rows).write(tmp_path / "rec.edf")
    rate = 250 if name == "rec.csv" else None
    with pytest.raises(SignalError, match="names its channels I, aVF, aVL, and leads= gives the same names in another"):
        read_record(tmp_path / name, leads="I,aVL,aVF", rate_hz=rate)
    assert read_record(tmp_path / name, leads="I,aVF,aVL", rate_hz=rate).leads == ("I", "aVF", "aVL")
    assert read_record(tmp_path / name, leads="I,II,aVF", rate_hz=rate).leads == ("I", "II", "aVF")


def test_numbers_in_a_dat_file_are_no_wfdb_record(tmp_path: Path, record: Path) -> None:
    (tmp_path / "columns.dat").write_text("I (mV),II (mV)\n0.1,0.2\n0.3,0.4\n")
    assert read_record(tmp_path / "columns.dat", rate_hz=100).leads == ("I", "II")
    (tmp_path / "columns.dat").write_bytes(bytes(100))
    with pytest.raises(SignalError, match="needs its header"):
        read_record(tmp_path / "columns.dat")


def test_a_format_that_no_reader_knows_is_said(tmp_path: Path) -> None:
    (tmp_path / "strip.bin").write_bytes(b"\0\1\2")
    with pytest.raises(SignalError, match=r"no reader knows this format; there are .*wfdb\..*from_array"):
        read_record(tmp_path / "strip.bin")
    with pytest.raises(SignalError, match=r"nowhere\.hea"):
        read_record(tmp_path / "nowhere")


class Guessing(Reader):
    """Takes anything for a recording."""

    def sniff(self, head: bytes, path: Path) -> bool:
        return True

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        return Record(np.ones((1, 100), np.float32), ("I",), 100, str(path))


class Deaf(Guessing):
    def sniff(self, head: bytes, path: Path) -> bool:
        return False


@pytest.mark.parametrize(("reader", "reason"), [(Guessing, "is read as a recording"), (Deaf, "does not know rec.hea")])
def test_a_reader_that_breaks_the_contract_is_told_how(
    record: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, reader: type[Reader], reason: str
) -> None:
    monkeypatch.setattr(registry, "factory", lambda found: reader)
    (tmp_path / "broken").mkdir()
    with pytest.raises(AssertionError, match=reason):
        assert_reader_conforms("wfdb", record, tmp_path / "broken")


def test_readers_are_built_once_for_all_files(
    record: Path, monkeypatch: pytest.MonkeyPatch, forget_plugins: Callable[[], None]
) -> None:
    built: list[str] = []
    factory = registry.factory
    monkeypatch.setattr(registry, "factory", lambda found: built.append(found.name) or factory(found))
    forget_plugins()
    read_record(record)
    once = sorted(built)
    assert "wfdb" in once
    assert len(once) == len(set(once))
    assert read_record(record.with_suffix("")).leads == ("ECG", "II")
    assert sorted(built) == once
    forget_plugins()
    read_record(record)
    assert sorted(built) == sorted(2 * once)
    assert not is_recording(record)  # by its content, which all readers are asked about
    every = list(built)
    assert not is_recording(record)
    assert built == every


def test_a_name_makes_no_recording(record: Path) -> None:
    text = record.with_name("notes.csv")
    text.write_text("made by hand\n" * 9)
    assert not is_recording(text)
    text.write_text("1\n2\n3\n")
    assert is_recording(text)
    assert is_recording(text.rename(text.with_name("strip")))
