"""save_pretrained and load_pretrained for a local folder. Strict: every tensor by name and shape, verified by hash."""

import hashlib
import json
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save_file

from ecgzoo.config import ModelConfig
from ecgzoo.errors import WeightsError
from ecgzoo.files import write_atomic, write_json, write_text
from ecgzoo.model import EcgModel
from ecgzoo.weights.card import render_card

CONFIG, WEIGHTS, CARD = "config.json", "model.safetensors", "README.md"
SHA256 = "weights_sha256"


def save_pretrained(model: EcgModel, folder: str | Path) -> Path:
    """Write the model's weights, config and card into `folder`, and return it.

    The config, which carries the hash of the weights, is written last: a folder with a config that fits is whole.

    Raises:
        WeightsError: a weight is not finite.
    """
    folder = Path(folder)
    state = {name: tensor.detach().cpu().contiguous() for name, tensor in model.backbone.state_dict().items()}
    broken = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{broken[0]} holds NaN or infinity; such a model is not saved. Lower the learning rate.")
    # one metadata key: with two or more, the file's hash changes from run to run
    write_atomic(folder / WEIGHTS, lambda path: save_file(state, path, metadata={"format": "pt"}))
    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    write_text(folder / CARD, render_card(model.config))
    write_json(folder / CONFIG, {**model.config.to_dict(), SHA256: digest})
    return folder


def load_pretrained(folder: str | Path) -> EcgModel:
    """The model in `folder`, in eval mode.

    Raises:
        WeightsError: a file is missing, is not what its hash says, or does not fit its architecture exactly.
        RegistryError: the architecture is not registered, or does not take the config's arguments.
    """
    folder = Path(folder)
    for name in (CONFIG, WEIGHTS):
        if not (folder / name).is_file():
            raise WeightsError(
                f"{folder}: no {name}; a model is a folder of {CONFIG} and {WEIGHTS}, as save_pretrained writes it"
            )
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise WeightsError(f"{folder / CONFIG} is not JSON ({error}); save the model again") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{folder / CONFIG} holds a {type(values).__name__}; expected an object")
    expected = values.pop(SHA256, None)
    config = ModelConfig.from_dict(values, str(folder / CONFIG))
    content = (folder / WEIGHTS).read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise WeightsError(
            f"{folder / WEIGHTS} has sha256 {found}, its config says {expected}: "
            "the file is damaged or belongs to another config. Fetch or save both again."
        )
    model = EcgModel.build(config)
    try:
        state = load_tensors(content)
        # torch's strict loading lets a batch norm's missing counter pass
        if different := state.keys() ^ model.backbone.state_dict().keys():
            raise RuntimeError(f"missing or unknown {', '.join(sorted(different)[:3])}")
        model.backbone.load_state_dict(state)
    except (RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{folder / WEIGHTS} does not fit {config.architecture}: {error}") from error
    return model.eval()
