"""A published model is a folder of ``config.json``, ``model.safetensors`` and its card ``README.md``. No pickle.

``packaged/`` holds those that come with ecgzoo, each in a folder ``backbone.tag``.
"""

from ecgzoo.weights.folder import save_pretrained
from ecgzoo.weights.resolve import load_pretrained

__all__ = ["load_pretrained", "save_pretrained"]
