"""The hooks of this package. This module does not import torch."""

from collections.abc import Iterable

from ecgzoo import BackboneSpec, hookimpl


@hookimpl
def ecgzoo_backbones() -> Iterable[BackboneSpec]:
    """``tcn_small`` and ``tcn_base``."""
    yield BackboneSpec(
        name="tcn_small",
        factory="ecgzoo_tcn.tcn:tcn_small",
        summary="Temporal convolutional network: 4 dilated residual blocks, 64 wide, sees 2.5 s at 100 Hz.",
        parameters=((12, 71, 174_983), (1, 5, 165_765)),
    )
    yield BackboneSpec(
        name="tcn_base",
        factory="ecgzoo_tcn.tcn:tcn_base",
        summary="Temporal convolutional network: 4 dilated residual blocks, 128 wide, sees 2.5 s at 100 Hz.",
        parameters=((12, 71, 677_575), (1, 5, 659_205)),
    )
