"""Which reader reads a file, and the contract: against ours, and against readers that break it."""

from pathlib import Path

import numpy as np
import pytest
import wfdb

from ecgzoo import Reader, Record, SignalError, read_record, registry
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


def test_a_format_that_no_reader_knows_is_said(tmp_path: Path) -> None:
    (tmp_path / "strip.csv").write_text("1,2,3")
    with pytest.raises(SignalError, match=r"no reader knows this format; there are .*wfdb"):
        read_record(tmp_path / "strip.csv")
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
