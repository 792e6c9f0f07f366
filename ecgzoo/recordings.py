"""read_record: read a recording in any registered format, recognized by its content."""

import os
from collections.abc import Sequence
from pathlib import Path

from ecgzoo import registry
from ecgzoo.errors import RegistryError, SignalError
from ecgzoo.files import open_regular
from ecgzoo.signal import LEADS_12, Record, resolve_leads
from ecgzoo.signal.readers.contract import Reader

HEAD_BYTES = 4096


def read_record(
    path: str | Path,
    *,
    leads: str | Sequence[str] | None = None,
    units: str | None = None,
    rate_hz: float | None = None,
) -> Record:
    """Read a recording, in millivolts, with the first registered reader that knows its format; built-in readers first.

    Args:
        path: the file, or a WFDB record with or without its suffix.
        leads: names of the channels, in order, if the file does not say, or to rename them.
        units: units of the samples, if the file does not say.
        rate_hz: samples per second, if the file does not say.

    Raises:
        SignalError: no reader knows the format, or the file cannot be read.
        RegistryError: a reader's factory fails.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise SignalError(_how_to_make_a_record(path))
    path = Path(path)
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        head = b""  # a WFDB record without its suffix, or a missing file: the reader finds out
    names = sorted(registry.names("reader"), key=lambda name: not registry.lookup("reader", name).built_in)
    # one at a time: a plugin's reader is not imported if a built-in one knows the file
    chosen = next((reader for reader in map(_built, names) if reader.sniff(head, path)), None)
    if chosen is None and os.path.exists(path):
        raise SignalError(f"{path}: no reader knows this format; there are {', '.join(registry.names('reader'))}")
    return (chosen or _built("wfdb")).read(path, None if leads is None else resolve_leads(leads), units, rate_hz)


def _how_to_make_a_record(found: object) -> str:
    """The message for an argument that is not a path, most often an array."""
    shape = getattr(found, "shape", None)
    if shape is None:
        return f"found a {type(found).__name__}, expected a Record or the path of a recording"
    array = "x.detach().cpu().numpy()" if hasattr(found, "detach") else "x"
    reshaped, leads = "", "leads=LEADS"
    if len(shape) == 1:
        reshaped, leads = ".reshape(1, -1)", 'leads=["I"]'
    elif len(shape) == 2 and shape[0] > shape[1]:
        reshaped = ".T"
    if len(shape) == 2 and min(shape) == len(LEADS_12):
        leads = "leads=ecgzoo.LEADS_12"
    return (
        f"found an array of shape {tuple(shape)}, expected a Record: an array has no leads, rate or unit. "
        "For an array x in millivolts, with its rate in Hz and the names of its leads in order: "
        f'ecgzoo.Record({array}{reshaped}.astype("float32"), {leads}, rate_hz=RATE, source="x")'
    )


def _built(name: str) -> Reader:
    found = registry.lookup("reader", name)
    reader = registry.build(found, (), {})
    if not isinstance(reader, Reader):
        raise RegistryError(f"{found}: its factory made a {type(reader).__name__}, which is not an ecgzoo Reader")
    return reader
