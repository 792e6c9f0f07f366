"""examples/live.py: a simulated strap on a socket, in one screen."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "live.py"


def test_it_predicts_what_the_strap_sends(capsys) -> None:
    found = runpy.run_path(str(SCRIPT))["main"](24.0)
    assert capsys.readouterr().out.count(" s to ") == len(found)  # also the one that ends with the signal
    assert found[0].start_s == 0
    assert found[-1].end_s == pytest.approx(24, abs=0.01)  # the packet that comes twice counts once
    before = [one for one in found if one.end_s <= 11.5]
    after = [one for one in found if one.start_s > 12.5]
    assert len(before) + len(after) == len(found)
    assert len(before) == len(after) == 4
    assert all(one.windows == 1 for one in found)
    assert len(SCRIPT.read_text().splitlines()) <= 60
