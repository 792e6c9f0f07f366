"""Reading the ECGs of an Apple Health export: ``apple_health_export/electrocardiograms/ecg_*.csv``.

A header of ``key,value`` lines in the phone's language, then a number a line, with its region's decimal sign::

    Name,...                                  Name
    Recorded Date,2026-05-30 16:32:18 -0700   Aufzeichnungsdatum,2020-07-31 22:48:19 +0200
    Device,"Watch7,12"                        Gerät,"Watch4,2"
    Sample Rate,512 hertz                     Messrate,511,562 Hertz

    Lead,Lead I                               Ableitung,Ableitung I
    Unit,µV                                   Einheit,µV

    150.141                                   -180,596

The layout is that of English and German exports, as several public readers of them describe it and test on it (key for
key in HealthLog's tests of its importer); other languages are read by the same structure, not by their words: the unit
is the value that is a voltage, the lead stands in the line above it and repeats its key, the rate ends with "hertz" in
one of the scripts below. What cannot be recognised is asked for. No export of a real watch was at hand.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from ecgzoo.signal.leads import known_lead
from ecgzoo.signal.readers.common import fail, whole_file
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.readers.given import names_of, rate_of, scale_of, to_millivolts
from ecgzoo.signal.readers.text import NUMBER, as_utf8, body, head_lines, table, with_points
from ecgzoo.signal.record import Record
from ecgzoo.signal.units import per_millivolt

_RATE = re.compile(
    r"(?P<number>\d{1,6}(?:[.,]\d{1,6})?)\s*(?:hz|hertz|hertzios|hercios|герц|赫兹|赫茲|ヘルツ|헤르츠)", re.IGNORECASE
)
_DEVICE = re.compile(r"Watch\d{1,3},\d{1,3}")
_MOST_LINES = 60  # of a header


@dataclass(frozen=True)
class _Header:
    """What a header says, each None where it cannot be recognised; `lines` of them are above the numbers."""

    lines: int
    units: str
    rate_hz: float | None
    lead: str | None


class AppleReader(Reader):
    """Apple Health's export of an ECG: one lead, which the file names, about 512 Hz, microvolts."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """By a header with a unit of voltage, and a rate in hertz or the name of a watch."""
        text = as_utf8(head)
        return text is not None and _header(head_lines(text)) is not None

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """The lead in millivolts.

        Raises:
            SignalError: the header is none, or a line below it no number; rate or lead cannot be recognised and are not
                given; unit or rate are given otherwise than the file says them.
        """
        content = as_utf8(whole_file(path))
        header = None if content is None else _header(head_lines(content))
        if content is None or header is None:
            fail(path, "is no ECG of an Apple Health export; expected a header with unit and rate above the numbers")
        data = with_points(path, body(content, header.lines))
        numbers = table(path, data, header.lines + 1, None, (0,))
        if not len(numbers):
            fail(path, "has a header and no samples; export it again")
        millivolts = to_millivolts([numbers[:, 0]], [scale_of(path, header.units, units)])
        names = names_of(path, header.lead and [header.lead], leads, 1)
        return Record(millivolts, names, rate_of(path, header.rate_hz, rate_hz), str(path))


def _header(lines: list[str]) -> _Header | None:
    above = next((n for n, line in enumerate(lines[:_MOST_LINES]) if NUMBER.fullmatch(line.strip())), len(lines))
    pairs = [tuple(part.strip().strip('"') for part in line.partition(",")[::2]) for line in lines[:above]]
    pairs = [(key, value) for key, value in pairs if value]
    unit = next((number for number, (_, value) in enumerate(pairs) if per_millivolt(value)), None)
    rates = [match for _, value in pairs if (match := _RATE.fullmatch(value))]
    if not unit or above > _MOST_LINES or not (rates or any(_DEVICE.fullmatch(value) for _, value in pairs)):
        return None
    # names of two columns below: 12,5 may be two numbers
    if "," in "".join(lines[above : above + 1]) and unit < len(pairs) - 1:
        return None
    key, lead = pairs[unit - 1]
    return _Header(
        lines=above,
        units=pairs[unit][1],
        rate_hz=float(rates[0]["number"].replace(",", ".")) if rates else None,
        lead=known_lead(lead.removeprefix(key)) or known_lead(lead),
    )
