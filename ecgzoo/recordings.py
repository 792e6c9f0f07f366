"""read_record: read a recording in any registered format, recognized by its content."""

import os
import sys
import warnings
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from ecgzoo import registry
from ecgzoo.errors import EcgZooWarning, RegistryError, SignalError
from ecgzoo.files import open_regular
from ecgzoo.signal import LEADS_12, Record, resolve_leads
from ecgzoo.signal.readers.contract import Reader

HEAD_BYTES = 4096


def read_record(
    path: str | Path,
    *,
    leads: int | str | Sequence[str] | None = None,
    units: str | None = None,
    rate_hz: float | None = None,
) -> Record:
    """Read a recording, in millivolts, by the first registered reader that knows its format.

    Built-in readers are asked first, and readers that accept any text last (`ReaderSpec.generic`). A plugin's reader
    that fails when it is asked whether it knows a file is passed over with a warning, or with
    ``ECGZOO_STRICT_PLUGINS=1`` stops the work.

    Args:
        path: the file, or a WFDB record with or without its suffix.
        leads: names of the channels, in order, where the file does not say, or says them otherwise; as for
            `resolve_leads`, so 12 is the twelve leads in their usual order.
        units: of the samples, where the file does not say.
        rate_hz: samples per second, where the file does not say.

    Raises:
        SignalError: no reader knows the format, or the file cannot be read.
        RegistryError: a plugin's reader or its factory fails, or gives something else than a `Record`.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise SignalError(_how_to_make_a_record(path))
    path = Path(path)
    problem = None
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:  # a WFDB record without its suffix may still be there
        head, problem = b"", error.strerror
    known = reader_of(head, path)
    if known is not None:
        return _read(*known, path, None if leads is None else resolve_leads(leads), units, rate_hz)
    if os.path.isdir(path):
        raise SignalError(f"{path}: is a folder; pass the path of a recording in it")
    if not os.path.exists(path):
        raise SignalError(f"{path}: no such file, and no WFDB record of this name ({path}.hea); check the path")
    if problem:
        raise SignalError(f"{path}: cannot be read ({problem})")
    if not head:
        raise SignalError(f"{path}: is empty; fetch or export it again")
    raise SignalError(
        f"{path}: no reader knows this format; there are {', '.join(registry.names('reader'))}. Export it as one of "
        "them, or load its samples yourself: ecgzoo.Record.from_array(x, leads=LEADS, rate_hz=RATE, units='mV')"
    )


def is_recording(path: Path) -> bool:
    """Whether a registered reader knows the file `path` by its content, whatever its name and what is beside it."""
    try:
        with open_regular(path) as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return False
    return reader_of(head, Path(os.devnull)) is not None


def _read(
    found: registry.Registered,
    reader: Reader,
    path: Path,
    leads: tuple[str, ...] | None,
    units: str | None,
    rate_hz: float | None,
) -> Record:
    """What `reader` reads; an error of a plugin's reader names it."""
    # ours are not blamed: that redirects stdout, which is not safe for a caller who reads in threads
    with nullcontext() if found.built_in else registry.blamed(found):
        record: Any = reader.read(path, leads, units, rate_hz)
    if not isinstance(record, Record):
        raise RegistryError(
            f"{found} returned a {type(record).__name__} for {path}, expected a Record; "
            f"update {found.distribution} or report this to its authors"
        )
    return record


def reader_of(head: bytes, path: Path) -> tuple[registry.Registered, Reader] | None:
    """The first reader that knows `path`, whose content begins with `head`."""
    # one after the other: a plugin's reader is not even imported for a file that ours knows
    for name in registry.once("reader", "in order", lambda: sorted(registry.names("reader"), key=_rank)):
        found, reader = registry.lookup("reader", name), registry.build_once("reader", name)
        if not isinstance(reader, Reader):
            raise RegistryError(f"{found}: its factory made a {type(reader).__name__}, which is not an ecgzoo Reader")
        if reader.sniff(head, path) if found.built_in else _sniffs(found, reader, head, path):
            return found, reader
    return None


def _sniffs(found: registry.Registered, reader: Reader, head: bytes, path: Path) -> bool:
    """Whether a plugin's reader knows `path`; if it fails instead, no, since the file may well be another reader's."""
    try:
        with redirect_stdout(sys.stderr):
            return bool(reader.sniff(head, path))
    except Exception as error:  # third-party code may raise anything
        failure = registry.failed(found, error)
        if registry.strict():
            raise failure from error
        said = f"{failure} It failed when asked whether it knows {path}; such files are read without it."
        # once, not for each of a million files
        registry.once("reader", (found.name, "fails"), lambda: warnings.warn(said, EcgZooWarning, stacklevel=6))
        return False


def _rank(name: str) -> tuple[bool, bool]:
    found = registry.lookup("reader", name)
    return found.spec.generic, not found.built_in


def _how_to_make_a_record(found: object) -> str:
    """The message for an argument that is not a path, most often an array."""
    shape = getattr(found, "shape", None)
    if shape is None:
        return f"found a {type(found).__name__}, expected a Record or the path of a recording"
    array = "x.detach().cpu().numpy()" if hasattr(found, "detach") else "x"
    reshaped, leads = "", "leads=LEADS"
    if len(shape) == 1:
        leads = 'leads=["I"]'
    elif len(shape) == 2 and shape[0] > shape[1]:
        reshaped = ".T"
    if len(shape) == 2 and min(shape) == len(LEADS_12):
        leads = "leads=ecgzoo.LEADS_12"
    return (
        f"found an array of shape {tuple(shape)}, expected a Record: an array has no leads, rate or unit. "
        "For an array x in millivolts, with its rate in Hz and the names of its leads in order: "
        f"ecgzoo.Record.from_array({array}{reshaped}, {leads}, rate_hz=RATE)"
    )
