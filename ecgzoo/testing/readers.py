"""assert_reader_conforms: check the reader contract on a registered reader, with a file of its format."""

from pathlib import Path

import numpy as np

from ecgzoo import registry
from ecgzoo.errors import SignalError
from ecgzoo.recordings import HEAD_BYTES, read_record
from ecgzoo.signal import Record
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.testing.findings import Findings

_HEADER = b"rec 1 500 5000\nrec.dat 16 1000/mV 16 0 0 0 0 II\n"
_HEADS = {"b''": b"", "random bytes": np.random.default_rng(0).bytes(HEAD_BYTES), "a WFDB header": _HEADER}
_STRANGE = (b"", b"\x00" * 64, b"\xff\xfe" * 512, b"{}", b"<xml/>", b"1,2,3\n" * 100)


def assert_reader_conforms(name: str, sample: str | Path, folder: str | Path, **given: object) -> None:
    """Check a registered reader on `sample`, a file of its format.

    It must say of any first bytes whether it knows them, know its format, give a `Record` of finite leads in
    millivolts, and give the same twice. For every file that it cannot read, such as half of the sample, it must raise a
    `SignalError`.

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
    findings, reader = Findings(name), registry.build(registry.get("reader", name), (), {})
    with findings.clause("factory") as require:
        require(isinstance(reader, Reader), f"it makes a {type(reader).__name__}, which is not an ecgzoo Reader")
    if findings.failures:
        return findings
    with findings.clause("sniff") as require:
        for what, head in _HEADS.items():
            try:
                reader.sniff(head, Path(folder) / "strange")
            except Exception as error:
                said = f"of {what} raises {type(error).__name__}: {error}"
                require(False, f"{said}; expected True or False, since it is asked of every file")
    broken, suffix = list(_STRANGE), ""
    if sample is None:
        findings.notes["sample"] = "not checked; call assert_reader_conforms on a file of its format"
    else:
        sample = Path(sample)
        content = sample.read_bytes() if sample.is_file() else b""
        broken, suffix = [*broken, content[: len(content) // 2]], sample.suffix
        with findings.clause("sample") as require:
            require(reader.sniff(content[:HEAD_BYTES], sample), f"does not know {sample.name}")
            first, second = (read_record(sample, **given) for _ in range(2))  # type: ignore[arg-type] # the caller's
            if require(isinstance(first, Record), f"gives a {type(first).__name__}, expected a Record"):
                same = np.array_equal(first.signal, second.signal, equal_nan=True)
                require(same, "reading twice gives other samples")
                peak = np.nanmax(np.abs(first.signal))
                require(bool(peak < 100), "samples above 100 mV are not an ECG in millivolts")
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
