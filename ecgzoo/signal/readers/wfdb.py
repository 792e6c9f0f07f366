"""Reading WFDB recordings into millivolts.

The header is parsed here rather than by wfdb, which rejects the ISO dates of the AF Challenge 2017, reads ``µV`` as
volts (it drops what is not ASCII), and takes 4 ms a record. Formats that are plain arrays, such as the 16 of nearly all
12-lead databases, go through numpy; the others are decoded by wfdb.
"""

import dataclasses
import math
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ecgzoo.errors import SignalError
from ecgzoo.files import read_bytes
from ecgzoo.signal.leads import is_ecg, known_lead
from ecgzoo.signal.readers.common import STEPS_PER_MILLIVOLT, fail, numbered, refuse_a_lost_ecg, refuse_another_order
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.readers.text import as_utf8
from ecgzoo.signal.record import FASTEST_HZ, SLOWEST_HZ, Record
from ecgzoo.signal.units import per_millivolt

_SUFFIXES = (".hea", ".dat", ".mat")
_DEFAULT_GAIN = 200.0  # WFDB's, for a header that gives none

# What a header may take, before it is parsed: WFDB's own lines have 255 characters, and its records 32 signals.
HEADER_BYTES, _LINE_CHARACTERS, _MOST_CHANNELS = 1 << 20, 1000, 1000
_BLOCK = 1 << 18  # samples that are scaled at a time
_MOST_COMPRESSED = (2_000_000, 50)  # limits for a compressed file: samples that are always allowed, samples per byte

# Format: bytes of a sample on disk (None: compressed), and the digital value that stands for an invalid sample.
_FORMATS: dict[str, tuple[float | None, int | None]] = {
    "8": (1, None),
    "16": (2, -(2**15)),
    "24": (3, -(2**23)),
    "32": (4, -(2**31)),
    "61": (2, -(2**15)),
    "80": (1, -(2**7)),
    "160": (2, -(2**15)),
    "212": (1.5, -(2**11)),
    "310": (4 / 3, -(2**9)),
    "311": (4 / 3, -(2**9)),
    "508": (None, -(2**7)),
    "516": (None, -(2**15)),
    "524": (None, -(2**23)),
}

_PLAIN_ARRAYS = {"16": "<i2", "32": "<i4", "61": ">i2"}

# https://wfdb.io/spec/header-files.html. What follows the number of samples (time, date) is not needed and not parsed.
_RECORD_LINE = re.compile(
    r"""[^\s/]+(?:/(?P<segments>\d{1,9}))? \s+ (?P<channels>\d{1,9})
        (?:\s+ (?P<rate>[^\s/(]+)\S* (?:\s+ (?P<samples>\d{1,15}) (?:\s.*)? )? )?""",
    re.VERBOSE,
)
_SIGNAL_LINE = re.compile(
    r"""(?P<file>\S+) \s+
        (?P<format>\d{1,15})(?:x(?P<frame>\d{1,15}))?(?::(?P<skew>\d{1,15}))?(?:\+(?P<offset>\d{1,15}))?
        (?:\s+ (?P<gain>[^\s(/]+)(?:\((?P<baseline>[-+]?\d{1,15})\))?(?:/(?P<units>\S+))?
        (?:\s+ (?P<resolution>\d{1,15}) (?:\s+ (?P<zero>[-+]?\d{1,15}) (?:\s+ (?P<first>[-+]?\d{1,15})
        (?:\s+ (?P<checksum>[-+]?\d{1,15}) (?:\s+ (?P<block>\d{1,15}) (?:\s+ (?P<name>.*))? )? )? )? )? )? )?""",
    re.VERBOSE,
)


class _Channel(NamedTuple):
    """One signal line of a header."""

    file: str
    format: str
    frame: int  # samples per frame
    skew: int
    offset: int
    gain: float | None
    baseline: int
    units: str
    checksum: int | None
    name: str


@dataclass(frozen=True)
class _Header:
    """A header file: its path, frames per second, number of frames (None if not given) and channels."""

    path: Path
    rate_hz: float
    frames: int | None
    channels: list[_Channel]


class WfdbReader(Reader):
    """WFDB: a header ``.hea`` and its samples, which say rate and units themselves."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether `path` is a part of a record, or its name without a suffix."""
        if path.suffix in _SUFFIXES[1:] and head and as_utf8(head) is not None:  # columns of numbers are .dat, too
            return os.path.exists(path.with_suffix(".hea"))
        return path.suffix in _SUFFIXES or os.path.exists(f"{path}.hea")  # False for an invalid name, no error

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """See `read_wfdb`; `leads` are new names for the channels, in order.

        Raises:
            SignalError: see `read_wfdb`; or units or rate are given although the header has them; or `leads` does not
                have one name per channel, or has the header's in another order.
        """
        if units is not None or rate_hz is not None:
            raise SignalError(f"{path}: a WFDB header has units and rate; leave out units and rate_hz")
        record = read_wfdb(path)
        if leads is None:
            return record
        if len(leads) != len(record.leads):
            raise SignalError(f"{path}: {len(leads)} leads for channels {', '.join(record.leads)}; name each")
        refuse_another_order(path, record.leads, leads)
        return dataclasses.replace(record, leads=leads)


def read_wfdb(path: str | Path) -> Record:
    """Read all channels of a WFDB record that are voltages, in millivolts.

    Lead names take the spelling of ``LEADS_12``; a channel under another name keeps it. Such a channel is left out,
    with a note, if it is not a voltage or has another rate than the leads; for a *lead* this is an error. If there are
    no leads, the channels named "ECG…" or "EKG…" take their place. Invalid samples become NaN. Lengths and checksums
    are verified; if all checksums are zero, they count as not given.

    Args:
        path: the record, with or without ``.hea``, ``.dat`` or ``.mat``.

    Raises:
        SignalError: a file is missing, unreadable, or shorter or longer than the header says; a checksum fails;
            the header has no rate, several segments, a lead whose unit is not a voltage, or voltages of several rates
            of which no name says that it is an ECG.
    """
    header = _read_header(Path(path))
    channels = header.channels
    reference = _reference(header)
    if not SLOWEST_HZ <= header.rate_hz * reference.frame <= FASTEST_HZ:
        fail(
            header.path,
            f"expected a sampling rate of {SLOWEST_HZ} to {FASTEST_HZ} Hz, got {header.rate_hz * reference.frame:g}. "
            "Correct the header.",
        )
    digital = _read_samples(header)
    notes = _verify_checksums(header, digital)

    kept: list[tuple[_Channel, np.ndarray, float]] = []
    least, most = STEPS_PER_MILLIVOLT
    for channel, samples in zip(channels, digital, strict=True):
        problem = None
        if per_millivolt(channel.units) is None:
            problem = f"its unit {channel.units!r} is not a voltage"
        elif channel.frame != reference.frame:
            problem = (
                f"it is sampled at {header.rate_hz * channel.frame:g} Hz, "
                f"{reference.name} at {header.rate_hz * reference.frame:g} Hz"
            )
        if problem and known_lead(channel.name):
            fail(header.path, f"lead {channel.name}: {problem}. Correct the header, or convert the record first.")
        if problem:
            notes.append(f"Channel {channel.name} left out: {problem}.")
            continue
        digital_per_millivolt = (channel.gain or _DEFAULT_GAIN) * (per_millivolt(channel.units) or math.nan)
        if not least <= abs(digital_per_millivolt) <= most:
            fail(
                header.path,
                f"channel {channel.name} has {digital_per_millivolt:g} digital units per mV; expected {least:g} to "
                f"{most:g}. Correct its gain.",
            )
        if channel.gain is None:
            notes.append(f"Channel {channel.name}: no gain in the header, using WFDB's default of 200 per mV.")
        kept.append((channel, samples, digital_per_millivolt))
    if not kept:
        fail(header.path, f"no channel is a voltage. {' '.join(notes)}")
    if len({len(samples) for _, samples, _ in kept}) > 1:
        fail(header.path, "its signal files differ in length. Write the number of samples into the header.")
    names = numbered([channel.name for channel, _, _ in kept])
    left_out = {channel.name: channel.units for channel in channels if per_millivolt(channel.units) is None}
    refuse_a_lost_ecg(header.path, names, left_out)
    source = str(header.path)[: -len(".hea")]
    millivolts = _millivolts(kept)
    for row, (channel, _, _) in zip(millivolts, kept, strict=True):
        # no frame holds the last samples of a skewed signal, and wfdb gives some of them as numbers
        row[max(0, len(row) - channel.skew * channel.frame) :] = np.nan
    return Record(millivolts, names, header.rate_hz * reference.frame, source, tuple(notes))


def _reference(header: _Header) -> _Channel:
    """The channel whose rate the record has: a lead, else an ECG by its name, else any voltage."""
    leads = [channel for channel in header.channels if known_lead(channel.name)]
    if leads:
        return leads[0]
    voltages = [channel for channel in header.channels if per_millivolt(channel.units) is not None]
    ecg = [channel for channel in voltages if is_ecg(channel.name)] or voltages
    if len({channel.frame for channel in ecg}) > 1:
        said = ", ".join(f"{channel.name} ({header.rate_hz * channel.frame:g} Hz)" for channel in ecg)
        fail(
            header.path, f"its voltages have several rates: {said}. Name the ECG's channels in the header, such as ECG."
        )
    return ecg[0] if ecg else header.channels[0]


def _read_header(path: Path) -> _Header:
    if path.suffix in _SUFFIXES:
        path = path.with_suffix("")
    path = Path(f"{path}.hea")
    try:
        content = read_bytes(path, HEADER_BYTES)
    except OSError as error:
        fail(path, f"cannot be read ({error.strerror}). A WFDB record needs its header next to its samples.", error)
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # if it is not UTF-8, because of a byte such as the µ of µV
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if max(map(len, lines), default=0) > _LINE_CHARACTERS or len(lines) > _MOST_CHANNELS + 1:
        fail(path, f"is not a WFDB header; expected up to {_MOST_CHANNELS} signals of {_LINE_CHARACTERS} characters.")
    match = _RECORD_LINE.fullmatch(lines[0]) if lines else None
    if not match:
        fail(path, f"is not a WFDB header; its first line is {lines[0][:80] if lines else ''!r}.")
    if match["segments"]:
        fail(path, f"has {match['segments']} segments. Read the segments one by one.")
    if len(lines) - 1 != int(match["channels"]) or len(lines) == 1:
        fail(path, f"announces {match['channels']} signals and describes {len(lines) - 1}. Correct the header.")
    if match["rate"] is None:
        fail(path, "gives no sampling rate (WFDB would assume 250 Hz). Write it into the first line.")
    rate_hz = _number(path, "sampling rate", match["rate"])
    if rate_hz <= 0:
        fail(path, f"expected a sampling rate above 0 Hz, got {match['rate']}. Correct the first line.")
    channels = [_channel(path, number, line) for number, line in enumerate(lines[1:])]
    return _Header(path, rate_hz, int(match["samples"] or 0) or None, channels)


def _channel(path: Path, number: int, line: str) -> _Channel:
    match = _SIGNAL_LINE.fullmatch(line)
    if not match:
        fail(path, f"signal line {number + 1} is not WFDB: {line[:120]!r}.")
    file, code, frame, skew, offset, gain, baseline, units, _, zero, _, checksum, _, name = match.groups()
    if code == "0":
        fail(path, "is the layout of a record of several segments, without samples. Read its segments one by one.")
    if code not in _FORMATS:
        fail(path, f"unknown WFDB format {code}; known are {', '.join(_FORMATS)}.")
    if "/" in file or "\\" in file:
        fail(path, f"signal file {file!r} is not next to the header. Name a file in the same folder.")
    return _Channel(
        file=file,
        format=code,
        frame=int(frame or 0) or 1,
        skew=int(skew or 0),
        offset=int(offset or 0),
        gain=_number(path, "gain", gain or "0") or None,
        baseline=int(baseline or zero or 0),
        units=units or "mV",
        checksum=int(checksum) if checksum else None,
        name=(name or "").strip() or f"signal {number}",
    )


def _number(path: Path, what: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        fail(path, f"expected a number as {what}, got {text!r}. Correct the header.")
    return value


def _read_samples(header: _Header) -> list[np.ndarray]:
    """Digital samples, one array per channel."""
    by_name: dict[str, list[_Channel]] = {}
    for channel in header.channels:
        by_name.setdefault(channel.file, []).append(channel)
    files: dict[Path, list[_Channel]] = {}
    for name, channels in by_name.items():
        try:
            path = header.path.with_name(name)
        except ValueError as error:
            fail(header.path, f"signal file {name!r} is not a valid file name. Correct the header.", error)
        _verify_size(header, path, channels)
        files[path] = channels
    if any(channel.format not in _PLAIN_ARRAYS or channel.skew for channel in header.channels):
        return _read_with_wfdb(header)
    digital: dict[int, np.ndarray] = {}
    for path, channels in files.items():
        try:
            content = read_bytes(path)
            samples = np.frombuffer(content, _PLAIN_ARRAYS[channels[0].format], offset=channels[0].offset)
            frames = samples.reshape(-1, sum(channel.frame for channel in channels))
        except OSError as error:
            fail(path, f"cannot be read ({error.strerror}). Restore the file.", error)
        except ValueError as error:  # its size was right a moment ago
            fail(path, f"changes while it is read ({error}). Try again.", error)
        start = 0
        for channel in channels:
            # a column is a view, not a copy
            columns = frames[:, start] if channel.frame == 1 else frames[:, start : start + channel.frame].ravel()
            digital[id(channel)] = columns
            start += channel.frame
    return [digital[id(channel)] for channel in header.channels]


def _verify_size(header: _Header, path: Path, channels: list[_Channel]) -> None:
    """Check a signal file's size against what the header says."""
    try:
        status = path.stat()
    except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
        reason = error.strerror if isinstance(error, OSError) else error
        fail(path, f"cannot be read ({reason}); {header.path.name} names it. Restore the file.", error)
    if not stat.S_ISREG(status.st_mode):
        fail(path, f"is not a regular file; {header.path.name} names it. Restore the file.")
    found = status.st_size
    if len({channel.format for channel in channels}) > 1:
        fail(header.path, f"gives the signals of {path.name} different formats. Correct the header.")
    per_frame = sum(channel.frame for channel in channels)
    size = _FORMATS[channels[0].format][0]
    skew = max(channel.skew for channel in channels)
    if size is None:  # compressed: the decoder counts the samples, but takes memory for as many as are announced
        if header.frames is None:
            fail(header.path, f"gives no number of samples, which {path.name}, a compressed file, needs. Add it.")
        if (header.frames + skew) * per_frame > max(_MOST_COMPRESSED[0], _MOST_COMPRESSED[1] * found):
            fail(
                header.path,
                f"announces {header.frames} samples of {len(channels)} signals, skewed by {skew}; the {found} bytes "
                f"of {path.name} cannot hold them. Fetch both again.",
            )
        return
    if skew * per_frame * size > found:
        fail(header.path, f"skews a signal of {path.name} by {skew} samples, more than it holds. Correct the header.")
    offset = channels[0].offset
    if header.frames is None:
        whole, rest = divmod(found - offset, size * per_frame)
        if whole < 1 or (rest and channels[0].format in _PLAIN_ARRAYS):
            fail(path, f"{found} bytes do not hold whole samples of {len(channels)} signals. Restore the file.")
        return
    expected = offset + math.ceil(round(header.frames * per_frame * size, 3))
    # Packed formats end on a group of samples, and a skewed signal has samples before the first frame.
    slack = math.inf if any(channel.skew for channel in channels) else 0 if size == int(size) else 4
    if not expected <= found <= expected + slack:
        samples = int((found - offset) / (size * per_frame))
        fail(
            path,
            f"expected {expected} bytes for the {header.frames} samples that {header.path.name} announces, "
            f"found {found} ({samples} samples). The file or the header is damaged: fetch both again.",
        )


def _read_with_wfdb(header: _Header) -> list[np.ndarray]:
    import wfdb

    for channel in header.channels:
        if not channel.file.isascii():  # wfdb would drop what is not ASCII, and read another file
            fail(header.path, f"names {channel.file!r}; wfdb reads ASCII names only. Rename the file.")
    try:
        record = wfdb.rdrecord(str(header.path.with_suffix("")), physical=False, smooth_frames=False)
    except Exception as error:  # wfdb does not handle errors of its parser
        fail(header.path, f"wfdb cannot decode it ({type(error).__name__}: {error}).", error)
    return [np.asarray(samples) for samples in record.e_d_signal]


def _verify_checksums(header: _Header, digital: list[np.ndarray]) -> list[str]:
    """Check each signal's 16-bit sum; return a note if the header has only zeros and they do not fit."""
    failed = []
    for channel, samples in zip(header.channels, digital, strict=True):
        found = int(samples.sum(dtype=np.int64)) % 2**16
        if channel.checksum is not None and not channel.skew and channel.checksum % 2**16 != found:
            failed.append(f"{channel.name} in {channel.file} (header {channel.checksum % 2**16}, samples {found})")
    if failed and not any(channel.checksum for channel in header.channels):
        return ["The header's checksums are all zero and do not fit, so they were not verified."]
    if failed:
        fail(header.path, f"checksum of {failed[0]} fails. The file or the header is damaged: fetch both again.")
    return []


def _millivolts(kept: list[tuple[_Channel, np.ndarray, float]]) -> np.ndarray:
    """float32 ``[channels, samples]``, of channels with their digital samples and digital units per millivolt."""
    channels, digital, gains = zip(*kept, strict=True)
    baseline = np.array([channel.baseline for channel in channels], np.float64)[:, None]
    gain = np.array(gains)[:, None]
    codes = [_FORMATS[channel.format][1] for channel in channels]
    invalid: int | np.ndarray | None = codes[0]
    if len(set(codes)) > 1:
        never = np.iinfo(np.int64).min
        invalid = np.array([never if code is None else code for code in codes])[:, None]
    millivolts = np.empty((len(kept), len(digital[0])), np.float32)
    # in blocks, because float64 for a whole day's recording would need four times the size of its file
    step = max(1, _BLOCK // len(kept))
    for start in range(0, millivolts.shape[1], step):
        block = np.stack([samples[start : start + step] for samples in digital])
        scaled = (block - baseline) / gain
        if invalid is not None:
            scaled[block == invalid] = np.nan
        millivolts[:, start : start + step] = scaled
    return millivolts
