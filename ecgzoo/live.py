"""A model on a signal that arrives in pieces: a prediction for each window as soon as it is complete."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from ecgzoo.aggregates import with_aggregates
from ecgzoo.config import ModelConfig
from ecgzoo.errors import SignalError
from ecgzoo.prediction import Finding, Prediction
from ecgzoo.signal.quality import Quality, assess_many
from ecgzoo.signal.record import as_number, as_numbers
from ecgzoo.signal.stream import Window, Windows

WINDOWS_AT_ONCE = 64  # as many as a network is quick with


class Scorer(Protocol):
    """What a `Stream` needs of an `EcgModel`."""

    config: ModelConfig

    @property
    def device(self) -> torch.device:
        """Where its input must be."""

    def score(self, signals_mv: Tensor) -> Tensor:
        """Probabilities ``[B, C]`` of windows ``[B, leads, T]``."""

    def findings(self, probabilities: Sequence[float]) -> Mapping[str, Finding]:
        """What they mean."""


class Stream:
    """Predictions of a signal that arrives in pieces; `EcgModel.stream` makes one.

    Whatever the pieces are, the predictions are those of ``predict(record, per_window=True)`` on the whole signal, but
    for the note on Einthoven's law, which is measured on all of it. A window is judged by itself and what came before
    it, ten seconds in all. Memory is bounded, for any duration.

    Args:
        model: a trained `EcgModel` in eval mode.
        leads: names of the rows that are pushed.
        rows: which of them the model takes, in its order.
        rate_hz: samples per second.
        source: names the signal in predictions and errors.
        notes: of the whole signal; every prediction carries them.
        too_slow: why no window can be read at this rate; None if they can.
        insist: read windows of low quality too; a note says so.
    """

    def __init__(
        self,
        model: Scorer,
        leads: Sequence[str],
        rows: Sequence[int],
        rate_hz: float,
        *,
        source: str = "stream",
        notes: Sequence[str] = (),
        too_slow: str | None = None,
        insist: bool = False,
    ) -> None:
        self._model, self._leads, self._rows, self._rate_hz = model, tuple(leads), list(rows), rate_hz
        self._source, self._notes, self._too_slow, self._insist = source, tuple(notes), too_slow, insist
        if rate_hz != model.config.rate_hz:
            self._notes += (f"resampled from {rate_hz:g} to {model.config.rate_hz:g} Hz",)
        self._begin_s = 0.0
        self._closed = False
        self._windows = self._new_windows()

    @property
    def seconds(self) -> float:
        """Seconds of signal so far, gaps included."""
        return self._begin_s + self._windows.pushed / self._rate_hz

    def push(self, samples: Any) -> list[Prediction]:
        """The predictions of the windows that are complete with the next samples, in time order.

        Args:
            samples: millivolts ``[leads, n]`` of any n, a row for each lead of the stream; NaN, or the mask of a masked
                array, marks an invalid sample.

        Raises:
            SignalError: the shape is another, they are not numbers, a sample is infinite, or the stream is closed.
            WeightsError: a probability is not finite.
        """
        self._refuse_if_closed()
        samples = as_numbers(samples, self._source)
        if samples.ndim != 2 or len(samples) != len(self._leads):
            raise SignalError(
                f"{self._source}: expected samples [leads, n] with a row for each of {', '.join(self._leads)}, got "
                f"shape {samples.shape}." + (" Call .reshape(1, -1) on one lead." if samples.ndim == 1 else "")
            )
        samples = samples[self._rows].astype(np.float32)
        if np.isinf(samples).any():
            raise SignalError(f"{self._source}: holds infinite samples. Mark invalid samples as NaN.")
        return self._predicted(self._windows.push(samples))

    def gap(self, seconds: float) -> list[Prediction]:
        """Nothing was recorded for so long: windows begin anew after it, and none spans it.

        If the signal since the last gap was shorter than a window, one prediction says so. Push NaN instead where a few
        samples are missing.

        Args:
            seconds: how long, above 0.

        Raises:
            SignalError: `seconds` is not a number above 0, or the stream is closed.
            WeightsError: a probability is not finite.
        """
        self._refuse_if_closed()
        seconds = as_number(seconds, "a gap in s", self._source)
        if not 0 < seconds < float("inf"):
            raise SignalError(f"{self._source}: expected a gap above 0 s, got {seconds}.")
        last = self._last()
        self._begin_s = self.seconds + seconds
        self._windows = self._new_windows()
        return last

    def close(self) -> list[Prediction]:
        """The predictions of the windows that are complete because the signal ends; nothing can be pushed after it.

        If the signal since the last gap was shorter than a window, one prediction says so.

        Raises:
            SignalError: the stream is closed.
            WeightsError: a probability is not finite.
        """
        self._refuse_if_closed()
        self._closed = True
        return self._last()

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise SignalError(f"{self._source}: the stream is closed. Make another one with model.stream().")

    def _last(self) -> list[Prediction]:
        """The predictions that the end of a stretch completes, or one that says that the stretch was too short."""
        found = self._predicted(self._windows.close())
        seconds, config = self._windows.pushed / self._rate_hz, self._model.config
        if found or self._answered or not seconds:
            return found
        short = f"{seconds:.3g} s without a gap, and a window is {config.window / config.rate_hz:g} s"
        return [
            Prediction(
                source=self._source,
                classes=config.labels,
                probabilities=(),
                windows=0,
                leads=config.leads,
                quality=0.0,
                unreadable=short,
                windows_left_out=1,
                notes=self._notes,
                start_s=self._begin_s,
                end_s=self.seconds,
            )
        ]

    def _new_windows(self) -> Windows:
        config = self._model.config
        self._answered = False
        return Windows(len(self._rows), self._rate_hz, config.rate_hz, config.window, config.stride)

    def _predicted(self, windows: Sequence[Window]) -> list[Prediction]:
        found = []
        self._answered |= bool(windows)
        for begin in range(0, len(windows), WINDOWS_AT_ONCE):
            found += self._of_some(windows[begin : begin + WINDOWS_AT_ONCE])
        return found

    def _of_some(self, windows: Sequence[Window]) -> list[Prediction]:
        config = self._model.config
        judged = self._judged(windows)
        read = [at for at, quality in enumerate(judged) if self._insist or not self._why_not(quality)]
        values: dict[int, list[float]] = {}
        if read:
            signals = torch.from_numpy(np.stack([windows[at].signal for at in read])).to(self._model.device)
            scores = self._model.score(signals).double().cpu().numpy()
            named = with_aggregates(scores, config.classes, config.aggregates)
            values = dict(zip(read, named.tolist(), strict=True))
        return [
            self._prediction(window, quality, values.get(at, []))
            for at, (window, quality) in enumerate(zip(windows, judged, strict=True))
        ]

    def _judged(self, windows: Sequence[Window]) -> list[Quality]:
        config = self._model.config
        alike: dict[int, list[int]] = {}  # by the length of what is around
        for at, window in enumerate(windows):
            alike.setdefault(window.around.shape[1], []).append(at)
        judged: dict[int, Quality] = {}
        for places in alike.values():
            qualities = assess_many(
                np.stack([windows[at].around for at in places]),
                self._rate_hz,
                window_s=config.window / self._windows.new_rate_hz,
                starts_s=np.array([[windows[at].begins_s] for at in places]),
                leads=config.leads,
            )
            judged.update(zip(places, qualities, strict=True))
        return [judged[at] for at in range(len(windows))]

    def _why_not(self, quality: Quality) -> str | None:
        if self._too_slow:
            return self._too_slow
        return None if quality.usable[0] else "; ".join(quality.reasons[0]) or quality.unreadable

    def _prediction(self, window: Window, quality: Quality, values: list[float]) -> Prediction:
        config, why_not = self._model.config, self._why_not(quality)
        notes = [*self._notes, *quality.notes]
        if window.missing:
            notes.append(f"{window.missing} invalid samples filled")
        if values and why_not:
            notes.append(f"unreadable, but read as requested: {why_not}")
        begin_s = self._begin_s + window.start / self._windows.new_rate_hz
        return Prediction(
            source=self._source,
            classes=config.labels,
            probabilities=tuple(values),
            windows=1 if values else 0,
            leads=config.leads,
            quality=float(quality.index[0]),
            findings=self._model.findings(values) if values else {},
            unreadable=None if values else why_not,
            windows_left_out=0 if values else 1,
            heart_rate_bpm=quality.heart_rate_bpm,
            notes=tuple(dict.fromkeys(notes)),
            start_s=begin_s,
            end_s=begin_s + config.window / self._windows.new_rate_hz,
        )
