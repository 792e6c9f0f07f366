"""What the networks are shown of a crop: the teacher windows of its own length, the student its leads or any lead.

Every lead is a view of the same heart, with the same labels and the same teacher. A student of one lead that first
learns on whatever lead it is given sees many times as many different recordings.
"""

import torch
from torch import Tensor

from ecgzoo.losses.contract import View
from ecgzoo.model import EcgModel
from ecgzoo.signal.windows import window_starts


def any_lead(millivolts: Tensor, own: Tensor, share: float) -> Tensor:
    """The lead at `own` ``[1]`` of crops ``[B, leads, T]``, with probability `share` a random one: ``[B, 1, T]``."""
    shown = millivolts.index_select(1, own)
    batch, leads, _ = millivolts.shape
    other = torch.randint(leads, (batch,), device=millivolts.device)
    replaced = torch.rand(batch, 1, 1, device=millivolts.device) < share
    return torch.where(replaced, millivolts[torch.arange(batch, device=millivolts.device), other][:, None], shown)


def windowed_view(teacher: EcgModel, millivolts: Tensor) -> View:
    """What `teacher` makes of crops ``[B, leads, T]`` through windows of the length that it was trained on.

    Logits and embedding are means over the windows, as a record's probability is; feature maps follow one another in
    time. A crop that is no longer than a window is seen as it is.
    """
    window, samples = teacher.config.window, millivolts.shape[2]
    if samples <= window:
        return teacher.view(millivolts)
    starts = window_starts(samples, window, window, "crop").tolist()
    windows = torch.stack([millivolts[:, :, start : start + window] for start in starts], dim=1)
    view = teacher.view(windows.flatten(0, 1))
    logits, embedding, features = (
        part.unflatten(0, windows.shape[:2]) for part in (view.logits, view.embedding, view.features)
    )
    return View(logits.mean(1), embedding.mean(1), features.transpose(1, 2).flatten(2))
