"""The plugin contract: a module of ``@hookimpl`` functions, named by an entry point of group ``ecgzoo``.

Hooks take no arguments and return iterables of specs. The module must not import torch; factories may.
"""

from collections.abc import Iterable

import pluggy

from ecgzoo.specs import BackboneSpec, DatasetSpec, LossSpec, ReaderSpec, RecipeSpec, TransformSpec, WeightsSpec

hookspec = pluggy.HookspecMarker("ecgzoo")
hookimpl = pluggy.HookimplMarker("ecgzoo")


@hookspec
def ecgzoo_backbones() -> Iterable[BackboneSpec]:
    """Networks; each must pass ``ecgzoo.testing.assert_backbone_conforms``."""
    raise NotImplementedError


@hookspec
def ecgzoo_losses() -> Iterable[LossSpec]:
    """Loss terms; each must pass ``ecgzoo.testing.assert_loss_conforms``."""
    raise NotImplementedError


@hookspec
def ecgzoo_transforms() -> Iterable[TransformSpec]:
    """Transforms of the training crops; each must pass ``ecgzoo.testing.assert_transform_conforms``."""
    raise NotImplementedError


@hookspec
def ecgzoo_readers() -> Iterable[ReaderSpec]:
    """Readers of file formats; each must pass ``ecgzoo.testing.assert_reader_conforms``."""
    raise NotImplementedError


@hookspec
def ecgzoo_datasets() -> Iterable[DatasetSpec]:
    """Data sets that give a ``Cohort``."""
    raise NotImplementedError


@hookspec
def ecgzoo_weights() -> Iterable[WeightsSpec]:
    """Folders of published weights, named ``backbone.tag``."""
    raise NotImplementedError


@hookspec
def ecgzoo_recipes() -> Iterable[RecipeSpec]:
    """Training recipes."""
    raise NotImplementedError
