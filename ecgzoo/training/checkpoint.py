"""Checkpoints: any tree of tensors and plain values in one safetensors file, written whole or not at all. No pickle."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ecgzoo.errors import WeightsError
from ecgzoo.files import open_regular, parse_json, write_atomic

_LARGEST_HEADER = 16 << 20  # bytes; the log of some ten thousand epochs, and the names of as many tensors
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
        with open_regular(path) as start:
            if int.from_bytes(start.read(8), "little") > _LARGEST_HEADER:
                raise ValueError(f"its header has more than {_LARGEST_HEADER} bytes")
        with safe_open(path, framework="pt") as file:
            tree: dict[str, Any] = _unpack(parse_json((file.metadata() or {})[_KEY]), file, set())
        if not isinstance(tree, dict):
            raise ValueError("it holds no mapping")
    except (SafetensorError, KeyError, TypeError, ValueError, OSError, RecursionError) as error:
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


def _unpack(value: Any, file: Any, taken: set[str]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        if content in taken:  # `_pack` names each once; many names of one tensor would take memory that no file has
            raise ValueError(f"tensor {content!r} is named twice")
        taken.add(content)
        return file.get_tensor(content)
    if kind == "dict":
        return {key: _unpack(item, file, taken) for key, item in content}
    return [_unpack(item, file, taken) for item in content]
