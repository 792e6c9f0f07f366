"""Is an exported file as good as the Python model? It is run in its own runtime before it is kept."""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from ecgzoo.aggregates import with_aggregates
from ecgzoo.errors import ExportError
from ecgzoo.evaluation.metrics import per_class_auc
from ecgzoo.exporting.contract import Score, Tolerance
from ecgzoo.exporting.records import Records
from ecgzoo.model import EcgModel

ROUNDS, WARM_UP = 15, 3


@dataclass(frozen=True, kw_only=True)
class Parity:
    """A file against the Python model, on the same recordings.

    Attributes:
        records: which recordings.
        count: how many.
        probability: largest difference of a probability.
        macro_auc: macro AUC of the Python model, if the recordings have labels.
        macro_auc_difference: the file's macro AUC minus that.
        findings: how many findings there were; 0 if the model has no thresholds.
        flipped: how many of them differ: present, absent or uncertain.
        latency_ms: median time of one recording of `latency_samples` on one thread.
        python_latency_ms: the same of `EcgModel.score`.
        latency_samples: length of that recording.
        size: bytes of the file.
        tolerance: what was allowed.
        problems: what was beyond the tolerance; empty if the file is kept.
    """

    records: str
    count: int
    probability: float
    macro_auc: float | None
    macro_auc_difference: float | None
    findings: int
    flipped: int
    latency_ms: float
    python_latency_ms: float
    latency_samples: int
    size: int
    tolerance: Tolerance
    problems: tuple[str, ...] = ()

    @property
    def flipped_share(self) -> float:
        """Share of findings that differ."""
        return self.flipped / self.findings if self.findings else 0.0

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {**asdict(self), "flipped_share": self.flipped_share}


class ParityError(ExportError):
    """A file whose probabilities are too far from those of the Python model. It was not written.

    Attributes:
        parity: the comparison.
    """

    def __init__(self, text: str, parity: Parity) -> None:
        super().__init__(text)
        self.parity = parity


def compare(
    model: EcgModel,
    score: Score,
    records: Records,
    tolerance: Tolerance,
    *,
    size: int,
    lengths: Sequence[int] = (),
    expected: np.ndarray | None = None,
) -> Parity:
    """Run the file and the `model` on the same recordings.

    Args:
        model: in eval mode, on the CPU.
        score: the file, in its own runtime.
        records: recordings that the file takes.
        tolerance: what is allowed.
        size: bytes of the file.
        lengths: further lengths, in samples, to which the first recording is cut, where a file takes any length.
        expected: the Python model's probabilities ``[N, labels]``, if they are known.
    """
    config = model.config
    of_python = all_scores(model, records) if expected is None else expected
    of_file = np.empty_like(of_python)
    for some, signals in records.batches():
        found = score(signals)
        of_file[some] = found if found.shape == of_file[some].shape else np.nan
    largest = _largest(of_python, of_file)
    for length in lengths:
        cut = np.ascontiguousarray(records.signals[0][None, :, :length])
        largest = max(largest, _largest(python_scores(model, cut), score(cut)))
    auc, difference = _auc(config.classes, records.labels, of_python, of_file)
    pairs = zip(of_python.tolist(), of_file.tolist(), strict=True)
    findings = [(model.findings(own), model.findings(other)) for own, other in pairs]
    one = np.ascontiguousarray(records.signals[0][None])
    parity = Parity(
        records=records.title,
        count=len(records),
        probability=largest,
        macro_auc=auc,
        macro_auc_difference=difference,
        findings=sum(len(of_model) for of_model, _ in findings),
        flipped=sum(of_model[name] != other[name] for of_model, other in findings for name in of_model),
        latency_ms=latency_ms(lambda: score(one)),
        python_latency_ms=latency_ms(lambda: python_scores(model, one)),
        latency_samples=one.shape[2],
        size=size,
        tolerance=tolerance,
    )
    return replace(parity, problems=tuple(_problems(parity)))


def all_scores(model: EcgModel, records: Records) -> np.ndarray:
    """Calibrated probabilities ``[N, labels]`` of the Python model for all `records`."""
    scores = np.empty((len(records), len(model.config.labels)))
    for some, signals in records.batches():
        scores[some] = python_scores(model, signals)
    return scores


def python_scores(model: EcgModel, signals: np.ndarray) -> np.ndarray:
    """Calibrated probabilities ``[B, labels]`` of the Python model for millivolts ``[B, leads, T]``."""
    scores = model.score(torch.from_numpy(signals)).double().numpy()
    return with_aggregates(scores, model.config.classes, model.config.aggregates)


def latency_ms(call: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Median time of `call`, with torch on one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        times = []
        for _ in range(WARM_UP + rounds):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
    finally:
        torch.set_num_threads(threads)
    return statistics.median(times[WARM_UP:]) * 1e3


def _largest(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest difference; infinite if the shape is another or a number is not finite."""
    if expected.shape != found.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(expected - found).max())


def _auc(
    classes: tuple[str, ...], labels: np.ndarray | None, of_python: np.ndarray, of_file: np.ndarray
) -> tuple[float | None, float | None]:
    if labels is None or not np.isfinite(of_file).all():
        return None, None
    known = [
        per_class_auc(labels, scores[:, : len(classes)])[np.ptp(labels, axis=0) > 0] for scores in (of_python, of_file)
    ]
    if not known[0].size:
        return None, None
    return float(known[0].mean()), float(known[1].mean() - known[0].mean())


def _problems(found: Parity) -> list[str]:
    allowed = found.tolerance
    problems = []
    if not np.isfinite(found.probability):
        problems.append("its probabilities have another shape, or are not finite")
    elif allowed.probability is not None and found.probability > allowed.probability:
        problems.append(f"a probability differs by {found.probability:.2g}, allowed is {allowed.probability:.2g}")
    if allowed.macro_auc is not None and abs(found.macro_auc_difference or 0) > allowed.macro_auc:
        problems.append(f"the macro AUC differs by {found.macro_auc_difference:+.4f}, allowed is {allowed.macro_auc}")
    if allowed.flipped is not None and found.flipped_share > allowed.flipped:
        problems.append(f"{found.flipped_share:.2%} of findings differ, allowed are {allowed.flipped:.2%}")
    return problems
