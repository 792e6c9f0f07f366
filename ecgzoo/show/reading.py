"""Reading: a recording, the stretch of it that is drawn, its signal quality, and what a model says of it."""

from dataclasses import dataclass, replace

import numpy as np

from ecgzoo.config import ModelConfig
from ecgzoo.errors import SignalError, WeightsError
from ecgzoo.model import EcgModel
from ecgzoo.prediction import Prediction
from ecgzoo.signal import LEADS_12, Record
from ecgzoo.signal.quality import Quality, assess

STRIP_S = 10.0
MOST_STRIPS = 12  # on a sheet, of several leads or stretches
MOST_SHOWN_S = 60.0
WINDOW_S = 2.5  # where no model says how long a window is


@dataclass(frozen=True, eq=False)
class Reading:
    """What is shown of a recording.

    Attributes:
        record: the whole recording.
        leads: those that are drawn.
        start_s: where the stretch that is drawn begins.
        end_s: where it ends.
        quality: of the model's windows; without a model, of windows of `WINDOW_S` in the stretch that is drawn.
        window_s: seconds of a window.
        prediction: of the whole recording; None without a model.
        config: the model's; None without one.
    """

    record: Record
    leads: tuple[str, ...]
    start_s: float
    end_s: float
    quality: Quality
    window_s: float
    prediction: Prediction | None = None
    config: ModelConfig | None = None

    @property
    def twelve(self) -> bool:
        """Whether it is drawn as three rows of four leads and a rhythm strip."""
        return self.leads == LEADS_12

    @property
    def seconds(self) -> float:
        """Duration of the whole recording."""
        samples: int = self.record.signal.shape[1]
        return samples / self.record.rate_hz

    def left_out_s(self) -> list[tuple[float, float]]:
        """Stretches of what is drawn, from and to in seconds, with windows that were judged and none that is usable."""
        starts = self.quality.starts_s
        near = (starts + self.window_s > self.start_s) & (starts < self.end_s)  # of a day, those of a minute
        starts, usable = starts[near], self.quality.usable[near]
        edges = np.unique(np.concatenate([starts, starts + self.window_s]))
        middles = (edges[1:] + edges[:-1]) / 2
        inside = (middles[:, None] >= starts) & (middles[:, None] < starts + self.window_s)
        bad = inside.any(1) & ~inside[:, usable].any(1)
        spans: list[tuple[float, float]] = []
        for begin, end in zip(edges[:-1][bad].tolist(), edges[1:][bad].tolist(), strict=True):
            touches = spans and spans[-1][1] == begin
            spans = [*spans[:-1], (spans[-1][0], end)] if touches else [*spans, (begin, end)]
        return spans


def said_s(seconds: float) -> str:
    """`seconds` to the millisecond, also in the last hour of a day: ``82800.5``."""
    return f"{round(seconds, 3):.10g}"


def look(record: Record, model: EcgModel | None = None, start_s: float = 0.0) -> Reading:
    """Judge a recording and, with a `model`, predict; choose what is drawn, from `start_s` on.

    Raises:
        SignalError: it is not a `Record`, it ends before `start_s`, or the model cannot read it (see
            `EcgModel.predict`).
        WeightsError: the model is no `EcgModel`, or was never trained.
    """
    if not isinstance(record, Record):
        raise SignalError(f"expected a Record, got {record!r:.80}; read it with ecgzoo.read_record")
    if not isinstance(model, EcgModel | None):
        raise WeightsError(f"the model is {model!r:.80}, expected an EcgModel; load it with ecgzoo.load_pretrained")
    seconds = record.signal.shape[1] / record.rate_hz
    if not 0 <= start_s < seconds:
        raise SignalError(
            f"{record.source}: it lasts {said_s(seconds)} s; expected a start from 0 to that, got {said_s(start_s)} s"
        )
    own = model.config.leads if model else ()
    drawn = sorted(record.leads, key=lambda lead: lead not in own)[:MOST_STRIPS]  # the model's before others
    leads = LEADS_12 if set(LEADS_12) <= set(record.leads) else tuple(lead for lead in record.leads if lead in drawn)
    shown_s = STRIP_S if leads == LEADS_12 else min(MOST_SHOWN_S, STRIP_S * max(1, MOST_STRIPS // len(leads)))
    end_s = min(start_s + shown_s, seconds)
    if model is None:
        begin, end = round(start_s * record.rate_hz), round(end_s * record.rate_hz)
        rows = record.signal[[record.leads.index(lead) for lead in leads], begin:end]
        quality = assess(rows, record.rate_hz, window_s=WINDOW_S, leads=leads)
        return Reading(
            record, leads, start_s, end_s, replace(quality, starts_s=quality.starts_s + start_s), window_s=WINDOW_S
        )
    prediction, quality = model.predict_with_quality(record)
    window_s = model.config.window / model.config.rate_hz
    return Reading(record, leads, start_s, end_s, quality, window_s, prediction, model.config)
