"""A plugin's reader that raises or gives something else: it is named, and the user's other files are read."""

import json
import warnings
from argparse import Namespace
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from ecgzoo import read_record
from ecgzoo.batch import find_records
from ecgzoo.cli import plugins
from ecgzoo.errors import EcgZooWarning, RegistryError, SignalError
from ecgzoo.testing import assert_reader_conforms

HEAD = """
import numpy as np
from ecgzoo import Reader, ReaderSpec, Record, SignalError, hookimpl

@hookimpl
def ecgzoo_readers():
    yield ReaderSpec(name="my_strip", factory="strip_plugin:Strip", summary="")

class Strip(Reader):
"""
SOURCE = (
    HEAD
    + """
    def sniff(self, head, path):
        print("sniffing")
        {sniff}
    def read(self, path, leads, units, rate_hz):
        print("reading")
        {read}
"""
)
MINE = "return head.startswith(b'my strip')"
FAILS = "return head[10**9]"


def install_strip(install, sniff: str = MINE, read: str = "return None") -> None:
    install("strip-plugin", SOURCE.format(sniff=sniff, read=read))


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "records" / "a.csv"
    path.parent.mkdir()
    path.write_text("I,II\n" + "0.1,0.2\n" * 500)
    return path


@pytest.mark.parametrize("sniff", [FAILS, "raise SignalError('odd')"])
def test_a_sniff_that_raises_is_passed_over_with_one_warning(
    install, table: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sniff: str
) -> None:
    install_strip(install, sniff=sniff)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            assert read_record(table, units="mV", rate_hz=100).leads == ("I", "II")
        assert list(find_records([table.parent])) == [table]
    (warning,) = caught
    reason = "IndexError: index out of range" if sniff == FAILS else "SignalError: odd"
    assert f"reader my_strip of strip-plugin 1.2 failed with {reason}" in str(warning.message)
    assert warning.category is EcgZooWarning
    assert "sniffing" not in capsys.readouterr().out
    monkeypatch.setenv("ECGZOO_STRICT_PLUGINS", "1")
    with pytest.raises(RegistryError, match=r"reader my_strip of strip-plugin 1\.2 failed with"):
        read_record(table, units="mV", rate_hz=100)


@pytest.mark.parametrize(
    ("read", "reason"),
    [
        ("return {}['x']", "failed with KeyError: 'x'"),
        ("return None", "returned a NoneType for .*strip.txt, expected a Record"),
    ],
)
def test_a_read_that_fails_names_the_reader(
    install, tmp_path: Path, capsys: pytest.CaptureFixture[str], read: str, reason: str
) -> None:
    install_strip(install, read=read)
    (tmp_path / "strip.txt").write_text("my strip\n")
    with pytest.raises(RegistryError, match=rf"reader my_strip of strip-plugin 1\.2 {reason}"):
        read_record(tmp_path / "strip.txt")
    assert "reading" not in capsys.readouterr().out


def test_an_error_that_a_reader_raises_on_purpose_stays_as_it_is(install, tmp_path: Path) -> None:
    install_strip(install, read="raise SignalError('half a strip')")
    (tmp_path / "strip.txt").write_text("my strip\n")
    with pytest.raises(SignalError) as caught:
        read_record(tmp_path / "strip.txt")
    assert str(caught.value) == "half a strip"


def test_check_shows_the_reader_any_first_bytes(install, capsys: pytest.CaptureFixture[str]) -> None:
    install_strip(install, sniff="return head[0] == 7", read="raise SignalError('not a strip')")
    with pytest.raises(SystemExit):
        plugins.run(Namespace(check="my_strip", root=None, json=True))
    (row,) = json.loads(capsys.readouterr().out)["checked"]  # what it prints is not in it
    (failure,) = row["failures"]
    assert "sniff: of b'' raises IndexError: index out of range; expected True or False" in failure


CARELESS = (
    HEAD
    + """
    def sniff(self, head, path):
        return head.startswith(b"my strip")

    def read(self, path, leads, units, rate_hz):
        if units is not None:
            raise SignalError("a strip is in mV")
        try:
            lines = path.read_text().splitlines()
            rows = np.array([line.split() for line in lines[1:]], np.float32).T
        except ValueError as error:
            raise SignalError("no strip") from error
        if not lines or lines[0] != "my strip":
            raise SignalError("no strip")
        return Record(rows, leads or ("I", "II", "III"), rate_hz or 100, str(path))
"""
)


@pytest.mark.parametrize(
    ("careful", "careless", "reason"),
    [
        ("", "", None),
        ("np.float32", "np.float16", "expected float32 millivolts, got float16"),
        ("Record(rows,", "Record(1000 * rows,", "Amplitudes up to 2000 mV: wrong units"),
        ("Record(rows,", "Record(rows / np.float32(1000),", r"Amplitudes of at most \S+ mV: wrong units"),
        ("Record(rows,", "Record(rows[[1, 0, 2]],", "Limb leads break Einthoven's law"),
        ('head.startswith(b"my strip")', "True", r"takes strange, strange\.csv, strange\.txt of a table of numbers"),
        ('head.startswith(b"my strip")', 'path.suffix == ".txt"', r"takes strange\.txt of random bytes for its format"),
        ('leads or ("I"', '("I"', "ignores leads=; use it or raise a SignalError"),
        ("rate_hz or 100", "100", "ignores rate_hz=; use it or raise a SignalError"),
        ("units is not None", "False", "ignores units=; use it or raise a SignalError"),
    ],
)
def test_a_careless_reader_does_not_conform(
    install, tmp_path: Path, careful: str, careless: str, reason: str | None
) -> None:
    install("strip-plugin", CARELESS.replace(careful, careless))
    time = np.arange(500) / 100
    one, two = np.sin(time), np.sin(3 * time)
    (tmp_path / "broken").mkdir()
    strip = tmp_path / "strip.txt"
    strip.write_text("my strip\n" + "".join(f"{a:.4f} {b:.4f} {b - a:.4f}\n" for a, b in zip(one, two, strict=True)))
    with pytest.raises(AssertionError, match=reason) if reason else nullcontext():
        assert_reader_conforms("my_strip", strip, tmp_path / "broken")


def test_a_sample_that_another_reader_reads_does_not_conform(install, tmp_path: Path) -> None:
    install("strip-plugin", CARELESS.replace("my strip", "\x93NUMPY").replace('b"\x93', 'b"\\x93'))
    (tmp_path / "broken").mkdir()
    np.save(tmp_path / "strip.npy", np.ones(3))
    with pytest.raises(AssertionError, match=r"reader npy of ecgzoo \S+ is asked first and reads strip\.npy"):
        assert_reader_conforms("my_strip", tmp_path / "strip.npy", tmp_path / "broken", leads="I", rate_hz=100)
