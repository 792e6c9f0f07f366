"""mld against loops over time, pairs of records and pairs of classes."""

import math
from dataclasses import replace
from itertools import permutations

import pytest
import torch

from ecgzoo.losses.contract import Batch

SIZE = 3


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


def huber(x: float) -> float:
    return x * x / 2 if abs(x) < 1 else abs(x) - 0.5


def dot(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def label_wise(encoder, features: list[list[float]]) -> tuple[list[list[float]], list[float]]:
    """One record's embedding and logit for each class."""
    key, value = encoder.key.weight[:, :, 0].tolist(), encoder.value.weight[:, :, 0].tolist()
    bias = encoder.value.bias.tolist()
    embeddings, logits = [], []
    for query, weight, offset in zip(
        encoder.query.tolist(), encoder.readout.weight.tolist(), encoder.readout.bias.tolist(), strict=True
    ):
        steps = [[channel[t] for channel in features] for t in range(len(features[0]))]
        share = [math.exp(dot(query, [dot(k, f) for k in key]) / math.sqrt(SIZE)) for f in steps]
        share = [x / sum(share) for x in share]
        v = [[b + dot(row, f) for row, b in zip(value, bias, strict=True)] for f in steps]
        embeddings.append([sum(x * v_t[d] for x, v_t in zip(share, v, strict=True)) for d in range(SIZE)])
        logits.append(dot(weight, embeddings[-1]) + offset)
    return embeddings, logits


def structure(groups: list[list[tuple[list[float], list[float]]]]) -> float:
    """Groups of (student's, teacher's) embeddings; each group's ordered pairs are compared."""
    pairs = [
        [(math.dist(a[0], b[0]), math.dist(a[1], b[1])) for a, b in permutations(group, 2)]
        for group in groups
        if len(group) > 1
    ]
    everything = [pair for group in pairs for pair in group]
    if not everything:
        return 0.0
    mean_s, mean_t = (sum(pair[side] for pair in everything) / len(everything) for side in (0, 1))
    groups_mean = [sum(huber(s / mean_s - t / mean_t) for s, t in group) / len(group) for group in pairs]
    return sum(groups_mean) / len(groups_mean)


WEIGHTS = ("logit", "class_aware", "instance_aware", "readout")


@pytest.mark.parametrize("weights", [(1, 2.5, 25, 1), (3, 0, 0, 0.5), (0, 7, 0, 0.1), (0, 0, 7, 0.1)])
def test_mld_is_its_equation(make, draw, assert_is, weights: tuple[float, ...]) -> None:
    mld = make("mld", size=SIZE, **dict(zip(WEIGHTS, weights, strict=True)))
    logit, class_aware, instance_aware, readout = weights

    def by_loop(student, teacher, labels) -> float:
        records, classes = range(len(labels)), range(len(labels[0]))
        total = 0.0
        for s, t in zip(student.logits, teacher.logits, strict=True):
            for a, b in zip(s, t, strict=True):
                for sign in (1, -1):
                    terms = log_sigmoid(sign * b) - log_sigmoid(sign * a)
                    total += logit * math.exp(log_sigmoid(sign * b)) * terms / len(labels)
        e_s, y_s = zip(*(label_wise(mld.student_labels, f) for f in student.features), strict=True)
        e_t, y_t = zip(*(label_wise(mld.teacher_labels, f) for f in teacher.features), strict=True)
        for logits in (y_s, y_t):
            nats = [-log_sigmoid(logits[b][c] if labels[b][c] else -logits[b][c]) for b in records for c in classes]
            total += readout * sum(nats) / len(nats)
        by_class = [[(e_s[b][c], e_t[b][c]) for b in records if labels[b][c]] for c in classes]
        by_record = [[(e_s[b][c], e_t[b][c]) for c in classes if labels[b][c]] for b in records]
        return total + class_aware * structure(by_class) + instance_aware * structure(by_record)

    student, teacher, _ = draw(4)
    labels = torch.tensor([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 0], [1, 0, 1, 0]]).double()
    assert_is(mld, by_loop, student, teacher, Batch(labels, None))


def test_the_teachers_encoder_is_trained_only_on_the_labels(make, draw) -> None:
    student, teacher, batch = draw(6)
    gradients = []
    for weight in (0.0, 100.0):
        mld = make("mld", class_aware=weight, instance_aware=weight)
        mld(student, teacher, batch).backward()
        gradients.append([parameter.grad for parameter in mld.teacher_labels.parameters()])
    torch.testing.assert_close(*gradients)
    assert all(gradient.abs().max() > 0 for gradient in gradients[0])


def test_the_structure_terms_are_zero_where_the_encoders_agree(make, draw) -> None:
    student, _, batch = draw(6)
    mld = make("mld")
    mld.teacher_labels = mld.student_labels
    mld(student, student, batch)
    assert mld.extras["class_aware"] == mld.extras["instance_aware"] == 0


def test_two_diagnoses_in_a_record_are_enough_to_teach(make, draw) -> None:
    """With a mean per record, their only distance would equal its mean, and the term would always be 0."""
    student, teacher, batch = draw(3)
    pairs = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 1]]).double()
    mld = make("mld")
    mld(student, teacher, replace(batch, labels=pairs))
    assert mld.extras["instance_aware"] > 0
