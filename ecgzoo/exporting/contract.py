"""Format: what a file format of exported models provides, and how far its probabilities may be from Python's."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ecgzoo.exporting.records import Records
from ecgzoo.exporting.scorer import Scorer

Score = Callable[[np.ndarray], np.ndarray]  # float32 millivolts [B, leads, T] -> float32 probabilities [B, labels]


@dataclass(frozen=True, kw_only=True)
class Tolerance:
    """The largest differences from the Python model with which a file is kept; None where there is no limit.

    Attributes:
        probability: of a probability.
        macro_auc: of the macro AUC, if the records have labels.
        flipped: share of findings that differ, if the model has thresholds.
    """

    probability: float | None = None
    macro_auc: float | None = None
    flipped: float | None = None


class Format(ABC):
    """A file format. A new one is a file with a subclass, and its line in ``ecgzoo/exporting/__init__.py``.

    Attributes:
        suffix: how the names of its files end.
        tolerance: see `Tolerance`.
        any_length: whether a file takes recordings of any length, or only of the length that it was made for.
        calibrated: whether `convert` needs records.
        has_metadata: whether the file itself holds the metadata; if not, they are written to a JSON file beside it.
    """

    suffix: ClassVar[str]
    tolerance: ClassVar[Tolerance]
    any_length: ClassVar[bool] = False
    calibrated: ClassVar[bool] = False
    has_metadata: ClassVar[bool] = True

    def files(self, path: Path) -> tuple[Path, ...]:
        """What an export to `path` writes: the file, and beside it the metadata that it does not hold."""
        return (path,) if self.has_metadata else (path, path.with_name(f"{path.name}.json"))

    @abstractmethod
    def convert(self, scorer: Scorer, metadata: Mapping[str, Any], samples: int, records: Records) -> bytes:
        """The content of the file.

        Args:
            scorer: the model, from millivolts to calibrated probabilities.
            metadata: what a user of the file must know; JSON values by name.
            samples: the length of recordings, where it is fixed.
            records: to choose the scales of integers on.

        Raises:
            ExportError: the model cannot be exported in this format, or a package is missing.
        """

    @abstractmethod
    def load(self, content: bytes) -> Score:
        """The file's `content` in its own runtime, on one thread."""
