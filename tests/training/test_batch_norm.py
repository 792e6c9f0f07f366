"""Batch norms of several processes against torch's own on the whole batch. The processes are threads here."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from timm.layers import BatchNormAct2d, SyncBatchNormAct
from torch import Tensor, nn

from ecgzoo.errors import RecipeError
from ecgzoo.training import batch_norm
from ecgzoo.training.batch_norm import SyncBatchNorm, average_statistics, synchronize

RANKS = 3


class Threads:
    """The collectives that `batch_norm` uses, among threads that call them in step."""

    def __init__(self) -> None:
        self.barrier, self.there, self.local = (
            threading.Barrier(RANKS, timeout=20),
            [Tensor()] * RANKS,
            threading.local(),
        )

    def get_world_size(self) -> int:
        return RANKS

    def all_gather(self, parts: list[Tensor], own: Tensor) -> None:
        self.there[self.local.rank] = own.clone()
        self.barrier.wait()
        for part, there in zip(parts, self.there, strict=True):
            part.copy_(there)
        self.barrier.wait()

    def all_reduce(self, own: Tensor) -> None:
        parts = [torch.empty_like(own) for _ in range(RANKS)]
        self.all_gather(parts, own)
        own.copy_(sum(parts))


@pytest.fixture
def in_ranks(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[int], object]], list]:
    threads = Threads()
    monkeypatch.setattr(batch_norm, "dist", threads)

    def run(work: Callable[[int], object]) -> list:
        def of(rank: int) -> object:
            threads.local.rank = rank
            return work(rank)

        with ThreadPoolExecutor(RANKS) as pool:
            return list(pool.map(of, range(RANKS)))

    return run


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("affine", [True, False])
def test_statistics_and_gradients_are_those_of_the_whole_batch(in_ranks, dtype: torch.dtype, affine: bool) -> None:
    torch.manual_seed(0)
    x = (5 + 2 * torch.randn(4 * RANKS, 3, 1, 10)).to(dtype).contiguous(memory_format=torch.channels_last)
    x += torch.arange(4 * RANKS)[:, None, None, None] / 2  # the processes have different means
    grad = torch.randn_like(x)
    whole = nn.BatchNorm2d(3, affine=affine)
    if affine:
        whole.load_state_dict(whole.state_dict() | {"weight": torch.tensor([1.0, 2, -1]), "bias": torch.rand(3)})
    x.requires_grad_()
    expected = whole(x.float())
    expected.backward(grad.float())

    def work(rank: int) -> tuple:
        norm = SyncBatchNorm(3, affine=affine)
        norm.load_state_dict(whole.state_dict() | nn.BatchNorm2d(3, affine=False).state_dict())
        share = x.detach()[rank::RANKS].contiguous(memory_format=torch.channels_last).requires_grad_()
        out = norm(share)
        out.backward(grad[rank::RANKS])
        return norm, out, share.grad

    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 0.02, "atol": 0.02}
    found = in_ranks(work)
    for rank, (norm, out, grad_x) in enumerate(found):
        assert out.dtype == grad_x.dtype == dtype
        torch.testing.assert_close(out.float(), expected[rank::RANKS], **close)
        torch.testing.assert_close(grad_x.float(), x.grad[rank::RANKS].float(), **close)
        assert norm.num_batches_tracked == 1
        for name in ("running_mean", "running_var"):  # in float32 also for bfloat16
            torch.testing.assert_close(getattr(norm, name), getattr(whole, name), rtol=1e-5, atol=1e-5)
    if affine:  # DDP adds them up
        torch.testing.assert_close(sum(norm.bias.grad for norm, *_ in found), whole.bias.grad, **close)
        weights = sum(norm.weight.grad for norm, *_ in found)
        torch.testing.assert_close(weights, whole.weight.grad, rtol=close["rtol"], atol=10 * close["atol"])


def test_running_statistics_are_averaged_over_the_processes(in_ranks) -> None:
    def work(rank: int) -> nn.Module:
        net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.BatchNorm1d(3), nn.BatchNorm1d(2, affine=True))
        for number, norm in enumerate(net[1:]):
            norm.running_mean.fill_(rank + number)
            norm.running_var.fill_(10 * rank)
        average_statistics([net, nn.Linear(2, 2)])
        return net

    for net in in_ranks(work):
        assert [norm.running_mean.tolist() for norm in net[1:]] == [[1, 1], [2, 2, 2], [3, 3]]
        assert all((norm.running_var == 10).all() for norm in net[1:])


def test_without_momentum_the_running_statistics_are_the_mean_of_all_batches(in_ranks) -> None:
    torch.manual_seed(0)
    whole, batches = nn.BatchNorm1d(2, momentum=None), torch.randn(3, 4 * RANKS, 2)
    for x in batches:
        whole(x)

    def work(rank: int) -> nn.Module:
        norm = SyncBatchNorm(2, momentum=None)
        for x in batches:
            norm(x[rank::RANKS])
        return norm

    for norm in in_ranks(work):
        torch.testing.assert_close(norm.running_mean, whole.running_mean)
        torch.testing.assert_close(norm.running_var, whole.running_var)


def with_activations() -> nn.Sequential:
    norm = BatchNormAct2d(3, act_layer=nn.SiLU)
    return nn.Sequential(nn.Sequential(nn.Conv2d(2, 3, 1), norm), nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))


def test_an_activation_that_is_part_of_a_batch_norm_stays(in_ranks) -> None:
    torch.manual_seed(0)
    whole, x = with_activations(), torch.randn(4 * RANKS, 2, 1, 10)
    weights = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    expected = whole(x)

    def work(rank: int) -> tuple[Tensor, Tensor]:
        net = with_activations()
        net.load_state_dict(weights)
        synchronize(net, torch.device("cpu"))
        return net(x[rank::RANKS]), net.eval()(x)

    for rank, (trained, evaluated) in enumerate(in_ranks(work)):
        torch.testing.assert_close(trained, expected[rank::RANKS])
        torch.testing.assert_close(evaluated, whole.eval()(x))


def test_on_a_gpu_an_activation_that_is_part_of_a_batch_norm_stays() -> None:
    net = with_activations()
    synchronize(net, torch.device("cuda"))  # which replaces layers, wherever they are
    assert type(net[0][1]) is SyncBatchNormAct
    assert isinstance(net[0][1].act, nn.SiLU)
    assert type(net[2]) is nn.SyncBatchNorm


def test_a_batch_norm_that_may_do_more_is_refused() -> None:
    class Shifted(nn.BatchNorm1d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + 1

    with pytest.raises(RecipeError, match=r"0\.1 is a Shifted, .* --batch-norm per-process"):
        synchronize(nn.Sequential(nn.Sequential(nn.Linear(2, 2), Shifted(2))), torch.device("cpu"))
