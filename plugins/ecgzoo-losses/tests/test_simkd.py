"""simkd against its two terms, and its aim: the student's last layer matches the teacher's classifier."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import ecgzoo
from ecgzoo import create_loss
from ecgzoo.errors import RecipeError
from ecgzoo.losses.contract import DataInfo, View


def affine(layer_weight: list[list[float]], layer_bias: list[float], x: list[float]) -> list[float]:
    rows = zip(layer_weight, layer_bias, strict=True)
    return [b + sum(w * v for w, v in zip(row, x, strict=True)) for row, b in rows]


def mean_square(a: list[list[float]], b: list[list[float]]) -> float:
    squares = [(x - y) ** 2 for p, q in zip(a, b, strict=True) for x, y in zip(p, q, strict=True)]
    return sum(squares) / len(squares)


@pytest.mark.parametrize("fit", [1.0, 0.3])
def test_simkd_is_its_equation(make, draw, infos, assert_is, fit: float) -> None:
    simkd = make("simkd", fit=fit)
    projector = simkd.projector.weight.tolist(), simkd.projector.bias.tolist()
    classifier = infos[1].classifier.weight.tolist(), infos[1].classifier.bias.tolist()
    student, teacher, batch = draw(3)
    # the target is a constant: it does not move with the embedding
    target = [affine(*classifier, affine(*projector, e)) for e in student.embedding.tolist()]

    def by_loop(student, teacher, labels) -> float:
        projected = [affine(*projector, e) for e in student.embedding]
        return mean_square(projected, teacher.embedding) + fit * mean_square(student.logits, target)

    assert_is(simkd, by_loop, student, teacher, batch)


def test_the_second_term_changes_only_the_logits(make, draw) -> None:
    student, teacher, batch = draw(3)
    gradients = []
    for fit in (1.0, 100.0):
        simkd = make("simkd", fit=fit)
        simkd(student, teacher, batch).backward()
        gradients.append(simkd.projector.weight.grad)
    torch.testing.assert_close(*gradients)


def test_it_is_zero_for_the_composed_classifier(make, draw) -> None:
    student, teacher, batch = draw(3)
    simkd = make("simkd")
    embedding = simkd.projector(student.embedding).detach()
    composed = nn.Linear(4, 4).double()  # a plain last layer on the student's embedding
    with torch.no_grad():
        composed.weight.copy_(simkd.weight @ simkd.projector.weight)
        composed.bias.copy_(simkd.weight @ simkd.projector.bias + simkd.bias)
    student = replace(student, logits=composed(student.embedding))
    assert simkd(student, replace(teacher, embedding=embedding), batch) < 1e-12


def test_the_teachers_classifier_is_a_copy_and_not_in_checkpoints(infos) -> None:
    simkd = create_loss("simkd", *infos, DataInfo(tuple("ABCD"), torch.zeros(1, 4)))
    assert simkd.state_dict().keys() == {"projector.weight", "projector.bias"}
    with torch.no_grad():
        infos[1].classifier.weight.zero_()
        infos[1].classifier.bias.zero_()
    assert simkd.weight.all()
    assert simkd.bias.all()


def test_a_classifier_without_bias_has_a_bias_of_zero(infos) -> None:
    student, teacher = infos
    teacher = replace(teacher, classifier=nn.Linear(6, 4, bias=False))
    simkd = create_loss("simkd", student, teacher, DataInfo(tuple("ABCD"), torch.zeros(1, 4)))
    view = View(torch.zeros(2, 4), torch.zeros(2, 4), torch.zeros(2, 3, 5))
    simkd(view, replace(view, embedding=torch.zeros(2, 6)), None)
    assert not simkd.bias.any()


@pytest.mark.parametrize("classifier", [None, nn.Sequential(nn.Linear(6, 4))])
def test_a_teacher_whose_last_layer_is_not_linear_is_refused(infos, classifier: nn.Module | None) -> None:
    student, teacher = infos[0], replace(infos[1], classifier=classifier)
    with pytest.raises(RecipeError, match="last layer is linear"):
        create_loss("simkd", student, teacher, DataInfo(tuple("ABCD"), torch.zeros(1, 4)))


def test_a_teacher_of_other_classes_is_refused() -> None:
    # it would teach its own: the second term copies its classifier
    student, teacher = ecgzoo.create_student("xresnet1d_tiny", num_classes=5), ecgzoo.create_teacher("xresnet1d_tiny")
    teacher.config = replace(teacher.config, classes=("CD", "HYP", "MI", "NORM", "STTC"))
    with pytest.raises(RecipeError, match="the classes of the teacher are CD, HYP, MI, NORM, STTC"):
        ecgzoo.create_losses(("simkd=1",), student, teacher, DataInfo(tuple("ABCDE"), torch.eye(5)))
