"""fitnet and at: the losses of feature maps."""

import math
from dataclasses import replace

import pytest
import torch


def pooled(row: list[float], length: int) -> list[float]:
    """Adaptive average pooling by its definition: window i goes from floor(i·n/length) to ceil((i+1)·n/length)."""
    n = len(row)
    windows = [row[i * n // length : -(-(i + 1) * n // length)] for i in range(length)]
    return [sum(window) / len(window) for window in windows]


LENGTHS = pytest.mark.parametrize(("student_length", "teacher_length"), [(5, 3), (3, 7), (4, 4)])


@LENGTHS
def test_fitnet_is_its_equation(make, draw, assert_is, student_length: int, teacher_length: int) -> None:
    fitnet = make("fitnet")
    weight, bias = fitnet.regressor.weight[:, :, 0].tolist(), fitnet.regressor.bias.tolist()
    length = min(student_length, teacher_length)

    def by_loop(student, teacher, labels) -> float:
        total, count = 0.0, 0
        for f_s, f_t in zip(student.features, teacher.features, strict=True):
            for row, b, target in zip(weight, bias, f_t, strict=True):
                regressed = [b + sum(w * f[t] for w, f in zip(row, f_s, strict=True)) for t in range(student_length)]
                for a, c in zip(pooled(regressed, length), pooled(target, length), strict=True):
                    total += (a - c) ** 2
                    count += 1
        return total / count

    assert_is(fitnet, by_loop, *draw(3, student_length=student_length, teacher_length=teacher_length))


@LENGTHS
@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
def test_at_is_its_equation(make, draw, assert_is, student_length: int, teacher_length: int, p: float) -> None:
    length = min(student_length, teacher_length)

    def attention(features: list[list[float]]) -> list[float]:
        steps = range(len(features[0]))
        a = pooled([sum(abs(f[t]) ** p for f in features) / len(features) for t in steps], length)
        norm = math.sqrt(sum(x * x for x in a))
        return [x / norm for x in a]

    def by_loop(student, teacher, labels) -> float:
        total = 0.0
        for f_s, f_t in zip(student.features, teacher.features, strict=True):
            total += sum((a - b) ** 2 for a, b in zip(attention(f_s), attention(f_t), strict=True))
        return total / len(student.features)

    assert_is(make("at", p=p), by_loop, *draw(3, student_length=student_length, teacher_length=teacher_length))


def test_at_ignores_scale_sign_and_order_of_channels(make, draw) -> None:
    student, teacher, batch = draw(3)
    at = make("at")
    value = at(student, teacher, batch)
    scale = torch.tensor([0.01, 1.0, 300.0])[:, None, None]
    other = replace(student, features=-scale * student.features.flip(1))
    torch.testing.assert_close(at(other, teacher, batch), value)
    assert 0 < value < 2


def test_at_is_zero_where_the_networks_agree(make, draw) -> None:
    student, _, batch = draw(3)
    assert make("at")(student, student, batch) == 0
