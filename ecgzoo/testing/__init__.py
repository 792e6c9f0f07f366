"""Conformance checks for plugin authors: one for each kind, and `check` for any registered name."""

from ecgzoo.testing.anything import check
from ecgzoo.testing.backbones import assert_backbone_conforms
from ecgzoo.testing.datasets import assert_dataset_conforms
from ecgzoo.testing.deprecations import assert_nothing_overdue
from ecgzoo.testing.losses import assert_loss_conforms
from ecgzoo.testing.readers import assert_reader_conforms
from ecgzoo.testing.transforms import assert_transform_conforms

__all__ = [
    "assert_backbone_conforms",
    "assert_dataset_conforms",
    "assert_loss_conforms",
    "assert_nothing_overdue",
    "assert_reader_conforms",
    "assert_transform_conforms",
    "check",
]
