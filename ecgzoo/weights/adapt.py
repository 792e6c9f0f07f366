"""Adapt trained weights to other leads or classes, as a start for further training. Train them before use."""

import dataclasses
import warnings

import torch
from torch import Tensor

from ecgzoo.errors import EcgZooWarning, WeightsError
from ecgzoo.model import EcgModel
from ecgzoo.signal import LEADS_12


def adapt(model: EcgModel, leads: tuple[str, ...], num_classes: int) -> EcgModel:
    """Adapt `model` to `leads` and `num_classes`; ``weights_source.adapted`` and a warning say what was changed.

    A tensor with one slice per lead is filled by lead name: a known lead keeps its slice, a new lead gets the mean of
    all known ones. All slices are scaled by the old number of leads divided by the new number, so that sums over leads
    keep their size. Another number of classes needs a new, random classifier. Labels, calibration and metrics are
    dropped, because they are no longer valid; which records the weights have seen is kept (`ModelConfig.untrained`).

    Raises:
        WeightsError: the network depends on its leads in a way that cannot be adapted.
    """
    old = model.config
    said: list[str] = []
    if leads != old.leads:
        adapted = EcgModel.build(old.untrained(leads=leads))
        state = model.backbone.state_dict()
        for name, axis in _lead_axes(model).items():
            state[name] = _carried(state[name], axis, old.leads, leads)
        adapted.backbone.load_state_dict(state)
        source, model = model.weights_source, adapted.eval()
        model.weights_source = source
        known = [lead for lead in leads if lead in old.leads]
        unknown = [lead for lead in leads if lead not in old.leads]
        said.append(
            f"leads {', '.join(old.leads)} became {', '.join(leads)}: "
            + (f"{', '.join(known)} kept by name" if known else "none kept by name")
            + (f", {', '.join(unknown)} from the mean of all" if unknown else "")
        )
    if num_classes != old.num_classes:
        model.reset_classifier(num_classes)
        said.append(f"the classifier of {old.num_classes} classes was replaced by a random one of {num_classes}")
    if said:
        if model.weights_source:
            model.weights_source = dataclasses.replace(model.weights_source, adapted=tuple(said))
        warnings.warn(f"{old.architecture}: {'; '.join(said)}. Train it before use.", EcgZooWarning, stacklevel=3)
    return model


def _lead_axes(model: EcgModel) -> dict[str, int]:
    """The tensors that have one slice per lead, and its axis: those whose shape changes with the number of leads."""
    leads = model.config.leads
    other = EcgModel.build(model.config.untrained(leads=LEADS_12[: 2 if len(leads) == 1 else 1]))
    shapes = {name: tensor.shape for name, tensor in other.backbone.state_dict().items()}
    axes = {}
    for name, tensor in model.backbone.state_dict().items():
        if shapes.get(name) == tensor.shape:
            continue
        differ = [axis for axis, (a, b) in enumerate(zip(tensor.shape, shapes.get(name, ()), strict=False)) if a != b]
        if len(differ) != 1 or tensor.shape[differ[0]] != len(leads):
            raise WeightsError(
                f"{model.config.architecture}: {name} {tuple(tensor.shape)} depends on the {len(leads)} leads in an "
                "unknown way, so it cannot be adapted. Use the leads that the weights were trained on."
            )
        axes[name] = differ[0]
    return axes


def _carried(tensor: Tensor, axis: int, old_leads: tuple[str, ...], leads: tuple[str, ...]) -> Tensor:
    mean = tensor.mean(axis)
    slices = [tensor.select(axis, old_leads.index(lead)) if lead in old_leads else mean for lead in leads]
    return torch.stack(slices, axis) * (len(old_leads) / len(leads))
