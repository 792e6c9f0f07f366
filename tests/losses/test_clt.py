"""CLT, its bank and its mask against plain loops over docs/method.md, section 3."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from ecgzoo import create_loss
from ecgzoo.errors import RecipeError
from ecgzoo.losses.bank import EXCLUDED, MemoryBank
from ecgzoo.losses.clt import _exp, _log1p
from ecgzoo.losses.contract import Batch, DataInfo, ModelInfo, View

N, C, D, TAU = 30, 4, 8, 0.2


def info(size: int) -> ModelInfo:
    return ModelInfo("net", ("I",), C, num_features=size, head_hidden_size=size)


def labels(seed: int = 0) -> torch.Tensor:
    y = (torch.rand(N, C, generator=torch.Generator().manual_seed(seed)) < 0.3).float()
    y[0] = 0  # one record without a diagnosis
    return y


def make(y: torch.Tensor, seed: int = 0, **params: object):
    torch.manual_seed(seed)
    return create_loss("clt", info(6), info(5), DataInfo(tuple("ABCD"), y), **{"dim": D, "temperature": TAU, **params})


def views(count: int, seed: int) -> tuple[View, View]:
    random = torch.Generator().manual_seed(seed)
    student, teacher = torch.randn(count, 6, generator=random), torch.randn(count, 5, generator=random)
    zeros = torch.zeros(count, C)
    return View(zeros, student, student[..., None]), View(zeros, teacher, teacher[..., None])


def step(clt, y: torch.Tensor, index: list[int], seed: int) -> float:
    at = torch.tensor(index)
    value = clt(*views(len(index), seed), Batch(y[at], at))
    value.backward()
    clt.after_backward()
    return value.item()


def visited(clt) -> set[int]:
    return set(clt.bank.visited.nonzero().flatten().tolist())


def by_loop(
    clt,
    y: torch.Tensor,
    index: list[int],
    student: View,
    teacher: View,
    log_z: list[float],
    rows: set[int] | None = None,
) -> torch.Tensor:
    """Both terms, anchor by anchor and row by row (all, or `rows`), left to autograd."""
    z_s = F.normalize(clt.student_head(student.embedding), dim=1)
    z_t = F.normalize(clt.teacher_head(teacher.embedding), dim=1)
    total = torch.zeros(())
    for side, (z, other, bank) in enumerate(
        ((z_s, z_t, clt.bank.teacher.float()), (z_t, z_s, clt.bank.student.float()))
    ):
        for row, record in enumerate(index):
            positive = bank[record] if record in visited(clt) else other[row].detach()
            score_pos = z[row] @ positive / TAU
            scores = [
                z[row] @ bank[n] / TAU
                for n in visited(clt) & (visited(clt) if rows is None else rows)
                if n != record and not any(a and b for a, b in zip(y[record].tolist(), y[n].tolist(), strict=True))
            ]
            if not scores:
                continue
            if clt.critic == "infonce":
                total = total + torch.log(sum(s.exp() for s in [score_pos, *scores])) - score_pos
            else:
                offset = log_z[side] + math.log(len(scores) / N)
                total = total + torch.log1p(torch.exp(offset - score_pos))
                total = total + sum(torch.log1p(torch.exp(s - offset)) for s in scores)
    return total / len(index)


@pytest.mark.parametrize("critic", ["nce", "infonce"])
@pytest.mark.parametrize("chunk", [7, 4096])
def test_value_and_gradient_are_those_of_the_equation(critic: str, chunk: int) -> None:
    y = labels()
    clt = make(y, critic=critic, chunk=chunk)
    for number, index in enumerate(([1, 2, 3, 4], [5, 6, 7, 0], [8, 2, 9, 5])):
        step(clt, y, index, seed=number)
    index = [3, 0, 20, 21]  # visited, without diagnosis, and two never visited
    log_z = [0.0, 0.0] if critic == "infonce" else clt.log_z.tolist()
    student, teacher = views(4, seed=9)
    inputs = [student.embedding.requires_grad_(), teacher.embedding.requires_grad_(), *clt.parameters()]
    expected = by_loop(clt, y, index, student, teacher, log_z)
    found = clt(student, teacher, Batch(y[torch.tensor(index)], torch.tensor(index)))
    torch.testing.assert_close(found, expected)
    for a, b in zip(torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True):
        torch.testing.assert_close(a, b)


def test_z_can_be_kept_at_its_first_estimate() -> None:
    y = labels()
    clt = make(y, z_momentum=1.0)
    for number in range(4):
        step(clt, y, list(range(4 * number, 4 * number + 4)), seed=number)
        if number == 1:
            first = clt.log_z.clone()
    assert first.isfinite().all()
    assert torch.equal(clt.log_z, first)


@pytest.mark.parametrize("critic", ["nce", "infonce"])
def test_bfloat16_embeddings_change_it_by_their_rounding_only(critic: str) -> None:
    y = labels()
    clt = make(y, critic=critic, chunk=7)
    for number, index in enumerate(([1, 2, 3, 4], [5, 6, 7, 0], [8, 2, 9, 5])):
        step(clt, y, index, seed=number)
    batch = Batch(y[torch.tensor([3, 0, 20, 21])], torch.tensor([3, 0, 20, 21]))
    found = []
    for dtype in (torch.bfloat16, torch.float32):
        half = [view.embedding.bfloat16().to(dtype).requires_grad_() for view in views(4, seed=9)]
        value = clt(*(View(torch.zeros(4, C), e, e[..., None]).full_precision() for e in half), batch)
        found.append((value.detach(), torch.autograd.grad(value, half[0])[0].float()))
    (value, gradient), (exact, exact_gradient) = found
    assert value != exact  # the products really ran in bfloat16
    torch.testing.assert_close(value, exact, rtol=0.01, atol=0)
    assert F.cosine_similarity(gradient.flatten(), exact_gradient.flatten(), dim=0) > 0.999


def test_z_starts_at_the_batch_mean_and_is_then_averaged() -> None:
    y = labels()
    clt = make(y, z_momentum=0.9)

    def estimate(index: list[int], seed: int) -> float:
        """N · mean exp of the student side's scores: negatives, and positives of anchors that have any."""
        student, teacher = views(len(index), seed)
        z_s = F.normalize(clt.student_head(student.embedding), dim=1)
        z_t = F.normalize(clt.teacher_head(teacher.embedding), dim=1)
        used = []
        for row, record in enumerate(index):
            negatives = [n for n in visited(clt) if n != record and not (y[record] * y[n]).any()]
            used += [math.exp((z_s[row] @ clt.bank.teacher[n]).item() / TAU) for n in negatives]
            positive = clt.bank.teacher[record] if record in visited(clt) else z_t[row]
            used += [math.exp((z_s[row] @ positive).item() / TAU)] * bool(negatives)
        return N * sum(used) / len(used)

    assert step(clt, y, [1, 2, 3, 4], seed=0) == 0  # nobody visited: no negatives, no loss
    assert clt.log_z.isnan().all()
    z = estimate([5, 6, 7, 8], seed=1)
    step(clt, y, [5, 6, 7, 8], seed=1)
    assert clt.log_z[0].exp().item() == pytest.approx(z, rel=1e-5)
    z = 0.9 * z + 0.1 * estimate([9, 10, 1, 2], seed=2)
    step(clt, y, [9, 10, 1, 2], seed=2)
    assert clt.log_z[0].exp().item() == pytest.approx(z, rel=1e-5)


def test_a_batch_without_negatives_leaves_z_as_it_is() -> None:
    y = torch.zeros(N, C)
    y[:10, 0] = y[10:20, 1] = 1
    y[20:] = 1
    clt = make(y)
    step(clt, y, [1, 2, 3], seed=0)
    step(clt, y, [11, 12, 13], seed=1)
    known = clt.log_z.clone()
    assert known.isfinite().all()
    assert step(clt, y, [21, 22, 23], seed=2) == 0  # they share a diagnosis with everyone
    assert torch.equal(clt.log_z, known)
    step(clt, y, [4, 5, 6], seed=3)
    assert clt.log_z.isfinite().all()
    assert not torch.equal(clt.log_z, known)


def test_in_eval_mode_nothing_is_remembered() -> None:
    y = labels()
    clt = make(y)
    step(clt, y, [1, 2, 3, 4], seed=0)
    before = {name: value.clone() for name, value in clt.state_dict().items()}
    step(clt.eval(), y, [5, 6, 7, 8], seed=1)
    clt.after_backward()  # nor twice
    assert all(torch.equal(value, before[name]) for name, value in clt.state_dict().items() if "bank" in name)
    assert clt.step == 1


@pytest.mark.parametrize("critic", ["nce", "infonce"])
@given(st.permutations(range(N)))
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_bank_does_not_matter(critic: str, order: list[int]) -> None:
    y = labels()
    place = {record: position for position, record in enumerate(order)}
    plain, shuffled = make(y, critic=critic), make(y[torch.tensor(order)], critic=critic)
    for number, index in enumerate(([1, 2, 3, 4], [5, 6, 7, 8], [1, 5, 9, 10])):
        there = [place[record] for record in index]
        a = step(plain, y, index, seed=number)
        b = step(shuffled, y[torch.tensor(order)], there, seed=number)
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)


def test_both_heads_learn_and_the_teachers_embedding_does_not() -> None:
    y = labels()
    clt = make(y)
    step(clt, y, [1, 2, 3, 4], seed=0)
    step(clt, y, [5, 6, 7, 8], seed=1)
    assert clt.student_head.weight.grad.abs().sum() > 0
    assert clt.teacher_head.weight.grad.abs().sum() > 0


def test_the_loss_is_finite_at_the_papers_temperature_in_half_precision() -> None:
    y = labels()
    clt = make(y, temperature=0.07)
    same = torch.ones(4, 6, dtype=torch.bfloat16), torch.ones(4, 5, dtype=torch.bfloat16)
    for index in ([1, 2, 3, 4], [5, 6, 7, 8]):
        at = torch.tensor(index)
        student, teacher = (View(torch.zeros(4, C), e, e[..., None]).full_precision() for e in same)
        value = clt(student, teacher, Batch(y[at], at))
        clt.after_backward()
    assert value.dtype == torch.float32
    assert value.isfinite()


def test_a_drawn_set_of_rows_is_shared_and_reproducible() -> None:
    y = labels()
    clt, again = make(y, max_rows=10), make(y, max_rows=10)
    for number, index in enumerate(([1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12])):
        torch.manual_seed(number)  # the draw must not depend on the global stream
        a = step(clt, y, index, seed=number)
        torch.manual_seed(number + 100)
        assert a == step(again, y, index, seed=number)
    assert clt.extras["negatives"] <= 10


def test_the_drawn_rows_depend_on_the_seed_and_the_step() -> None:
    def drawn(seed: int) -> list[list[int]]:
        clt = create_loss("clt", info(6), info(5), DataInfo(tuple("ABCD"), labels(), seed=seed), dim=D, max_rows=10)
        sets = []
        for at in range(3):
            clt.step.fill_(at)  # as a resumed run does
            sets.append(clt._rows(torch.device("cpu")).tolist())
        return sets

    assert drawn(0) == drawn(0)
    assert not any(a == b for a in drawn(0) for b in drawn(1))


@pytest.mark.parametrize("critic", ["nce", "infonce"])
def test_above_max_rows_the_equation_is_that_of_the_drawn_rows(critic: str) -> None:
    y = labels()
    clt = make(y, critic=critic, max_rows=10, chunk=3)
    drawn = []
    for number in range(6):
        step(clt, y, list(range(5 * number, 5 * number + 5)), seed=number)
        drawn.append(set(clt._rows(torch.device("cpu")).tolist()))
    assert all(len(rows) == 10 and rows <= set(range(N)) for rows in drawn)
    assert len({tuple(sorted(rows)) for rows in drawn}) == 6  # another set each step
    index, log_z = [3, 0, 20, 21], [0.0, 0.0] if critic == "infonce" else clt.log_z.tolist()
    student, teacher = views(4, seed=9)
    found = clt(student, teacher, Batch(y[torch.tensor(index)], torch.tensor(index)))
    torch.testing.assert_close(found, by_loop(clt, y, index, student, teacher, log_z, drawn[-1]))
    assert found != by_loop(clt, y, index, student, teacher, log_z)


@given(st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_negatives_share_no_diagnosis(seed: int) -> None:
    y = labels(seed)
    bank = MemoryBank(y, D, 0.5)
    seen = torch.rand(N, generator=torch.Generator().manual_seed(seed)) < 0.5
    bank.visited.copy_(seen)
    index = torch.arange(N)
    drawn = torch.randperm(N)[:7].sort().values
    mask, of_drawn = bank.mask(index, y, None), bank.mask(index, y, drawn)
    for a in range(N):
        for n in range(N):
            overlap = any(y[a, c] and y[n, c] for c in range(C))
            assert (mask[a, n] == 0) == (bool(seen[n]) and n != a and not overlap)
            assert mask[a, n] == 0 or mask[a, n] <= EXCLUDED
    assert torch.equal(of_drawn == 0, mask[:, drawn] == 0)


def test_the_bank_is_a_momentum_average_on_the_sphere() -> None:
    bank = MemoryBank(labels(), D, momentum=0.7)
    first, second = F.normalize(torch.randn(2, D), dim=1), F.normalize(torch.randn(2, D), dim=1)
    bank.update(torch.tensor([4, 9]), first, second)
    torch.testing.assert_close(bank.student[9], first[1])  # a first visit has nothing to average with
    later = F.normalize(torch.randn(1, D), dim=1)
    bank.update(torch.tensor([9]), later, later)
    mixed = [0.7 * float(a) + 0.3 * float(b) for a, b in zip(first[1], later[0], strict=True)]
    norm = math.sqrt(sum(value**2 for value in mixed))
    torch.testing.assert_close(bank.student[9], torch.tensor([value / norm for value in mixed]))
    assert bank.visited.sum() == 2
    assert not bank.teacher[0].any()


def test_a_repeated_index_counts_once() -> None:
    bank, once = MemoryBank(labels(), D, 0.5), MemoryBank(labels(), D, 0.5)
    z = F.normalize(torch.randn(3, D), dim=1)
    bank.update(torch.tensor([7, 2, 7]), z, z)
    once.update(torch.tensor([7, 2]), z[:2], z[:2])
    torch.testing.assert_close(bank.student, once.student)


def test_banks_z_and_visits_are_in_the_state_and_labels_are_not() -> None:
    y = labels()
    clt = make(y)
    names = set(clt.state_dict())
    assert {"bank.student", "bank.teacher", "bank.visited", "log_z", "step"} <= names
    assert not any("labels" in name for name in names)


@pytest.mark.parametrize(
    "params",
    [
        {"critic": "triplet"},
        {"temperature": 0.0},
        {"temperature": math.inf},
        {"momentum": 1.0},
        {"momentum": -0.1},
        {"z_momentum": 1.1},
        {"z_momentum": -0.1},
        {"dim": 0},
        {"max_rows": 0},
        {"chunk": 0},
        {"dim": 1e2},
        {"max_rows": 2e4},
        {"chunk": 4e3},
        {"tau": 1},
    ],
)
def test_a_wrong_parameter_is_refused(params: dict) -> None:
    with pytest.raises(RecipeError, match=r"clt(:| of ecgzoo \S+ takes no argument 'tau')"):
        make(labels(), **params)


def test_the_ends_of_a_range_belong_to_it() -> None:
    y = labels()
    clt = make(y, dim=1, max_rows=1, chunk=1, momentum=0.0, z_momentum=0.0)
    assert all(math.isfinite(step(clt, y, index, seed=0)) for index in ([1, 2, 3], [4, 5, 6]))


def test_softplus_and_sigmoid_are_precise_from_tiny_to_large_logits() -> None:
    logits = torch.cat([torch.linspace(-60, 79, 2000), torch.tensor([EXCLUDED])])
    softplus, sigmoid = _log1p(_exp(logits.clone(), out=torch.empty_like(logits)))
    exact = logits.double()
    torch.testing.assert_close(softplus.double(), torch.log1p(exact.exp()), rtol=1e-5, atol=1e-30)
    torch.testing.assert_close(sigmoid.double(), exact.sigmoid(), rtol=1e-5, atol=1e-30)
