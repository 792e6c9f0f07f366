"""ExecuTorch: a ``.pte`` program for phones and microcontrollers, of one recording of a fixed length."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from ecgzoo.errors import ExportError
from ecgzoo.exporting.contract import Format, Score, Tolerance
from ecgzoo.exporting.records import Records
from ecgzoo.exporting.scorer import Scorer
from ecgzoo.exporting.torch_export import exported, not_exportable, quietly

TITLE = "ExecuTorch"


class ExecuTorch(Format):
    """``.pte``, in single precision, for XNNPACK; the metadata is a JSON file beside it."""

    suffix = ".pte"
    tolerance = Tolerance(probability=1e-5)
    has_metadata = False

    def convert(self, scorer: Scorer, metadata: Mapping[str, Any], samples: int, records: Records) -> bytes:
        """See `Format.convert`."""
        try:
            from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
            from executorch.exir import to_edge_transform_and_lower
            from executorch.runtime import Runtime  # noqa: F401 # compares the result
        except ImportError as error:
            raise ExportError(
                "ExecuTorch needs executorch, with many packages of its own: install it into an environment of its own "
                '(python -m venv env; env/bin/pip install "ecgzoo[executorch]") and export there. ONNX does not need it'
            ) from error
        program = exported(scorer, samples, {}, TITLE, batch=1)
        for node in program.graph.nodes:  # its kernels want one memory layout
            node.kwargs = {name: value for name, value in node.kwargs.items() if name != "memory_format"}
        program.graph_module.recompile()
        try:
            with quietly():
                lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
                return bytes(lowered.to_executorch().buffer)
        except Exception as error:  # whatever it raises for an operation that it does not know
            raise not_exportable(scorer, TITLE, error) from error

    def load(self, content: bytes) -> Score:
        """See `Format.load`."""
        from executorch.runtime import Runtime

        program = Runtime.get().load_program(content)
        method = program.load_method("forward")

        def score(signal: np.ndarray) -> np.ndarray:
            each = [method.execute((torch.from_numpy(one[None]),))[0].clone() for one in signal]
            return torch.cat(each).numpy()

        return score
