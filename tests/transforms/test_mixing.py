"""Mixup and any lead: which record and which lead each crop shows, and how much of it."""

from collections.abc import Callable

import pytest
import torch
from scipy import stats

from ecgzoo import create_transform
from ecgzoo.losses.contract import Batch, DataInfo
from ecgzoo.transforms.contract import Crops, Transform


def mixup(amount: float) -> Transform:
    return create_transform("mixup", DataInfo(("A", "B"), torch.zeros(1, 2)), amount)


def test_signals_and_labels_are_mixed_in_the_same_shares_from_beta(crops: Callable[..., Crops]) -> None:
    identity, index = torch.eye(6), torch.arange(6)
    signals = torch.randn(6, 2, 10, generator=torch.Generator().manual_seed(0))
    shares = []
    for seed in range(200):
        given = crops(identity[:, None], seed=seed, batch=Batch(identity, index, 2 * identity))
        found = mixup(0.5)(given, 0.0)
        labels = found.batch.labels  # [record, record]: how much of each is in it
        assert torch.equal(found.millivolts[:, 0], labels)
        assert found.batch.auxiliary is not None
        assert torch.equal(found.batch.auxiliary, 2 * labels)
        torch.testing.assert_close(labels.sum(1), torch.ones(6))
        torch.testing.assert_close(labels.sum(0), torch.ones(6))  # each record is the other of one
        assert ((labels > 0).sum(1) <= 2).all()
        mixed = mixup(0.5)(crops(signals, seed=seed), 0.0).millivolts
        torch.testing.assert_close(mixed, torch.einsum("rs,slt->rlt", labels, signals))
        # the same share in every row, except for a record that was mixed with itself
        own = labels.diagonal()
        apart = own < 1 - 1e-6
        assert own[apart].unique().numel() <= 1
        shares += own[apart][:1].tolist()
    drawn = torch.tensor(shares)
    assert abs(drawn.mean().item() - 0.5) < 0.06
    assert abs(drawn.var().item() - 0.125) < 0.02  # that of Beta(1/2, 1/2)
    assert stats.kstest(drawn.numpy(), stats.beta(0.5, 0.5).cdf).pvalue > 0.01


def test_without_a_second_task_there_is_none_to_mix(crops: Callable[..., Crops]) -> None:
    assert mixup(1.0)(crops(torch.randn(4, 2, 10)), 0.0).batch.auxiliary is None


def test_both_networks_see_a_mixture_and_neither_label_nor_record_is_kept() -> None:
    transform = mixup(1.0)
    assert (transform.sees, transform.keeps_labels, transform.keeps_identity) == ("both", False, False)


def test_each_crop_is_one_lead_of_the_same_record(apply: Callable[..., torch.Tensor]) -> None:
    crops = torch.randn(4000, 5, 7, generator=torch.Generator().manual_seed(0))
    shown = apply("any_lead", crops, 0.6)
    same = (shown[:, :, None] == crops[:, None]).all(3)  # [record, place, lead]
    assert (same.sum(2) == 1).all()
    expected = torch.full((5, 5), 0.6 / 5) + 0.4 * torch.eye(5)
    torch.testing.assert_close(same.float().mean(0), expected, atol=0.03, rtol=0)
    # each position gets another random lead
    together = (same[:, 0] & same[:, 1]).any(1).float().mean().item()
    assert together == pytest.approx(0.6 / 5, abs=0.03)
    # a share of the records, not of the leads: the others keep all five
    untouched = same.diagonal(dim1=1, dim2=2).all(1).float().mean().item()
    assert untouched == pytest.approx(0.4, abs=0.03)


@pytest.mark.parametrize("until", [0.2, 0.5, 1.0])
def test_the_own_leads_come_back_once_enough_is_done(apply: Callable[..., torch.Tensor], until: float) -> None:
    crops = torch.randn(8, 3, 7)
    arguments = {} if until == 0.5 else {"until": until}
    assert not torch.equal(apply("any_lead", crops, 1.0, done=until - 0.01, **arguments), crops)
    assert torch.equal(apply("any_lead", crops, 1.0, done=until, **arguments), crops)
