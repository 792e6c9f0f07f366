"""How a command prints: text at the width of the terminal, and warnings of ecgzoo in one line, without source line."""

import re
import shutil
import sys
import textwrap
import warnings

from rich.markup import escape

from ecgzoo.errors import EcgZooWarning, printable


def cell(text: object) -> str:
    """`text` in one printable line, escaped so that rich shows it unchanged."""
    return escape(printable(text))


def wrapped(text: str) -> str:
    """`text` at the width of the terminal, further lines indented; a label stays with its probability.

    It is unchanged where stdout is no terminal, so that a line is a record.
    """
    if not sys.stdout.isatty():
        return text
    width = shutil.get_terminal_size().columns
    lines = re.sub(r"(?<=\S) (?=\d\.\d{3})", "\0", text).splitlines()  # printable text has no such character
    fill = textwrap.TextWrapper(width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False).fill
    return "\n".join(map(fill, lines)).replace("\0", " ")


def show_our_warnings_in_one_line() -> None:
    """Print each `EcgZooWarning` of this process in one line. For the main functions of commands and recipes."""
    default = warnings.formatwarning

    def one_line(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if issubclass(category, EcgZooWarning):
            return f"warning: {printable(message)}\n"
        return default(message, category, filename, lineno, line)

    warnings.formatwarning = one_line
