"""assert_reader_conforms: check the reader contract on a registered reader, with a file of its format."""

from pathlib import Path

import numpy as np

from ecgzoo import registry
from ecgzoo.errors import SignalError
from ecgzoo.recordings import HEAD_BYTES, read_record, reader_of
from ecgzoo.signal import LEADS_12, Record
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.testing.findings import Findings, Require

_HEADER = b"rec 1 500 5000\nrec.dat 16 1000/mV 16 0 0 0 0 II\n"
_HEADS = {
    "b''": b"",
    "random bytes": np.random.default_rng(0).bytes(HEAD_BYTES),
    "a WFDB header": _HEADER,
    "a table of numbers": b"0.1,0.2\n" * 100,
}
_NAMES = ("strange", "strange.csv", "strange.txt")  # of files of many kinds, which a reader must not know by the name
_STRANGE = (b"", b"\x00" * 64, b"\xff\xfe" * 512, b"{}", b"<xml/>", b"1,2,3\n" * 100)


def assert_reader_conforms(name: str, sample: str | Path, folder: str | Path, **given: object) -> None:
    """Check a registered reader on `sample`, a file of its format.

    It must know its format, and no other unless its spec is `generic`; give a `Record` of finite leads in millivolts,
    of which limb leads follow Einthoven's law; and give the same twice. Leads, units and rate that the caller gives it
    must use or refuse. For every file that it cannot read, such as half of the sample, it must raise a `SignalError`.

    Args:
        name: registered name.
        sample: a recording that the reader can read.
        folder: an empty folder, for broken files.
        **given: leads, units or rate_hz, if the format does not say them.

    Raises:
        AssertionError: one sentence for each failure.
        RegistryError: no reader has this name.
    """
    check_reader(name, folder, sample, **given).conclude()


def check_reader(name: str, folder: str | Path, sample: str | Path | None = None, **given: object) -> Findings:
    """The findings of `assert_reader_conforms`; without a `sample`, only whether other files are refused."""
    registered = registry.get("reader", name)
    findings, reader = Findings(name), registry.build(registered, (), {})
    with findings.clause("factory") as require:
        require(isinstance(reader, Reader), f"it makes a {type(reader).__name__}, which is not an ecgzoo Reader")
    if findings.failures:
        return findings
    with findings.clause("sniff") as require:
        for what, head in _HEADS.items():
            try:
                taken = [file for file in _NAMES if reader.sniff(head, Path(folder) / file)]
            except Exception as error:
                said = f"of {what} raises {type(error).__name__}: {error}"
                require(False, f"{said}; expected True or False, since it is asked of every file")
            else:
                said = f"takes {', '.join(taken)} of {what} for its format; look for what only its own files begin with"
                require(registered.spec.generic or not taken, said)
    broken, suffix = list(_STRANGE), ""
    if sample is None:
        findings.notes["sample"] = "not checked; call assert_reader_conforms on a file of its format"
    else:
        sample = Path(sample)
        content = sample.read_bytes() if sample.is_file() else b""
        broken, suffix = [*broken, content[: len(content) // 2]], sample.suffix
        with findings.clause("sample") as require:
            require(reader.sniff(content[:HEAD_BYTES], sample), f"does not know {sample.name}")
            known = reader_of(content[:HEAD_BYTES], sample)
            if known is not None:
                require(known[0] == registered, f"{known[0]} is asked first and reads {sample.name}")
            first, second = (read_record(sample, **given) for _ in range(2))  # type: ignore[arg-type] # the caller's
            if require(isinstance(first, Record), f"gives a {type(first).__name__}, expected a Record"):
                same = np.array_equal(first.signal, second.signal, equal_nan=True)
                require(same, "reading twice gives other samples")
                for problem in first.problems():
                    require(False, f"{problem} Read the file otherwise, or take a sample without this")
        with findings.clause("what the caller gives") as require:
            _check_given(sample, given, require)
    with findings.clause("broken files") as require:
        for number, part in enumerate(broken):
            path = Path(folder) / f"broken{number}{suffix}"
            path.write_bytes(part)
            try:
                reader.read(path, None, None, None)
            except SignalError:
                continue
            except Exception as error:
                require(False, f"{part[:20]!r} raises {type(error).__name__}, expected a SignalError")
            else:
                require(number == len(_STRANGE), f"{part[:20]!r} is read as a recording")
    return findings


def _check_given(sample: Path, given: dict[str, object], require: Require) -> None:
    """Check that names, units and rate are used or refused; else a caller's correction is lost without an error."""

    def read(**others: object) -> Record | None:
        try:
            return read_record(sample, **{**given, **others})  # type: ignore[arg-type] # the caller's
        except SignalError:
            return None

    first = read_record(sample, **given)  # type: ignore[arg-type] # the caller's
    leads = LEADS_12[::-1][: len(first.leads)]
    named, faster = read(leads=leads), read(rate_hz=2 * first.rate_hz)
    require(named is None or named.leads == leads, "ignores leads=; use it or raise a SignalError")
    require(faster is None or faster.rate_hz == 2 * first.rate_hz, "ignores rate_hz=; use it or raise a SignalError")
    in_mv, in_uv = read(units="mV"), read(units="uV")
    ignored = in_mv is not None and in_uv is not None and np.array_equal(in_mv.signal, in_uv.signal, equal_nan=True)
    require(not ignored, "ignores units=; use it or raise a SignalError")
