"""A plugin with one loss.

    pip install -e examples/new_loss
    ecgzoo plugins --check ecgzoo-focal
    ecgzoo recipe baseline --losses focal=1,gamma=2

This module does not import torch, so that commands which only list losses stay fast.
"""

from ecgzoo import LossSpec, hookimpl


@hookimpl
def ecgzoo_losses() -> list[LossSpec]:
    """The focal loss."""
    return [LossSpec(name="focal", factory="ecgzoo_focal.focal:Focal", summary="focal loss (arXiv 1708.02002)")]
