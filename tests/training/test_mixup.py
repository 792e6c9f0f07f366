"""Mixup: records and both kinds of labels in the same shares."""

import torch
from ecgzoo.training.mixup import mixed

from ecgzoo.losses.contract import Batch


def test_signals_and_labels_are_mixed_alike() -> None:
    torch.manual_seed(0)
    shares = []
    for _ in range(200):
        identity = torch.eye(6)
        crops, batch = mixed(identity[:, None], Batch(identity, torch.arange(6), 2 * identity), 0.5)
        assert torch.equal(crops[:, 0], batch.labels)
        assert batch.auxiliary is not None
        assert torch.equal(batch.auxiliary, 2 * batch.labels)
        torch.testing.assert_close(batch.labels.sum(1), torch.ones(6))
        # the same share in every row, but for a record that met itself
        own = batch.labels.diagonal()
        apart = own < 1 - 1e-6
        assert own[apart].unique().numel() <= 1
        shares += own[apart][:1].tolist()
    drawn = torch.tensor(shares)
    assert abs(drawn.mean().item() - 0.5) < 0.08
    assert abs(drawn.var().item() - 0.125) < 0.03  # that of Beta(1/2, 1/2)


def test_without_a_second_task_there_is_none_to_mix() -> None:
    _, batch = mixed(torch.randn(4, 2, 10), Batch(torch.eye(4), torch.arange(4)), 1.0)
    assert batch.auxiliary is None
