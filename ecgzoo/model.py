"""EcgModel: a backbone with everything that is needed to apply it to a recording in millivolts."""

import dataclasses
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from ecgzoo import registry
from ecgzoo.aggregates import with_aggregates
from ecgzoo.config import ModelConfig
from ecgzoo.errors import RegistryError, SignalError, WeightsError, printable
from ecgzoo.losses.contract import ModelInfo, View
from ecgzoo.normalization import normalized
from ecgzoo.recordings import read_record
from ecgzoo.signal import Record
from ecgzoo.signal.quality import assess
from ecgzoo.signal.windows import window_starts

Finding = Literal["present", "absent", "uncertain"]
_MARKS = {"present": "*", "uncertain": "?"}

LOWEST_SHARE_OF_RATE = 0.75  # of the model's rate: half of it changed probabilities by .3 (benchmarks/quality.py)
WINDOWS_AT_ONCE = 512  # limits the memory for long recordings
BACKBONE_ATTRIBUTES = (
    "forward_features",
    "forward_head",
    "get_classifier",
    "reset_classifier",
    "num_features",
    "head_hidden_size",
    "num_classes",
    "feature_info",
)
PROBE_SAMPLES = 250


@dataclass(frozen=True)
class WeightsSource:
    """Where a model's weights came from.

    Attributes:
        origin: ``folder``, ``packaged`` (in an installed distribution) or ``hub``.
        location: the folder; the name and distribution; or the repository and commit.
        sha256: hash of the weights file, verified on loading.
        adapted: what was changed after loading to fit other leads or classes, one sentence each.
    """

    origin: Literal["folder", "packaged", "hub"]
    location: str
    sha256: str
    adapted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Prediction:
    """The result of a model for one record.

    Attributes:
        source: the record, as `Record.source` names it.
        classes: class names.
        probabilities: float ``[C]``, aggregated over the windows that were read, calibrated if the model is; empty
            if the record is unreadable.
        findings: by class, ``present``, ``absent`` or ``uncertain``; only for classes with thresholds.
        windows: how many windows were read.
        leads: the leads that were used.
        quality: median signal quality of all windows, from 0 to 1 (`ecgzoo.signal.quality`).
        unreadable: why there is no prediction for this record; None if there is one.
        windows_left_out: how many windows were not read because their quality was too low.
        heart_rate_bpm: heart rate in the windows that were read; None if it is uncertain.
        notes: problems found in the signal, and changes made to it before it went into the model.
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

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values; probabilities by label."""
        values = dataclasses.asdict(self)
        del values["classes"]
        return {**values, "probabilities": self._by_class() if self.probabilities else None}

    def _by_class(self) -> dict[str, float]:
        return dict(zip(self.classes, self.probabilities, strict=True))

    def __str__(self) -> str:
        ranked = sorted(self._by_class().items() if self.probabilities else (), key=lambda pair: -pair[1])
        scores = "  ".join(
            f"{label} {probability:.3f}{_MARKS.get(self.findings.get(label, 'absent'), '')}"
            for label, probability in ranked
        )
        scores = f"unreadable: {self.unreadable}" if self.unreadable else scores
        notes = "".join(f"\n  note: {printable(note)}" for note in self.notes)
        return printable(f"{self.source} [{','.join(self.leads)}, {self.windows} windows]  {scores}") + notes


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
            _check_backbone(found, backbone, *given)
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
        """What a loss may know about this model."""
        c = self.config
        sizes = (c.num_classes, self.num_features, self.head_hidden_size)
        return ModelInfo(c.architecture, c.leads, *sizes, classifier=self.get_classifier())

    def get_classifier(self) -> nn.Linear:
        """The last linear layer."""
        classifier: nn.Linear = self.backbone.get_classifier()
        return classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Replace the last layer by a random one for `num_classes`, and drop what the config says about the old one."""
        self.backbone.reset_classifier(num_classes)
        self.config = self.config.untrained(num_classes=num_classes)

    def normalized(self, x: Tensor) -> Tensor:
        """The network's input ``[B, leads, T]`` of millivolts `x` ``[B, leads, T]`` (`Normalization`)."""
        return normalized(x, self.config.normalization, self.config.rate_hz)

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
        """Logits, embedding and features of millivolts `x` ``[B, leads, T]``, from one pass."""
        features = self.forward_features(x)
        embedding = self.forward_head(features, pre_logits=True)
        return View(self.get_classifier()(embedding), embedding, features)

    def lead_positions(self, leads: tuple[str, ...], source: str) -> list[int]:
        """Positions of this model's leads among the `leads` of a recording; errors name `source`.

        Raises:
            SignalError: a lead is missing.
        """
        missing = [lead for lead in self.config.leads if lead not in leads]
        if missing:
            raise SignalError(
                f"{source} has leads {', '.join(leads)}; the model needs {', '.join(missing)}. "
                "Use a recording with these leads, or another model."
            )
        return [leads.index(lead) for lead in self.config.leads]

    @torch.no_grad()
    def score(self, signals_mv: Tensor, starts: np.ndarray | None = None) -> Tensor:
        """Probabilities ``[B, C]`` of whole records ``[B, leads, T]``: windows, sigmoid, aggregation. Eval mode only.

        Args:
            signals_mv: at the model's rate.
            starts: first samples of the windows to read; all windows if not given.

        Raises:
            SignalError: the records are shorter than a window, or hold samples that are not finite.
            WeightsError: a probability is not finite.
        """
        config, records = self.config, len(signals_mv)
        if starts is None:
            starts = window_starts(signals_mv.shape[2], config.window, config.stride, "records", config.rate_hz)
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
            return "has random weights, so its output means nothing; create it with pretrained=, or train it"
        changes = "; ".join(self.weights_source.adapted) or "it names no classes: its classifier is not trained"
        return (
            f"has the weights of {self.weights_source.location}, but {changes}. It is a start for training, and its "
            "output means nothing yet: train it, then predict"
        )

    def predict(self, record: Record | str | Path, *, insist: bool = False) -> Prediction:
        """Apply the model to one record or WFDB file, with the model's leads, rate, normalization and windows.

        Windows whose signal quality is too low (`ecgzoo.signal.quality`) are left out. If too few are left, the
        record is unreadable: the prediction has the reason and no probabilities.

        Args:
            record: the recording, or where it is.
            insist: read every window even if the record is unreadable; a note says so.

        Raises:
            SignalError: it is not a recording, a lead is missing, or it is shorter than a window.
            WeightsError: the model was never trained.
        """
        config = self.config
        if not config.classes:
            raise WeightsError(f"{config.architecture} {self._why_untrained()}")
        if not isinstance(record, Record):
            record = read_record(record)
        broken = record.einthoven_problem()  # checks all limb leads together, so before selecting leads
        record = record.select(config.leads)
        notes = [*record.problems(), *([broken] if broken else [])]
        samples = record.samples_at(config.rate_hz)
        starts = window_starts(samples, config.window, config.stride, record.source, config.rate_hz)
        quality = assess(
            record.signal,
            record.rate_hz,
            window_s=config.window / config.rate_hz,
            starts_s=starts / config.rate_hz,
            leads=config.leads,
        )
        unreadable = quality.unreadable
        if record.rate_hz < LOWEST_SHARE_OF_RATE * config.rate_hz:
            unreadable = f"{record.rate_hz:g} Hz is too low for a model of {config.rate_hz:g} Hz"
        notes += quality.notes
        values: list[float] = []
        read = np.zeros(0, np.int64)
        if insist or not unreadable:
            read = starts if unreadable else starts[quality.usable]
            if unreadable:
                notes.append(f"unreadable, but read as requested: {unreadable}")
            record = record.interpolate_invalid()
            if record.rate_hz != config.rate_hz:
                notes.append(f"resampled from {record.rate_hz:g} to {config.rate_hz:g} Hz")
            signal = torch.from_numpy(record.resample(config.rate_hz).signal)[None].to(self.device)
            # a copy: switching this model to eval mode could disturb another thread that uses it
            network = deepcopy(self).eval() if self.training else self
            scores = network.score(signal, read).double().cpu().numpy()
            values = with_aggregates(scores, config.classes, config.aggregates)[0].tolist()
        return Prediction(
            source=record.source,
            classes=config.labels,
            probabilities=tuple(values),
            windows=len(read),
            leads=config.leads,
            quality=float(np.median(quality.index)),
            findings=self.findings(values) if values else {},
            unreadable=None if values else unreadable,
            windows_left_out=len(starts) - len(read),
            heart_rate_bpm=quality.heart_rate_bpm,
            notes=tuple(dict.fromkeys([*record.notes, *notes])),
        )


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


def _check_backbone(found: registry.Registered, network: object, num_leads: int, num_classes: int) -> None:
    """Check the network of a plugin before it is trained; more checks are in ``ecgzoo.testing``.

    Raises:
        RegistryError: it is not a network, lacks a method, or ignores the leads or classes that it was built for.
    """
    if not isinstance(network, nn.Module):
        raise RegistryError(f"{found}: its factory made a {type(network).__name__}, which is not a torch.nn.Module")
    if missing := [name for name in BACKBONE_ATTRIBUTES if not hasattr(network, name)]:
        raise RegistryError(f"{found}: its network has no {', '.join(missing)}; see docs/plugins.md")
    was_training = network.training
    network.eval()

    def shape(leads: int) -> tuple[int, ...]:
        with torch.no_grad():
            return tuple(network(torch.zeros(1, leads, PROBE_SAMPLES)).shape)

    try:
        with registry.blamed(found):
            given = shape(num_leads)
        if given != (1, num_classes):
            raise RegistryError(f"{found}: built for {num_classes} classes, its network gives logits {list(given)}")
        try:
            shape(num_leads + 1)
        except Exception:  # any error is a refusal
            return
        raise RegistryError(f"{found}: built for {num_leads} leads, its network takes {num_leads + 1} as well")
    finally:
        network.train(was_training)
