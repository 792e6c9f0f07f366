"""Prediction: what a model says of a recording, or of a window of it."""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from ecgzoo.errors import printable

if TYPE_CHECKING:
    import pandas as pd

Finding = Literal["present", "absent", "uncertain"]
_MARKS = {"present": "*", "uncertain": "?", "absent": "", None: "–"}  # None: a class without thresholds


@dataclass(frozen=True)
class Prediction:
    """What a model says of one record.

    Attributes:
        source: the record, as `Record.source` names it.
        classes: class names.
        probabilities: float ``[C]``, aggregated over the windows that were read, calibrated where the model is; empty
            if the record is unreadable.
        findings: by class, ``present``, ``absent`` or ``uncertain``; only of classes with thresholds.
        windows: how many windows were read.
        leads: the leads that were used.
        quality: median signal quality of all windows, from 0 to 1 (`ecgzoo.signal.quality`).
        unreadable: why the record gets no finding; None if it does.
        windows_left_out: how many windows were not read, since their quality was too low.
        heart_rate_bpm: of the windows that were read; None if it is not sure.
        notes: what was found in the signal, and what was done to it before the model saw it.
        start_s: where its window begins, in seconds of the recording; None if it is of the whole recording.
        end_s: where its window ends.
    """

    source: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    windows: int
    leads: tuple[str, ...]
    quality: float
    findings: Mapping[str, Finding] = field(default_factory=dict)
    unreadable: str | None = None
    windows_left_out: int = 0
    heart_rate_bpm: float | None = None
    notes: tuple[str, ...] = ()
    start_s: float | None = None
    end_s: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, probabilities by label; start and end only of a window."""
        values = dataclasses.asdict(self)
        del values["classes"]
        if self.start_s is None:
            del values["start_s"], values["end_s"]
        return {**values, "probabilities": self._by_class() if self.probabilities else None}

    def to_row(self) -> dict[str, Any]:
        """As one row of a table: what `to_dict` gives, with a column ``p_CLASS`` and ``finding_CLASS`` for each class.

        What is missing is None; leads are joined by commas and notes by semicolons.
        """
        scores = self._by_class() if self.probabilities else {}
        when = {} if self.start_s is None else {"start_s": self.start_s, "end_s": self.end_s}
        return {
            "source": self.source,
            **when,
            **{f"p_{name}": scores.get(name) for name in self.classes},
            **{f"finding_{name}": self.findings.get(name) for name in self.classes},
            "quality": self.quality,
            "heart_rate_bpm": self.heart_rate_bpm,
            "windows": self.windows,
            "windows_left_out": self.windows_left_out,
            "leads": ",".join(self.leads),
            "unreadable": self.unreadable,
            "notes": "; ".join(self.notes) or None,
        }

    def to_frame(self) -> "pd.DataFrame":
        """A pandas table of one row, `to_row`; `ecgzoo.to_frame` makes one of a list."""
        return to_frame([self])

    def _by_class(self) -> dict[str, float]:
        return dict(zip(self.classes, self.probabilities, strict=True))

    def __str__(self) -> str:
        ranked = sorted(self._by_class().items() if self.probabilities else (), key=lambda pair: -pair[1])
        scores = "  ".join(f"{label} {score:.3f}{_MARKS[self.findings.get(label)]}" for label, score in ranked)
        scores = f"unreadable: {self.unreadable}" if self.unreadable else scores
        texts = [self.unreadable or "", *self.notes]  # what one of them says is not repeated
        told = [note for note in self.notes if not any(note in text != note for text in texts)]
        notes = "".join(f"\n  note: {printable(note)}" for note in told)
        return printable(f"{self.source} [{','.join(self.leads)}, {self.windows} windows]  {scores}") + notes


def to_frame(predictions: "Iterable[Prediction] | Prediction") -> "pd.DataFrame":
    """A pandas table of `predictions`, one row each, with the columns of `Prediction.to_row`."""
    import pandas as pd

    predictions = [predictions] if isinstance(predictions, Prediction) else predictions
    return pd.DataFrame([prediction.to_row() for prediction in predictions])
