"""Save a model in a folder and load it again. Every tensor must match by name and shape, and the hash is verified."""

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as tensors_as_bytes
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ecgzoo import registry
from ecgzoo.config import ModelConfig
from ecgzoo.errors import EcgZooWarning, RegistryError, WeightsError
from ecgzoo.files import parse_json, read_bytes, read_json, write_bytes, write_json, write_text
from ecgzoo.model import EcgModel
from ecgzoo.weights.card import plot_calibration, render_card
from ecgzoo.weights.layout import CALIBRATION_PLOT, CARD, CONFIG, MEANING, NEXT_CONFIG, PICKLES, SHA256, WEIGHTS

MEANT = (
    *("architecture", "arguments", "leads", "classes", "rate_hz", "window_s", "stride_s", "aggregation"),
    *("normalization", "temperature", "thresholds", "aggregates"),
)

LARGEST_WEIGHT = 1e9  # far above any trained weight or statistic; products of larger ones overflow float32


def save_pretrained(model: EcgModel, folder: str | Path, source: str | None = None) -> Path:
    """Write the weights, config and card of `model` into `folder`, and return it.

    The card shows how to load the model from `source`, or from the folder itself if not given.

    Weights are written in ``config.weights_dtype``. The config contains their hash and is written last, so a folder
    with a matching config is complete. If a model is replaced, the new config is first written next to the old one, so
    that a reader finds a complete model, old or new, at any time. If the weights were changed since they were loaded,
    and the config still has the metrics of the loaded ones, there is an `EcgZooWarning`.

    Raises:
        WriteError: the files cannot be written.
        WeightsError: a weight is not finite, does not fit half precision, or is beyond `LARGEST_WEIGHT`; the config
            cannot be written as a card or as JSON; or the network is not the one that the config names.
    """
    folder, half = Path(folder), model.config.weights_dtype == "float16"
    try:
        card = render_card(model.config, source or str(folder))
        plot = plot_calibration(model.config) if model.config.metrics.get("reliability") else b""
        parse_json(json.dumps(model.config.to_dict(), indent=2, allow_nan=False))
    except (AttributeError, LookupError, TypeError, ValueError, ArithmeticError) as error:
        raise WeightsError(
            f"no card or calibration plot from the config's metrics and training ({error!r}); complete or empty them"
        ) from error
    state = _stored(model)
    try:
        _check_shapes(model.config, {name: list(tensor.shape) for name, tensor in state.items()})
    except (RegistryError, _MisfitError) as error:
        raise WeightsError(
            f"{folder} was not written, because it could not be loaded: {error}. Give the network a name of its own "
            "in a plugin (docs/plugins.md)."
        ) from error
    broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise WeightsError(
            f"{broken[0]} holds NaN or infinity{' in half precision' if half else ''}; such a model is not saved. "
            + ("Save it in float32." if half else "Lower the learning rate.")
        )
    for name, tensor in state.items():
        if problem := _impossible(name, tensor):
            raise WeightsError(f"{name} {problem}; such a model is not saved. Lower the learning rate.")
    content = _as_bytes(state)
    digests = {SHA256: hashlib.sha256(content).hexdigest(), MEANING: meaning(model.config)}
    if before := changed_since(model, digests[SHA256]):
        warnings.warn(
            f"{folder}: the weights are not those of {before} any more, but its metrics, temperature and thresholds "
            "are saved with them. Measure them again, or call reset_classifier before training.",
            EcgZooWarning,
            stacklevel=2,
        )
    values = {**model.config.to_dict(), **digests}
    write_json(folder / NEXT_CONFIG, values)
    write_bytes(folder / WEIGHTS, content)
    if plot:
        write_bytes(folder / CALIBRATION_PLOT, plot)
    write_text(folder / CARD, card)
    write_json(folder / CONFIG, values)
    (folder / NEXT_CONFIG).unlink(missing_ok=True)
    return folder


def unchanged_sha256(model: EcgModel) -> str | None:
    """The hash of the file that the weights were loaded from; None if there is none or they were changed since."""
    if model.weights_source is None:
        return None
    sha256 = weights_sha256(model)
    return sha256 if sha256 == model.weights_source.sha256 else None


def weights_sha256(model: EcgModel) -> str:
    """The hash of the file that the weights, as they are now, would be saved in."""
    return hashlib.sha256(_as_bytes(_stored(model))).hexdigest()


def changed_since(model: EcgModel, sha256: str) -> str | None:
    """Where the weights were loaded from, if they were changed since and the config has metrics; else None.

    `sha256` is their hash now (`weights_sha256`). After a change, metrics, temperature and thresholds of the config do
    not hold for the weights.
    """
    loaded = model.weights_source
    if loaded is None or loaded.sha256 == "" or loaded.adapted or not model.config.metrics:
        return None
    return loaded.location if sha256 != loaded.sha256 else None


def _stored(model: EcgModel) -> dict[str, Tensor]:
    dtype = getattr(torch, model.config.weights_dtype)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.backbone.state_dict().items()}
    return {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def _as_bytes(state: dict[str, Tensor]) -> bytes:
    # one metadata key: with two or more, the file's hash changes from run to run
    return bytes(tensors_as_bytes(state, metadata={"format": "pt"}))


def rounded(model: EcgModel) -> EcgModel:
    """`model` itself, with its weights rounded as in a file with ``config.weights_dtype``."""
    if model.config.weights_dtype == "float16":
        for tensor in model.backbone.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    return model


def read_folder(folder: Path) -> tuple[EcgModel, str]:
    """Load the model in `folder`, in eval mode; return it with the hash of its weights.

    Raises:
        WeightsError: a file is missing, does not match its hash, or does not fit its architecture exactly.
        RegistryError: the architecture is not registered, or does not take the config's arguments.
    """
    config, expected, meant = read_config(folder)
    try:
        content = read_bytes(folder / WEIGHTS)
    except OSError as error:
        raise WeightsError(f"{folder / WEIGHTS} cannot be read: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    for name in (NEXT_CONFIG, CONFIG):  # NEXT_CONFIG is there while a model is being replaced, or if that was killed
        if found != expected and (folder / name).is_file():
            config, expected, meant = _parse_config(folder / name)
    if found != expected:
        raise WeightsError(
            f"{folder / WEIGHTS} has sha256 {found}, its config says {expected}: "
            "the file is damaged or belongs to another config. Fetch or save both again."
        )
    no_tensors = f"{folder / WEIGHTS} does not fit: it is not a safetensors file"
    try:
        shapes = _shapes_in(content)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{no_tensors} ({error})") from error
    # the config sets the size of the network: do not build one that is too large for the file
    if config.num_classes > max((max(shape, default=0) for shape in shapes.values()), default=0):
        raise WeightsError(f"{folder / WEIGHTS} does not fit: nothing in it is for {config.num_classes} classes")
    try:
        _check_shapes(config, shapes)
        state = load_tensors(content)
        del content  # a copy is in `state`
        model = EcgModel.build(config)
    except RegistryError as error:
        raise type(error)(f"{folder / CONFIG}: {error}") from error
    except _MisfitError as error:
        raise WeightsError(f"{folder / WEIGHTS} does not fit {config.architecture}: {error}") from error
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise WeightsError(f"{no_tensors} ({error})") from error
    try:
        _fill(model, state)
    except RuntimeError as error:
        raise WeightsError(f"{folder / WEIGHTS} does not fit {config.architecture}: {error}") from error
    if meant not in (None, meaning(config)):
        raise WeightsError(
            f"{folder / CONFIG} was changed: its {', '.join(MEANT)} do not match {MEANING}. "
            f"Fetch it again; if you made the change, save the model again, or remove {MEANING}."
        )
    return model.eval(), found


class _MisfitError(RuntimeError):
    """The tensors do not match the architecture."""


class _ShapesOnly(TorchFunctionMode):
    """With this and ``torch.device("meta")``, a network is built without values, in at most `most` calls.

    Initial values are not drawn, because on the meta device this would import torch's compiler, which takes seconds.
    """

    def __init__(self, most: int) -> None:
        super().__init__()
        self.left = most

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        self.left -= 1
        if self.left < 0:
            raise _MisfitError("its config needs more tensors than it holds")
        if getattr(func, "__name__", "") in _INITIAL:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


_INITIAL = {"normal_", "uniform_", "trunc_normal_", "kaiming_normal_", "kaiming_uniform_", "xavier_uniform_"}
CALLS_PER_TENSOR = 100  # of torch's functions, while a network is built


def _check_shapes(config: ModelConfig, shapes: dict[str, list[int]]) -> None:
    """Check that a file has the tensors of the network that `config` names, before any memory is allocated.

    Raises:
        _MisfitError: names or shapes differ.
        RegistryError: see `EcgModel.build`.
    """
    found = registry.lookup("backbone", config.architecture)
    try:
        with torch.device("meta"), _ShapesOnly(CALLS_PER_TENSOR * (100 + len(shapes))):
            network = registry.build(found, (len(config.leads), config.num_classes), config.arguments)
            wanted = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    except (RegistryError, RuntimeError, AttributeError) as error:
        if isinstance(error.__cause__, _MisfitError):
            raise error.__cause__ from None
        if found.built_in or isinstance(error, _MisfitError):
            raise
        return  # a third-party network may need real values when it is built; its memory is not limited here
    if different := shapes.keys() ^ wanted.keys():
        raise _MisfitError(f"missing or unknown {', '.join(sorted(different)[:3])}")
    for name, shape in shapes.items():
        if shape != wanted[name]:
            raise _MisfitError(f"{name} has shape {shape}, expected {wanted[name]}")


def _shapes_in(content: bytes) -> dict[str, list[int]]:
    """Shapes by name, from the header of a safetensors file; safetensors itself checks the rest."""
    length = int.from_bytes(content[:8], "little")
    if length > len(content) - 8:
        raise ValueError("its header is incomplete")
    header = parse_json(content[8 : 8 + length])
    shapes = {name: entry["shape"] for name, entry in header.items() if name != "__metadata__"}
    for name, shape in shapes.items():
        if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
            raise ValueError(f"{name} has shape {shape!r}")
    return shapes


def _impossible(name: str, tensor: Tensor) -> str | None:
    """What makes a tensor of weights or statistics impossible for a trained model; None if nothing does."""
    if not tensor.is_floating_point() or not tensor.numel():
        return None
    if name.rpartition(".")[2] == "running_var" and tensor.min() < 0:
        return f"holds a negative variance, {tensor.min().item():g}"
    largest = tensor.abs().max().item()
    return f"holds {largest:g}, beyond {LARGEST_WEIGHT:g}" if largest > LARGEST_WEIGHT else None


def meaning(config: ModelConfig) -> str:
    """The hash of the fields that say what the weights mean, such as the classes."""
    values = config.to_dict()
    if not values["normalization"]["highpass_hz"]:
        del values["normalization"]["highpass_hz"]  # schema 1.1 had neither, and its hashes must stay valid
    meant = [values[name] for name in MEANT if name != "aggregates" or values[name]]
    return hashlib.sha256(json.dumps(meant, sort_keys=True).encode()).hexdigest()


def _fill(model: EcgModel, state: dict[str, Tensor]) -> None:
    wanted = model.backbone.state_dict()
    # torch's strict loading accepts a missing counter of a batch norm
    if different := state.keys() ^ wanted.keys():
        raise RuntimeError(f"missing or unknown {', '.join(sorted(different)[:3])}")
    for name, tensor in state.items():
        dtype = getattr(torch, model.config.weights_dtype) if wanted[name].is_floating_point() else wanted[name].dtype
        if tensor.dtype != dtype:
            raise RuntimeError(f"{name} is {tensor.dtype}, its config says {str(dtype).removeprefix('torch.')}")
        if not tensor.isfinite().all():
            raise RuntimeError(f"{name} holds NaN or infinity")
        if problem := _impossible(name, tensor):
            raise RuntimeError(f"{name} {problem}; fetch or train it again")
    model.backbone.load_state_dict(state)


def read_config(folder: Path) -> tuple[ModelConfig, str | None, str | None]:
    """The config in `folder`, the hash of its weights, and the hash of their meaning.

    Raises:
        WeightsError: a file is missing or is not a config; pickled weights are refused.
    """
    for name in (CONFIG, WEIGHTS):
        try:
            there = (folder / name).is_file()
            others = [] if there else sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        except (OSError, ValueError) as error:  # a name with a zero byte is a ValueError
            raise WeightsError(f"{folder} cannot be read ({error}); give another folder") from error
        if not there:
            pickles = [other for other in others if other.endswith(PICKLES)]
            if pickles:
                raise WeightsError(
                    f"{folder} holds {pickles[0]}, a pickle, which can run any code when read; ecgzoo reads none. "
                    "If you trust it, load it yourself into an EcgModel, then write it with save_pretrained."
                )
            raise WeightsError(
                f"{folder}: no {name}; a model is a folder of {CONFIG} and {WEIGHTS}, as save_pretrained writes it"
            )
    return _parse_config(folder / CONFIG)


def _parse_config(file: Path) -> tuple[ModelConfig, str | None, str | None]:
    try:
        values: Any = read_json(file)
    except OSError as error:
        raise WeightsError(f"{file} cannot be read ({error.strerror}); save the model again") from error
    except ValueError as error:
        raise WeightsError(f"{file} is not JSON ({error}); save the model again") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{file} holds a {type(values).__name__}; expected an object")
    expected, meant = values.pop(SHA256, None), values.pop(MEANING, None)
    return ModelConfig.from_dict(values, str(file)), expected, meant
