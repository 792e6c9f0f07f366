"""dkd, dist and logit_std: the losses of logits."""

import math
from dataclasses import replace

import pytest
import torch

from ecgzoo import create_loss
from ecgzoo.errors import RecipeError
from ecgzoo.losses.contract import Batch, DataInfo, Loss
from ecgzoo.training.distiller import reads_labels


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def divergence(p: list[float], q: list[float]) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))


def softmax(z: list[float]) -> list[float]:
    total = sum(math.exp(x) for x in z)
    return [math.exp(x) / total for x in z]


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize(("alpha", "beta"), [(1.0, 8.0), (2.0, 0.0), (0.0, 1.0)])
def test_dkd_is_its_equation(make, draw, assert_is, temperature: float, alpha: float, beta: float) -> None:
    def by_loop(student, teacher, labels) -> float:
        total = 0.0
        for s, t, y in zip(student.logits, teacher.logits, labels, strict=True):
            s, t = [x / temperature for x in s], [x / temperature for x in t]
            for a, b, positive in zip(s, t, y, strict=True):
                if positive:
                    total += alpha * divergence([sigmoid(b), sigmoid(-b)], [sigmoid(a), sigmoid(-a)])
            negatives = [c for c in range(len(y)) if not y[c]]
            if negatives:
                total += beta * divergence(*(softmax([z[c] for c in negatives]) for z in (t, s)))
        return temperature**2 * total / len(labels)

    student, teacher, batch = draw(6)
    labels = batch.labels.clone()
    labels[0], labels[1] = 1, torch.tensor([1, 1, 0, 1])  # records with no negative class and with one
    assert_is(
        make("dkd", alpha=alpha, beta=beta, temperature=temperature), by_loop, student, teacher, Batch(labels, None)
    )


def test_nckd_of_one_positive_class_is_as_in_the_paper(make, draw) -> None:
    student, teacher, batch = draw(5)
    labels = torch.eye(4, dtype=torch.float64)[[0, 1, 2, 3, 0]]
    p, q = teacher.logits.softmax(1), student.logits.softmax(1)
    expected = 0.0
    for b in range(5):
        rest = [c for c in range(4) if not labels[b, c]]
        expected += divergence(*([v[b, c].item() / (1 - v[b, labels[b] == 1].item()) for c in rest] for v in (p, q)))
    value = make("dkd", alpha=0, beta=1, temperature=1)(student, teacher, replace(batch, labels=labels))
    assert value.item() == pytest.approx(expected / 5, rel=1e-9)


def test_tckd_of_all_classes_is_mkd(make, draw) -> None:
    student, teacher, batch = draw(5)
    everything = replace(batch, labels=torch.ones_like(batch.labels))
    value = make("dkd", alpha=1, beta=0, temperature=3)(student, teacher, everything)
    torch.testing.assert_close(value, make("mkd", temperature=3)(student, teacher, everything))


def test_the_level_of_negative_logits_is_left_to_bce(make, draw) -> None:
    student, teacher, batch = draw(5)
    lowered = replace(student, logits=student.logits - 3 * (1 - batch.labels))
    dkd = make("dkd")
    torch.testing.assert_close(dkd(lowered, teacher, batch), dkd(student, teacher, batch))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dkd_is_exact_at_large_logits(make, draw, dtype: torch.dtype) -> None:
    student, teacher, _ = draw(1)
    s = replace(student, logits=torch.tensor([[50.0, 0.0, 60.0, 0.0]], dtype=dtype))
    t = replace(teacher, logits=torch.tensor([[-50.0, 0.0, 0.0, 60.0]], dtype=dtype))
    labels = torch.tensor([[1.0, 1.0, 0.0, 0.0]])
    value = make("dkd", beta=1, temperature=1)(s.full_precision(), t.full_precision(), Batch(labels, None))
    assert value.item() == pytest.approx(50 + 60, rel=1e-6)


def correlation(a: list[float], b: list[float]) -> float:
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    a, b = [x - mean_a for x in a], [x - mean_b for x in b]
    return sum(x * y for x, y in zip(a, b, strict=True)) / math.hypot(*a) / math.hypot(*b)


@pytest.mark.parametrize(("beta", "gamma", "temperature"), [(1.0, 1.0, 1.0), (2.0, 0.0, 4.0), (0.0, 3.0, 0.5)])
def test_dist_is_its_equation(make, draw, assert_is, beta: float, gamma: float, temperature: float) -> None:
    def by_loop(student, teacher, labels) -> float:
        s, t = ([[sigmoid(x / temperature) for x in row] for row in view.logits] for view in (student, teacher))
        inter = sum(1 - correlation(a, b) for a, b in zip(s, t, strict=True)) / len(s)
        columns = list(zip(zip(*s, strict=True), zip(*t, strict=True), strict=True))
        intra = sum(1 - correlation(a, b) for a, b in columns) / len(columns)
        return temperature**2 * (beta * inter + gamma * intra)

    assert_is(make("dist", beta=beta, gamma=gamma, temperature=temperature), by_loop, *draw(5))


def affine_of_probabilities(logits: torch.Tensor, dim: int) -> torch.Tensor:
    """Logits whose probabilities are the given ones with another scale and shift in each row (or column)."""
    shape = [1, 1]
    shape[1 - dim] = logits.shape[1 - dim]
    scale = torch.linspace(0.2, 0.6, max(shape)).double().view(shape)
    return (scale * logits.sigmoid() + 0.3 * scale).logit()


def test_dist_ignores_affine_maps_of_probabilities(make, draw) -> None:
    student, teacher, batch = draw(5)
    for weights, dim in (({"gamma": 0}, 1), ({"beta": 0}, 0)):
        dist = make("dist", **weights)
        mapped = replace(student, logits=affine_of_probabilities(student.logits, dim))
        torch.testing.assert_close(dist(mapped, teacher, batch), dist(student, teacher, batch))
        assert dist(mapped, student, batch) < 1e-12


def test_a_constant_row_counts_as_zero_in_dist(make, draw) -> None:
    student, teacher, batch = draw(4)
    inter = make("dist", gamma=0)
    student.logits[1] = 0.3
    others = [0, 2, 3]
    some = [replace(view, logits=view.logits[others]) for view in (student, teacher)]
    torch.testing.assert_close(4 * inter(student, teacher, batch), 3 * inter(*some, batch))


@pytest.mark.parametrize("of", ["kd", "mkd", "dkd", "dist"])
def test_logit_std_is_another_loss_on_z_scores(make, draw, of: str) -> None:
    student, teacher, batch = draw(5)

    def standardised(view):
        rows = []
        for row in view.logits.tolist():
            mean = sum(row) / len(row)
            deviation = math.sqrt(sum((x - mean) ** 2 for x in row) / len(row))
            rows.append([(x - mean) / deviation for x in row])
        return replace(view, logits=torch.tensor(rows).double())

    value = make("logit_std", of=of, temperature=3)(student, teacher, batch)
    expected = make(of, temperature=3)(standardised(student), standardised(teacher), batch)
    torch.testing.assert_close(value, expected, rtol=1e-5, atol=0)


def test_logit_std_has_the_slope_of_kd_on_z_scores(make, draw, assert_is) -> None:
    def by_loop(student, teacher, labels) -> float:
        total = 0.0
        for rows in zip(teacher.logits, student.logits, strict=True):
            z = []
            for row in rows:
                mean = sum(row) / len(row)
                deviation = math.sqrt(sum((x - mean) ** 2 for x in row) / len(row))
                z.append(softmax([(x - mean) / deviation / 2 for x in row]))
            total += divergence(*z)
        return 4 * total / len(labels)

    assert_is(make("logit_std", of="kd"), by_loop, *draw(5))


def test_logit_std_ignores_shift_and_scale_of_logits(make, draw) -> None:
    student, teacher, batch = draw(4)
    loss = make("logit_std")
    scale, shift = torch.tensor([[0.1], [1.0], [5.0], [40.0]]), torch.tensor([[3.0], [-20.0], [0.0], [7.0]])
    moved = replace(student, logits=scale * student.logits + shift)
    torch.testing.assert_close(loss(moved, teacher, batch), loss(student, teacher, batch))
    assert loss(moved, student, batch) < 1e-12


class Counting(Loss):
    """A loss of logits with memory and something to log."""

    requires = frozenset({"student.logits", "teacher.logits"})

    def __init__(self, student, teacher, data, *, temperature: float) -> None:
        super().__init__(student, teacher, data)
        self.updates = 0

    def forward(self, student, teacher, batch):
        self.extras = {"spread": student.logits.std()}
        return (student.logits - teacher.logits).square().mean()

    def after_backward(self) -> None:
        self.updates += 1


def test_logit_std_passes_on_memory_and_extras(make, draw, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ecgzoo_losses.logit_std.create_loss", lambda name, *given, **named: Counting(*given, **named))
    loss = make("logit_std", of="counting")
    loss(*draw(3))
    loss.after_backward()
    assert loss.extras.keys() == {"spread"}
    assert loss.inner.updates == 1


@pytest.mark.parametrize(("of", "reads"), [("kd", False), ("mkd", False), ("dist", False), ("dkd", True)])
def test_logit_std_reads_labels_only_if_its_loss_does(make, of: str, reads: bool) -> None:
    assert reads_labels(make("logit_std", of=of)) == reads


def test_logit_std_of_one_class_is_refused(infos) -> None:
    student, teacher = (replace(info, num_classes=1) for info in infos)
    with pytest.raises(RecipeError, match="one class"):
        create_loss("logit_std", student, teacher, DataInfo(("A",), torch.zeros(3, 1)))


@pytest.mark.parametrize("name", ["dkd", "dist", "logit_std"])
def test_a_loss_of_logits_is_zero_where_they_agree(make, draw, name: str) -> None:
    student, _, batch = draw(5)
    assert make(name)(student, student, batch).abs() < 1e-12
