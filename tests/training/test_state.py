"""Checkpoints: what goes in comes out, and nothing half."""

import pytest
import torch

from ecgzoo.errors import WeightsError
from ecgzoo.training.checkpoint import load_state, save_state


def test_a_tree_of_tensors_and_values_comes_back(tmp_path) -> None:
    shared = torch.randn(3)
    tree = {
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "betas": [0.9, 0.99]}]},
        "tensors": [shared, shared[1:], torch.tensor([True, False]), torch.zeros(0)],
        "none": None,
        "flags": [True, 1, 2.5, "text"],
    }
    save_state(tmp_path / "state", tree)
    back = load_state(tmp_path / "state")
    assert back["optimizer"]["state"][0]["step"] == 3
    assert back["optimizer"]["param_groups"] == tree["optimizer"]["param_groups"]
    assert all(torch.equal(a, b) for a, b in zip(tree["tensors"], back["tensors"], strict=True))
    assert back["none"] is None
    assert back["flags"] == tree["flags"]


def test_an_optimisers_state_goes_on_as_before(tmp_path) -> None:
    def make() -> tuple[torch.nn.Linear, torch.optim.AdamW]:
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 1)
        return layer, torch.optim.AdamW(layer.parameters(), lr=0.1)

    def step(layer: torch.nn.Linear, optimizer: torch.optim.AdamW) -> None:
        layer(torch.ones(2, 3)).sum().backward()
        optimizer.step()
        optimizer.zero_grad()

    layer, optimizer = make()
    step(layer, optimizer)
    save_state(tmp_path / "state", {"layer": layer.state_dict(), "optimizer": optimizer.state_dict()})
    step(layer, optimizer)
    other, again = make()
    state = load_state(tmp_path / "state")
    other.load_state_dict(state["layer"])
    again.load_state_dict(state["optimizer"])
    step(other, again)
    assert torch.equal(layer.weight, other.weight)


def test_what_is_no_checkpoint_is_refused(tmp_path) -> None:
    (tmp_path / "state").write_bytes(b"pickle" * 20)
    with pytest.raises(WeightsError, match="not a checkpoint"):
        load_state(tmp_path / "state")
    with pytest.raises(WeightsError, match="not a checkpoint"):
        load_state(tmp_path / "absent")


def test_other_objects_are_refused(tmp_path) -> None:
    with pytest.raises(TypeError, match="set"):
        save_state(tmp_path / "state", {"a": {1, 2}})
    assert not list(tmp_path.iterdir())
