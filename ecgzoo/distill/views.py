"""What a student is shown of a crop: its own leads, or for a while any lead.

Every lead is a view of the same heart, with the same labels and the same teacher. A student of one lead that first
learns on whatever lead it is given sees many times as many different recordings.
"""

import torch
from torch import Tensor


def any_lead(millivolts: Tensor, own: Tensor, share: float) -> Tensor:
    """The lead at `own` ``[1]`` of crops ``[B, leads, T]``, with probability `share` a random one: ``[B, 1, T]``."""
    shown = millivolts.index_select(1, own)
    batch, leads, _ = millivolts.shape
    other = torch.randint(leads, (batch,), device=millivolts.device)
    replaced = torch.rand(batch, 1, 1, device=millivolts.device) < share
    return torch.where(replaced, millivolts[torch.arange(batch, device=millivolts.device), other][:, None], shown)
