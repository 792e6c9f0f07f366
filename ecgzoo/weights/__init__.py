"""A published model is a folder of ``config.json``, ``model.safetensors`` and its card ``README.md``. No pickle.

``packaged/`` holds the models that come with ecgzoo, each in a folder ``backbone.tag``. This module imports no torch,
so that `ecgzoo.weights.hub` can download models without it.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecgzoo.weights.folder import save_pretrained
    from ecgzoo.weights.resolve import load_pretrained

__all__ = ["load_pretrained", "save_pretrained"]

_HOMES = {"load_pretrained": "ecgzoo.weights.resolve", "save_pretrained": "ecgzoo.weights.folder"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ecgzoo.weights' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
