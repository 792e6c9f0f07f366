"""Checkpoints: any tree of tensors and plain values in one safetensors file, written whole or not at all. No pickle."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ecgzoo.errors import WeightsError
from ecgzoo.files import write_atomic

_KEY = "tree"  # one metadata key: with two or more, the file's hash changes from run to run


def save_state(path: Path, tree: dict[str, Any]) -> None:
    """Write nested dicts and lists of tensors, numbers, strings and None."""
    tensors: dict[str, torch.Tensor] = {}
    plain = json.dumps(_pack(tree, tensors))
    write_atomic(path, lambda temporary: save_file(tensors, temporary, metadata={_KEY: plain}))


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, tensors on the CPU.

    Raises:
        WeightsError: the file is no checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tree: dict[str, Any] = _unpack(json.loads((file.metadata() or {})[_KEY]), file)
    except (SafetensorError, KeyError, ValueError, OSError) as error:
        raise WeightsError(f"{path} is no checkpoint of ecgzoo ({error}); delete it to start anew") from error
    return tree


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[str(len(tensors))] = value.detach().cpu().contiguous().clone()  # clone: no two share memory
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(value, dict):  # as pairs: an optimiser's state has numbers for keys, which JSON objects have not
        return {"dict": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):
        return {"list": [_pack(item, tensors) for item in value]}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint holds tensors and plain values, not {type(value).__name__}")


def _unpack(value: Any, file: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return file.get_tensor(content)
    if kind == "dict":
        return {key: _unpack(item, file) for key, item in content}
    return [_unpack(item, file) for item in content]
