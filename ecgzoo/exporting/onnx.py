"""ONNX in single precision: any batch and any length from a window on; compared in ONNX Runtime."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ecgzoo.errors import ExportError
from ecgzoo.exporting.contract import Format, Score, Tolerance
from ecgzoo.exporting.records import Records
from ecgzoo.exporting.scorer import Scorer
from ecgzoo.exporting.torch_export import exported, not_exportable, quietly

if TYPE_CHECKING:
    import onnx

OPSET = 18
INPUT, OUTPUT = "signal", "probabilities"
FOLDED_BYTES = 1 << 28  # constants that are computed once, when the file is written


class Onnx(Format):
    """``.onnx``: input ``signal``, output ``probabilities``; each item of the metadata is JSON text under its name."""

    suffix = ".onnx"
    tolerance = Tolerance(probability=1e-5)
    any_length = True

    def convert(self, scorer: Scorer, metadata: Mapping[str, Any], samples: int, records: Records) -> bytes:
        """See `Format.convert`."""
        model = graph(scorer)
        describe(model, metadata)
        return bytes(model.SerializeToString(deterministic=True))

    def load(self, content: bytes) -> Score:
        """See `Format.load`."""
        return session(content)


def graph(scorer: Scorer) -> "onnx.ModelProto":
    """The graph of `scorer`, without metadata.

    Raises:
        ExportError: a package is missing, or the network has an operation that ONNX has not.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401 # compares the result
        import onnxscript.optimizer
    except ImportError as error:
        raise ExportError('ONNX needs onnx, onnxscript and onnxruntime: pip install "ecgzoo[export]"') from error
    config = scorer.config
    # the exporter would take a dimension of 1 as fixed; at a length of one window, it would drop the choice of windows
    dimensions = {0: torch.export.Dim("batch"), 2: torch.export.Dim("samples", min=config.window + 1)}
    program = exported(scorer, 2 * config.window + 1, dimensions, "ONNX")
    try:
        with quietly():
            made = torch.onnx.export(
                program,
                dynamo=True,
                optimize=False,
                verbose=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
            assert made is not None
            model: onnx.ModelProto = onnxscript.optimizer.optimize(
                made.model_proto, input_size_limit=FOLDED_BYTES, output_size_limit=FOLDED_BYTES
            )
    except Exception as error:  # whatever the exporter raises for an operation that it does not know
        raise not_exportable(scorer, "ONNX", error) from error
    _strip(model)
    _compact(model)
    return model


def _compact(model: "onnx.ModelProto") -> None:
    """Leave out constants that a runtime makes of others when it loads the file: transposed copies, and counts."""
    from onnx import helper, numpy_helper

    kept: dict[str, np.ndarray] = {}
    for tensor in list(model.graph.initializer):
        name, values = tensor.name, numpy_helper.to_array(tensor)
        made: list[onnx.NodeProto] = []
        if values.ndim == 2:
            of = next((one for one, there in kept.items() if np.array_equal(there, values.T)), None)
            made = [helper.make_node("Transpose", [of], [name], perm=[1, 0])] if of else []
        elif values.dtype == np.int64 and len(values.shape) == 1 < len(values) and not (np.diff(values) - 1).any():
            ends = {f"{name}_{what}": value for what, value in (("from", values[0]), ("to", values[-1] + 1), ("by", 1))}
            made = [helper.make_node("Range", list(ends), [name])]
            model.graph.initializer.extend(numpy_helper.from_array(np.int64(v), end) for end, v in ends.items())
        if made:
            model.graph.initializer.remove(tensor)
            model.graph.node.insert(0, made[0])
        elif values.ndim == 2:
            kept[name] = values


def _strip(model: "onnx.ModelProto") -> None:
    """Remove the exporter's notes on each node, which are a tenth of the file."""
    model.doc_string = ""
    values = (model.graph.value_info, model.graph.input, model.graph.output, model.graph.initializer)
    for item in (model, model.graph, *model.graph.node, *(value for some in values for value in some)):
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    model.graph.ClearField("value_info")


def describe(model: "onnx.ModelProto", metadata: Mapping[str, Any]) -> None:
    """Set the metadata: each item as JSON text under its own name, and nothing that a converter wrote there."""
    model.ClearField("metadata_props")
    model.producer_name, model.producer_version = "ecgzoo", str(metadata["ecgzoo"])
    model.doc_string = str(metadata["use"])
    for name, value in metadata.items():
        model.metadata_props.add(key=name, value=json.dumps(value))


def session(content: bytes) -> Score:
    """A model in ONNX Runtime, on one thread of the CPU."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    running = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def score(signal: np.ndarray) -> np.ndarray:
        (probabilities,) = running.run([OUTPUT], {INPUT: signal})
        return np.asarray(probabilities)

    return score
