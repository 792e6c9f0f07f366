"""Any lead: whole crops of one lead each, the own one as often as asked."""

import torch

from ecgzoo.distill.views import any_lead


def test_each_crop_is_one_lead_of_the_same_record() -> None:
    torch.manual_seed(0)
    crops = torch.randn(4000, 5, 7)
    own = torch.tensor([2])
    assert torch.equal(any_lead(crops, own, 0.0), crops[:, 2:3])
    shown = any_lead(crops, own, 0.6)
    assert shown.shape == (4000, 1, 7)
    same = (shown == crops).all(dim=2)
    assert (same.sum(1) == 1).all()
    shares = same.float().mean(0)
    expected = torch.full((5,), 0.6 / 5)
    expected[2] += 0.4
    torch.testing.assert_close(shares, expected, atol=0.03, rtol=0)
