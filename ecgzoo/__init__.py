"""ecgzoo: 12-lead ECG teachers, single-lead students, and the distillation between them.

``import ecgzoo`` imports no torch, timm or wfdb; each public name is loaded when first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from ecgzoo.errors import EcgZooError

if TYPE_CHECKING:
    from ecgzoo.create import (
        create_loss,
        create_model,
        create_student,
        create_teacher,
        list_losses,
        list_models,
        list_pretrained,
        load_cohort,
    )
    from ecgzoo.training.recipe import Recipe
    from ecgzoo.training.run import distill
    from ecgzoo.evaluation.cohort import evaluate
    from ecgzoo.hookspecs import hookimpl
    from ecgzoo.model import EcgModel, Prediction
    from ecgzoo.signal import LEADS_12, Record, read_record
    from ecgzoo.weights import load_pretrained, save_pretrained

# where each public name lives; distill and evaluate are packages that can be called
_HOMES = {
    "create_loss": "ecgzoo.create",
    "create_model": "ecgzoo.create",
    "create_student": "ecgzoo.create",
    "create_teacher": "ecgzoo.create",
    "list_losses": "ecgzoo.create",
    "list_models": "ecgzoo.create",
    "list_pretrained": "ecgzoo.create",
    "load_cohort": "ecgzoo.create",
    "Recipe": "ecgzoo.distill",
    "distill": None,
    "evaluate": None,
    "hookimpl": "ecgzoo.hookspecs",
    "EcgModel": "ecgzoo.model",
    "Prediction": "ecgzoo.model",
    "LEADS_12": "ecgzoo.signal",
    "Record": "ecgzoo.signal",
    "read_record": "ecgzoo.signal",
    "load_pretrained": "ecgzoo.weights",
    "save_pretrained": "ecgzoo.weights",
}

__all__ = [
    "LEADS_12",
    "EcgModel",
    "EcgZooError",
    "Prediction",
    "Recipe",
    "Record",
    "create_loss",
    "create_model",
    "create_student",
    "create_teacher",
    "distill",
    "evaluate",
    "hookimpl",
    "list_losses",
    "list_models",
    "list_pretrained",
    "load_cohort",
    "load_pretrained",
    "read_record",
    "save_pretrained",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("ecgzoo")
    if name not in _HOMES:
        raise AttributeError(f"module 'ecgzoo' has no attribute {name!r}")
    home = _HOMES[name]
    value = importlib.import_module(f"ecgzoo.{name}") if home is None else getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, "__version__"})
