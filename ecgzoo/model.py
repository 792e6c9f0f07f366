"""EcgModel: a backbone with everything that is needed to apply it to a recording in millivolts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, overload

import numpy as np
import torch
from torch import Tensor, nn

from ecgzoo import registry
from ecgzoo.aggregates import with_aggregates
from ecgzoo.backbones.fold import folded
from ecgzoo.config import ModelConfig
from ecgzoo.errors import EcgZooError, RegistryError, SignalError, WeightsError
from ecgzoo.live import Stream
from ecgzoo.losses.contract import ModelInfo, View
from ecgzoo.normalization import normalized
from ecgzoo.plugin_network import BACKBONE_ATTRIBUTES, check_network
from ecgzoo.prediction import Finding, Prediction
from ecgzoo.recordings import read_record
from ecgzoo.signal import Record, resolve_leads
from ecgzoo.signal.quality import Quality, assess_many
from ecgzoo.signal.resample import LOWEST_SHARE_OF_RATE, rate_after
from ecgzoo.signal.windows import window_starts

WINDOWS_AT_ONCE = 512  # bounds the memory of long recordings
RECORDS_AT_ONCE = 32
MINUTES_AT_ONCE = 10

_T = TypeVar("_T")


@dataclass(frozen=True)
class WeightsSource:
    """Where a model's weights came from.

    Attributes:
        origin: ``folder``, ``packaged`` (in an installed distribution), ``hub``, or ``start`` (pretrained in another
            field, such as ImageNet's).
        location: the folder; the name and distribution; the repository and commit; or what the backbone has loaded.
        sha256: hash of the weights file, verified on loading; empty for a ``start``.
        adapted: what was changed after loading to fit other leads or classes, one sentence each.
    """

    origin: Literal["folder", "packaged", "hub", "start"]
    location: str
    sha256: str
    adapted: tuple[str, ...] = ()


class EcgModel(nn.Module):
    """A registered backbone with its leads, rate, normalization, windows and labels.

    The input is millivolts ``[B, leads, T]`` at ``config.rate_hz``; normalization is part of the forward pass, so it
    cannot be forgotten. Methods with timm's names call those of the backbone.

    Attributes:
        backbone: the network; its ``state_dict`` is what is published.
        config: see `ModelConfig`.
        weights_source: where its weights were loaded from; None if they were not loaded.
    """

    backbone: Any  # any nn.Module that follows the backbone contract

    def __init__(self, backbone: nn.Module, config: ModelConfig) -> None:
        super().__init__()
        self.backbone = backbone
        self.config = config
        self.weights_source: WeightsSource | None = None

    @classmethod
    def build(cls, config: ModelConfig) -> "EcgModel":
        """The network that `config` names, with random weights.

        Raises:
            RegistryError: no backbone has this name, it does not take these arguments, its factory fails, or a plugin's
                network breaks the contract.
        """
        found = registry.get("backbone", config.architecture)
        given = (len(config.leads), config.num_classes)
        backbone = registry.build(found, given, config.arguments)
        if not found.built_in:
            check_network(found, backbone, *given)
        return cls(backbone, config)

    @property
    def device(self) -> torch.device:
        """The device of the weights; the input must be there too."""
        return self.get_classifier().weight.device

    @property
    def num_features(self) -> int:
        """Channels of the last feature map."""
        return int(self.backbone.num_features)

    @property
    def head_hidden_size(self) -> int:
        """Width of the embedding, which is the input of the classifier."""
        return int(self.backbone.head_hidden_size)

    @property
    def num_classes(self) -> int:
        """Number of logits."""
        return self.config.num_classes

    @property
    def feature_info(self) -> list[dict[str, Any]]:
        """Channels, reduction and module name of each stage."""
        return list(self.backbone.feature_info)

    @property
    def info(self) -> ModelInfo:
        """What a loss may know about this model.

        Raises:
            RegistryError: the backbone lacks a method or an attribute that a backbone needs.
        """
        if missing := [name for name in BACKBONE_ATTRIBUTES if not hasattr(self.backbone, name)]:
            network = type(self.backbone).__name__
            raise RegistryError(f"a {network} has no {', '.join(missing)}, which a backbone needs; see docs/plugins.md")
        c = self.config
        sizes = (c.num_classes, self.num_features, self.head_hidden_size)
        return ModelInfo(c.architecture, c.leads, *sizes, classifier=self.get_classifier())

    def get_classifier(self) -> nn.Linear:
        """The last linear layer."""
        classifier: nn.Linear = self.backbone.get_classifier()
        return classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer by a random one for `num_classes`, and drop what the config says about the old one."""
        before = self.get_classifier().weight
        self.backbone.reset_classifier(num_classes)
        after = self.get_classifier()
        if (after.weight.device, after.weight.dtype) != (before.device, before.dtype):  # a plugin may not ask where
            after.to(before.device, before.dtype)
        self.config = self.config.untrained(num_classes=num_classes)

    def normalized(self, x: Tensor) -> Tensor:
        """The network's input ``[B, leads, T]`` of millivolts `x` ``[B, leads, T]`` (`Normalization`).

        It has the precision of the weights; it is computed in that of `x`, or in single precision if that is lower.

        Raises:
            SignalError: `x` has another shape.
        """
        self._check_shape(x)
        x = x.to(torch.promote_types(x.dtype, torch.float32))  # half precision would leave some of an offset
        return normalized(x, self.config.normalization, self.config.rate_hz).to(next(self.backbone.parameters()).dtype)

    def _check_shape(self, x: Tensor) -> None:
        leads = self.config.leads
        if x.ndim != 3 or x.shape[1] != len(leads):
            raise SignalError(f"expected millivolts [B, {len(leads)}, T] of {', '.join(leads)}, got {tuple(x.shape)}")

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``[B, C]`` of millivolts `x` ``[B, leads, T]``."""
        logits: Tensor = self.backbone(self.normalized(x))
        return logits

    def forward_features(self, x: Tensor) -> Tensor:
        """Feature map ``[B, num_features, T']`` of millivolts `x` ``[B, leads, T]``."""
        features: Tensor = self.backbone.forward_features(self.normalized(x))
        return features

    def forward_head(self, features: Tensor, pre_logits: bool = False) -> Tensor:
        """Logits ``[B, C]``, or with `pre_logits` the embedding ``[B, head_hidden_size]``, of a map `features`."""
        out: Tensor = self.backbone.forward_head(features, pre_logits=pre_logits)
        return out

    def view(self, x: Tensor) -> View:
        """Logits, embedding and features of millivolts `x` ``[B, leads, T]``, from one pass.

        The features are those of `forward_features` without a transformer's class tokens, which have no place in time.
        """
        features = self.forward_features(x)
        embedding = self.forward_head(features, pre_logits=True)
        in_time = features[:, :, getattr(self.backbone, "num_prefix_tokens", 0) :]
        return View(self.get_classifier()(embedding), embedding, in_time)

    def lead_positions(self, leads: tuple[str, ...], source: str) -> list[int]:
        """Positions of this model's leads among the `leads` of a recording; errors name `source`.

        Raises:
            SignalError: a lead is missing.
        """
        missing = [lead for lead in self.config.leads if lead not in leads]
        if missing:
            raise SignalError(
                f"{source} has leads {', '.join(leads)}; the model needs {', '.join(missing)}. "
                "Use recordings with these leads, or a model of others (in a recipe: --teacher-leads, --student-leads)."
            )
        return [leads.index(lead) for lead in self.config.leads]

    @torch.no_grad()
    def score(self, signals_mv: Tensor, starts: np.ndarray | None = None) -> Tensor:
        """Probabilities ``[B, C]`` of whole records ``[B, leads, T]``: windows, sigmoid, aggregation.

        Args:
            signals_mv: at the model's rate.
            starts: first samples of the windows to read; all windows if not given.

        Raises:
            SignalError: the records have another shape, are shorter than a window, or hold samples that are not finite;
                or a window of `starts` is not within them.
            WeightsError: the model is in training mode, or a probability is not finite.
        """
        if self.training:
            raise WeightsError("the model is in training mode, which changes its answers and itself; call model.eval()")
        self._check_shape(signals_mv)
        config, records, samples = self.config, len(signals_mv), signals_mv.shape[2]
        every = window_starts(samples, config.window, config.stride, "records", config.rate_hz)
        starts = every if starts is None else np.asarray(starts)
        if not len(starts) or starts.min() < 0 or starts.max() > every[-1]:
            raise SignalError(f"starts are {starts.tolist()}; expected some from 0 to {every[-1]}, of whole windows")
        at_once = max(1, WINDOWS_AT_ONCE // max(records, 1))
        total = torch.zeros(records, config.num_classes, device=signals_mv.device)
        for some in np.split(starts, range(at_once, len(starts), at_once)):
            windows = torch.stack([signals_mv[:, :, s : s + config.window] for s in some.tolist()], dim=1)
            probabilities = self(windows.flatten(0, 1)).float().sigmoid().unflatten(0, windows.shape[:2])
            if config.aggregation == "max":
                total = torch.maximum(total, probabilities.amax(1))
            else:
                total += probabilities.sum(1) / len(starts)
        if config.temperature != 1:
            total = (total.double().logit(eps=1e-7) / config.temperature).sigmoid().float()
        return _finite(total, signals_mv, config.architecture)

    def findings(self, probabilities: Sequence[float]) -> dict[str, Finding]:
        """Apply ``config.thresholds`` to calibrated `probabilities`, one for each of ``config.labels``."""
        found: dict[str, Finding] = {}
        for label, probability in zip(self.config.labels, probabilities, strict=True):
            if points := self.config.thresholds.get(label):
                certain: Finding = "present" if probability >= points["f1"] else "absent"
                found[label] = "uncertain" if points["lower"] <= probability < points["upper"] else certain
        return found

    def _why_untrained(self) -> str:
        if self.weights_source is None:
            return (
                "has random weights, so its output means nothing; create it with pretrained=, or train it (in a loop "
                "of your own, set config.classes)"
            )
        changes = "; ".join(self.weights_source.adapted) or "it names no classes: its classifier is not trained"
        return (
            f"has the weights of {self.weights_source.location}, but {changes}. It is a start for training, and its "
            "output means nothing yet: train it, then predict (after a loop of your own, set config.classes)"
        )

    @overload
    def predict(
        self, record: Record | str | Path, *, insist: bool = ..., per_window: Literal[False] = ...
    ) -> Prediction: ...

    @overload
    def predict(
        self, record: Record | str | Path, *, insist: bool = ..., per_window: Literal[True]
    ) -> list[Prediction]: ...

    def predict(
        self, record: Record | str | Path, *, insist: bool = False, per_window: bool = False
    ) -> Prediction | list[Prediction]:
        """Apply the model to one record or file: its own leads by name, rate, normalization and windows.

        Windows whose signal quality is too low (`ecgzoo.signal.quality`) are left out. If too few are left, the
        record is unreadable: the prediction has the reason and no probabilities.

        Args:
            record: the recording (of an array: `Record.from_array`), or where it is.
            insist: read every window, whatever its quality; a note says so.
            per_window: give a list, a `Prediction` for each window in time order, with ``start_s`` and ``end_s``. They
                are those of `stream`: quality is judged by the ten seconds up to the window's end, the heart rate is
                of the beats in the window.

        Raises:
            SignalError: it is not a recording, a lead is missing, or it is shorter than a window.
            RegistryError: a plugin's reader fails.
            WeightsError: the model was never trained, or a probability is not finite.
        """
        self._refuse_untrained()
        if not isinstance(record, Record):
            record = read_record(record)
        if per_window:
            return self._predict_windows(record, insist)
        return self.predict_with_quality(record, insist=insist)[0]

    def predict_with_quality(self, record: Record, *, insist: bool = False) -> tuple[Prediction, Quality]:
        """What `predict` says of a record, and the signal quality of each of its windows.

        Args:
            record: as for `predict`.
            insist: as for `predict`.

        Raises:
            SignalError: as for `predict`.
            WeightsError: the model was never trained.
        """
        self._refuse_untrained()
        chosen = self._chosen(record)
        prepared = self._prepare(chosen, self._judge([chosen])[0], insist)
        return self._conclude([prepared])[0], prepared.quality

    def predict_many(
        self, records: Iterable[Record | str | Path], *, insist: bool = False
    ) -> list[Prediction | EcgZooError]:
        """What `predict` says of each of `records`; an error takes the place of a record that it refuses.

        Records of one length go through the network together, which is faster than one by one.

        Args:
            records: as many as fit into memory, also from a generator; paths are read.
            insist: as for `predict`.

        Raises:
            SignalError: it is one record and no list.
            WeightsError: the model was never trained.
        """
        self._refuse_untrained()
        if isinstance(records, Record | str | Path):
            raise SignalError("predict_many takes a list of records, got one. Call predict for one.")
        found: dict[int, Prediction | EcgZooError] = {}
        of_shape: dict[tuple[object, ...], list[tuple[int, _Chosen]]] = {}
        for at, record in enumerate(records):
            try:
                chosen = self._chosen(record if isinstance(record, Record) else read_record(record))
            except EcgZooError as error:
                found[at] = error
            else:
                of_shape.setdefault((chosen.record.rate_hz, chosen.record.signal.shape), []).append((at, chosen))
        alike: dict[tuple[object, ...], list[tuple[int, _Prepared]]] = {}
        for places, some in _in_parts(of_shape):
            for at, chosen, quality in zip(places, some, self._judge(some), strict=True):
                try:
                    prepared = self._prepare(chosen, quality, insist)
                except EcgZooError as error:
                    found[at] = error
                else:
                    alike.setdefault((prepared.signal.shape, *prepared.read.tolist()), []).append((at, prepared))
        for places, ready in _in_parts(alike):
            found.update(zip(places, self._each(ready), strict=True))
        return [found[at] for at in sorted(found)]

    def stream(self, *, rate_hz: float, leads: str | Sequence[str], source: str = "stream") -> Stream:
        """Apply the model to a signal that arrives in pieces: a `Stream`, to `Stream.push` samples to.

        Args:
            rate_hz: samples per second that will be pushed.
            leads: names of the rows that will be pushed; the model takes its own.
            source: names the signal in predictions and errors.

        Raises:
            SignalError: a lead of the model is missing, or the rate is too low for it.
            WeightsError: the model was never trained.
        """
        self._refuse_untrained()
        names = resolve_leads(leads)
        # a record of two samples has the checks of every rate
        record = Record(np.zeros((len(names), 2), np.float32), names, rate_hz, source)
        if too_slow := self._too_slow(record.rate_hz):
            raise SignalError(f"{source}: {too_slow}. Record at a higher rate, or take another model.")
        record.resample(self.config.rate_hz)
        return Stream(folded(self), names, self.lead_positions(names, source), record.rate_hz, source=source)

    def _refuse_untrained(self) -> None:
        if not self.config.classes:
            raise WeightsError(f"{self.config.architecture} {self._why_untrained()}")

    def _too_slow(self, rate_hz: float) -> str | None:
        needed, least = self.config.rate_hz, LOWEST_SHARE_OF_RATE * self.config.rate_hz
        problem = f"{rate_hz:g} Hz is too low for a model of {needed:g} Hz, which needs at least {least:g} Hz"
        return problem if rate_hz < least else None

    def _predict_windows(self, record: Record, insist: bool) -> list[Prediction]:
        config, broken = self.config, record.einthoven_problem()
        record = record.select(config.leads)
        samples = record.samples_at(config.rate_hz)
        window_starts(samples, config.window, config.stride, record.source, config.rate_hz)  # refuses a short one
        stream = Stream(
            folded(self),
            config.leads,
            range(len(config.leads)),
            record.rate_hz,
            source=record.source,
            notes=[*record.notes, *([broken] if broken else [])],
            too_slow=self._too_slow(record.rate_hz),
            insist=insist,
        )
        step = round(MINUTES_AT_ONCE * 60 * record.rate_hz)  # a day takes no day's memory
        pieces = range(0, record.signal.shape[1], step)
        found = [said for at in pieces for said in stream.push(record.signal[:, at : at + step])]
        return found + stream.close()

    def _chosen(self, record: Record) -> "_Chosen":
        """What the model reads of a record, and what is wrong with it."""
        config = self.config
        broken = record.einthoven_problem()  # of all limb leads: one alone does not show it
        record = record.select(config.leads)
        notes = [*record.problems(), *([broken] if broken else [])]
        samples = record.samples_at(config.rate_hz)
        starts = window_starts(samples, config.window, config.stride, record.source, config.rate_hz)
        return _Chosen(record, starts, tuple(notes))

    def _judge(self, chosen: Sequence["_Chosen"]) -> list[Quality]:
        """Signal quality of records of one rate and shape."""
        config, rate_hz = self.config, chosen[0].record.rate_hz
        resampled_hz = rate_after(rate_hz, config.rate_hz)
        signals = [one.record.signal for one in chosen]
        return assess_many(
            np.stack(signals) if len(signals) > 1 else signals[0][None],  # a day's recording is not copied
            rate_hz,
            window_s=config.window / resampled_hz,
            starts_s=np.stack([one.starts for one in chosen]) / resampled_hz,
            leads=config.leads,
        )

    def _prepare(self, chosen: "_Chosen", quality: Quality, insist: bool) -> "_Prepared":
        """Everything else before the network."""
        config, record, starts = self.config, chosen.record, chosen.starts
        unreadable = self._too_slow(record.rate_hz) or quality.unreadable
        notes = [*chosen.notes, *quality.notes]
        read = np.zeros(0, np.int64)
        if insist or not unreadable:
            read = starts if insist else starts[quality.usable]
            if unreadable:
                notes.append(f"unreadable, but read as requested: {unreadable}")
            elif unusable := len(read) - int(quality.usable.sum()):
                notes.append(f"of low quality, but read as requested: {unusable} of {len(starts)} windows")
            record = record.interpolate_invalid()
            if record.rate_hz != config.rate_hz:
                notes.append(f"resampled from {record.rate_hz:g} to {config.rate_hz:g} Hz")
            record = record.resample(config.rate_hz)
        notes = list(dict.fromkeys([*record.notes, *notes]))
        return _Prepared(record.source, record.signal, len(starts), read, quality, unreadable, tuple(notes))

    def _conclude(self, prepared: Sequence["_Prepared"]) -> list[Prediction]:
        """The network and what comes after it, of records of one length of which the same windows are read."""
        config, read = self.config, prepared[0].read
        values: list[list[float]] = [[] for _ in prepared]
        if len(read):
            signals = torch.from_numpy(np.stack([one.signal for one in prepared])).to(self.device)
            # a copy: switching this model to eval mode could disturb another thread that uses it
            network = deepcopy(self).eval() if self.training else self
            scores = np.array([row.tolist() for row in network.score(signals, read).double()])
            values = with_aggregates(scores, config.classes, config.aggregates).tolist()
        return [
            Prediction(
                source=one.source,
                classes=config.labels,
                probabilities=tuple(own),
                windows=len(read),
                leads=config.leads,
                quality=float(np.median(one.quality.index)),
                findings=self.findings(own) if own else {},
                unreadable=None if own else one.unreadable,
                windows_left_out=one.windows - len(read),
                heart_rate_bpm=one.quality.heart_rate_bpm,
                notes=one.notes,
            )
            for one, own in zip(prepared, values, strict=True)
        ]

    def _each(self, prepared: Sequence["_Prepared"]) -> Sequence[Prediction | EcgZooError]:
        try:
            return self._conclude(prepared)
        except EcgZooError as error:  # of one of them
            return [error] if len(prepared) == 1 else [said for one in prepared for said in self._each([one])]


def _in_parts(groups: Mapping[Any, Sequence[tuple[int, _T]]]) -> Iterator[tuple[list[int], list[_T]]]:
    """Each group in parts of at most `RECORDS_AT_ONCE`: the numbers, and what they belong to."""
    for group in groups.values():
        for begin in range(0, len(group), RECORDS_AT_ONCE):
            some = group[begin : begin + RECORDS_AT_ONCE]
            yield [at for at, _ in some], [one for _, one in some]


@dataclass(frozen=True, eq=False)
class _Chosen:
    """The leads of a record that a model reads, its windows, and what is known of it before quality."""

    record: Record
    starts: np.ndarray
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _Prepared:
    """A record before the network: what will be read of it, and what is known already."""

    source: str
    signal: np.ndarray  # at the model's rate, if anything is read
    windows: int
    read: np.ndarray
    quality: Quality
    unreadable: str | None
    notes: tuple[str, ...]


def _finite(probabilities: Tensor, signals_mv: Tensor, name: str) -> Tensor:
    """Return `probabilities` ``[B, C]`` if all are finite.

    Raises:
        SignalError: a probability is not finite because the signals hold NaN or infinity.
        WeightsError: a probability is not finite although the signals are.
    """
    if probabilities.isfinite().all():
        return probabilities
    record = int((~probabilities.isfinite()).any(dim=1).nonzero()[0])
    if not signals_mv[record].isfinite().all():
        raise SignalError(
            f"record {record} holds NaN or infinity; repair it with interpolate_invalid(), or leave it out"
        )
    peak = signals_mv[record].abs().max().item()
    raise WeightsError(
        f"{name} gives a probability that is not finite for record {record}, of at most {peak:.3g} mV: the weights are "
        "damaged or the units are wrong. If the record is in millivolts, fetch or train the weights again."
    )
