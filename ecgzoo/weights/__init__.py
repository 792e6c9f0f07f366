"""A published model is a folder of ``config.json``, ``model.safetensors`` and its card ``README.md``. No pickle."""

from ecgzoo.weights.folder import load_pretrained, save_pretrained

__all__ = ["load_pretrained", "save_pretrained"]
