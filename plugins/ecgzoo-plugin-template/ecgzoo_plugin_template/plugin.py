"""The hooks of this package. This module does not import torch."""

from collections.abc import Iterable

from ecgzoo import LossSpec, hookimpl


@hookimpl
def ecgzoo_losses() -> Iterable[LossSpec]:
    """One loss."""
    yield LossSpec(
        name="template_cosine",
        factory="ecgzoo_plugin_template.cosine:Cosine",
        summary="angle between the logits of student and teacher",
    )
