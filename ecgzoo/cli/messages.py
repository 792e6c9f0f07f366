"""How a command prints warnings: those of ecgzoo in one line, without file name and source line."""

import warnings

from rich.markup import escape

from ecgzoo.errors import EcgZooWarning, printable


def cell(text: object) -> str:
    """`text` in one printable line, escaped so that rich shows it unchanged."""
    return escape(printable(text))


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
