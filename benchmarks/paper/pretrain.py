"""Without labels first: two leads of one heart should be told from those of others (CLOCS, arXiv 2005.13249).

The embedding of a random lead is to find, among those of a batch, that of another random lead of the same record, one
window later (InfoNCE both ways, temperature 0.1); 20 epochs, then the student starts from these weights.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cross_entropy, normalize

from ecgzoo.distill import Run
from ecgzoo.distill.batches import TrainingRecords
from ecgzoo.distill.engine import make_optimizer
from ecgzoo.distill.views import any_lead
from ecgzoo.model import EcgModel

EPOCHS, BATCH, TEMPERATURE = 20, 256, 0.1


class PretrainedRun(Run):
    """A run whose student of one lead starts from weights learnt without labels."""

    def _new_model(self, architecture: str, leads: tuple[str, ...], arguments: Mapping[str, Any]) -> EcgModel:
        model = super()._new_model(architecture, leads, arguments)
        file = self.folder.parent / "pretrained.safetensors"
        if len(leads) == 1:
            if not file.exists():
                pretrain(model, self)
                save_file(model.backbone.state_dict(), file)
            model.backbone.load_state_dict(load_file(file))
            model.backbone.reset_classifier(len(self.cohort.classes))
        return model


def pretrain(student: EcgModel, run: Run) -> None:
    """Train `student` in place on the run's training records, of which it sees every lead and no label."""
    torch.manual_seed(0)
    window, own = student.config.window, torch.tensor([0])
    records = TrainingRecords(
        run.cohort, run.train_rows, list(range(len(run.cohort.leads))), 2 * window, BATCH, torch.device("cpu")
    )
    projection = nn.Sequential(nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, 128))
    projection(student.view(torch.zeros(2, 1, window)).embedding)
    learner = nn.ModuleList([student.train(), projection])
    optimizer, set_lr = make_optimizer(learner, replace(run.recipe, epochs=EPOCHS), len(records))
    target = torch.arange(BATCH)
    for epoch in track(range(EPOCHS), "without labels"):
        for step, (millivolts, _) in enumerate(records.epoch(0, epoch)):
            optimizer.zero_grad()
            with run.accelerator.autocast():
                a, b = (
                    normalize(projection(student.view(any_lead(crop, own, 1.0)).embedding).float())
                    for crop in millivolts.split(window, dim=2)
                )
            similar = a @ b.T / TEMPERATURE
            loss = (cross_entropy(similar, target) + cross_entropy(similar.T, target)) / 2
            loss.backward()
            optimizer.step()
            set_lr(epoch * len(records) + step + 1)
        print(f"epoch {epoch}: {loss.item():.3f}")
