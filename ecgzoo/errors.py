"""EcgZooError and its few children.

Every message says what was found, what was expected and what to do next.
"""

import difflib
import unicodedata
from collections.abc import Iterable

# controls, bidi and other formats, surrogates, private and unassigned characters, line and paragraph ends
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_LONGEST_MESSAGE = 3000


def printable(text: object) -> str:
    """`text` in one line that a terminal shows as it is: what would move the cursor, or turn the line, is escaped."""
    said = str(text)
    if said.isascii() and said.isprintable():
        return said
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _UNPRINTABLE else character
        for character in said
    )


class EcgZooError(Exception):
    """Base of every error that ecgzoo raises on purpose. Its text is one printable line, whatever a file says."""

    def __str__(self) -> str:
        said = super().__str__()
        if len(said) > _LONGEST_MESSAGE:  # both ends stay: where it is, and what to do
            half = _LONGEST_MESSAGE // 2
            said = f"{said[:half]} … {said[-half:]}"
        return printable(said)


class EcgZooWarning(UserWarning):
    """A plugin that was left out, or a name that will go: nothing stops, but someone should know."""


class SignalError(EcgZooError):
    """A recording that breaks the signal contract: leads, units, rate, length, invalid samples."""


class MissingLeadError(SignalError):
    """A lead that a recording has not, by its names.

    Attributes:
        problem: what is missing and what there is, without the remedy in Python that the message ends with.
        missing: the leads that were asked for in vain.
        channels: the names that the recording has.
    """

    def __init__(
        self, problem: str, remedy: str = "", missing: tuple[str, ...] = (), channels: tuple[str, ...] = ()
    ) -> None:
        super().__init__(f"{problem} {remedy}".strip())
        self.problem, self.missing, self.channels = problem, missing, channels


class DataError(EcgZooError):
    """A data set that cannot be used as asked: missing files, folds, classes."""


class RegistryError(EcgZooError):
    """A name that is not registered, or a spec that cannot be."""


class AmbiguousNameError(RegistryError):
    """A bare name that two plugins provide; ``distribution::name`` picks one."""


class RecipeError(EcgZooError):
    """A recipe that contradicts itself, its run folder or its data."""


class WeightsError(EcgZooError):
    """A weights folder or checkpoint that is missing, damaged or of another shape."""


class WriteError(EcgZooError, OSError):
    """A file that cannot be written: no room, no right. Made as any OSError, of number, reason and path."""

    def __str__(self) -> str:
        return printable(f"{self.filename} cannot be written: {self.strerror}. Make room there, or take another place.")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known spellings of `name`, or all of a short list."""
    candidates = sorted(known)
    close = difflib.get_close_matches(name[:100], candidates, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(candidates)}." if candidates else "None are registered."
