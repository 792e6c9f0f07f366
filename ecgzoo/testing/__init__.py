"""What plugin authors import to test their own: one conformance check a kind."""

from ecgzoo.testing.backbones import assert_backbone_conforms
from ecgzoo.testing.losses import assert_loss_conforms

__all__ = ["assert_backbone_conforms", "assert_loss_conforms"]
