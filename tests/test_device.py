"""One device, proved without one: under fake tensors of a GPU, a tensor that was left on the CPU fails.

What is built outside the mode is real and on the CPU, as in a run; ``.to(GPU)`` inside it leaves shapes and devices.
Numbers are not there: the few places that read one are given one. Nor is a backward pass. Not seen: a tensor on the CPU
that one on the GPU indexes, which a real device refuses.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

import ecgzoo
from ecgzoo import registry
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.evaluation.cohort import score_rows
from ecgzoo.losses.clt import CLT
from ecgzoo.losses.contract import Batch, DataInfo, Loss, View
from ecgzoo.losses.mkd import MKD
from ecgzoo.model import EcgModel
from ecgzoo.signal import Record
from ecgzoo.training.batches import TrainingRecords
from ecgzoo.training.feed import Feed
from ecgzoo.transforms.contract import Crops, Draws, SignalTransform

GPU = torch.device("cuda", 0)
RECORDS, BATCH, SAMPLES = 40, 8, 250
LABELS = (torch.rand(RECORDS, 5, generator=torch.Generator().manual_seed(0)) < 0.4).float()
DATA = DataInfo(tuple("ABCDE"), LABELS, LABELS.repeat(1, 2))


def built_in(kind: str) -> list[str]:
    return [name for name in registry.names(kind) if registry.lookup(kind, name).built_in]


def fake() -> FakeTensorMode:
    return FakeTensorMode(allow_non_fake_inputs=True)


def assert_on_gpu(*tensors: Tensor) -> None:
    assert {tensor.device for tensor in tensors} == {GPU}
    assert all(isinstance(tensor, FakeTensor) for tensor in tensors)


def batch() -> Batch:
    labels = LABELS.to(GPU)[:BATCH]
    return Batch(labels, torch.arange(BATCH, device=GPU), labels.repeat(1, 2))


def marks(name: str) -> list[pytest.MarkDecorator]:
    return [pytest.mark.long] * name.endswith(("34", "101"))  # these have the blocks of 18 and 50


@pytest.mark.parametrize("name", [pytest.param(name, marks=marks(name)) for name in built_in("backbone")])
def test_every_backbone(name: str) -> None:
    model = ecgzoo.create_model(name, 3)
    with fake():
        model.to(GPU)
        assert model.device == GPU
        for training in (True, False):
            model.train(training)
            view = model.view(torch.randn(BATCH, 3, SAMPLES, device=GPU))
            assert_on_gpu(view.logits, view.embedding, view.features)
        model.reset_classifier(7)
        assert_on_gpu(model(torch.randn(BATCH, 3, SAMPLES, device=GPU)))


def networks() -> tuple[EcgModel, EcgModel]:
    return ecgzoo.create_student("xresnet1d18"), ecgzoo.create_teacher("xresnet1d18", 3)


def train(loss: Loss, student: EcgModel, teacher: EcgModel) -> None:
    """Two steps, without their gradients, on crops that are two of the teacher's windows long."""
    distiller = ecgzoo.Distiller(student, teacher, {"loss": (0.5, loss)})
    with fake():
        distiller.to(GPU).train()
        for _ in range(2):
            crops = (torch.randn(BATCH, leads, 2 * SAMPLES, device=GPU) for leads in (1, 3))
            total, parts = distiller(*crops, batch())
            assert_on_gpu(total, *parts.values())
            distiller.after_backward()
            assert_on_gpu(*distiller.state_dict().values())


def each_once(index: Tensor, return_inverse: bool) -> tuple[Tensor, Tensor]:
    """What ``torch.unique`` finds in a batch that repeats no record."""
    assert return_inverse
    return index, torch.arange(len(index), device=index.device)


VARIANTS = [("clt", {"critic": "infonce"}), ("clt", {"max_rows": 20}), ("clt", {"chunk": 7})]


@pytest.mark.parametrize(("name", "arguments"), [(name, {}) for name in built_in("loss")] + VARIANTS)
def test_every_loss(name: str, arguments: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = networks()
    loss = ecgzoo.create_loss(name, student.info, teacher.info, DATA, **arguments)
    if isinstance(loss, CLT):  # it reads whether Z is known, which step it is, and which records a batch repeats
        loss._z_known = True
        monkeypatch.setattr(Tensor, "__int__", lambda self: 3)
        monkeypatch.setattr(torch, "unique", each_once)
    train(loss, student, teacher)


def test_clt_before_z_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = networks()
    monkeypatch.setattr(Tensor, "__bool__", lambda self: True)  # Z is still NaN
    monkeypatch.setattr(torch, "unique", each_once)
    train(ecgzoo.create_loss("clt", student.info, teacher.info, DATA), student, teacher)


@pytest.mark.parametrize("name", built_in("transform"))
def test_every_transform(name: str) -> None:
    transform = ecgzoo.create_transform(name, DATA, 0.5)
    with fake():
        millivolts = torch.randn(BATCH, 3, SAMPLES, device=GPU)
        found = transform(Crops(millivolts, batch(), ("I", "II", "V2"), 100.0, Draws((0,), BATCH, GPU)), 0.0)
        assert found.batch.auxiliary is not None
        assert_on_gpu(found.millivolts, found.batch.labels, found.batch.index, found.batch.auxiliary)


@pytest.mark.parametrize("resident_bytes", [1 << 30, 0])
def test_the_feed(resident_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = load_synthetic(num_records=RECORDS)
    student, teacher = networks()
    transforms = [ecgzoo.create_transform(name, DATA, 0.5) for name in built_in("transform")]
    monkeypatch.setattr(Tensor, "pin_memory", lambda self: self)  # asks for a driver
    with fake():
        records = TrainingRecords(
            cohort, np.arange(RECORDS), list(range(12)), SAMPLES, BATCH, GPU, cohort.labels, resident_bytes
        )
        for own, teachers, given in Feed(records, cohort.leads, student, teacher, transforms, 0).epoch(0, 0.0):
            assert given.auxiliary is not None
            assert_on_gpu(own, teachers, given.labels, given.index, given.auxiliary)


def trained(**config: object) -> EcgModel:
    model = ecgzoo.create_model("xresnet1d18", 2)
    model.config = replace(model.config, classes=tuple("ABCDE"), temperature=1.5, **config)
    return model.eval()


@pytest.fixture
def finite(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether numbers are finite cannot be asked of tensors without numbers."""
    monkeypatch.setattr("ecgzoo.model._finite", lambda probabilities, *_: probabilities)


@pytest.mark.usefixtures("finite")
@pytest.mark.parametrize("aggregation", ["max", "mean"])
def test_scores_of_records(aggregation: str) -> None:
    model = trained(aggregation=aggregation)
    with fake():
        assert_on_gpu(model.to(GPU).score(torch.randn(3, 2, 1000, device=GPU)))


@pytest.mark.usefixtures("finite")
@pytest.mark.parametrize("aggregation", ["max", "mean"])
def test_scores_of_a_cohort_come_back(aggregation: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, cohort = trained(aggregation=aggregation), load_synthetic(num_records=RECORDS)

    def values(self: Tensor) -> np.ndarray:
        assert self.device.type == "cpu"
        return np.zeros(tuple(self.shape))

    monkeypatch.setattr(Tensor, "numpy", values)
    with fake():
        assert score_rows(model.to(GPU), cohort, np.arange(RECORDS)).shape == (RECORDS, 5)


@pytest.mark.usefixtures("finite")
def test_a_prediction(monkeypatch: pytest.MonkeyPatch) -> None:
    model = trained()
    signal = np.random.default_rng(0).standard_normal((2, 1000), np.float32)
    monkeypatch.setattr(FakeTensor, "tolist", lambda self: [0.5] * len(self))
    with fake():
        model.to(GPU)
        found = model.predict(Record(signal, model.config.leads, 100.0, "a record"), insist=True)
    assert found.probabilities == (0.5,) * 5


class LeftBehind(MKD):
    """Its weights are no buffer, so that no ``.to`` moves them."""

    def __init__(self, student, teacher, data) -> None:
        super().__init__(student, teacher, data)
        del self.class_weights
        self.class_weights = torch.ones(student.num_classes)


class MadeInForward(MKD):
    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        logits = student.logits * torch.ones(student.logits.shape[1])
        return super().forward(replace(student, logits=logits), teacher, batch)


class MadeHere(SignalTransform):
    def changed(self, crops: Crops) -> Tensor:
        return crops.millivolts * torch.linspace(0, 1, crops.millivolts.shape[2])


MISMATCH = "Expected all tensors to be on the same device"


@pytest.mark.parametrize("loss", [LeftBehind, MadeInForward])
def test_a_loss_with_a_tensor_on_the_cpu_is_seen(loss: type[MKD]) -> None:
    student, teacher = networks()
    with pytest.raises(RuntimeError, match=MISMATCH):
        train(loss(student.info, teacher.info, DATA), student, teacher)


def test_a_transform_with_a_tensor_on_the_cpu_is_seen() -> None:
    with fake():
        crops = torch.randn(BATCH, 3, SAMPLES, device=GPU)
        given = Crops(crops, batch(), ("I", "II", "V2"), 100.0, Draws((0,), BATCH, GPU))
        with pytest.raises(RuntimeError, match=MISMATCH):
            MadeHere(DATA, 0.5)(given, 0.0)


def test_a_teacher_that_stayed_behind_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    student, teacher = networks()
    loss = MKD(student.info, teacher.info, DATA)
    monkeypatch.setattr(ecgzoo.Distiller, "_apply", torch.nn.Module._apply)  # which knows of no teacher
    with pytest.raises(RuntimeError, match=MISMATCH):
        train(loss, student, teacher)


def test_a_model_that_stayed_behind_is_seen() -> None:
    model = trained()
    with fake(), pytest.raises(RuntimeError, match=MISMATCH):
        model.score(torch.randn(3, 2, 1000, device=GPU))
