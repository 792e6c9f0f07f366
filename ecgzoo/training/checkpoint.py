"""Checkpoints: a tree of tensors and plain values in one safetensors file, written atomically. No pickle."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from ecgzoo.errors import WeightsError
from ecgzoo.files import open_regular, parse_json, write_bytes

_LARGEST_HEADER = 16 << 20  # bytes; enough for the log of ten thousand epochs and the names of as many tensors
_KEY = "tree"  # one metadata key: with two or more, the file's hash changes from run to run


def save_state(path: Path, tree: dict[str, Any]) -> None:
    """Write nested dicts, lists and tuples of tensors, dtypes, numbers, strings and None.

    Raises:
        TypeError: there is something else in it.
    """
    tensors: dict[str, torch.Tensor] = {}
    plain = json.dumps(_pack(tree, tensors))
    written = json.dumps({"sha256": _digest(plain, tensors), "tree": plain})
    write_bytes(path, save(tensors, metadata={_KEY: written}))


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote, tensors on the CPU.

    Raises:
        WeightsError: the file is not a checkpoint, or has changed since it was written.
    """
    try:
        with open_regular(path) as start:
            if int.from_bytes(start.read(8), "little") > _LARGEST_HEADER:
                raise ValueError(f"its header has more than {_LARGEST_HEADER} bytes")
        with safe_open(path, framework="pt") as file:
            written = parse_json((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in map(str, range(len(file.keys())))}
        if written["sha256"] != _digest(written["tree"], tensors):
            raise ValueError("its content does not match its sha256")
        tree: dict[str, Any] = _unpack(parse_json(written["tree"]), tensors)
        if not isinstance(tree, dict):
            raise ValueError("it does not hold a mapping")
    except (SafetensorError, LookupError, ValueError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise WeightsError(f"{path} is not a checkpoint of ecgzoo ({error}); delete it to train again") from error
    return tree


def check_saveable(tree: dict[str, Any]) -> None:
    """Check that `save_state` can write `tree`, without writing it.

    Raises:
        TypeError: it cannot.
    """
    json.dumps(_pack(tree, {}))


def _digest(plain: str, tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256(plain.encode())
    for name, tensor in tensors.items():
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _pack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        tensors[str(len(tensors))] = value.detach().cpu().contiguous().clone()  # clone: tensors must not share memory
        return {"tensor": str(len(tensors) - 1)}
    if isinstance(value, dict):  # as pairs: an optimizer's state has numbers as keys, which JSON objects do not allow
        return {"dict": [[key, _pack(item, tensors)] for key, item in value.items()]}
    if isinstance(value, (list, tuple)):  # some optimizers of timm accept only the kind that they made
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [_pack(item, tensors) for item in value]}
    if isinstance(value, torch.dtype):
        return {"dtype": str(value).removeprefix("torch.")}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a checkpoint holds tensors and plain values, not {type(value).__name__}")


def _unpack(value: Any, tensors: dict[str, torch.Tensor]) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in content}
    if kind == "dtype":
        return _dtype(content)
    items = (_unpack(item, tensors) for item in content)
    return tuple(items) if kind == "tuple" else list(items)


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name)
    if not isinstance(found, torch.dtype):
        raise ValueError(f"{name} is no dtype")
    return found
