"""Without labels first: two leads of one heart should be told from those of others (CLOCS, arXiv 2005.13249).

The embedding of a random lead is to find, among those of a batch, that of another random lead of the same record, one
window later (InfoNCE both ways, temperature 0.1); then the student starts from these weights. Or it is to find the
embedding that the teacher has of all leads, one window later.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from rich.progress import track
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from ecgzoo.distill import Recipe, Run
from ecgzoo.distill.batches import TrainingRecords
from ecgzoo.distill.engine import make_optimizer
from ecgzoo.distill.views import any_lead
from ecgzoo.model import EcgModel

BATCH, TEMPERATURE = 256, 0.1


class PretrainedRun(Run):
    """A run whose student of one lead starts from weights learnt without labels."""

    def __init__(self, recipe: Recipe, distils: bool, epochs: int, of_teacher: bool) -> None:
        self.pretext = (epochs, of_teacher)
        super().__init__(recipe, distils)

    def _new_model(self, architecture: str, leads: tuple[str, ...], arguments: Mapping[str, Any]) -> EcgModel:
        model = super()._new_model(architecture, leads, arguments)
        epochs, of_teacher = self.pretext
        name = f"{architecture}_{'teacher' if of_teacher else 'leads'}_{epochs}_{model.config.window}"
        file = self.folder.parent / f"pretrained_{name}.safetensors"
        if len(leads) == 1:
            if not file.exists():
                self.pretrain(model, epochs, of_teacher)
                save_file(model.backbone.state_dict(), file)
            model.backbone.load_state_dict(load_file(file))
            model.backbone.reset_classifier(len(self.cohort.classes))
        return model

    def pretrain(self, student: EcgModel, epochs: int, of_teacher: bool) -> None:
        """Train `student` in place on the training records, of which it sees every lead and no label."""
        torch.manual_seed(0)
        window, own = student.config.window, torch.tensor([0])
        teacher = self._given_teacher(self.recipe.teacher_weights).eval() if self.recipe.teacher_weights else None
        records = TrainingRecords(
            self.cohort, self.train_rows, list(range(len(self.cohort.leads))), 2 * window, BATCH, torch.device("cpu")
        )
        projections = nn.ModuleList(nn.Sequential(nn.LazyLinear(128), nn.ReLU(), nn.Linear(128, 128)) for _ in "ab")

        def own_view(crop: Tensor) -> Tensor:
            return student.view(any_lead(crop, own, 1.0)).embedding

        def other_view(crop: Tensor) -> Tensor:
            if not of_teacher:
                return own_view(crop)
            assert teacher is not None
            with torch.no_grad():
                return teacher.view(crop[:, teacher.lead_positions(self.cohort.leads, self.cohort.title)]).embedding

        crop = torch.zeros(2, len(self.cohort.leads), window)
        first, second = projections[0], projections[1 if of_teacher else 0]
        first(own_view(crop))
        second(other_view(crop))
        learner = nn.ModuleList([student.train(), first, second])
        optimizer, set_lr = make_optimizer(learner, replace(self.recipe, epochs=epochs), len(records))
        target = torch.arange(BATCH)
        for epoch in track(range(epochs), "without labels"):
            for step, (millivolts, _) in enumerate(records.epoch(0, epoch)):
                optimizer.zero_grad()
                with self.accelerator.autocast():
                    one, two = millivolts.split(window, dim=2)
                    a, b = first(own_view(one)), second(other_view(two))
                similar = normalize(a.float()) @ normalize(b.float()).T / TEMPERATURE
                loss = (cross_entropy(similar, target) + cross_entropy(similar.T, target)) / 2
                loss.backward()
                optimizer.step()
                set_lr(epoch * len(records) + step + 1)
