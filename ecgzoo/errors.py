"""EcgZooError and its few children.

Every message says what was found, what was expected and what to do next.
"""

import difflib
from collections.abc import Iterable


class EcgZooError(Exception):
    """Base of every error that ecgzoo raises on purpose."""


class EcgZooWarning(UserWarning):
    """A plugin that was left out, or a name that will go: nothing stops, but someone should know."""


class SignalError(EcgZooError):
    """A recording that breaks the signal contract: leads, units, rate, length, invalid samples."""


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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A sentence that names the closest known spellings of `name`, or all of a short list."""
    candidates = sorted(known)
    close = difflib.get_close_matches(name, candidates, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known: {', '.join(candidates)}." if candidates else "None are registered."
