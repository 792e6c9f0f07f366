"""ONNX with weights in half precision: half the size. Runtimes compute in single precision, so all of them run it."""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgzoo.exporting.contract import Tolerance
from ecgzoo.exporting.onnx import Onnx, describe, graph
from ecgzoo.exporting.records import Records
from ecgzoo.exporting.scorer import Scorer

if TYPE_CHECKING:
    from onnx import ModelProto

NETWORK = "backbone."  # how the exporter names what the attribute `Scorer.backbone` holds
LEAST_VALUES = 64  # smaller constants stay as they are
LARGEST = float(np.finfo(np.float16).max)


class OnnxFp16(Onnx):
    """As `Onnx`; each weight is float16, followed by a cast that a runtime does once, when it loads the file."""

    tolerance = Tolerance(probability=2e-3)

    def convert(self, scorer: Scorer, metadata: Mapping[str, Any], samples: int, records: Records) -> bytes:
        """See `Format.convert`."""
        model = graph(scorer)
        halve(model)
        describe(model, metadata)
        return bytes(model.SerializeToString(deterministic=True))


def halve(model: "ModelProto", of: Collection[str] | None = None) -> None:
    """Store the network's weights in half precision: those that operations `of` these types read, or all.

    The constants of the normalization stay: in half precision, the high-pass filter would leave some of an offset.
    """
    from onnx import TensorProto, helper, numpy_helper

    read = {name for node in model.graph.node if of is None or node.op_type in of for name in node.input}
    casts = []
    for weight in model.graph.initializer:
        values = numpy_helper.to_array(weight)
        own = weight.name in read and weight.name.startswith(NETWORK)
        small = values.dtype != np.float32 or values.size < LEAST_VALUES
        if not own or small or np.abs(values).max() > LARGEST:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
        casts.append(helper.make_node("Cast", [weight.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    model.graph.ClearField("node")
    model.graph.node.extend(nodes)
