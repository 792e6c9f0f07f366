"""Writing a model into a folder and reading it back. Strict: every tensor by name and shape, verified by hash."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save
from torch import Tensor

from ecgzoo.config import ModelConfig
from ecgzoo.errors import RegistryError, WeightsError
from ecgzoo.files import write_atomic, write_bytes, write_json, write_text
from ecgzoo.model import EcgModel
from ecgzoo.weights.card import plot_calibration, render_card
from ecgzoo.weights.layout import CALIBRATION_PLOT, CARD, CONFIG, MEANING, PICKLES, SHA256, WEIGHTS

MEANT = (
    *("architecture", "arguments", "leads", "classes", "rate_hz", "window_s", "stride_s", "aggregation"),
    *("normalization", "temperature", "thresholds"),
)


def save_pretrained(model: EcgModel, folder: str | Path, source: str | None = None) -> Path:
    """Write the model's weights, config and card into `folder`, and return it.

    The card says that `source` loads the model: the folder itself if not given.

    Weights are written in ``config.weights_dtype``. The config, which carries their hash, is written last: a folder
    with a config that fits is whole.

    Raises:
        WeightsError: a weight is not finite, or not in half precision.
    """
    folder, half = Path(folder), model.config.weights_dtype == "float16"
    try:
        card = render_card(model.config, source or str(folder))
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"the config's metrics or training make no card ({error!r}); leave them empty, or whole"
        ) from error
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.backbone.state_dict().items()}
    if half:
        state = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise WeightsError(
            f"{broken[0]} holds NaN or infinity{' in half precision' if half else ''}; such a model is not saved. "
            + ("Save it in float32." if half else "Lower the learning rate.")
        )
    # one metadata key: with two or more, the file's hash changes from run to run
    content = save(state, metadata={"format": "pt"})
    write_bytes(folder / WEIGHTS, content)
    digest = hashlib.sha256(content).hexdigest()
    if model.config.metrics.get("reliability"):
        write_atomic(folder / CALIBRATION_PLOT, lambda path: plot_calibration(model.config, path))
    write_text(folder / CARD, card)
    write_json(folder / CONFIG, {**model.config.to_dict(), SHA256: digest, MEANING: meaning(model.config)})
    return folder


def rounded(model: EcgModel) -> EcgModel:
    """`model` itself, its weights rounded to what a file of ``config.weights_dtype`` holds."""
    if model.config.weights_dtype == "float16":
        for tensor in model.backbone.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(tensor.half().float())
    return model


def read_folder(folder: Path) -> tuple[EcgModel, str]:
    """The model in `folder`, in eval mode, and the hash of its weights.

    Raises:
        WeightsError: a file is missing, is not what its hash says, or does not fit its architecture exactly.
        RegistryError: the architecture is not registered, or does not take the config's arguments.
    """
    config, expected, meant = read_config(folder)
    try:
        content = (folder / WEIGHTS).read_bytes()
    except OSError as error:
        raise WeightsError(f"{folder / WEIGHTS} cannot be read: {error}") from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise WeightsError(
            f"{folder / WEIGHTS} has sha256 {found}, its config says {expected}: "
            "the file is damaged or belongs to another config. Fetch or save both again."
        )
    try:
        state = load_tensors(content)
    except (SafetensorError, RuntimeError, KeyError, ValueError) as error:
        raise WeightsError(f"{folder / WEIGHTS} does not fit: it is no safetensors file ({error})") from error
    # a network is as large as its config says: one that the file cannot fill is not built
    most = max((max(tensor.shape, default=0) for tensor in state.values()), default=0)
    if config.num_classes > most:
        raise WeightsError(f"{folder / WEIGHTS} does not fit: nothing in it is for {config.num_classes} classes")
    try:
        model = EcgModel.build(config)
    except RegistryError as error:
        raise type(error)(f"{folder / CONFIG}: {error}") from error
    try:
        _fill(model, state)
    except RuntimeError as error:
        raise WeightsError(f"{folder / WEIGHTS} does not fit {config.architecture}: {error}") from error
    if meant not in (None, meaning(config)):
        raise WeightsError(
            f"{folder / CONFIG} was changed: its {', '.join(MEANT)} are not what {MEANING} says. "
            f"Fetch it again; if the change is yours, save the model again, or take {MEANING} out."
        )
    return model.eval(), found


def meaning(config: ModelConfig) -> str:
    """The hash of the fields that say what the weights mean: with other classes, they are another model."""
    values = config.to_dict()
    return hashlib.sha256(json.dumps([values[name] for name in MEANT], sort_keys=True).encode()).hexdigest()


def _fill(model: EcgModel, state: dict[str, Tensor]) -> None:
    wanted = model.backbone.state_dict()
    # torch's strict loading lets a batch norm's missing counter pass
    if different := state.keys() ^ wanted.keys():
        raise RuntimeError(f"missing or unknown {', '.join(sorted(different)[:3])}")
    for name, tensor in state.items():
        dtype = getattr(torch, model.config.weights_dtype) if wanted[name].is_floating_point() else wanted[name].dtype
        if tensor.dtype != dtype:
            raise RuntimeError(f"{name} is {tensor.dtype}, its config says {str(dtype).removeprefix('torch.')}")
        if not tensor.isfinite().all():
            raise RuntimeError(f"{name} holds NaN or infinity")
    model.backbone.load_state_dict(state)


def read_config(folder: Path) -> tuple[ModelConfig, str | None, str | None]:
    """The config in `folder`, the hash of the weights that it belongs to, and that of its meaning.

    Raises:
        WeightsError: a file is missing or is no config; pickled weights are named and refused.
    """
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            pickles = sorted(path.name for suffix in PICKLES for path in folder.glob(f"*{suffix}"))
            if pickles:
                raise WeightsError(
                    f"{folder} holds {pickles[0]}, a pickle, which can run any code when read; ecgzoo reads none. "
                    "Where you trust it, load it yourself into an EcgModel, then write it with save_pretrained."
                )
            raise WeightsError(
                f"{folder}: no {name}; a model is a folder of {CONFIG} and {WEIGHTS}, as save_pretrained writes it"
            )
    try:
        values: Any = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{folder / CONFIG} is not JSON ({error}); save the model again") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{folder / CONFIG} holds a {type(values).__name__}; expected an object")
    expected, meant = values.pop(SHA256, None), values.pop(MEANING, None)
    return ModelConfig.from_dict(values, str(folder / CONFIG)), expected, meant
