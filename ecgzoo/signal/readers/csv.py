"""Reading text: CSV, TSV, columns between blanks; the numbers of a spreadsheet, a logger or `Record.to_frame`.

A line is a sample, a column a lead. What stands above the numbers may name the columns (``II (mV)``, ``II [uV]``), with
the units in a line of their own as in the exports of PhysioNet's rdsamp. Lines such as ``Sampling rate: 500 Hz`` and
``Unit: uV`` say it for all columns. Columns are between tabs, semicolons, bars, commas or blanks; the decimal sign is a
point, or a comma where columns are not between commas.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ecgzoo.signal.leads import known_lead
from ecgzoo.signal.readers.common import fail, refuse_a_lost_ecg, whole_file
from ecgzoo.signal.readers.contract import Reader
from ecgzoo.signal.readers.given import all_of, given_rate, is_another_rate, names_of, rate_of, scale_of, to_millivolts
from ecgzoo.signal.readers.text import NUMBER, as_utf8, body, check_commas, head_lines, table, with_points
from ecgzoo.signal.readers.times import (
    SECONDS,
    holds_times,
    mostly_rises,
    rate_of_column,
    seconds_in,
    time_and_unit,
)
from ecgzoo.signal.record import FASTEST_HZ, SLOWEST_HZ, Record
from ecgzoo.signal.units import per_millivolt

_SUFFIXES = (".csv", ".tsv", ".txt", ".tab")
_MOST_COLUMNS = 1000
_LONGEST_NAME = 200
_CHEST_LEADS = 6
_NO_HEART = 100  # samples in a row that do not all rise in any lead
_LOOKED_AT = 50  # rows that the layout is read off
_COMMAS = "is the decimal sign a comma between commas? Put semicolons between the columns, or write decimal points"

_NAME_AND_UNIT = re.compile(r"(?P<name>.*?)\s*(?:[(\[](?P<unit>[^()\[\]]*)[)\]])?")
_OTHER_UNITS = {"", "-", "%", "a.u.", "au", "bpm", "g", "mg", "mmhg", "nu", "ohm", "pm"}  # in a line of units
_UNIT_BEHIND = re.compile(r"(?P<name>.*[^\s_/])(?:_|\s*/\s*|\s(?![vV]$))(?P<unit>[^\s_/]+)")  # "Lead V" has none
_UNIT_ALONE = re.compile(r"[(\[][^()\[\]]*[)\]]")
_COUNTS = {"", "unnamed: 0", "#", "n", "index", "row", "sample", "samples"}
_COUNTS |= {f"sample {word}" for word in ("#", "no", "no.", "number", "index")}
_RATE_ABOVE = re.compile(
    r"(?:sampl\w*[ _-]?(?:rate|freq\w*)|\bfs\b)[^\d\n]{0,20}(?<![a-z\d])(\d{1,9}(?:\.\d{1,9})?)(?![.,]?\d)\s*(k?)", re.I
)
_UNIT_ABOVE = re.compile(r"\bunits?\b\W{1,5}([^\s,;\"'\])]{1,20})", re.I)
_NO_VALUE = re.compile("null|none|na|#?n/a", re.IGNORECASE)  # what some programs write where a sample is missing
_DATE_AND_NUMBER = re.compile(
    r"(?:\d{4}-\d\d-\d\d|\d{1,2}([./])\d{1,2}\1\d{4}|\d{1,2}:\d\d[:.]\d\d)[^,;\t|]*(?=[,;\t|]\s*[-+.]?\d)"
)


@dataclass(frozen=True)
class _Layout:
    """How a text is laid out.

    Attributes:
        above: lines above the numbers.
        delimiter: between columns; None for blanks.
        columns: how many there are.
        header: a text for each column; None where nothing names them.
        skipped: lines above that say nothing to this reader.
    """

    above: int
    delimiter: str | None
    columns: int
    header: list[str] | None
    skipped: int


class CsvReader(Reader):
    """Text: rows of numbers, with or without a header."""

    def sniff(self, head: bytes, path: Path) -> bool:
        """Whether it is text that has a row of numbers, or may have one by its name."""
        text = as_utf8(head)
        if not text or text.lstrip()[:1] in (b"<", b"{"):
            return False
        return path.suffix.lower() in _SUFFIXES or any(_fields(line) for line in head_lines(text)[:-1])

    def read(self, path: Path, leads: tuple[str, ...] | None, units: str | None, rate_hz: float | None) -> Record:
        """Columns of leads, in millivolts.

        A column of times gives the rate if its header says its unit (``time (s)``, ``time_ms``); else it must fit the
        given rate. A column that counts the samples is left out. One that is no voltage is left out with a note. Empty
        fields and ``nan`` are invalid samples.

        Raises:
            SignalError: rate, units or leads are said by neither the file nor the caller, or by both otherwise; the
                rows are not all numbers, not evenly spaced in time, or not counted by one.
        """
        rate_hz = given_rate(path, rate_hz)
        content = as_utf8(whole_file(path))
        if content is None:
            fail(path, "is not text; pass a file that is")
        lines = head_lines(content)
        layout = _layout(path, lines, None if leads is None else len(leads))
        data = _cleaned(path, body(content, layout.above), layout.delimiter)
        rate_above, unit_above = _rate_and_unit(lines[: layout.above])
        del content
        if empty := re.search(rb"\n[ \t]*(?=\n)", data.rstrip()):
            line = layout.above + 1 + data.count(b"\n", 0, empty.start() + 1)
            fail(path, f"line {line} is empty; write nan where a sample is missing, or remove the line")
        numbers = table(path, data, layout.above + 1, layout.delimiter, tuple(range(layout.columns)))
        del data
        notes = [f"{layout.skipped} line(s) above the numbers were not read."] if layout.skipped else []
        if layout.header == [""]:
            notes = ["Line 1, '0', was taken for a column's number, as pandas writes it, and not for a sample."]
        if layout.header is None:
            names, scale, rate = all_of(
                path,
                lambda: names_of(path, None, leads, layout.columns),
                lambda: scale_of(path, unit_above, units),
                lambda: rate_of(path, rate_above, rate_hz),
            )
            _refuse_counts(path, names, list(numbers.T))
            millivolts = to_millivolts(list(numbers.T), [scale] * layout.columns)
            return Record(millivolts, names, rate, str(path), tuple(notes))

        counted = False
        times: list[tuple[int, str, str | None]] = []
        kept: list[tuple[int, str, str | None]] = []
        left_out: dict[str, str] = {}
        for number, text in enumerate(layout.header):
            name, unit = _name_and_unit(text)
            column = numbers[:, number]
            if _is_count(path, name, unit, column):
                counted = True
                continue
            if holds_times(name, unit, column):
                times.append((number, name, unit))
            elif unit is not None and per_millivolt(unit) is None:
                if known_lead(name):
                    fail(path, f"lead {name}: its unit {unit!r} is not a voltage; correct the header")
                left_out[name] = unit
                notes.append(f"Column {name} left out: its unit {unit!r} is not a voltage.")
            else:
                kept.append((number, name, unit))
        said_rate = rate_above
        if times:
            times.sort(key=lambda column: seconds_in(*column[1:]) is None)  # those that say their unit first
            number, title, unit = times[0]
            said_rate = rate_of_column(path, title, numbers[:, number], unit, rate_hz or rate_above)
            if rate_above is not None and is_another_rate(said_rate, rate_above):
                fail(
                    path,
                    f"a line above the numbers says {rate_above:g} Hz, and column {title} tells {said_rate:g} Hz; "
                    "correct one of them, or remove the line",
                )
            notes += [f"Column {name} left out: the times are those of column {title}." for _, name, _ in times[1:]]
        if not kept:
            fail(path, "no column is a lead; name one in the header, such as 'II (mV)'")
        said = [name for _, name, _ in kept]
        refuse_a_lost_ecg(path, said, left_out)
        if leads is None and len(said) > _CHEST_LEADS and said == [f"V{k}" for k in range(1, len(said) + 1)]:
            fail(path, f"columns V1 to {said[-1]} have the names that R gives to columns without one; pass leads=")
        names, scales, rate = all_of(
            path,
            lambda: names_of(path, None if "" in said else said, leads, len(kept)),
            lambda: [
                scale_of(
                    path,
                    _unit_of(path, name, unit, unit_above, units),
                    units,
                    f"column {name}" if name else "the samples",
                )
                for _, name, unit in kept
            ],
            lambda: rate_of(path, said_rate, rate_hz),
        )
        if not times and not counted:
            _refuse_counts(path, names, [numbers[:, number] for number, *_ in kept])
        millivolts = to_millivolts([numbers[:, number] for number, *_ in kept], scales)
        return Record(millivolts, names, rate, str(path), tuple(notes))


def _delimiter(line: str) -> str | None:
    """What stands between the columns of a row of numbers."""
    line = re.sub('"[^"]*"', "0", line).strip()
    for delimiter in "\t;|":
        if delimiter in line:
            return delimiter
    return "," if "," in line and all(not field.split()[1:] for field in line.split(",")) else None


def _split(line: str, delimiter: str | None) -> list[str]:
    if '"' in line and delimiter:
        quoted = re.findall(
            rf'\s*"([^"]*)"\s*(?:{re.escape(delimiter)}|$)|([^{re.escape(delimiter)}]*)(?:{re.escape(delimiter)}|$)',
            line,
        )
        fields = [one or other for one, other in quoted[:-1]]
    else:
        fields = line.split(delimiter) if delimiter else re.findall(r'"[^"]*"|[^\s"]+', line)
    return [field.strip().strip("\"'").strip() for field in fields]


def _fields(line: str) -> list[str]:
    """The fields of a line that is a row of numbers, some of which may be empty; none of any other line."""
    fields = _split(line, _delimiter(line))
    full = [field for field in fields if field]
    return fields if full and all(NUMBER.fullmatch(field) for field in full) else []


def _layout(path: Path, lines: list[str], given: int | None) -> _Layout:
    above = next((number for number, line in enumerate(lines) if _fields(line)), None)
    if above is None:
        dated = next((found[0] for line in lines if (found := _DATE_AND_NUMBER.search(line))), None)
        if dated:
            fail(
                path,
                f"its rows hold dates or times of day ({dated!r}), which are no numbers; write seconds from the start "
                "as 'time (s)', or remove their column and pass rate_hz= (on the command line --rate)",
            )
        fail(
            path,
            "has no line of numbers in its first 64 KiB; expected a line a sample, with columns between tabs, "
            "semicolons, commas or blanks, and no thousands separators",
        )
    if _number_columns([line for line in lines[above : above + _LOOKED_AT] if line.strip()]) and not any(
        line.strip() for line in lines[:above]
    ):
        unnamed = [""] * len(_fields(lines[above]))
        return _Layout(above + 1, _delimiter(lines[above]), len(unnamed), unnamed, 1)
    while above and _is_row_of_empty_fields(lines[above - 1], lines[above]):
        above -= 1  # samples that are missing, as the first ones often are
    rows = [line for line in lines[above : above + _LOOKED_AT] if line.strip()]
    delimiter = next((found for found in map(_delimiter, rows) if found), None)
    counts = [len(_split(row, delimiter)) for row in rows]
    columns = counts[0]
    over = [(number, line) for number, line in enumerate(lines[:above]) if line.strip(" \t#%;,")]
    over = [(number, line) for number, line in over if _rate_and_unit([line]) == (None, None)]
    words = [field for field in _split(over[-1][1], delimiter) if not NUMBER.fullmatch(field)] if over else []
    if words and all(map(_NO_VALUE.fullmatch, words)):
        fail(path, f"line {over[-1][0] + 1} is {over[-1][1].strip()!r}; write nan where a sample is missing")
    header, used = _header(over, delimiter, columns)
    named = len(_split(over[-1][1], ",")) if over else given
    first = [_split(row, ",")[0].replace(",", ".") or "nan" for row in rows]
    if delimiter == "," and max(counts) == 2 and named == 1 and all(map(NUMBER.fullmatch, first)):
        # one column with decimal commas, or two of which one has no name, such as the numbers of the rows
        whole = np.array(first, np.float64)
        if not over or '"' in rows[0] or (len(rows) > 1 and _counts(whole)):
            fail(
                path,
                "its lines hold two numbers with a comma between them, or one with a decimal comma; write a name for "
                "each column above, such as 'I (mV)', or decimal points",
            )
        return _Layout(above, None, 1, [over[-1][1].strip(" #%\"'")], len(over) - 1)
    if any(count != columns for count in counts):
        at = next(number for number, count in enumerate(counts) if count != columns)
        fail(
            path,
            f"line {above + 1} has {columns} numbers and line {above + 1 + at} has {counts[at]}; "
            + (_COMMAS if delimiter == "," and at < len(rows) - 1 else "is the file cut off? Export it again"),
        )
    if over and not header and delimiter:
        named = len(_split(over[-1][1], delimiter))
        if named > 1:
            fail(
                path,
                f"line {over[-1][0] + 1} names {named} columns, and the rows have {columns}; {_COMMAS}, or correct the "
                "header",
            )
    if columns > _MOST_COLUMNS:
        fail(path, f"has {columns} columns; expected a line a sample and a column a lead: transpose it")
    if header and len(header) == columns and not header[-1] and not any(_split(row, delimiter)[-1] for row in rows):
        header, columns = header[:-1], columns - 1  # every line ends with a delimiter
    return _Layout(above, delimiter, columns, header, len(over) - used)


def _rate_and_unit(lines: list[str]) -> tuple[float | None, str | None]:
    """The sampling rate in Hz and the unit that lines above the numbers say; None where they say none or several."""
    said = [found for line in lines for found in _RATE_ABOVE.findall(line)]
    rates = {float(number) * (1000 if kilo else 1) for number, kilo in said}
    units = {unit for line in lines for unit in _UNIT_ABOVE.findall(line) if per_millivolt(unit)}
    rate = rates.pop() if len(rates) == 1 else math.nan
    return rate if SLOWEST_HZ <= rate <= FASTEST_HZ else None, units.pop() if len(units) == 1 else None


def _number_columns(lines: list[str]) -> bool:
    """Whether the first row says 0, 1, 2 … or 1, 2, 3 …, as pandas does, maybe after an empty field.

    A row such as 0,1 may be a number with a decimal comma, unless the next row has decimal points. A lone 0 may be a
    sample, unless all rows that are looked at have decimals, as pandas writes 0.0, or are numbered themselves.
    """
    fields, rows = _fields(lines[0]), lines[1:]
    numbered = not fields[0]
    numbers = fields[1:] if numbered else fields
    if numbers not in ([str(n + first) for n in range(len(numbers))] for first in (0, 1)):
        return False
    if numbers == ["0"] and numbered:
        return bool(rows) and all(_split(row, _delimiter(lines[0]))[0] == str(n) for n, row in enumerate(rows))
    if numbers == ["0"]:
        rows = [row for row in rows if re.search(r"\d", row)]  # not those that say nan, or nothing
        return bool(rows) and all("." in row and len(_fields(row)) == 1 for row in rows)
    signs = "." if _delimiter(lines[0]) == "," else ".,"
    decimals = any(sign in row for row in rows[:1] for sign in signs)
    return len(numbers) > (1 if numbered or decimals else 2)


def _is_row_of_empty_fields(line: str, row: str) -> bool:
    """Whether a line has as many fields as a row of numbers, all empty."""
    fields = _split(line, _delimiter(line))
    return bool(line.strip()) and not any(fields) and len(fields) == len(_split(row, _delimiter(row)))


def _header(over: list[tuple[int, str]], delimiter: str | None, columns: int) -> tuple[list[str] | None, int]:
    """The texts that name the columns, and how many lines they take."""
    if not over:
        return None, 0
    units = _units(over[-1][1], delimiter, columns)
    above = _names(over[-2][1], delimiter, columns) if units and len(over) > 1 else None
    if units and above:
        return [f"{name} ({unit})" if unit else name for name, unit in zip(above, units, strict=True)], 2
    names = _names(over[-1][1], delimiter, columns)
    return names, 1 if names else 0


def _units(line: str, delimiter: str | None, columns: int) -> list[str] | None:
    """The units of a line that has one for each column, such as ``s,mV,mmHg`` or ``(s) (mV) (mV)``."""
    units = [field.strip("()[] ") for field in _split(line.strip(" ").lstrip("#% "), delimiter)]
    fit = all(per_millivolt(unit) or unit.casefold() in {*SECONDS, *_OTHER_UNITS} for unit in units)
    return units if fit and any(map(per_millivolt, units)) and len(units) == columns else None


def _names(line: str, delimiter: str | None, columns: int) -> list[str] | None:
    whole, line = line.strip(" ").lstrip("#%"), line.strip().lstrip("#%").strip()
    ways = [_split(whole, delimiter), _split(line, delimiter)]  # a tab at an end may be between columns
    if delimiter is None:
        word = r"[^\s(\[]+(?:\s*[(\[][^)\]]*[)\]])?"
        ways += [[line]] if columns == 1 else [re.split(r"\s{2,}", line), re.findall(word, line)]
        ways += [_split(line, other) for other in ",;\t"]
    # a unit alone is no name: I (mV) names one column
    fit = (way for way in ways if len(way) == columns and not any(_UNIT_ALONE.fullmatch(name) for name in way))
    return next((way for way in fit if any(way)), None)


def _name_and_unit(text: str) -> tuple[str, str | None]:
    text = " ".join(text.split())[:_LONGEST_NAME]
    match = _NAME_AND_UNIT.fullmatch(text)
    name, unit = (match["name"], match["unit"]) if match else (text, None)
    said = None if unit else _UNIT_BEHIND.fullmatch(name)
    if said and per_millivolt(said["unit"]) and not NUMBER.fullmatch(said["name"]):  # "10.0 mV" is a range
        return said["name"], said["unit"]
    if unit is None and (time := time_and_unit(name)):
        return time
    return name, (unit or "").strip() or None


def _unit_of(path: Path, name: str, unit: str | None, above: str | None, given: str | None) -> str | None:
    """The unit that a column's header or a line above says; None where they differ, and the caller gives one.

    Raises:
        SignalError: they differ, and the caller gives none.
    """
    if unit is None or above is None or per_millivolt(unit) == per_millivolt(above):
        return unit or above
    if given is None:
        fail(
            path,
            f"a line above the numbers says {above}, and column {name} says {unit}; pass the right one as units= (on "
            "the command line --units), or correct the file",
        )
    return None


def _is_count(path: Path, name: str, unit: str | None, column: np.ndarray) -> bool:
    """Whether a column numbers the samples, by its name and its numbers.

    Raises:
        SignalError: it does by its name, and its numbers skip or repeat some.
    """
    name = name.replace("_", " ")
    if name.casefold() not in _COUNTS or known_lead(name) or (unit is not None and per_millivolt(unit)):
        return False
    if _counts(column):
        return True
    numbers = column[np.isfinite(column)]
    # what a recorder calls "samples" may be the ECG, which is not whole or rises and falls through the same values
    may_count = (numbers == np.round(numbers)).all() and (mostly_rises(column) or len({*numbers}) == len(column))
    if not name or not may_count:
        return False
    at = int(np.flatnonzero(np.diff(column) != 1)[0])
    last, following = column[at : at + 2]
    gap = f"samples {last + 1:.0f} to {following - 1:.0f} are missing" if following > last else "expected one more"
    fail(
        path,
        f"column {name!r} goes from {last:.0f} to {following:.0f} after sample {at + 1}: {gap}; cut the file "
        "there and read the parts, or remove the column if it does not count the samples",
    )


def _counts(column: np.ndarray) -> bool:
    """Whether a column numbers the samples."""
    return bool((np.diff(column) == 1).all())


def _refuse_counts(path: Path, names: Sequence[str], columns: Sequence[np.ndarray]) -> None:
    """Refuse leads that are counts or times: their names are those of the columns beside them."""
    for name, column in zip(names, columns, strict=True):
        if known_lead(name) and len(column) >= _NO_HEART and (np.diff(column) > 0).all():
            fail(
                path,
                f"what is named lead {name} rises with every sample, as counts and times do and no lead does; write a "
                "line above the numbers that names each column, such as 'time (s),I (mV)'",
            )


def _cleaned(path: Path, data: bytes, delimiter: str | None) -> bytes:
    """Rows that `table` reads: decimal points, no quotes, ``nan`` in empty fields."""
    if not delimiter:
        data = re.sub(rb'(?m)^[ \t]*""[ \t]*$', b"nan", data)  # as pandas writes an empty field of one column
    if b'"' in data:
        data = re.sub(rb'"([^"\r\n]*)"', lambda field: field[1].replace(b",", b"\0"), data)
        if delimiter == "," and b"\0" in data:
            check_commas(path, data.replace(b",", b";").replace(b"\0", b","))
        data = data.replace(b"\0", b"." if delimiter == "," else b",")
    if delimiter != ",":
        data = with_points(path, data)
    if delimiter:
        mark = re.escape(delimiter.encode())
        data = re.sub(rb"(?m)(?<=" + mark + rb")[ ]*(?=" + mark + rb"|$)|^(?=" + mark + rb")", b"nan", data)
    return data
