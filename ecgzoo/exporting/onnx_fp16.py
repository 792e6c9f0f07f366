"""ONNX with weights in half precision: half the size. Runtimes compute in single precision, so all of them run it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from ecgzoo.exporting.contract import Tolerance
from ecgzoo.exporting.onnx import Onnx, describe, graph
from ecgzoo.exporting.records import Records
from ecgzoo.exporting.scorer import Scorer

LEAST_VALUES = 64  # smaller constants stay as they are
LARGEST = float(np.finfo(np.float16).max)


class OnnxFp16(Onnx):
    """As `Onnx`; each weight is float16, followed by a cast that a runtime does once, when it loads the file."""

    tolerance = Tolerance(probability=2e-3)

    def convert(self, scorer: Scorer, metadata: Mapping[str, Any], samples: int, records: Records) -> bytes:
        """See `Format.convert`."""
        from onnx import TensorProto, helper, numpy_helper

        model = graph(scorer)
        casts = []
        for weight in model.graph.initializer:
            values = numpy_helper.to_array(weight)
            if values.dtype != np.float32 or values.size < LEAST_VALUES or np.abs(values).max() > LARGEST:
                continue
            name = weight.name
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.half"))
            casts.append(helper.make_node("Cast", [weight.name], [name], name=f"{name}.cast", to=TensorProto.FLOAT))
        nodes = [*casts, *model.graph.node]
        model.graph.ClearField("node")
        model.graph.node.extend(nodes)
        describe(model, metadata)
        return bytes(model.SerializeToString(deterministic=True))
