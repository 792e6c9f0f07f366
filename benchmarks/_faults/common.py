"""Shared by the parts: a tally, a deadline, and a plugin with a small network and cohort."""

import dataclasses
import importlib
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPRODUCERS = 5  # printed for each fault

_PLUGIN = """
import functools

from ecgzoo.hookspecs import hookimpl
from ecgzoo.specs import BackboneSpec, DatasetSpec


@hookimpl
def ecgzoo_backbones():
    return [BackboneSpec(name="faults_net", factory="faults_net:Net", summary="Small and quick.")]


@hookimpl
def ecgzoo_datasets():
    return [DatasetSpec(name="faults", factory="faults_site:load", summary="240 simulated records.",
                        tasks=("superdiagnostic",), needs_root=False)]


@functools.cache
def load(root, task):
    from ecgzoo.data.synthetic import load_synthetic

    return load_synthetic(root, task, num_records=240)
"""
_NETWORK = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, num_leads, num_classes, *, width=4):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv1d(num_leads, width, 7, 4), nn.BatchNorm1d(width), nn.ReLU())
        self.num_features = self.head_hidden_size = width
        self.feature_info = [{"num_chs": width, "reduction": 4, "module": "stem"}]
        self.reset_classifier(num_classes)

    def forward(self, x):
        return self.forward_head(self.forward_features(x))

    def forward_features(self, x):
        return self.stem(x)

    def forward_head(self, x, pre_logits=False):
        embedding = x.mean(dim=-1)
        return embedding if pre_logits else self.classifier(embedding)

    def get_classifier(self):
        return self.classifier

    def reset_classifier(self, num_classes):
        self.num_classes = num_classes
        self.classifier = nn.Linear(self.head_hidden_size, num_classes)
"""


@dataclass
class Tally:
    """The results for one fault."""

    fault: str
    tried: int = 0
    lost: int = 0
    slowest_s: float = 0.0
    growth_mb: float = 0.0
    said: list[str] = field(default_factory=list)

    def count(self, problem: str | None, seconds: float = 0.0, growth_mb: float = 0.0) -> None:
        """Add a case; it is lost if there is a `problem`."""
        self.tried += 1
        self.slowest_s, self.growth_mb = max(self.slowest_s, seconds), max(self.growth_mb, growth_mb)
        if problem:
            self.lost += 1
            if len(self.said) < REPRODUCERS:
                self.said.append(problem)

    def to_dict(self) -> dict[str, Any]:
        """The tally as plain JSON values."""
        return dataclasses.asdict(self)


class Deadline:
    """A time limit that starts now."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """Seconds left."""
        return self._end - time.monotonic()

    @property
    def over(self) -> bool:
        """Whether no time is left."""
        return self.left <= 0


def install_plugin(folder: Path) -> None:
    """Provide the backbone ``faults_net`` and the cohort ``faults`` to this process and its child processes."""
    site = folder / "site"
    meta = site / "ecgzoo_faults-1.0.dist-info"
    meta.mkdir(parents=True)
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: ecgzoo-faults\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[ecgzoo]\nfaults = faults_site\n")
    (site / "faults_site.py").write_text(_PLUGIN)
    (site / "faults_net.py").write_text(_NETWORK)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH"))))
    os.environ["ECGZOO_CACHE"] = str(folder / "cache")
    os.environ["MPLCONFIGDIR"] = str(folder / "matplotlib")
    sys.path.insert(0, str(site))
    importlib.invalidate_caches()


def small_model(number: int) -> Any:
    """A `faults_net` model that looks trained; its temperature and all its weights are `number`."""
    import torch

    import ecgzoo

    model = ecgzoo.create_model("faults_net", ("I",), 3)
    with torch.no_grad():
        for parameter in model.backbone.parameters():
            parameter.fill_(number)
    points = {"f1": 0.5, "screening": 0.4, "lower": 0.3, "upper": 0.6}
    model.config = dataclasses.replace(
        model.config, classes=("A", "B", "C"), temperature=float(number), thresholds={"A": points}
    )
    return model.eval()
