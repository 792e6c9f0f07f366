"""How a command tells of warnings: ours in one line, without a file and a line of source."""

import warnings

from rich.markup import escape

from ecgzoo.errors import EcgZooWarning, printable


def cell(text: object) -> str:
    """`text` as rich shows it as it is, in one printable line."""
    return escape(printable(text))


def show_our_warnings_in_one_line() -> None:
    """Change how this process prints an `EcgZooWarning`, for the mains of commands and recipes."""
    default = warnings.formatwarning

    def one_line(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
    ) -> str:
        if issubclass(category, EcgZooWarning):
            return f"warning: {printable(message)}\n"
        return default(message, category, filename, lineno, line)

    warnings.formatwarning = one_line
