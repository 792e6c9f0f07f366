"""The Distiller: what it hands to a loss, what of the teacher it holds, and when the teacher runs."""

import copy
import dataclasses

import pytest
import torch
from torch import Tensor

import ecgzoo
from ecgzoo import Batch, DataInfo, Distiller, EcgModel, Loss, RecipeError, RegistryError, View
from ecgzoo.training.distiller import create_losses, windowed_view

LABELS = torch.eye(5)[torch.arange(8) % 5]
DATA, BATCH = DataInfo(tuple("ABCDE"), LABELS), Batch(LABELS, torch.arange(8))


@pytest.fixture
def student() -> EcgModel:
    torch.manual_seed(0)
    return ecgzoo.create_student("xresnet1d18", drop_rate=0.0).eval()


@pytest.fixture
def teacher() -> EcgModel:
    torch.manual_seed(1)
    return ecgzoo.create_teacher("xresnet1d18", ("I", "II"))


def test_student_teacher_and_data_fit_together(student: EcgModel, teacher: EcgModel) -> None:
    def changed(model: EcgModel, **fields: object) -> EcgModel:
        return EcgModel(model.backbone, dataclasses.replace(model.config, **fields))

    both = ("bce=1", "mkd=1")
    named = changed(teacher, classes=("CD", "HYP", "MI", "NORM", "STTC"))
    with pytest.raises(RecipeError, match="the classes of the teacher are CD, HYP, MI, NORM, STTC, those of the data"):
        create_losses(both, student, named, DATA)
    create_losses(("bce=1", "clt=1"), student, named, DATA)  # embeddings know no classes
    with pytest.raises(RecipeError, match="the classes of the student are 2"):
        create_losses(("bce=1",), ecgzoo.create_student("xresnet1d18", num_classes=2), None, DATA)
    with pytest.raises(RecipeError, match="the classes of the teacher are 2"):
        create_losses(both, student, ecgzoo.create_teacher("xresnet1d18", ("I",), num_classes=2), DATA)
    with pytest.raises(RecipeError, match="the teacher reads 500 Hz and the student 100 Hz"):
        create_losses(both, student, changed(teacher, rate_hz=500.0), DATA)
    with pytest.raises(RecipeError, match="name each loss once"):
        create_losses(("mkd=1,temperature=2", "mkd=3"), student, teacher, DATA)


def test_what_is_no_loss_or_no_weight_is_refused(student: EcgModel) -> None:
    (_, bce) = create_losses(("bce=1",), student, None, DATA)["bce"]
    for weight, loss in ((1.0, torch.nn.BCEWithLogitsLoss()), (-1.0, bce), (float("nan"), bce)):
        with pytest.raises(RecipeError, match="expected a weight above 0 and a Loss"):
            Distiller(student, None, {"bce": (weight, loss)})


def test_losses_of_similar_names_keep_their_own_parameters(student: EcgModel) -> None:
    class Scaled(Loss):
        requires = frozenset({"student.logits"})

        def __init__(self) -> None:
            super().__init__(student.info, None, DATA)
            self.scale = torch.nn.Parameter(torch.ones(1))

    terms = Distiller(student, None, {name: (1.0, Scaled()) for name in ("a.b", "a_b", "a/b")}).terms
    assert len(list(terms.parameters())) == 3


class Spy(Loss):
    """Keeps what it is handed."""

    requires = frozenset({"student.logits", "student.embedding", "teacher.features"})
    seen: tuple[View, View, bool]

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        self.seen = (student, teacher, torch.is_autocast_enabled("cpu"))
        return student.logits.mean()


def test_a_loss_gets_full_precision_outside_autocast(student: EcgModel, teacher: EcgModel) -> None:
    spy = Spy(student.info, teacher.info, DATA)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        total, parts = Distiller(student, teacher, {"spy": (2.0, spy)})(
            torch.randn(8, 1, 250), torch.randn(8, 2, 250), BATCH
        )
    of_student, of_teacher, autocast = spy.seen
    assert not autocast
    assert of_student.logits.dtype == of_student.embedding.dtype == of_teacher.features.dtype == torch.float32
    assert of_student.features.dtype == torch.bfloat16  # no loss reads it, so nothing is cast
    assert of_student.computed_in == torch.bfloat16
    assert total.item() == pytest.approx(2 * parts["spy"].item())
    assert parts["loss"].item() == pytest.approx(total.item())


def test_a_network_without_leads_and_classes_is_refused(student: EcgModel, teacher: EcgModel) -> None:
    for models in ((student, teacher.backbone), (student.backbone, None)):
        with pytest.raises(RecipeError, match="expected an EcgModel; a network of your own becomes one by EcgModel"):
            ecgzoo.Distiller(*models, {})


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("", ""),
        (
            "statistics",
            "the teacher: in evaluation mode, its network gives a record other logits alone than in a batch",
        ),
        ("sigmoid", r"the teacher: its network's forward\(x\) is not get_classifier\(\)"),
        ("classes", r"the teacher: built for 4 classes, its network gives logits \[1, 5\]"),
    ],
)
def test_a_network_of_ones_own_predicts_what_is_trained(
    student: EcgModel, teacher: EcgModel, monkeypatch: pytest.MonkeyPatch, wrong: str, said: str
) -> None:
    own = EcgModel(teacher.backbone, dataclasses.replace(teacher.config, architecture="mine"))
    if wrong == "statistics":
        for layer in (layer for layer in own.backbone.modules() if isinstance(layer, torch.nn.BatchNorm2d)):
            layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
    elif wrong == "sigmoid":
        forward = type(own.backbone).forward
        monkeypatch.setattr(type(own.backbone), "forward", lambda self, x: forward(self, x).sigmoid())
    elif wrong == "classes":
        own.config = dataclasses.replace(own.config, num_classes=4)
    modes = [layer.training for layer in own.modules()]
    if said:
        with pytest.raises(RegistryError, match=said):
            Distiller(student, own, {})
    else:
        Distiller(student, own, {})
    assert [layer.training for layer in own.modules()] == modes


def test_a_loss_that_requires_a_teacher_cannot_go_without(student: EcgModel, teacher: EcgModel) -> None:
    with pytest.raises(RecipeError, match=r"Spy requires .*teacher\.features.*; give a teacher"):
        Spy(student.info, None, DATA)
    spy = Spy(student.info, teacher.info, DATA)
    with pytest.raises(RecipeError, match="give a teacher"):
        Distiller(student, None, {"spy": (1.0, spy)})(torch.randn(8, 1, 250), torch.randn(8, 2, 250), BATCH)


def test_the_teacher_is_no_part_of_what_is_trained_and_saved(student: EcgModel, teacher: EcgModel) -> None:
    before = copy.deepcopy(teacher.state_dict())
    losses = create_losses(("bce=1", "mkd=0.5", "clt=0.8,critic=infonce"), student, teacher, DATA)
    distiller = Distiller(student, teacher, losses).train()
    names = {name.split(".")[0] for name in distiller.state_dict()}
    assert names == {"student", "terms"}
    own = {id(parameter) for parameter in teacher.parameters()}
    assert not own & {id(parameter) for parameter in distiller.parameters()}
    total, _ = distiller(torch.randn(8, 1, 250), torch.randn(8, 2, 250), BATCH)
    total.backward()
    distiller.after_backward()
    assert losses["clt"][1].bank.visited.all()
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not distiller._teacher[0].training
    distiller.double()
    assert distiller._teacher[0].get_classifier().weight.dtype == torch.float64  # it moves with the module


def test_a_teacher_that_no_loss_requires_never_runs(
    student: EcgModel, teacher: EcgModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    distiller = Distiller(student, teacher, create_losses(("bce=1",), student, teacher, DATA))
    view, ran = EcgModel.view, []
    monkeypatch.setattr(EcgModel, "view", lambda self, x: (ran.append(self.config.leads), view(self, x))[1])
    distiller.view = student.view
    distiller(torch.randn(8, 1, 250), torch.empty(8, 0, 250), BATCH)
    assert ran == [("I",)]


@pytest.mark.parametrize("samples", [200, 250, 251, 500, 610])
def test_a_teacher_sees_windows_of_its_own_length(samples: int) -> None:
    torch.manual_seed(0)
    teacher = ecgzoo.create_teacher("xresnet1d18", ("I", "II"), 3).eval()
    crops = torch.randn(4, 2, samples)
    starts = {200: [0], 250: [0], 251: [0, 1], 500: [0, 250], 610: [0, 250, 360]}[samples]
    parts = [teacher.view(crops[:, :, start : start + 250]) for start in starts]
    found = windowed_view(teacher, crops)
    torch.testing.assert_close(found.logits, sum(part.logits for part in parts) / len(parts))
    torch.testing.assert_close(found.embedding, sum(part.embedding for part in parts) / len(parts))
    seen_before = {251: 8, 610: 4}.get(samples, 0)  # of the 8 feature steps of the last window
    parts[-1] = dataclasses.replace(parts[-1], features=parts[-1].features[:, :, seen_before:])
    torch.testing.assert_close(found.features, torch.cat([part.features for part in parts], dim=2))


def test_features_of_a_teacher_with_shorter_windows_are_where_the_signal_is() -> None:
    torch.manual_seed(0)
    teacher, flat = ecgzoo.create_teacher("xresnet1d18", ("I",)), torch.zeros(1, 1, 800)
    rest = windowed_view(teacher, flat).features
    for at in range(10, 800, 20):
        beat = flat.clone()
        beat[:, :, at : at + 5] = 5
        change = (windowed_view(teacher, beat).features - rest).abs().sum((0, 1))
        place = (change * (torch.arange(len(change)) + 0.5)).sum() / change.sum() / len(change)
        assert abs(place - at / 800) < 0.06


class Noted(Spy):
    """Has a figure for the log that still hangs on the graph."""

    def forward(self, student: View, teacher: View, batch: Batch) -> Tensor:
        self.extras = {"size": student.logits.abs().mean()}
        return super().forward(student, teacher, batch)


def test_figures_for_the_log_keep_no_graph_and_names_their_full_stops(student: EcgModel, teacher: EcgModel) -> None:
    noted = Noted(student.info, teacher.info, DATA)
    losses = {"some.loss": (2.0, noted), **create_losses(("bce=3",), student, None, DATA)}
    total, parts = Distiller(student, teacher, losses)(torch.randn(8, 1, 250), torch.randn(8, 2, 250), BATCH)
    assert set(parts) == {"loss", "some.loss", "some.loss/size", "bce"}
    assert total.requires_grad
    assert not any(value.requires_grad for value in parts.values())
    assert total.item() == pytest.approx(2 * parts["some.loss"].item() + 3 * parts["bce"].item())
    assert parts["loss"].item() == total.item()
