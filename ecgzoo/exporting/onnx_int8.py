"""ONNX with integer convolutions: static quantization (QDQ), calibrated on records.

Weights have a scale for each channel, activations one for each tensor. Weights take seven of their eight bits, because
CPUs without VNNI add pairs of products in 16 bits, which eight bits overflow: the same file would give another answer
there. Four things keep findings as they are:

* Before quantization, each channel is divided by its peak, and the convolutions that read it are multiplied by it, so
  that no channel is rounded away (cross-layer equalization, Nagel et al., arXiv 1906.04721). ReLU, pooling and sums
  commute with this, so the float graph computes the same.
* The first two convolutions and all that is not a convolution's feature map are computed in single precision: they are
  a few percent of the work, and an error in the signal itself reaches every finding.
* A scale leaves out the largest three millionths of the values that were seen; the rest has finer steps.
* Each logit gets a constant, so that its mean probability is that of the float graph: the errors of all layers add up
  to a shift that depends on the records of the calibration.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ecgzoo.exporting.contract import Tolerance
from ecgzoo.exporting.onnx import INPUT, Onnx, describe, graph
from ecgzoo.exporting.onnx_fp16 import NETWORK, halve
from ecgzoo.exporting.records import Records
from ecgzoo.exporting.scorer import Scorer
from ecgzoo.exporting.torch_export import quietly

if TYPE_CHECKING:
    from onnx import ModelProto

CALIBRATED_ON = 200  # records
FLOAT_CONVOLUTIONS = 2  # at the input
LARGEST_WEIGHT = 64  # as an integer, in ONNX Runtime's seven bits (``reduce_range``)
LEAST_PEAK = 1e-3
PERCENTILE = 99.9997
NEWTON_STEPS = 5
# operations on feature maps that commute with a positive factor for each channel
HOMOGENEOUS = ("Relu", "MaxPool", "AveragePool", "Add", "Concat", "Slice")


class OnnxInt8(Onnx):
    """As `Onnx`, with 8-bit integers. Fast where the CPU multiplies them (AVX-512 VNNI, ARM's dot product)."""

    tolerance = Tolerance(macro_auc=0.002, flipped=0.01, probability=0.15)
    calibrated = True

    def convert(self, scorer: Scorer, metadata: Mapping[str, Any], samples: int, records: Records) -> bytes:
        """See `Format.convert`."""
        model = graph(scorer)
        some = _spread(records)
        equalize(model, some)
        quantized = _quantized(model, some)
        _unshift(quantized, model, -1 if scorer.config.temperature == 1 else -2, some)
        _store_as_integers(quantized, of=("Gemm", "MatMul"))
        halve(quantized, of=("Conv",))  # what has stayed in single precision
        store_in_three_bytes(quantized)
        _shorten(quantized)
        describe(quantized, metadata)
        return bytes(quantized.SerializeToString(deterministic=True))


def _spread(records: Records) -> list[np.ndarray]:
    """Up to `CALIBRATED_ON` recordings ``[1, leads, T]`` of one length, evenly from all `records`."""
    some = records.signals[:: -(-len(records) // CALIBRATED_ON)]
    shortest = min(signal.shape[1] for signal in some)
    return [np.ascontiguousarray(signal[None, :, :shortest]) for signal in some]


def _quantized(model: "ModelProto", signals: Sequence[np.ndarray]) -> "ModelProto":
    import onnx
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Reader(CalibrationDataReader):  # type: ignore[misc] # its base ships no types
        def __init__(self) -> None:
            self.left = iter(signals)

        def get_next(self) -> dict[str, np.ndarray] | None:
            signal = next(self.left, None)
            return None if signal is None else {INPUT: signal}

    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    features = _features(model)
    of_features = {node.name for node in model.graph.node if set(node.output) & features}
    in_float = {node.name for node in convolutions[:FLOAT_CONVOLUTIONS]}
    with TemporaryDirectory() as folder, quietly():  # it recommends steps that `graph` has done
        target = Path(folder) / "quantized.onnx"
        copy = onnx.ModelProto()
        copy.CopyFrom(model)  # what is quantized loses its weights
        quantize_static(
            copy,
            target,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Conv", *HOMOGENEOUS],
            nodes_to_exclude=[n.name for n in model.graph.node if n.name not in of_features or n.name in in_float],
            per_channel=True,
            activation_type=QuantType.QUInt8,  # with signed weights, the pair that x86 multiplies
            weight_type=QuantType.QInt8,
            reduce_range=True,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
        )
        return onnx.load(target)


def _unshift(quantized: "ModelProto", model: "ModelProto", sigmoid: int, signals: Sequence[np.ndarray]) -> None:
    """Add a constant to each logit of `quantized`, so that its mean probability on `signals` is that of `model`.

    `sigmoid` is the place of the logits' sigmoid among all; a calibrated model has another one after its temperature.
    """
    from onnx import helper, numpy_helper

    node = [node for node in quantized.graph.node if node.op_type == "Sigmoid"][sigmoid]
    name = node.input[0]
    wanted, found = (np.concatenate([one[0] for one in _run(graph, [name], signals)]) for graph in (model, quantized))
    shift = np.zeros(wanted.shape[1])
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-(found + shift)))
        shift += (1 / (1 + np.exp(-wanted)) - p).mean(axis=0) / (p * (1 - p)).mean(axis=0)
    constant = numpy_helper.from_array(shift.astype(np.float32), f"{name}_shift")
    quantized.graph.initializer.append(constant)
    added = helper.make_node("Add", [name, constant.name], [f"{name}_unshifted"], name=f"{name}_unshifted")
    quantized.graph.node.insert(list(quantized.graph.node).index(node), added)
    node.input[0] = added.output[0]


def _store_as_integers(model: "ModelProto", of: Collection[str]) -> None:
    """Store the network's matrices that operations `of` these types read as integers, with a scale for each output."""
    from onnx import helper, numpy_helper

    weights = {tensor.name: tensor for tensor in model.graph.initializer if tensor.name.startswith(NETWORK)}
    for node in [node for node in model.graph.node if node.op_type in of and node.input[1] in weights]:
        name = node.input[1]
        values = numpy_helper.to_array(weights[name])
        rows = any(a.name == "transB" and a.i for a in node.attribute)  # of the matrix are the outputs
        scale = np.maximum(np.abs(values).max(axis=int(rows), keepdims=True) / 127, np.finfo(np.float32).tiny)
        integers = numpy_helper.from_array(np.rint(values / scale).astype(np.int8), f"{name}.integers")
        weights[name].CopyFrom(integers)
        model.graph.initializer.append(numpy_helper.from_array(scale.flatten(), f"{name}.scale"))
        restored = helper.make_node("DequantizeLinear", [integers.name, f"{name}.scale"], [name], axis=int(not rows))
        model.graph.node.insert(0, restored)


def store_in_three_bytes(model: "ModelProto") -> None:
    """Store the high-pass filter's matrix in half precision, and what that leaves out as 8-bit integers.

    The error of both together is that of single precision; half precision alone would leave some of an offset.
    """
    from onnx import TensorProto, helper, numpy_helper

    read = {name for node in model.graph.node if node.op_type == "MatMul" for name in node.input}
    matrices = [t for t in model.graph.initializer if t.name in read and t.data_type == TensorProto.FLOAT]
    for matrix in [t for t in matrices if not t.name.startswith(NETWORK)]:
        name, values = matrix.name, numpy_helper.to_array(matrix)
        half = values.astype(np.float16)
        rest = values - half.astype(np.float32)
        scale = np.abs(rest).max() / np.float32(127)
        matrix.CopyFrom(numpy_helper.from_array(half, f"{name}.half"))
        model.graph.initializer.append(numpy_helper.from_array(np.rint(rest / scale).astype(np.int8), f"{name}.rest"))
        model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        restored = [
            helper.make_node("Cast", [f"{name}.half"], [f"{name}.single"], to=TensorProto.FLOAT),
            helper.make_node("DequantizeLinear", [f"{name}.rest", f"{name}.scale"], [f"{name}.restored"]),
            helper.make_node("Add", [f"{name}.single", f"{name}.restored"], [name]),
        ]
        for node in reversed(restored):
            model.graph.node.insert(0, node)


def _shorten(model: "ModelProto") -> None:
    """Number the tensors, and leave out zero points that are 0: of a small network, they are a tenth of the file."""
    from onnx import numpy_helper

    model.graph.ClearField("value_info")
    zeros = {t.name for t in model.graph.initializer if t.dims and not numpy_helper.to_array(t).any()}
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and node.input[2:] and node.input[2] in zeros:
            del node.input[2]
    read = {name for node in model.graph.node for name in node.input}
    for tensor in [tensor for tensor in model.graph.initializer if tensor.name not in read]:
        model.graph.initializer.remove(tensor)
    short = {value.name: value.name for value in (*model.graph.input, *model.graph.output)} | {"": ""}
    for tensor in model.graph.initializer:
        tensor.name = short.setdefault(tensor.name, str(len(short)))
    for node in model.graph.node:
        node.name = ""
        node.input[:] = [short.setdefault(name, str(len(short))) for name in node.input]
        node.output[:] = [short.setdefault(name, str(len(short))) for name in node.output]


def _features(model: "ModelProto") -> set[str]:
    """Names of the feature maps: what convolutions give, and what homogeneous operations make of it."""
    features: set[str] = set()
    for node in model.graph.node:
        read = node.input if node.op_type in ("Add", "Concat") else node.input[:1]
        if node.op_type == "Conv" or (node.op_type in HOMOGENEOUS and features >= set(read)):
            features |= set(node.output)
    return features


def equalize(model: "ModelProto", signals: Sequence[np.ndarray]) -> None:
    """Scale the channels of the feature maps of `model` to similar peaks; it computes the same as before.

    Feature maps that are added, pooled or concatenated have one scale for each channel together. What reads them, but
    for convolutions, gets the original values from a multiplication.
    """
    from onnx import helper, numpy_helper

    weights = {tensor.name: tensor for tensor in model.graph.initializer}

    def scale(name: str, by: np.ndarray, axis: int) -> None:
        values = numpy_helper.to_array(weights[name])
        shape = [-1 if number == axis else 1 for number in range(values.ndim)]
        weights[name].CopyFrom(numpy_helper.from_array(values * by.astype(np.float32).reshape(shape), name))

    uses = Counter(name for node in model.graph.node for name in node.input)
    features = _features(model)
    peaks = _peaks(model, sorted(features), signals)
    convolutions = [node for node in model.graph.node if node.op_type == "Conv"]
    for together in _connected(model, features):
        makers = [node for node in convolutions if node.output[0] in together]
        readers = [node for node in convolutions if node.input[0] in together]
        grouped = any(a.name == "group" and a.i != 1 for node in (*makers, *readers) for a in node.attribute)
        own = all(name in weights and uses[name] == 1 for node in (*makers, *readers) for name in node.input[1:])
        if not readers or grouped or not own or len({len(peaks[name]) for name in together}) > 1:
            continue
        factor = np.exp(np.mean([np.log(np.maximum(peaks[name], LEAST_PEAK)) for name in sorted(together)], axis=0))
        factor = (factor / np.exp(np.log(factor).mean())).astype(np.float32)
        for node in makers:
            for name in node.input[1:]:
                scale(name, 1 / factor, axis=0)
        for node in readers:
            scale(node.input[1], factor, axis=1)
        dimensions = len(weights[readers[0].input[1]].dims) - 2
        restored: dict[str, str] = {}
        for node in list(model.graph.node):
            for number, name in enumerate(node.input):
                if name in together and node.op_type not in ("Conv", *HOMOGENEOUS):
                    if name not in restored:
                        restored[name] = f"{name}_restored"
                        by = numpy_helper.from_array(factor.reshape(1, -1, *[1] * dimensions), f"{name}_by")
                        model.graph.initializer.append(by)
                        product = helper.make_node("Mul", [name, by.name], [restored[name]], name=restored[name])
                        model.graph.node.insert(list(model.graph.node).index(node), product)
                    node.input[number] = restored[name]


def _connected(model: "ModelProto", features: set[str]) -> list[set[str]]:
    """The feature maps, in sets whose channels belong together: homogeneous operations lead from one to the other."""
    together = {name: {name} for name in features}
    for node in model.graph.node:
        if node.op_type in HOMOGENEOUS:
            names = features & {*node.input, *node.output}
            merged = set().union(*(together[name] for name in names))
            together.update(dict.fromkeys(merged, merged))
    return [some for name, some in together.items() if name == min(some)]


def _peaks(model: "ModelProto", names: Sequence[str], signals: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The largest absolute value of each channel of the feature maps `names`, over all `signals`."""
    peaks: dict[str, np.ndarray] = {}
    for answers in _run(model, names, signals):
        for name, values in zip(names, answers, strict=True):
            peak = np.abs(values).max(axis=(0, *range(2, values.ndim)))
            peaks[name] = np.maximum(peaks.get(name, 0), peak)
    return peaks


def _run(model: "ModelProto", names: Sequence[str], signals: Sequence[np.ndarray]) -> Iterator[list[np.ndarray]]:
    """The tensors `names` inside `model` for each of the `signals`."""
    import onnxruntime
    from onnx import ModelProto, ValueInfoProto

    watched = ModelProto()
    watched.CopyFrom(model)
    watched.graph.ClearField("output")
    watched.graph.output.extend(ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    running = onnxruntime.InferenceSession(watched.SerializeToString(), options, providers=["CPUExecutionProvider"])
    for signal in signals:
        yield running.run(list(names), {INPUT: signal})
