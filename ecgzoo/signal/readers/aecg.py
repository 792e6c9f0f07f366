"""HL7 aECG (AnnotatedECG, urn:hl7-org:v3): the rhythm series, by the implementation guide of 2005."""

import warnings
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np

from ecgzoo.signal.leads import known_lead
from ecgzoo.signal.readers.common import DAMAGED, Channel, fail, finite, millivolts_of, refuse_stated, to_record
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.readers.xml_tree import read_tree, root_is
from ecgzoo.signal.record import Record

_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}


class AecgReader(Reader):
    """HL7 aECG: the rhythm, not the representative beats derived from it."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether it is XML with an AnnotatedECG."""
        return root_is(head, "AnnotatedECG")

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """All leads of the one set of simultaneous sequences in the rhythm series.

        Args:
            path: the file.
            leads: names of its channels, in order.
            units: of scales that have none.
            rate_hz: where it has no increment of time.

        Raises:
            SignalError: no rhythm, or several; a sequence that is damaged, or not evenly sampled.
        """
        root = read_tree(path)
        rhythms = [series for series in root.findall("component/series") if _code(series) == "RHYTHM"]
        found = [group for series in rhythms for group in series.findall("component/sequenceSet")]
        if len(found) != 1:
            fail(path, f"has {len(found)} recordings (sequence sets of rhythm); expected one. Export one a file.")
        sequences = found[0].findall("component/sequence")
        times = [sequence for sequence in sequences if (_code(sequence) or "").startswith("TIME")]
        rate = _rate(path, times, rate_hz)
        stored = [sequence for sequence in sequences if sequence not in times]
        notes, channels, unit_needed = [], [], False
        for sequence in stored:
            code = _code(sequence) or "unnamed"
            name = known_lead(code) or code.removeprefix("MDC_ECG_LEAD_")
            scale, origin, digits = (sequence.find(f"value/{part}") for part in ("scale", "origin", "digits"))
            if scale is None or digits is None:
                notes.append(f"Sequence {name} left out: it has no samples with a scale.")
                continue
            unit = scale.get("unit") or units
            if unit is None:
                fail(path, f"the scale of {name} has no unit. Say which: units='uV'")
            unit_needed |= not scale.get("unit")
            unit_mv = millivolts_of(path, unit, f"the scale of {name}")
            step = finite(path, f"scale of {name}", scale.get("value")) * unit_mv
            offset = 0.0
            if origin is not None:
                offset = finite(path, f"origin of {name}", origin.get("value"))
                offset *= millivolts_of(path, origin.get("unit") or unit, f"the origin of {name}")
            channels.append(Channel(name, _digits(path, name, digits.text or ""), step, offset))
        if not unit_needed:
            refuse_stated(path, units, None)
        if len(root.findall("component/series")) > len(rhythms) or root.find(".//derivedSeries") is not None:
            notes.append("Representative beats and other derived series left out.")
        return to_record(path, channels, rate, leads, notes)


def _code(element: Element) -> str | None:
    code = element.find("code")
    return None if code is None else code.get("code")


def _rate(path: Path, times: list[Element], rate_hz: float | None) -> float:
    increments = [increment for time in times if (increment := time.find("value/increment")) is not None]
    if not increments:
        if rate_hz is None:
            fail(path, "does not say how often it was sampled. Say it: rate_hz=500")
        return rate_hz
    refuse_stated(path, None, rate_hz)
    unit = increments[0].get("unit") or ""
    seconds = finite(path, "increment of time", increments[0].get("value")) * _SECONDS.get(unit, 0)
    if seconds <= 0:
        fail(path, f"expected an increment of time in s, ms or us, got {increments[0].get('value')} {unit!r}.")
    return 1 / seconds


def _digits(path: Path, name: str, text: str) -> np.ndarray:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # of NumPy, where something is no number
            values = np.fromstring(text, np.float64, sep=" ")
    except (DeprecationWarning, ValueError) as error:
        fail(path, f"the samples of {name} are no numbers ({error}). {DAMAGED}", error)
    if not np.isfinite(values).all():
        fail(path, f"the samples of {name} are not all finite. {DAMAGED}")
    return values
