"""ecgzoo: 12-lead ECG teachers, single-lead students, and the distillation between them.

``import ecgzoo`` imports no torch, timm or wfdb. The public names are listed in ``__init__.pyi``. Each is loaded on
first use.
"""

from importlib.metadata import version
from typing import Any

import lazy_loader

_public, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    return version("ecgzoo") if name == "__version__" else _public(name)
