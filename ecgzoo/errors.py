"""EcgZooError and its subclasses.

Every message says what was found, what was expected and what to do next.
"""

import difflib
import unicodedata
from collections.abc import Iterable

# controls, bidi and other formats, surrogates, private and unassigned characters, line and paragraph ends
_UNPRINTABLE = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
_JOINERS = "\u200c\u200d"  # formats, too, but letters of Persian, Hindi and emoji in the names of files need them
_LONGEST_MESSAGE = 3000


def printable(text: object) -> str:
    """`text` in one line, with characters escaped that would move the terminal's cursor or reverse its text."""
    said = str(text)
    if said.isascii() and said.isprintable():
        return said
    return "".join(
        character
        if character in _JOINERS or unicodedata.category(character) not in _UNPRINTABLE
        else character.encode("unicode_escape").decode()
        for character in said
    )


class EcgZooError(Exception):
    """Base class of the errors that ecgzoo raises on purpose. Its text is always one printable line."""

    def __str__(self) -> str:
        said = super().__str__()
        if len(said) > _LONGEST_MESSAGE:  # keep both ends: where the error is, and what to do
            half = _LONGEST_MESSAGE // 2
            said = f"{said[:half]} … {said[-half:]}"
        return printable(said)


class EcgZooWarning(UserWarning):
    """Something the user should know that does not stop the work, such as a plugin left out or a deprecated name."""


class SignalError(EcgZooError):
    """A recording that does not fit: its leads, units, rate, length or invalid samples."""


class MissingLeadError(SignalError):
    """A recording lacks a lead, by the names of its channels.

    Attributes:
        problem: what is missing and what there is, without the remedy in Python that the message ends with.
        missing: the leads that are not there.
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
    """A name that is not registered, or a spec that cannot be registered."""


class AmbiguousNameError(RegistryError):
    """A bare name that two plugins provide; ``distribution::name`` picks one."""


class RecipeError(EcgZooError):
    """A recipe that contradicts itself, or that does not fit its run folder or its data."""


class WeightsError(EcgZooError):
    """A weights folder or checkpoint that is missing, damaged or of another shape."""


class ExportError(EcgZooError):
    """A model that cannot be exported, or a file that does not give its probabilities."""


class WriteError(EcgZooError, OSError):
    """A file that cannot be written, for lack of space or permission. An OSError: (number, reason, path)."""

    def __str__(self) -> str:
        return printable(f"{self.filename} cannot be written: {self.strerror}. Make room, or choose another place.")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known spellings of `name`, or all of a short list."""
    candidates = sorted(known)
    close = difflib.get_close_matches(name[:100], candidates, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(candidates)}." if candidates else "None are registered."


def no_timm(error: Exception) -> str:
    """The sentence for a timm that cannot be imported; a torchvision built for another torch is a common reason."""
    return (
        f"timm cannot be imported ({type(error).__name__}: {' '.join(str(error).split())[:300]}); install a timm and a "
        "torchvision that fit your torch: pip install --upgrade timm torchvision"
    )
