"""EDF, EDF+ and BDF, parsed by edfio.

edfio rather than pyedflib: it is typed Python without an extension to build, and reads headers with a µ or a °, which
pyedflib 0.1.42 refuses as "not compliant (Physical Dimension)".
"""

import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ecgzoo.signal.leads import is_ecg, known_lead
from ecgzoo.signal.readers.common import (
    DAMAGED,
    Channel,
    fail,
    finite,
    millivolts_of,
    needs_formats,
    refuse_a_lost_ecg,
    to_record,
    whole_file,
)
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.record import Record
from ecgzoo.signal.units import per_millivolt

if TYPE_CHECKING:
    from edfio import Bdf, BdfSignal, Edf, EdfSignal

    Signal: TypeAlias = BdfSignal | EdfSignal

_SAMPLE_BYTES = {b"0       ": 2, b"\xffBIOSEMI": 3}
_ANNOTATIONS = {b"0       ": b"EDF Annotations", b"\xffBIOSEMI": b"BDF Annotations"}
_ONSET = re.compile(rb"[+-]\d{1,15}(?:\.\d{1,15})?")
_MOST_GAP_S = 0.12  # between data records; less is a clock that was read late


class EdfReader(Reader):
    """EDF, EDF+ and BDF: the voltages at the rate of the ECG leads."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether it begins with an EDF or a BDF header."""
        return head[:8] in _SAMPLE_BYTES and len(head) >= 256 and head[252:256].strip().isdigit()

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """All voltages at the rate of the ECG's channels: those named like a lead, or "ECG…", "EKG…", else all.

        Args:
            path: the file.
            leads: names of these channels, or of the ECG's only, in order; where those have several rates, of the one
                rate that has so many.
            units: of channels that have none.
            rate_hz: None; the file says it.

        Raises:
            SignalError: whatever cannot be read; a recording with gaps; ECG channels of several rates.
        """
        if rate_hz is not None:
            fail(path, "the file itself says the rate; leave rate_hz out")
        content = whole_file(path)
        notes = _check_size(path, content)
        recording = _parse(path, content)
        voltages: list[tuple[Signal, float]] = []  # and their unit in millivolts
        left_out: dict[str, str] = {}
        for signal in recording.signals:
            name, unit = _name(signal), _text(signal.physical_dimension)
            if not unit and units is None and is_ecg(_name(signal)):
                fail(path, f"channel {name} has no unit. Say which: units='uV'")
            if per_millivolt(unit) is not None or (not unit and units is not None):
                voltages.append((signal, millivolts_of(path, unit or units or "", f"channel {name}")))
            elif known_lead(name):
                fail(path, f"lead {name} is in {unit!r}; expected a voltage: nV, uV, mV or V.")
            else:
                left_out[name] = unit
                notes.append(f"Channel {name} left out: its unit {unit!r} is not a voltage.")
        if units is not None and all(_text(signal.physical_dimension) for signal in recording.signals):
            fail(path, "the file itself says what units would; leave it out")
        refuse_a_lost_ecg(path, [_name(signal) for signal, _ in voltages], left_out)
        chosen = _choose(path, [signal for signal, _ in voltages], leads)
        for signal, _ in voltages:
            if signal not in chosen:
                notes.append(f"Channel {_name(signal)} left out: {signal.sampling_frequency:g} Hz, or no lead.")
        channels = [
            _channel(path, signal, _digital(content, recording, signal), unit_mv)
            for signal, unit_mv in voltages
            if signal in chosen
        ]
        return to_record(path, channels, chosen[0].sampling_frequency if chosen else 0, leads, notes)


def _check_size(path: Path, content: bytes) -> list[str]:
    """Check that the file is as long as its header says, before edfio takes the header's word for it."""
    try:
        sample_bytes = _SAMPLE_BYTES[content[:8]]
        header_bytes, records, signals = (
            int(content[place]) for place in (slice(184, 192), slice(236, 244), slice(252, 256))
        )
        in_record = _in_record(content, signals)
    except (KeyError, ValueError) as error:
        fail(path, f"is no whole EDF or BDF header. {DAMAGED}", error)
    if header_bytes != 256 * (signals + 1) or min(in_record, default=0) < 1:
        fail(path, f"its header contradicts itself ({signals} signals, {header_bytes} bytes). {DAMAGED}")
    duration = finite(path, "duration of a data record", content[244:252].decode("latin-1"))
    if duration <= 0:
        fail(path, f"its data records last {duration:g} s; it holds annotations only, or is damaged.")
    found, record_bytes = len(content) - header_bytes, sum(in_record) * sample_bytes
    if records == -1 and found and found % record_bytes == 0:
        return ["The header does not say how long the recording is: it was not closed."]
    if records < 1 or found != records * record_bytes:
        fail(
            path,
            f"its header announces {records} data records of {record_bytes} bytes, {found} bytes are there. {DAMAGED}",
        )
    return []


def _in_record(content: bytes, signals: int) -> list[int]:
    """How many samples of each signal are in a data record."""
    start = 256 + 216 * signals
    return [int(content[start + 8 * k : start + 8 * k + 8]) for k in range(signals)]


def _decoded_here(content: bytes) -> bool:
    """Whether it is BDF, for which edfio takes seven times the file's memory, and its records follow one another."""
    return content[:1] == b"\xff" and content[195:197] != b"+D"


def _parse(path: Path, content: bytes) -> "Edf | Bdf":
    try:
        from edfio import read_bdf, read_edf
    except ImportError as error:
        needs_formats(path, "edfio", error)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on the number of data records, which `_check_size` compared
            read = read_edf if content[:1] == b"0" else read_bdf
            onsets = _onsets(content)
            if _decoded_here(content):  # all but the samples is in the header and the first data record
                content = content[: int(content[184:192]) + 3 * sum(_in_record(content, int(content[252:256])))]
            recording = read(content, header_encoding="latin-1")
            interrupted = recording.reserved[3:5] == "+D"
            gaps = interrupted and not recording.is_continuous
            for signal in recording.signals:  # parsed when asked for
                _ = signal.label, signal.physical_dimension, signal.physical_range, signal.digital_range
    except Exception as error:  # edfio lets whatever its parsing stumbles over pass through
        fail(path, f"edfio cannot read it ({type(error).__name__}: {error}). {DAMAGED}", error)
    if gaps or (interrupted and not len(onsets)):
        fail(path, "has gaps (EDF+D), and a record has none. Split it into its stretches first.")
    expected = onsets[:-1] + recording.data_record_duration
    gap = np.flatnonzero(np.abs(onsets[1:] - expected) > _MOST_GAP_S)
    if len(gap):
        fail(
            path,
            f"has a gap that its header denies: data record {gap[0] + 2} begins at {onsets[gap[0] + 1]:.10g} s, "
            f"expected {expected[gap[0]]:.10g} s. Split it there.",
        )
    return recording


def _onsets(content: bytes) -> np.ndarray:
    """Seconds at which each data record begins, by the annotation that says so, or NaN; empty without annotations."""
    labels, kind = _labels(content), content[:8]
    if _ANNOTATIONS[kind] not in labels:
        return np.zeros(0)
    own = labels.index(_ANNOTATIONS[kind])
    in_record = [_SAMPLE_BYTES[kind] * samples for samples in _in_record(content, len(labels))]
    first = int(content[184:192]) + sum(in_record[:own])
    said = (_ONSET.match(content, at, at + in_record[own]) for at in range(first, len(content), sum(in_record)))
    return np.array([float(onset[0]) if onset else np.nan for onset in said])


def _labels(content: bytes) -> list[bytes]:
    return [content[256 + 16 * k : 272 + 16 * k].strip() for k in range(int(content[252:256]))]


def _name(signal: "Signal") -> str:
    return _text(signal.label) or "unnamed"


def _text(field: str) -> str:
    """A field of the header; some recorders end it with zeros instead of blanks."""
    return field.split("\0")[0].strip()


def _choose(path: Path, voltages: Sequence["Signal"], leads: tuple[str, ...] | None) -> list["Signal"]:
    """The channels of one rate that make the record."""
    ecg = [signal for signal in voltages if is_ecg(_name(signal))] or list(voltages)
    rates = sorted({signal.sampling_frequency for signal in ecg})
    of_rate = [[signal for signal in voltages if signal.sampling_frequency == rate] for rate in rates]
    if leads is not None:
        of_rate += [[signal for signal in group if signal in ecg] for group in of_rate if not set(group) <= set(ecg)]
        of_rate = [group for group in of_rate if len(group) == len(leads)]
    if len(of_rate) == 1:
        return of_rate[0]
    if not voltages:
        return []
    said = ", ".join(f"{_name(signal)} ({signal.sampling_frequency:g} Hz)" for signal in voltages)
    problem = "its ECG has several rates" if leads is None else f"leads= names {len(leads)}, which fits no one rate"
    fail(path, f"{problem}: {said}. Name the channels of one rate: leads=('I', 'II')")


def _digital(content: bytes, recording: "Edf | Bdf", signal: "Signal") -> np.ndarray:
    """Stored samples ``[n]`` of one of the signals of a recording."""
    if not _decoded_here(content):
        return signal.digital
    labels = _labels(content)
    in_record = _in_record(content, len(labels))
    own = [k for k, label in enumerate(labels) if label != _ANNOTATIONS[content[:8]]][recording.signals.index(signal)]
    records = np.frombuffer(content, np.uint8, offset=int(content[184:192])).reshape(-1, 3 * sum(in_record))
    first = 3 * sum(in_record[:own])
    wide = np.zeros((len(records), in_record[own], 4), np.uint8)  # 24 bits become the upper ones of 32
    wide[..., 1:] = records[:, first : first + 3 * in_record[own]].reshape(len(records), -1, 3)
    samples: np.ndarray = wide.view("<i4").ravel()
    samples >>= 8
    return samples


def _channel(path: Path, signal: "Signal", digital: np.ndarray, unit_mv: float) -> Channel:
    (low, high), (digital_low, digital_high) = signal.physical_range, signal.digital_range
    if digital_high <= digital_low or low == high or not abs(high - low) < 1e30:
        fail(path, f"channel {_name(signal)} maps {digital_low}…{digital_high} to {low:g}…{high:g}. {DAMAGED}")
    step = (high - low) / (digital_high - digital_low)
    return Channel(_name(signal), digital, step * unit_mv, (low - step * digital_low) * unit_mv)
