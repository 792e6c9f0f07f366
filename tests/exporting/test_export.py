"""Exported files: the probabilities of Python, or no file."""

import dataclasses
import io
import json
import shutil
import subprocess
import sys
import warnings
from argparse import ArgumentParser
from collections.abc import Callable
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import ecgzoo
from ecgzoo import registry
from ecgzoo.aggregates import with_aggregates
from ecgzoo.cli import export as command
from ecgzoo.cli.app import main
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import DataError, EcgZooError, EcgZooWarning, ExportError, SignalError, WeightsError
from ecgzoo.exporting import SPECS, onnx_fp16, onnx_int8, records, run
from ecgzoo.exporting.contract import Tolerance
from ecgzoo.exporting.onnx import Onnx, session
from ecgzoo.exporting.onnx_fp16 import OnnxFp16
from ecgzoo.exporting.onnx_int8 import OnnxInt8
from ecgzoo.exporting.parity import ParityError, compare
from ecgzoo.exporting.scorer import Scorer
from ecgzoo.model import EcgModel
from ecgzoo.weights.packaged import folder

TAGS = [name for name in registry.names("weights") if registry.lookup("weights", name).built_in]
HARDEST = "xresnet1d18.ptbxl_rhythm_i"  # it has aggregates, a high-pass filter and the scale of each window
# each network, and twelve leads; the other models are one of these graphs with other weights
DIFFERENT = ("xresnet1d18.ptbxl_super_12", "resnet1d18.ptbxl_super_i", "xresnet1d_tiny.ptbxl_super_i")
OTHERS = [pytest.param(tag, marks=pytest.mark.long) for tag in TAGS if tag not in (HARDEST, *DIFFERENT)]

SMALL: dict[str, Any] = {"architecture": "xresnet1d_tiny", "arguments": {}, "weights_dtype": "float32"}


@cache
def simulated() -> ecgzoo.Cohort:
    return load_synthetic(None, "superdiagnostic", num_records=40)


def hearts(model: EcgModel, *samples: int) -> list[ecgzoo.Record]:
    """A simulated heart of each of these lengths, with the leads and rate of `model`."""
    cohort, c = simulated(), model.config
    whole = np.tile(cohort.signals(np.arange(len(samples)))[:, [cohort.leads.index(x) for x in c.leads]], 3) / 1000
    signals = [signal[:, :length].astype(np.float32) for signal, length in zip(whole, samples, strict=True)]
    return [ecgzoo.Record(signal, c.leads, c.rate_hz, f"heart {k}") for k, signal in enumerate(signals)]


def expected(model: EcgModel, record: ecgzoo.Record) -> np.ndarray:
    scores = model.eval().score(torch.from_numpy(record.signal[None])).double().numpy()
    return with_aggregates(scores, model.config.classes, model.config.aggregates)


@pytest.fixture(scope="module")
def small() -> EcgModel:
    """The smallest network, with random weights, for the task and input of `HARDEST`."""
    torch.manual_seed(0)
    config = ecgzoo.load_pretrained(HARDEST).config
    network = ecgzoo.create_model("xresnet1d_tiny", leads="I", num_classes=config.num_classes).backbone
    for layer in network.modules():
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            nn.init.uniform_(layer.weight, 0.5, 1)
            nn.init.uniform_(layer.running_var, 0.5, 2)
    return EcgModel(network, dataclasses.replace(config, **SMALL)).eval()


@pytest.fixture(scope="module")
def content(small: EcgModel) -> bytes:
    return _converted(small)


def _converted(model: EcgModel) -> bytes:
    on = records.from_recordings(iter(hearts(model, 1000)), model.config)
    return Onnx().convert(Scorer(model), run.metadata(model, None), 0, on)


@pytest.mark.parametrize("tag", [HARDEST, *DIFFERENT, *OTHERS])
def test_every_packaged_model_gives_pythons_probabilities(tag: str, tmp_path: Path) -> None:
    import onnxruntime

    model = ecgzoo.load_pretrained(tag)
    c = model.config
    given = hearts(model, 1000, c.window, 2000, 1000, c.window + c.stride, 1337)
    found = ecgzoo.export(model, tmp_path / "x.onnx", data=given)
    assert found.probability <= 1e-5
    assert found.flipped == 0
    assert found.size == (tmp_path / "x.onnx").stat().st_size <= (1.6e6 if tag.startswith("xresnet") else 16e6)

    running = onnxruntime.InferenceSession(tmp_path / "x.onnx")
    for record in given:
        (answer,) = running.run(["probabilities"], {"signal": record.signal[None]})
        np.testing.assert_allclose(answer, expected(model, record), atol=1e-5)
        whole = model.predict(record, insist=True)
        if not whole.windows_left_out:
            np.testing.assert_allclose(answer[0], whole.probabilities, atol=1e-5)
    (answer,) = running.run(["probabilities"], {"signal": np.stack([given[0].signal, given[3].signal])})
    np.testing.assert_allclose(answer[1], expected(model, given[3])[0], atol=1e-5)
    for short in (c.window - 1, c.window - c.stride, 1):
        with pytest.raises(Exception, match="ONNXRuntimeError"):
            running.run(None, {"signal": np.zeros((1, len(c.leads), short), np.float32)})

    said = {name: json.loads(text) for name, text in running.get_modelmeta().custom_metadata_map.items()}
    assert said["labels"] == list(c.labels)
    assert (said["leads"], said["rate_hz"], said["units"]) == (list(c.leads), c.rate_hz, "mV")
    assert (said["window"], said["stride"], said["samples"], said["tag"]) == (c.window, c.stride, None, tag)
    assert said["thresholds"] == c.thresholds
    assert said["aggregates"] == {name: list(members) for name, members in c.aggregates.items()}
    assert model.weights_source is not None
    assert said["sha256"] == model.weights_source.sha256
    assert said["use"] == "research use only"


def test_an_aggregation_by_maximum_and_an_extreme_probability(small: EcgModel) -> None:
    config = dataclasses.replace(small.config, aggregation="max", temperature=3.0)
    model = EcgModel(small.backbone, config)
    given = hearts(model, 1500)[0]
    given.signal[:] *= 200  # so that sigmoids reach 0 and 1
    answer = Scorer(model)(torch.from_numpy(given.signal[None])).numpy()
    np.testing.assert_allclose(answer, expected(model, given), atol=2e-6)


def test_batch_norms_are_folded_and_names_of_the_exporter_removed(content: bytes) -> None:
    import onnx

    model = onnx.load_from_string(content)
    kinds = [node.op_type for node in model.graph.node]
    after_convolutions = kinds[: len(kinds) - kinds[::-1].index("Conv")]
    assert "BatchNormalization" not in after_convolutions
    assert not any(node.metadata_props for node in model.graph.node)
    assert all(node.input[1].endswith("weight") for node in model.graph.node if node.op_type == "Conv")


@pytest.mark.slow
def test_the_same_model_is_the_same_file_and_the_exporter_is_silent(
    small: EcgModel, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    assert _converted(small) == content
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


@pytest.fixture
def converted_once(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The graph of `small`, which takes seconds to make, for the formats that start from it."""
    import onnx

    for module in (onnx_fp16, onnx_int8):
        monkeypatch.setattr(module, "graph", lambda _: described_no_more(onnx.load_from_string(content)))


def described_no_more(model: Any) -> Any:
    model.ClearField("metadata_props")
    return model


def patched(content: bytes) -> bytes:
    """The file, with one weight of one convolution changed."""
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(content)
    weight = next(tensor for tensor in model.graph.initializer if tensor.name.endswith("stages.1.0.branch.0.0.weight"))
    values = numpy_helper.to_array(weight).copy()
    values.flat[np.abs(values).argmax()] *= -1
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    return model.SerializeToString()


def test_a_broken_converter_is_caught_and_nothing_is_written(
    small: EcgModel, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = hearts(small, 1000, 1200)
    monkeypatch.setattr(Onnx, "convert", lambda *_: content)
    assert ecgzoo.export(small, tmp_path / "right.onnx", data=given).probability <= 1e-5
    monkeypatch.setattr(Onnx, "convert", lambda *_: patched(content))
    with pytest.raises(ParityError, match="a probability differs by") as caught:
        ecgzoo.export(small, tmp_path / "wrong.onnx", data=given)
    assert caught.value.parity.probability > 1e-5
    assert [path.name for path in tmp_path.iterdir()] == ["right.onnx"]


@pytest.mark.parametrize("answer", [np.full((2, 13), np.nan, np.float32), np.zeros((2, 5), np.float32)])
def test_a_file_of_another_shape_or_without_numbers_is_refused(small: EcgModel, answer: np.ndarray) -> None:
    on = records.from_recordings(hearts(small, 1000, 1000), small.config)
    found = compare(small, lambda signal: answer[: len(signal)], on, Tolerance(probability=1), size=0)
    assert "another shape, or are not finite" in found.problems[0]


def test_the_command_writes_a_report_of_a_file_that_is_kept_and_of_one_that_is_not(
    small: EcgModel, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ecgzoo.save_pretrained(small, tmp_path / "model")
    report = tmp_path / "report.json"
    arguments = ["ecgzoo", "export", "--model", str(tmp_path / "model"), "--report", str(report), "-o"]
    monkeypatch.setattr(sys, "argv", [*arguments, str(tmp_path / "x.onnx")])
    monkeypatch.setattr(Onnx, "convert", lambda *_: content)
    main()
    said = json.loads(report.read_text())
    assert said["kept"]
    assert {"size", "latency_ms", "probability", "flipped", "macro_auc", "provenance"} <= said.keys()
    monkeypatch.setattr(sys, "argv", [*arguments, str(tmp_path / "y.onnx")])
    monkeypatch.setattr(Onnx, "convert", lambda *_: patched(content))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert not json.loads(report.read_text())["kept"]
    assert not (tmp_path / "y.onnx").exists()
    assert "was not written: a probability differs by" in capsys.readouterr().err


@pytest.mark.usefixtures("converted_once")
def test_half_precision_is_half_the_size(small: EcgModel, content: bytes) -> None:
    on = records.from_recordings(hearts(small, 1000, 900), small.config)
    half = OnnxFp16().convert(Scorer(small), run.metadata(small, None), 0, on)
    weights = sum(parameter.numel() for parameter in small.backbone.parameters())
    assert len(content) - len(half) > 0.95 * 2 * weights  # bytes; the basis of the drift stays in single precision
    found = compare(small, session(half), on, OnnxFp16.tolerance, size=len(half))
    assert 1e-7 < found.probability <= 2e-3
    assert not found.problems


def test_equalized_channels_change_no_probability_and_have_similar_peaks(small: EcgModel, content: bytes) -> None:
    import onnx

    model = onnx.load_from_string(content)
    signals = [record.signal[None] for record in hearts(small, 1000, 800)]
    before = [session(content)(signal) for signal in signals]
    features = onnx_int8._features(model)
    together = [some for some in onnx_int8._connected(model, features) if "relu" in min(some, key=len)]

    def uneven() -> float:
        peaks = onnx_int8._peaks(model, sorted(features), signals)
        logs = [np.mean([np.log(peaks[name] + 1e-9) for name in some], axis=0) for some in together]
        return float(np.median([log[log > np.log(1e-3)].std() for log in logs]))

    assert uneven() > 0.1
    onnx_int8.equalize(model, signals)
    after = [session(model.SerializeToString())(signal) for signal in signals]
    np.testing.assert_allclose(after[0], before[0], atol=1e-5)
    np.testing.assert_allclose(after[1], before[1], atol=1e-5)
    assert uneven() < 1e-3


def test_the_high_pass_filter_is_as_exact_in_three_bytes(small: EcgModel, content: bytes) -> None:
    import onnx
    from onnx import numpy_helper

    model = onnx.load_from_string(content)
    (signal,) = (heart.signal[None] for heart in hearts(small, 1000))
    before = session(model.SerializeToString())(signal)
    matrices = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    onnx_int8.store_in_three_bytes(model)
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    (name,) = matrices.keys() - stored.keys()
    half, rest, scale = (stored[f"{name}.{part}"] for part in ("half", "rest", "scale"))
    assert (half.dtype, rest.dtype) == (np.float16, np.int8)
    np.testing.assert_allclose(half.astype(np.float32) + rest * scale, matrices[name], atol=5e-7)
    np.testing.assert_allclose(session(model.SerializeToString())(signal), before, atol=1e-5)


@pytest.mark.usefixtures("converted_once")
def test_integers_are_used_behind_the_first_two_convolutions(small: EcgModel, content: bytes) -> None:
    import onnx

    on = records.from_recordings(hearts(small, 1000, 1100, 900), small.config)
    made = OnnxInt8().convert(Scorer(small), run.metadata(small, None), 0, on)
    assert len(made) < 0.45 * len(content)
    model = onnx.load_from_string(made)
    assert {item.key for item in model.metadata_props} == run.metadata(small, None).keys()
    eights = {tensor.name for tensor in model.graph.initializer if tensor.data_type == onnx.TensorProto.INT8}
    makers = {name: node for node in model.graph.node for name in node.output}
    weights = [makers[node.input[1]] for node in model.graph.node if node.op_type == "Conv"]
    assert [node.op_type for node in weights] == ["Cast"] * 2 + ["DequantizeLinear"] * (len(weights) - 2)
    assert all(node.input[0] in eights for node in weights[2:])
    stored = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    # 2 · 255 · 64 fits into 16 bits, in which CPUs without VNNI add two products
    assert max(np.abs(stored[node.input[0]].astype(int)).max() for node in weights[2:]) <= 64
    assert compare(small, session(made), on, Tolerance(), size=len(made)).probability < 0.1
    for odd in (np.nan, np.inf):
        signal = on.signals[0][None].copy()
        signal[0, 0, 500] = odd
        assert np.isnan(session(made)(signal)).all()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("backbone", "bytes_"),
    [("xresnet1d_tiny", 120_000), pytest.param("xresnet1d18", 500_000, marks=pytest.mark.long)],
)
def test_int8_of_real_records_keeps_the_auc_and_the_findings(
    test_data: Path, tmp_path: Path, backbone: str, bytes_: int
) -> None:
    model = ecgzoo.load_pretrained(f"{backbone}.ptbxl_super_i")
    cohort = ecgzoo.load_cohort("ptbxl", test_data / "ptbxl-small", model.config.task)
    found = ecgzoo.export(model, tmp_path / "x.onnx", format="onnx-int8", data=cohort, folds=range(1, 10))
    assert found.size <= bytes_
    assert found.macro_auc_difference is not None
    assert abs(found.macro_auc_difference) <= 0.002
    assert found.findings > 500
    assert found.flipped_share <= 0.01


def test_changed_weights_are_not_called_by_the_name_of_others() -> None:
    model = ecgzoo.load_pretrained("xresnet1d18.ptbxl_super_i")
    assert model.weights_source is not None
    said = run.metadata(model.to(memory_format=torch.channels_last), None)
    assert (said["tag"], said["sha256"]) == ("xresnet1d18.ptbxl_super_i", model.weights_source.sha256)
    with torch.no_grad():
        model.get_classifier().bias[0] += 0.01
    said = run.metadata(model, None)
    assert (said["tag"], said["sha256"]) == (None, None)


def test_export_of_changed_weights_says_that_thresholds_are_of_others(tmp_path: Path) -> None:
    model = ecgzoo.load_pretrained("xresnet1d_tiny.ptbxl_super_i")
    with warnings.catch_warnings():
        warnings.simplefilter("error", ecgzoo.EcgZooWarning)
        ecgzoo.export(model, tmp_path / "same.pt2", format="torch-export")
    with torch.no_grad():
        model.get_classifier().bias[0] += 0.01
    with pytest.warns(
        ecgzoo.EcgZooWarning, match=r"x\.pt2: the weights are not those of .* its temperature and thresholds"
    ):
        ecgzoo.export(model, tmp_path / "x.pt2", format="torch-export")


def test_records_of_a_cohort_end_where_their_recordings_do(small: EcgModel) -> None:
    whole, (row, *_) = simulated(), simulated().rows((3,))
    lengths = np.full(len(whole), 1000)
    lengths[row] = 900
    store = np.array(whole.store)
    store[whole.positions[row], :, 900:] = 0
    cut = records.from_cohort(dataclasses.replace(whole, store=store, lengths=lengths), (3,), small.config)
    full = records.from_cohort(whole, (3,), small.config)
    assert [signal.shape[1] for signal in cut.signals] == [900] + [1000] * (len(full) - 1)
    assert all(np.array_equal(a, b[:, : a.shape[1]]) for a, b in zip(cut.signals, full.signals, strict=True))


def test_records_without_labels_are_compared_without_an_auc(small: EcgModel) -> None:
    whole, classes = simulated(), small.config.classes
    labels = np.eye(len(classes), dtype=np.uint8)[np.arange(len(whole)) % len(classes)]
    labelled = whole.folds != 3
    some = dataclasses.replace(whole, classes=classes, labels=labels * labelled[:, None], labelled=labelled)
    assert records.from_cohort(some, (3, 4), small.config).labels is None
    assert records.from_cohort(some, (4,), small.config).labels is not None


def test_a_model_in_half_precision_is_exported_in_single_precision(small: EcgModel, tmp_path: Path) -> None:
    half, path = deepcopy(small).half(), tmp_path / "model.pt2"
    assert ecgzoo.export(half, path, format="torch-export").probability < 1e-5
    assert half.get_classifier().weight.dtype == torch.float16
    heart = hearts(small, small.config.window)[0]
    found = torch.export.load(path).module()(torch.from_numpy(heart.signal[None])).numpy()
    np.testing.assert_allclose(found, expected(small, heart), rtol=0, atol=2e-3)


def test_torch_export_is_of_a_fixed_length_and_carries_its_metadata(small: EcgModel, tmp_path: Path) -> None:
    given = hearts(small, 1000, 1500)
    found = ecgzoo.export(small, tmp_path / "x.pt2", format="torch-export", data=given, samples=900)
    assert found.probability <= 1e-5
    assert found.latency_samples == 900
    said = {"ecgzoo.json": ""}
    network = torch.export.load(io.BytesIO((tmp_path / "x.pt2").read_bytes()), extra_files=said).module()
    assert json.loads(said["ecgzoo.json"])["samples"] == 900
    both = torch.from_numpy(np.stack([record.signal[:, :900] for record in given]))
    np.testing.assert_allclose(network(both)[1:], expected(small, hearts(small, 900, 900)[1]), atol=1e-5)
    long = ecgzoo.export(small, tmp_path / "long.pt2", format="torch-export", samples=6000)  # than a simulated heart
    assert (long.latency_samples, long.probability <= 1e-5) == (6000, True)


@pytest.mark.slow
def test_executorch_gives_pythons_probabilities(small: EcgModel, tmp_path: Path) -> None:
    pytest.importorskip("executorch")
    assert ecgzoo.export(small, tmp_path / "x.pte", format="executorch", data=hearts(small, 900)).probability <= 1e-5
    assert json.loads((tmp_path / "x.pte.json").read_text())["samples"] == small.config.window


class Unexportable(nn.Module):
    """A network with a branch on a value."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(1, 12)

    def get_classifier(self) -> nn.Linear:
        return self.classifier

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(x.mean(2) if x.sum() > 0 else x.amax(2))


def mended(model: EcgModel, **changes: Any) -> EcgModel:
    return EcgModel(model.backbone, dataclasses.replace(model.config, **changes))


REFUSED: dict[str, tuple[type[EcgZooError], str, Callable[[EcgModel], tuple[EcgModel, dict[str, Any]]]]] = {
    "no records": (DataError, "needs records to calibrate on", lambda m: (m, {"format": "onnx-int8"})),
    "an empty list": (DataError, "no records to calibrate on", lambda m: (m, {"data": []})),
    "other leads": (
        SignalError,
        "heart 0 has leads I; the model needs II",
        lambda m: (mended(m, leads=("II",)), {"data": hearts(m, 1000)}),
    ),
    "another rate": (
        SignalError,
        "at 100 Hz, the model at 250 Hz",
        lambda m: (mended(m, rate_hz=250.0), {"data": hearts(m, 1000)}),
    ),
    "a flat recording": (
        SignalError,
        "heart 1 is unreadable",
        lambda m: (
            m,
            {"data": [*hearts(m, 1000), ecgzoo.Record(np.zeros((1, 1000), np.float32), ("I",), 100, "heart 1")]},
        ),
    ),
    "too short": (SignalError, "shorter than a window", lambda m: (m, {"data": hearts(m, 500)})),
    "a fold that is not there": (
        DataError,
        "no records in fold 77",
        lambda m: (m, {"data": simulated(), "folds": (77,)}),
    ),
    "folds of no cohort": (DataError, "are those of a cohort", lambda m: (m, {"data": hearts(m, 1000), "folds": (3,)})),
    "an unknown format": (ExportError, "Did you mean onnx", lambda m: (m, {"format": "onnxx"})),
    "LiteRT": (ExportError, "export --format onnx", lambda m: (m, {"format": "litert"})),
    "a length for any length": (SignalError, "takes any length", lambda m: (m, {"samples": 900})),
    "a length below a window": (
        SignalError,
        "at least a window",
        lambda m: (m, {"samples": 9, "format": "torch-export"}),
    ),
    "an untrained model": (WeightsError, "never trained", lambda m: (ecgzoo.create_student("xresnet1d_tiny"), {})),
    "an architecture that cannot be exported": (
        ExportError,
        "xresnet1d_tiny cannot be exported to ONNX: ",
        lambda m: (EcgModel(Unexportable(), m.config), {"data": hearts(m, 1000)}),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_input_is_one_sentence_and_no_file(case: str, small: EcgModel, tmp_path: Path) -> None:
    error, text, given = REFUSED[case]
    model, arguments = given(small)
    with pytest.raises(error) as caught:
        ecgzoo.export(model, tmp_path / "x", **arguments)
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "format"),
    [("x.pt2", "onnx"), ("x.PTE", "onnx-int8"), ("x.onnx", "torch-export"), ("x.tflite", "executorch")],
)
def test_a_name_of_another_format_is_refused(name: str, format: str, small: EcgModel, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=rf"{name}: is the name of a file in the format .*, not {format};"):
        ecgzoo.export(small, tmp_path / name, format=format, data=hearts(small, 1000))
    assert not list(tmp_path.iterdir())


def test_a_file_that_exists_is_kept_unless_it_is_overwritten(
    small: EcgModel, content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.onnx"
    path.write_text("mine")
    monkeypatch.setattr(Onnx, "convert", lambda *_: content)
    with pytest.raises(ExportError, match="exists"):
        ecgzoo.export(small, path)
    assert path.read_text() == "mine"
    ecgzoo.export(small, path, data=hearts(small, 1000), overwrite=True)
    assert path.read_bytes() == content


def test_damaged_weights_are_refused_by_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model"
    shutil.copytree(folder("xresnet1d18.ptbxl_super_i"), model)
    weights = model / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    monkeypatch.setattr(sys, "argv", ["ecgzoo", "export", "--model", str(model), "-o", str(tmp_path / "x.onnx")])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not (tmp_path / "x.onnx").exists()


@pytest.mark.parametrize(
    ("format", "package", "extra"),
    [("onnx", "onnxscript", "ecgzoo[export]"), ("executorch", "executorch", "ecgzoo[executorch]")],
)
def test_a_package_that_is_missing_is_named_with_its_extra(
    format: str, package: str, extra: str, small: EcgModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ExportError) as caught:
        ecgzoo.export(small, tmp_path / "x", format=format, data=hearts(small, 1000))
    assert extra in str(caught.value)


def test_recordings_of_a_device_are_read_by_the_flags_and_resampled(small: EcgModel, tmp_path: Path) -> None:
    [heart] = hearts(small, 1000)
    fast = heart.resample(250)
    np.savetxt(tmp_path / "strip.txt", 1000 * fast.signal[0], header="ECG", comments="")
    parser = ArgumentParser()
    command.add_arguments(parser)
    said = ["--rate", "250", "--units", "uV", "--rename", "ECG=I"]
    given = parser.parse_args(["--model", "x", "-o", "x", "--calibrate", str(tmp_path / "strip.txt"), *said])
    with pytest.warns(EcgZooWarning, match="calibrated on 1 recordings"):
        found = records.from_recordings(command._data(given, small.config), small.config)
    np.testing.assert_allclose(found.signals[0], fast.resample(small.config.rate_hz).signal, atol=1e-5)


@pytest.mark.parametrize(
    "arguments",
    [
        *(["--calibrate", "x", "--data", "ptbxl"], ["--data", "ptbxl"], ["--report", "x"], ["--rate", "500"]),
        ["--format", "executorch", "--report", "./x.json"],
    ],
)
def test_flags_that_contradict_each_other(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ecgzoo", "export", "--model", HARDEST, "-o", str(tmp_path / "x"), *arguments])
    with pytest.raises(SystemExit):
        main()
    assert not list(tmp_path.iterdir())
    assert "error: --" in capsys.readouterr().err


def test_the_page_describes_every_item_of_the_metadata_and_every_format(small: EcgModel) -> None:
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in (*run.metadata(small, None), *SPECS))


def test_the_examples_of_the_metadata_are_those_of_the_packaged_student() -> None:
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text(encoding="utf-8")
    said = run.metadata(ecgzoo.load_pretrained("xresnet1d18.ptbxl_super_i"), None)
    rounded = {name: round(value, 2) for name, value in said["thresholds"]["CD"].items()}
    assert f'| `"{said["sha256"][:4]}…"` |' in page
    assert f'| `"{said["aggregation"]}"`, `{said["temperature"]:.2f}` |' in page
    assert f'| `{{"CD": {json.dumps(rounded)}, …}}` |' in page
    assert f"| `{said['window']}`, `{said['stride']}` |" in page


def test_listing_the_formats_imports_no_torch() -> None:
    code = "import sys, ecgzoo.exporting, ecgzoo.cli.export; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
