"""Numbers in text: decoding, decimal signs, and rows of numbers, for the readers of text files."""

import codecs
import io
import re
from pathlib import Path

import numpy as np

from ecgzoo.signal.readers.common import fail

HEAD_CHARACTERS = 1 << 16  # within which the numbers must begin

NUMBER = re.compile(r"[+-]?(?:\d{1,40}(?:[.,]\d{0,40})?|[.,]\d{1,40})(?:[eE][+-]?\d{1,3})?|[+-]?nan", re.IGNORECASE)
"""A number with a decimal point or comma; none with thousands separators."""

# 1,234 beside 20 may be 1234 or 1.234; with one of these commas, or without whole numbers, it is 1.234
_DECIMAL_COMMA = re.compile(rb"(?<!\d),|,(?!\d{3}(?!\d))|,\d{3}[eE]|(?<![\d,])0\d*,|\d{4},")
_WHOLE_NUMBER = re.compile(rb"(?<![\d,])\d+(?![\d,])")
_LINE_END = re.compile(rb"\r{1,2}\n|\n|\r")  # two: Python's csv on Windows, if the file is opened without newline=""
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1f]")


def as_utf8(content: bytes) -> bytes | None:
    """Text in an encoding that contains ASCII, without byte order mark; None for what is no text."""
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        content = content[: len(content) // 2 * 2].decode("utf-16", "replace").encode()
    content = content.removeprefix(codecs.BOM_UTF8)
    return None if _CONTROLS.search(content) else content


def decoded(content: bytes) -> str:
    """UTF-8, or else Latin-1, whose lone byte is the µ of µV."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        # a character that the end cuts in two
        return content[: error.start].decode("utf-8") if error.start > len(content) - 4 else content.decode("latin-1")


def head_lines(content: bytes) -> list[str]:
    """The whole lines within the first 64 KiB."""
    head = decoded(content[:HEAD_CHARACTERS])
    lines = re.split(_LINE_END.pattern.decode(), head)
    return lines[:-1] if len(content) > HEAD_CHARACTERS else lines


def body(content: bytes, lines: int) -> bytes:
    """What follows the first `lines` lines, each of the others ending with a line feed."""
    at = 0
    for _ in range(lines):
        found = _LINE_END.search(content, at)
        at = found.end() if found else len(content)
    rest = content[at:]
    return _LINE_END.sub(b"\n", rest) if b"\r" in rest else rest


def with_points(path: Path, data: bytes) -> bytes:
    """Numbers whose decimal sign may be a comma, with points.

    Raises:
        SignalError: as `check_commas`.
    """
    if b"," not in data:
        return data
    check_commas(path, data)
    return data.replace(b",", b".")


def check_commas(path: Path, data: bytes) -> None:
    """Check that the commas in numbers are decimal signs.

    Raises:
        SignalError: points and commas are mixed, or all commas may separate thousands.
    """
    if not _DECIMAL_COMMA.search(data) and _WHOLE_NUMBER.search(data):
        fail(
            path,
            "its commas may be decimal signs or between thousands, as in 1,234; write decimal points, and no thousands "
            "separators",
        )
    if b"." in data:
        fail(
            path,
            "its numbers have decimal points and decimal commas; write them with one decimal sign and without "
            "thousands separators",
        )


def table(path: Path, data: bytes, first_line: int, delimiter: str | None, columns: tuple[int, ...]) -> np.ndarray:
    """Some columns of rows of numbers, float64 ``[rows, columns]``.

    Raises:
        SignalError: a row has another number of columns, or what is no number.
    """
    try:
        with io.TextIOWrapper(io.BytesIO(data), "latin-1") as lines:
            found = np.loadtxt(lines, delimiter=delimiter, usecols=columns, comments=None, ndmin=2)
    except ValueError as error:
        row = re.search(r"at row (\d{1,15})", str(error))
        counted_from = 0 if "convert" in str(error) else 1  # numpy counts so
        where = f"line {first_line + int(row[1]) - counted_from}" if row else f"a line below {first_line - 1}"
        fail(
            path,
            f"{where} is no row of numbers like those above it; is the file cut off, or its decimal sign another? "
            "Export it again, or remove the line",
            error,
        )
    return np.asarray(found, np.float64)
