"""LiteRT (TFLite): its converter, litert-torch, needs versions of torch that ecgzoo does not run on."""

from collections.abc import Mapping
from typing import Any, NoReturn

from ecgzoo.errors import ExportError
from ecgzoo.exporting.contract import Format, Tolerance
from ecgzoo.exporting.records import Records
from ecgzoo.exporting.scorer import Scorer


class LiteRT(Format):
    """``.tflite``; not available, and says so."""

    suffix = ".tflite"
    tolerance = Tolerance(probability=1e-5)

    def convert(self, scorer: Scorer, metadata: Mapping[str, Any], samples: int, records: Records) -> NoReturn:
        """Raise the one sentence that there is to say."""
        raise ExportError(
            "LiteRT's converter, litert-torch, is not available for this platform and torch; export --format onnx, "
            "which runs on phones too, or --format torch-export, and convert that where litert-torch is installed"
        )

    def load(self, content: bytes) -> NoReturn:
        """See `convert`."""
        raise AssertionError("there is no file")
