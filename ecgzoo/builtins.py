"""ecgzoo's own backbones, losses and data sets, through the same hooks as anyone's. Imports no torch."""

from collections.abc import Iterable

from ecgzoo.backbones import SPECS as BACKBONES
from ecgzoo.data import SPECS as DATASETS
from ecgzoo.hookspecs import hookimpl
from ecgzoo.losses import SPECS as LOSSES
from ecgzoo.specs import BackboneSpec, DatasetSpec, LossSpec


@hookimpl
def ecgzoo_backbones() -> Iterable[BackboneSpec]:
    """The families of ``ecgzoo.backbones``."""
    return BACKBONES


@hookimpl
def ecgzoo_losses() -> Iterable[LossSpec]:
    """The terms of ``ecgzoo.losses``."""
    return LOSSES


@hookimpl
def ecgzoo_datasets() -> Iterable[DatasetSpec]:
    """The data sets of ``ecgzoo.data``."""
    return DATASETS
