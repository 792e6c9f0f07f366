"""Checkpoints: what goes in comes out, and nothing half."""

from pathlib import Path

import pytest
import torch

from ecgzoo import DataInfo, create_model
from ecgzoo.errors import WeightsError
from ecgzoo.training import state
from ecgzoo.training.checkpoint import load_state, save_state
from ecgzoo.training.distiller import Distiller, create_losses
from ecgzoo.training.state import CHECKPOINT, MEMORY, TrainingState


def test_a_tree_of_tensors_and_values_comes_back(tmp_path) -> None:
    shared = torch.randn(3)
    tree = {
        "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1, "betas": [0.9, 0.99]}]},
        "tensors": [shared, shared[1:], torch.tensor([True, False]), torch.zeros(0)],
        "none": None,
        "flags": [True, 1, 2.5, "text"],
        "kinds": (1, [torch.bfloat16, ("a",)]),
    }
    save_state(tmp_path / "state", tree)
    back = load_state(tmp_path / "state")
    assert back["optimizer"]["state"][0]["step"] == 3
    assert back["optimizer"]["param_groups"] == tree["optimizer"]["param_groups"]
    assert all(torch.equal(a, b) for a, b in zip(tree["tensors"], back["tensors"], strict=True))
    assert back["none"] is None
    assert back["flags"] == tree["flags"]
    assert back["kinds"] == tree["kinds"]


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


@pytest.fixture
def make_state(monkeypatch: pytest.MonkeyPatch):
    """A function that makes the state of a student with CLT, whose banks of 40 records count as large."""
    monkeypatch.setattr(state, "LARGE_BYTES", 40 * 128 * 4)

    def make(origin: str = "a run") -> TrainingState:
        torch.manual_seed(0)
        student = create_model("xresnet1d_tiny", ("I",))
        labels = torch.eye(5).repeat(8, 1)
        losses = create_losses(("bce=1", "clt=1"), student, student, DataInfo(tuple("abcde"), labels))
        distiller = Distiller(student, student, losses)
        made = TrainingState(distiller, torch.optim.SGD(distiller.parameters(), lr=0.1), 0, {"losses": [origin]})
        made.record({"epoch": 1, "val_macro_auc": 0.5})
        return made

    return make


def turned(training: TrainingState, share: float) -> torch.Tensor:
    """CLT's bank of the student after all records were visited, with this momentum."""
    bank = training.distiller.losses["clt"].bank
    random = torch.Generator().manual_seed(round(1000 * share))
    z = torch.nn.functional.normalize(torch.randn(40, 128, generator=random), dim=1)
    bank.momentum = 1 - share
    bank.update(torch.arange(40), z, z)
    return bank.student.clone()


def test_large_banks_are_written_when_they_have_changed_much_and_at_the_end(make_state, tmp_path: Path) -> None:
    training = make_state()
    first = turned(training, 1.0)
    training.save(tmp_path, last=False)
    assert "terms.clt.bank.student" not in load_state(tmp_path / CHECKPOINT)["learner"]

    def there() -> torch.Tensor:
        resumed = make_state()
        resumed.resume(tmp_path)
        bank = resumed.distiller.losses["clt"].bank
        assert bank.visited.all()
        return bank.student

    assert torch.equal(there(), first)
    turned(training, 0.1)
    training.distiller.losses["clt"].step += 7
    training.save(tmp_path, last=False)
    assert torch.equal(there(), first)  # it has changed little
    assert load_state(tmp_path / CHECKPOINT)["learner"]["terms.clt.step"] == 7  # small buffers are of the same epoch
    later = turned(training, 0.9)
    training.save(tmp_path, last=False)
    assert torch.equal(there(), later)
    last = turned(training, 0.2)
    training.save(tmp_path, last=True)
    assert torch.equal(there(), last)
    resumed = make_state()
    resumed.resume(tmp_path)
    (tmp_path / MEMORY).unlink()
    resumed.save(tmp_path, last=False)
    assert not (tmp_path / MEMORY).exists()  # a resumed run knows what was written


def test_large_banks_of_another_run_are_refused(make_state, tmp_path: Path) -> None:
    training, other = make_state(), make_state("another run")
    training.save(tmp_path / "one")
    other.save(tmp_path / "other")
    (tmp_path / "one" / MEMORY).write_bytes((tmp_path / "other" / MEMORY).read_bytes())
    with pytest.raises(WeightsError, match="another run"):
        make_state().resume(tmp_path / "one")
    (tmp_path / "one" / MEMORY).unlink()
    with pytest.raises(WeightsError, match=MEMORY):
        make_state().resume(tmp_path / "one")


def test_small_banks_are_in_the_checkpoint(make_state, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    make_state().save(tmp_path)
    assert "terms.clt.bank.student" in load_state(tmp_path / CHECKPOINT)["learner"]
    assert not (tmp_path / MEMORY).exists()
