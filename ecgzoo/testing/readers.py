"""assert_reader_conforms: the reader contract, checked on a registered reader and a file of its format."""

from pathlib import Path

import numpy as np

from ecgzoo import registry
from ecgzoo.errors import SignalError
from ecgzoo.recordings import HEAD_BYTES, read_record
from ecgzoo.signal import Record
from ecgzoo.signal.readers.contract import Reader

_STRANGE = (b"", b"\x00" * 64, b"\xff\xfe" * 512, b"{}", b"<xml/>", b"1,2,3\n" * 100)


def assert_reader_conforms(name: str, sample: str | Path, folder: str | Path, **given: object) -> None:
    """Check a registered reader on `sample`, a file of its format.

    It knows its own format, gives a `Record` of finite leads in millivolts, the same twice, and answers every file that
    it cannot read, half of its own sample among them, with a `SignalError`.

    Args:
        name: as registered.
        sample: a recording that the reader can read.
        folder: an empty folder, for broken files.
        **given: leads, units or rate_hz, if the format does not say them.

    Raises:
        AssertionError: what does not conform, in a sentence.
        RegistryError: no reader has this name.
    """
    reader = registry.build(registry.get("reader", name), (), {})
    assert isinstance(reader, Reader), f"{name}: its factory makes a {type(reader).__name__}, which is no ecgzoo Reader"
    sample = Path(sample)
    content = sample.read_bytes() if sample.is_file() else b""
    assert reader.sniff(content[:HEAD_BYTES], sample), f"{name}: does not know {sample.name}"
    first, second = (read_record(sample, **given) for _ in range(2))  # type: ignore[arg-type] # the caller's own
    assert isinstance(first, Record), f"{name}: gives a {type(first).__name__}, expected a Record"
    assert np.array_equal(first.signal, second.signal, equal_nan=True), f"{name}: reading twice gives other samples"
    assert np.nanmax(np.abs(first.signal)) < 100, f"{name}: samples beyond 100 mV are no millivolts of a heart"
    for number, broken in enumerate((*_STRANGE, content[: len(content) // 2])):
        path = Path(folder) / f"broken{number}{sample.suffix}"
        path.write_bytes(broken)
        try:
            reader.read(path, None, None, None)
        except SignalError:
            continue
        assert broken == content[: len(content) // 2], f"{name}: {broken[:20]!r} is read as a recording"
