"""ModelConfig: everything that is needed to use a model, besides its weights, as saved in ``config.json``."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ecgzoo.errors import SignalError, WeightsError, did_you_mean
from ecgzoo.signal import LEADS_12, resolve_leads
from ecgzoo.signal.record import FASTEST_HZ, SLOWEST_HZ

SCHEMA_VERSION = "1.2"
RENAMED_SINCE_1_0 = {
    "labels": "classes",
    "label_info": "class_info",
    "normalisation": "normalization",
    "licence": "license",
}
LONGEST_WINDOW_S = 3600
LEAST_SCALE, LARGEST_SCALE = 1e-6, 1e6  # of `std_mv` in mV: beyond, single precision overflows
LARGEST_TEMPERATURE = 1e6
THRESHOLDS = ("f1", "screening", "lower", "upper")
INTENDED_USE = (
    "Research on single-lead and multi-lead ECG classification. Not a medical device: not for diagnosis, monitoring or "
    "any decision about a patient."
)

SEEN = ("data", "data_fingerprint", "train_folds", "unlabelled_folds", "val_folds", "teacher", "started_from")
"""What `ModelConfig.training` says of the records that a model has seen, and of the models that it learned from."""

# a label gives no finding
LEAST_POSITIVES = 20  # if fewer positive records chose its threshold, which would be mostly chance
LEAST_AUC = 0.6  # if the 95 % interval of its AUC includes this


def left_out(per_class: Mapping[str, float | None]) -> str:
    """What tables and cards say of the classes without an AUC, in a clause; empty if every class has one."""
    undefined = ", ".join(name for name, auc in per_class.items() if auc is None)
    return f"macro AUC leaves out {undefined}: no positive or no negative record" if undefined else ""


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """How millivolts become the network's input: ``(x − mean) / deviation``, with one scalar of each for all leads.

    Attributes:
        kind: ``mv_global`` uses the mean and deviation of the training records, `mean_mv` and `std_mv`, which keeps the
            amplitude. ``window_z`` uses those of each window, which removes it; a deviation is at least 0.01 mV.
        mean_mv: mean in mV, for ``mv_global``.
        std_mv: standard deviation in mV, for ``mv_global``.
        highpass_hz: drift below this frequency, including the window's mean, is removed first
            (`ecgzoo.normalization.without_baseline`); 0 to disable.
    """

    kind: Literal["mv_global", "window_z"] = "mv_global"
    mean_mv: float = 0.0
    std_mv: float = 1.0
    highpass_hz: float = 0.0


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """What a model is and what it expects.

    Attributes:
        architecture: registered backbone name.
        arguments: further arguments of the backbone, JSON values only.
        leads: lead names in channel order.
        num_classes: number of logits.
        classes: class names in logit order; empty until the model is trained.
        class_info: for each class or aggregate, its plain ``name`` and its codes in ``scp`` and ``snomed``, if known.
        aggregates: labels that mean "any of these classes", such as atrial fibrillation or flutter, each with its
            classes; in a prediction they come after the classes (`ecgzoo.aggregates`).
        task: the label set.
        rate_hz: samples per second of the input.
        window_s: seconds of signal in one forward pass.
        stride_s: seconds between windows of one record.
        aggregation: how a record's probability is computed from those of its windows, ``mean`` or ``max``.
        normalization: see `Normalization`.
        units: units of the input.
        temperature: T of the calibrated probability ``σ(logit(p)/T)``, where p is aggregated over windows.
        thresholds: for each class or aggregate, ``f1`` (the flag), ``screening`` (sensitivity 0.9), and ``lower`` and
            ``upper``, between which a probability is uncertain; all for calibrated probabilities. A label with fewer
            than 20 positive records to choose them on, or whose AUC there has an interval that reaches 0.6, has no
            thresholds, and the model gives no finding for it.
        calibrated_on: the records on which temperature and thresholds were chosen.
        metrics: how good it is, and on which data (data set, folds, macro AUC with interval, per class, subgroups).
        training: where the weights come from (data set, folds, recipe, teacher, seed, versions).
        weights_dtype: dtype of the weights in the file; a loaded model is float32.
        license: license of the weights, an SPDX identifier.
        intended_use: what the model is for, and what it is not for.
        schema_version: version of this schema; an unknown major version is refused.

    Raises:
        WeightsError: a field has a value that it cannot have.
        SignalError: an unknown lead.
    """

    architecture: str
    leads: tuple[str, ...]
    num_classes: int
    arguments: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] = ()
    class_info: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    aggregates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    task: str | None = None
    rate_hz: float = 100.0
    window_s: float = 2.5
    stride_s: float = 1.25
    aggregation: Literal["mean", "max"] = "mean"
    normalization: Normalization = Normalization()
    units: Literal["mV"] = "mV"
    temperature: float = 1.0
    thresholds: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    calibrated_on: str | None = None
    metrics: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    weights_dtype: Literal["float32", "float16"] = "float32"
    license: str = "Apache-2.0"
    intended_use: str = INTENDED_USE
    schema_version: str = SCHEMA_VERSION

    def __post_init__(self) -> None:
        for name in ("arguments", "class_info", "aggregates", "thresholds", "metrics", "training"):
            value = getattr(self, name)
            if not isinstance(value, Mapping) or (
                name in ("class_info", "thresholds") and not all(isinstance(inner, Mapping) for inner in value.values())
            ):
                raise WeightsError(f"{name} is {value!r}; expected an object")
        if not isinstance(self.architecture, str):
            raise WeightsError(f"architecture is {self.architecture!r}; expected a name")
        for name, none in (("license", False), ("intended_use", False), ("task", True), ("calibrated_on", True)):
            value = getattr(self, name)
            if not isinstance(value, str) and not (none and value is None):
                raise WeightsError(f"{name} is {value!r}; expected text")
        if len(set(self.classes)) < len(self.classes) or not all(isinstance(name, str) for name in self.classes):
            raise WeightsError(f"classes {self.classes}: expected distinct names")
        if self.units != "mV" or self.normalization.kind not in ("mv_global", "window_z"):
            raise WeightsError(
                f"units {self.units!r}, normalization {self.normalization.kind!r}; this ecgzoo knows mV, and mv_global "
                "and window_z"
            )
        if resolve_leads(self.leads) != self.leads:
            raise WeightsError(f"leads {', '.join(self.leads)}: expected the spelling of {', '.join(LEADS_12)}")
        if not isinstance(self.num_classes, int) or self.num_classes < 1:
            raise WeightsError(f"num_classes is {self.num_classes!r}; expected a whole number of at least 1")
        if self.classes and len(self.classes) != self.num_classes:
            raise WeightsError(f"{len(self.classes)} names for {self.num_classes} classes; give one name per class")
        if self.aggregation not in ("mean", "max"):
            raise WeightsError(f"aggregation is {self.aggregation!r}; expected 'mean' or 'max'")
        if self.weights_dtype not in ("float32", "float16"):
            raise WeightsError(f"weights_dtype is {self.weights_dtype!r}; expected 'float32' or 'float16'")
        if not 0 < self.temperature <= LARGEST_TEMPERATURE:
            raise WeightsError(
                f"temperature is {self.temperature}; it must be positive, and at most {LARGEST_TEMPERATURE:g}"
            )
        for name, members in self.aggregates.items():
            if name in self.classes or not members or not set(members) <= set(self.classes):
                raise WeightsError(f"aggregate {name!r} of {members!r}: expected a new name, and some of the classes")
        for name in ("class_info", "thresholds"):
            if unknown := set(getattr(self, name)) - set(self.labels):
                raise WeightsError(f"{name} of {min(unknown)}, which is not one of {', '.join(self.classes) or 'none'}")
        for label, points in self.thresholds.items():
            if set(points) != set(THRESHOLDS) or not all(0 <= point <= 1 for point in points.values()):
                raise WeightsError(f"thresholds of {label} are {dict(points)}; expected {THRESHOLDS}, each from 0 to 1")
        mean_mv, std_mv = self.normalization.mean_mv, self.normalization.std_mv
        if not (LEAST_SCALE <= std_mv <= LARGEST_SCALE and abs(mean_mv) <= LARGEST_SCALE):
            raise WeightsError(
                f"mean_mv={mean_mv}, std_mv={std_mv}: expected a mean of at most {LARGEST_SCALE:g} mV and a deviation "
                f"of {LEAST_SCALE:g} to {LARGEST_SCALE:g} mV"
            )
        if not 0 <= self.normalization.highpass_hz <= self.rate_hz / 4:
            raise WeightsError(
                f"highpass_hz={self.normalization.highpass_hz}: expected 0 to a quarter of the rate of "
                f"{self.rate_hz:g} Hz"
            )
        if not SLOWEST_HZ <= self.rate_hz <= FASTEST_HZ:
            raise WeightsError(f"rate_hz={self.rate_hz}: expected {SLOWEST_HZ} to {FASTEST_HZ} Hz")
        if not 0 < self.stride_s <= self.window_s <= LONGEST_WINDOW_S or not 1 <= self.stride <= self.window:
            raise WeightsError(
                f"window_s={self.window_s}, stride_s={self.stride_s} at {self.rate_hz:g} Hz: the stride must be at "
                f"least a sample ({1 / self.rate_hz:g} s), and no longer than the window; the window at most "
                f"{LONGEST_WINDOW_S} s"
            )

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that a prediction has a probability for: the classes, then the aggregates."""
        return (*self.classes, *self.aggregates)

    @property
    def window(self) -> int:
        """Samples per window."""
        return round(self.window_s * self.rate_hz)

    @property
    def stride(self) -> int:
        """Samples between the starts of windows."""
        return round(self.stride_s * self.rate_hz)

    def untrained(self, leads: tuple[str, ...] | None = None, num_classes: int | None = None) -> "ModelConfig":
        """The same network and input, without what only trained weights have: classes, calibration, metrics.

        The license stays, and ``training["started_from"]`` says which records the weights have seen.

        Args:
            leads: new leads, if given.
            num_classes: new number of logits, if given.
        """
        seen = {name: self.training[name] for name in SEEN if name in self.training}
        return ModelConfig(
            architecture=self.architecture,
            leads=leads or self.leads,
            num_classes=num_classes or self.num_classes,
            arguments=self.arguments,
            rate_hz=self.rate_hz,
            window_s=self.window_s,
            stride_s=self.stride_s,
            aggregation=self.aggregation,
            normalization=self.normalization,
            training={"started_from": seen} if "data" in seen else seen,
            license=self.license,
        )

    def to_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str) -> "ModelConfig":
        """Read the `values` that `to_dict` wrote; errors name `source`.

        Raises:
            WeightsError: the major schema version is unknown, or a field is missing or has the wrong type.
        """
        version = str(values.get("schema_version", "missing"))
        if not re.fullmatch(r"1\.\d{1,4}", version):
            raise WeightsError(
                f"{source}: schema version {version}, this ecgzoo reads {SCHEMA_VERSION}; "
                "use a matching version of ecgzoo"
            )
        if version == "1.0":
            values = _from_1_0(values)
        known = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(values) - set(known))
        if version in ("1.0", "1.1", SCHEMA_VERSION) and unknown:  # a newer minor version may add fields
            raise WeightsError(f"{source}: unknown field {unknown[0]!r}. {did_you_mean(unknown[0], known)}")
        required = [n for n, f in known.items() if f.default is f.default_factory is dataclasses.MISSING]
        missing = [name for name in required if name not in values]
        if missing:
            raise WeightsError(f"{source}: no field {', '.join(missing)}; write it with save_pretrained")
        fields = {name: value for name, value in values.items() if name in known}
        try:
            for name in ("leads", "classes"):
                if not isinstance(fields.get(name, []), list):
                    raise TypeError(f"{name} is {fields[name]!r}; expected a list")
                fields[name] = tuple(fields.get(name, ()))
            fields["aggregates"] = {name: tuple(of) for name, of in dict(fields.get("aggregates", {})).items()}
            fields["normalization"] = Normalization(**fields.get("normalization", {}))
            return cls(**{**fields, "schema_version": SCHEMA_VERSION})
        except (TypeError, ValueError, OverflowError, SignalError, WeightsError) as error:
            raise WeightsError(f"{source}: {error}; write it with save_pretrained") from error


def _from_1_0(values: Mapping[str, Any]) -> dict[str, Any]:
    """A config of schema 1.0 in the names of 1.1, its best epoch counted from 1 instead of 0."""
    values = {RENAMED_SINCE_1_0.get(name, name): value for name, value in values.items()}
    normalization, training = values.get("normalization"), values.get("training")
    if isinstance(normalization, Mapping) and normalization.get("kind") == "record_z":
        values["normalization"] = {**normalization, "kind": "window_z"}
    if isinstance(training, Mapping):
        training = {{"data_licence": "data_license"}.get(name, name): value for name, value in training.items()}
        if isinstance(best := training.get("best_epoch"), int):
            training["best_epoch"] = best + 1
        values["training"] = training
    return values
