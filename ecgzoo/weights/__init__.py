"""A published model is a folder: ``config.json``, ``model.safetensors``, ``README.md`` (the card). No pickle anywhere."""

from ecgzoo.weights.folder import load_pretrained, save_pretrained

__all__ = ["load_pretrained", "save_pretrained"]
