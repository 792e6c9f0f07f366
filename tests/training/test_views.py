"""Any lead: whole crops of one lead each, the own one as often as asked. The teacher's windows against a loop."""

import pytest
import torch
from ecgzoo.training.views import any_lead, windowed_view

import ecgzoo


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


@pytest.mark.parametrize("samples", [200, 250, 500, 610])
def test_a_teacher_sees_windows_of_its_own_length(samples: int) -> None:
    torch.manual_seed(0)
    teacher = ecgzoo.create_teacher("xresnet1d18", ("I", "II"), 3).eval()
    crops = torch.randn(4, 2, samples)
    starts = {200: [0], 250: [0], 500: [0, 250], 610: [0, 250, 360]}[samples]
    parts = [teacher.view(crops[:, :, start : start + 250]) for start in starts]
    found = windowed_view(teacher, crops)
    torch.testing.assert_close(found.logits, sum(part.logits for part in parts) / len(parts))
    torch.testing.assert_close(found.embedding, sum(part.embedding for part in parts) / len(parts))
    torch.testing.assert_close(found.features, torch.cat([part.features for part in parts], dim=2))
