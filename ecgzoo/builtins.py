"""Everything that comes with ecgzoo, registered through the same hooks as a plugin. Imports no torch."""

import json
from collections.abc import Iterable
from pathlib import Path

from ecgzoo.backbones import SPECS as BACKBONES
from ecgzoo.backbones import timm_specs
from ecgzoo.data import SPECS as DATASETS
from ecgzoo.hookspecs import hookimpl
from ecgzoo.losses import SPECS as LOSSES
from ecgzoo.recipes import SPECS as RECIPES
from ecgzoo.signal.readers import SPECS as READERS
from ecgzoo.specs import BackboneSpec, DatasetSpec, LossSpec, ReaderSpec, RecipeSpec, TransformSpec, WeightsSpec
from ecgzoo.transforms import SPECS as TRANSFORMS

PACKAGED = Path(__file__).parent / "weights" / "packaged"


@hookimpl
def ecgzoo_backbones() -> Iterable[BackboneSpec]:
    """The networks in ``ecgzoo.backbones``, and those of timm."""
    return (*BACKBONES, *timm_specs())


@hookimpl
def ecgzoo_losses() -> Iterable[LossSpec]:
    """The losses in ``ecgzoo.losses``."""
    return LOSSES


@hookimpl
def ecgzoo_transforms() -> Iterable[TransformSpec]:
    """The transforms in ``ecgzoo.transforms``."""
    return TRANSFORMS


@hookimpl
def ecgzoo_readers() -> Iterable[ReaderSpec]:
    """The readers in ``ecgzoo.signal.readers``."""
    return READERS


@hookimpl
def ecgzoo_recipes() -> Iterable[RecipeSpec]:
    """The scripts in ``recipes/``."""
    return RECIPES


@hookimpl
def ecgzoo_datasets() -> Iterable[DatasetSpec]:
    """The data sets in ``ecgzoo.data``."""
    return DATASETS


@hookimpl
def ecgzoo_weights() -> Iterable[WeightsSpec]:
    """The folders in ``ecgzoo/weights/packaged``, each named ``backbone.tag`` and described by its config."""
    for folder in sorted(path.parent for path in PACKAGED.glob("*/config.json")):
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        leads = tuple(config["leads"])
        yield WeightsSpec(
            name=folder.name,
            factory="ecgzoo.weights.packaged:folder",
            summary=f"{config['training']['data']}/{config['task']}, "
            + (f"lead {leads[0]}" if len(leads) == 1 else f"{len(leads)} leads"),
            leads=leads,
            default=config["task"] == "superdiagnostic",
        )
