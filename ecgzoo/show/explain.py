"""explain: which samples raise or lower the logit of a class, by integrated gradients (captum)."""

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch

from ecgzoo.errors import EcgZooError, SignalError, did_you_mean
from ecgzoo.model import EcgModel
from ecgzoo.show.reading import Reading, look
from ecgzoo.signal import Record
from ecgzoo.signal.resample import rate_after

STEPS = 64  # of the integral; the sum is then some hundredths off the difference of the logits
PASSES_AT_ONCE = 256  # bounds memory


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a model looked at when it gave a class its logit.

    Each window's attributions add up to its logit minus that of its flat line, but for the error of the integral; here
    they are summed over windows and divided by their number.

    Attributes:
        label: the class.
        leads: the model's.
        rate_hz: of the attributions: the model's rate, or what the recording became when it was resampled to it.
        attribution: float32 logits ``[leads, samples]`` at `rate_hz`, from the recording's first sample on: above 0
            where the sample speaks for the class, 0 where no window was read.
        logit: mean over the windows that were explained.
        baseline_logit: the same of flat lines, each at the window's median.
    """

    label: str
    leads: tuple[str, ...]
    rate_hz: float
    attribution: np.ndarray
    logit: float
    baseline_logit: float


def explain(
    model: EcgModel,
    record: Record,
    label: str,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    steps: int = STEPS,
) -> Explanation:
    """Attribute the logit of a class to samples: integrated gradients from a flat line to each window that is read.

    The path runs in the network's input, behind its normalization, from each lead's median in the window. Needs captum,
    which ``pip install "ecgzoo[explain]"`` brings. Where the model takes the largest probability of its windows, that
    window alone is explained.

    Args:
        model: a trained one.
        record: the recording.
        label: one of its classes.
        start_s: windows that end before are not explained, to save time.
        end_s: windows that begin later are not explained; by default all are.
        steps: points at which the gradient is taken.

    Raises:
        EcgZooError: the model has no such class, `steps` is no number above 0, or captum is not installed.
        SignalError: the recording is unreadable, or no window that is read lies in the stretch, or it ends before it
            begins.
        WeightsError: the model was never trained.

    Source: Sundararajan, Taly, Yan, arXiv 1703.01365.
    """
    return explain_reading(model, look(record, model), label, start_s, np.inf if end_s is None else end_s, steps)


def explain_reading(
    model: EcgModel, reading: Reading, label: str, start_s: float, end_s: float, steps: int = STEPS
) -> Explanation:
    """As `explain`, of a recording that the model has read."""
    config, record = model.config, reading.record
    if not isinstance(steps, int) or steps < 1:
        raise EcgZooError(f"Expected a whole number of steps above 0, got {steps!r}; {STEPS} is usual.")
    if members := config.aggregates.get(label):
        raise EcgZooError(f"{label} means any of {', '.join(members)}. Explain one of these.")
    if label not in config.classes:
        raise EcgZooError(f"The model has no class {label!r}. {did_you_mean(label, config.classes)}")
    try:
        from captum.attr import IntegratedGradients
    except ImportError as error:
        raise EcgZooError('Integrated gradients need captum: pip install "ecgzoo[explain]"') from error
    if reading.prediction is not None and reading.prediction.unreadable:
        raise SignalError(f"{record.source}: unreadable, so nothing is explained: {reading.prediction.unreadable}")
    if not start_s <= end_s:
        raise SignalError(f"{record.source}: expected a stretch that begins before it ends, got {start_s} to {end_s} s")
    begin_s = reading.quality.starts_s
    chosen = reading.quality.usable & (begin_s + reading.window_s > start_s)
    chosen &= begin_s < end_s
    rate_hz = rate_after(record.rate_hz, config.rate_hz)
    starts = np.round(begin_s[chosen] * rate_hz).astype(np.int64)
    if not len(starts):
        raise SignalError(f"{record.source}: no window that is read lies there; choose another stretch")

    signal = record.select(config.leads).interpolate_invalid().resample(config.rate_hz).signal
    network = deepcopy(model).eval() if model.training else model
    target = config.classes.index(label)
    found = []
    for start in starts.tolist():
        window = torch.from_numpy(signal[None, :, start : start + config.window]).to(model.device)
        with torch.no_grad():
            z = network.normalized(window)
            flat = z.median(dim=-1, keepdim=True).values.expand_as(z).contiguous()
            logit, baseline = network.backbone(torch.cat([z, flat])).double()[:, target].tolist()
        parts = IntegratedGradients(network.backbone).attribute(
            z, flat, target=target, n_steps=steps, internal_batch_size=PASSES_AT_ONCE
        )
        found.append((start, parts[0].detach().cpu().numpy(), logit, baseline))
    if config.aggregation == "max":
        found = [max(found, key=lambda window: window[2])]
    attribution = np.zeros_like(signal)
    for start, parts, _, _ in found:
        attribution[:, start : start + config.window] += parts / len(found)
    logits = np.array([window[2:] for window in found]).mean(axis=0)
    return Explanation(label, config.leads, rate_hz, attribution, float(logits[0]), float(logits[1]))
