"""Optimizers from the user, schedules, accumulation, fp16, and more epochs when a run is resumed."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import nn

import ecgzoo
from ecgzoo import Batch, Distiller, Network, Recipe, Run, View
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import RecipeError, WeightsError
from ecgzoo.losses.bce import BCE
from ecgzoo.training.loop import Job, fit
from ecgzoo.training.optimizer import make_optimizer
from ecgzoo.training.state import TrainingState
from ecgzoo.training.terms import LossTerm

NET = Network("timm/test_resnet", ("I",))


@pytest.fixture(autouse=True)
def no_calibration(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bootstrap takes longer than these epochs."""
    monkeypatch.setattr("ecgzoo.training.run.calibrate", lambda *_: None)


@pytest.fixture(scope="module")
def cohort() -> ecgzoo.Cohort:
    return load_synthetic(num_records=240)


def recipe(tmp_path: Path, **fields: Any) -> Recipe:
    given = {"epochs": 2, "precision": "fp32", "output": tmp_path / "run", "losses": ("bce=1",), "window_s": 1.0}
    return Recipe(**{**given, "stride_s": 1.0, "student": NET.backbone, "batch_size": 16, **fields})


def log(folder: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith("seconds")} for line in lines]


def two_rates(module: Distiller) -> list[dict[str, Any]]:
    head = {id(parameter) for parameter in module.student.get_classifier().parameters()}
    body = [parameter for parameter in module.parameters() if id(parameter) not in head]
    return [
        {"params": body, "lr": 1e-3},
        {"params": module.student.get_classifier().parameters(), "weight_decay": 0.0},
    ]


def two_layers() -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1))


def groups_of(module: nn.Module) -> list[dict[str, Any]]:
    return [{"params": module[0].parameters(), "lr": 0.1}, {"params": module[1].parameters(), "lr": 0.001}]


@pytest.mark.parametrize(("made_with", "cycles"), [(0.0, False), (0.9, True)])
def test_the_cycle_gives_no_momentum_to_an_optimizer_without(made_with: float, cycles: bool) -> None:
    def plain(module: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.SGD(module.parameters(), lr=0.1, momentum=made_with)

    optimizer, schedule = make_optimizer(two_layers(), Recipe(epochs=4), 5, plain)
    optimizer.step()
    schedule.after_step(3)
    assert (optimizer.param_groups[0]["momentum"] != made_with) == cycles


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"sched": "cosine"},
        {"sched": "step", "sched_arguments": ("decay_epochs=1",)},
        {"sched": "constant"},
        {"sched": "plateau", "sched_arguments": {"patience": 0}},
    ],
)
def test_a_schedule_scales_each_groups_own_rate(fields: dict[str, Any]) -> None:
    optimizer, schedule = make_optimizer(two_layers(), Recipe(epochs=4, **fields), 5, groups_of)
    rates = []
    for step in range(1, 21):
        if step == 11:  # resumed
            state = optimizer.state_dict()
            optimizer, schedule = make_optimizer(two_layers(), Recipe(epochs=4, **fields), 5, groups_of)
            optimizer.load_state_dict(state)
        optimizer.step()
        schedule.after_step(step)
        if step % 5 == 0:
            schedule.after_epoch([0.9 - 0.1 * epoch for epoch in range(step // 5)])
        rates.append([group["lr"] for group in optimizer.param_groups])
    body, head = np.transpose(rates)
    assert body == pytest.approx(100 * head, rel=1e-6)
    assert body.max() == pytest.approx(0.1, rel=0.05)
    assert (np.ptp(body) == 0) == (fields.get("sched") == "constant")


def test_groups_get_the_recipes_optimizer_and_what_they_do_not_say() -> None:
    optimizer, _ = make_optimizer(
        two_layers(),
        Recipe(opt="sgd", lr=0.5, weight_decay=0.25, sched="constant"),
        5,
        lambda module: [
            {"params": module[0].parameters(), "lr": 0.1},
            {"params": module[1].parameters(), "weight_decay": 0.0},
        ],
    )
    assert type(optimizer) is torch.optim.SGD
    assert [(group["lr"], group["weight_decay"]) for group in optimizer.param_groups] == [(0.1, 0.25), (0.5, 0.0)]


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda module: torch.optim.SGD(module.student.parameters(), 0.1), r"optimizer leaves out terms\.aux\."),
        (lambda module: [{"params": module.terms.parameters()}], r"optimizer leaves out student\..* and \d+ more; put"),
        (lambda module: [{"params": [*module.parameters(), nn.Parameter(torch.zeros(1))]}], "has 1 tensors that are"),
        (lambda module: module.parameters(), "expected a torch.optim.Optimizer or parameter groups"),
        (lambda module: [], "expected a torch.optim.Optimizer or parameter groups"),
        (lambda module: None, r"optimizer gave \[None\]; expected a torch.optim.Optimizer or parameter groups"),
        (lambda module: torch.optim.LBFGS(module.parameters()), "fails in a first step, .*TypeError: .*closure"),
    ],
)
def test_an_optimizer_that_is_not_of_the_trained_parameters_is_refused(
    tiny: str, tmp_path: Path, make: Callable[[Distiller], Any], reason: str
) -> None:
    wanted = recipe(tmp_path, data=tiny, losses=("bce=1", "aux=0.2"), aux_task="diagnostic")
    with pytest.raises(RecipeError, match=reason):
        Run(wanted, optimizer=make)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"opt": "adahessian"}, "opt 'adahessian' with sched 'onecycle' fails in a first step"),
        ({"sched": "multistep", "sched_arguments": ("decay_milestones=a",)}, "sched 'multistep' fails in a first step"),
    ],
)
def test_an_optimizer_or_schedule_that_fails_in_a_step_is_refused_before_training(
    tiny: str, tmp_path: Path, fields: dict[str, Any], reason: str
) -> None:
    with pytest.raises(RecipeError, match=reason):
        Run(recipe(tmp_path, data=tiny, **fields))
    assert not (tmp_path / "run").exists()


def test_an_optimizer_of_timm_whose_state_holds_a_dtype_resumes_exactly(cohort: ecgzoo.Cohort, tmp_path: Path) -> None:
    fields = {"opt": "adafactorbv", "sched": "constant", "lr": 1e-3, "compare": False}
    Run(recipe(tmp_path, **fields, epochs=1), cohort=cohort).student()
    resumed = Run(recipe(tmp_path, **fields, resume=True), cohort=cohort).student()
    straight = Run(recipe(tmp_path, **fields, output=tmp_path / "straight"), cohort=cohort).student()
    assert log(tmp_path / "run" / "student") == log(tmp_path / "straight" / "student")
    for name, weights in straight.backbone.state_dict().items():
        assert torch.equal(resumed.backbone.state_dict()[name], weights), name


def test_the_log_has_the_mean_of_what_a_loss_notes_in_some_batches(
    cohort: ecgzoo.Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forward = BCE.forward

    def noting(self: BCE, student: View, teacher: View, batch: Batch) -> torch.Tensor:
        self.calls = getattr(self, "calls", 0) + 1
        if self.calls % 3 == 2:
            self.extras = {"of 2, 5, 8, 11": torch.tensor(float(self.calls))}
        return forward(self, student, teacher, batch)

    monkeypatch.setattr(BCE, "forward", noting)
    Run(recipe(tmp_path, epochs=1, compare=False), cohort=cohort).student()
    (line,) = log(tmp_path / "run" / "student")
    assert line["bce/of 2, 5, 8, 11"] == 6.5
    assert line["loss"] == pytest.approx(line["bce"])


def test_what_is_frozen_needs_no_group() -> None:
    def head_alone(module: nn.Module) -> torch.optim.Optimizer:
        module[0].requires_grad_(False)
        return torch.optim.SGD(module[1].parameters(), 0.1)

    optimizer, _ = make_optimizer(two_layers(), Recipe(), 5, head_alone)
    assert len(optimizer.param_groups[0]["params"]) == 2


def test_a_run_with_own_groups_resumes_exactly(
    cohort: ecgzoo.Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, Any] = {"sched": "plateau", "sched_arguments": {"patience": 0, "threshold": 0.5}, "epochs": 3}
    whole = Run(recipe(tmp_path, output=tmp_path / "whole", **fields), cohort, two_rates)
    whole.train("a", NET)
    save = TrainingState.save

    def save_then_stop(self: TrainingState, folder: Path, last: bool) -> None:
        save(self, folder, last)
        if self.epochs == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(TrainingState, "save", save_then_stop)
        with pytest.raises(KeyboardInterrupt):
            Run(recipe(tmp_path, **fields), cohort, two_rates).train("a", NET)
    again = recipe(tmp_path, resume=True, **fields)
    with pytest.raises(WeightsError, match="optimizer is 'two_rates' there and None here"):
        Run(again, cohort).train("a", NET)

    def other_rates(module: Distiller) -> list[dict[str, Any]]:
        return [{**group, "lr": 0.5} for group in two_rates(module)]

    other_rates.__qualname__ = "two_rates"
    with pytest.raises(WeightsError, match="its parameter groups are"):
        Run(again, cohort, other_rates).train("a", NET)
    model = Run(again, cohort, two_rates).train("a", NET)
    assert log(tmp_path / "run" / "a") == log(tmp_path / "whole" / "a")
    files = [(tmp_path / run / "a" / "model.safetensors").read_bytes() for run in ("run", "whole")]
    assert files[0] == files[1]
    assert model.config.training["optimizer"] == "two_rates"
    # the threshold is out of reach: all rates are lowered by the same factor after the second epoch
    assert [(line["lr"], line["lr/1"]) for line in log(tmp_path / "run" / "a")] == [
        pytest.approx(rates) for rates in ((1e-3, 1e-2), (1e-3, 1e-2), (1e-4, 1e-3))
    ]


# accumulation


class EachRecordAlone(nn.GroupNorm):
    """In place of a batch norm."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels)


def without_batch_norms(module: nn.Module) -> None:
    for name, child in module.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm):
            setattr(module, name, EachRecordAlone(child.num_features))
        else:
            without_batch_norms(child)


@pytest.mark.parametrize("clip_grad", [0.0, 0.1])
def test_four_batches_of_8_take_the_steps_of_one_of_32(cohort: ecgzoo.Cohort, tmp_path: Path, clip_grad: float) -> None:
    rows = np.arange(100)  # three steps; 12 batches of 8 and 4 records that wait

    def trained(**fields: Any) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
        torch.manual_seed(0)
        student = ecgzoo.create_student(NET.backbone, drop_rate=0.0)
        without_batch_norms(student)
        folder = tmp_path / str(fields["batch_size"])
        job = Job(
            name="a",
            student=student,
            teacher=None,
            terms=(LossTerm("bce", 1),),
            cohort=cohort,
            train_rows=rows,
            val_rows=np.arange(100, 160),
            recipe=recipe(tmp_path, epochs=1, opt="sgd", lr=0.05, clip_grad=clip_grad, **fields),
            folder=folder,
        )
        fit(Accelerator(cpu=True), job)
        (line,) = log(folder)
        return line, student.state_dict()

    one, large = trained(batch_size=32)
    four, small = trained(batch_size=8, accumulate=4)
    assert four["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert four["lr"] == one["lr"]
    for name, tensor in large.items():
        torch.testing.assert_close(small[name], tensor, rtol=1e-4, atol=1e-5, msg=name)


def test_too_few_records_for_a_step_are_refused(cohort: ecgzoo.Cohort, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="192 training records do not fill 13 batches of 16; lower --batch-size or"):
        Run(recipe(tmp_path, accumulate=13), cohort)


# fp16


@pytest.mark.skipif(torch.cuda.is_available(), reason="for a machine without a GPU")
def test_fp16_without_a_gpu_is_refused(cohort: ecgzoo.Cohort, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="precision fp16 needs a GPU, and torch finds none here; use bf16 or fp32"):
        Run(recipe(tmp_path, precision="fp16"), cohort)


def test_scaled_steps_are_those_without_scaling(
    cohort: ecgzoo.Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Accelerate does it on a GPU, but on this CPU: scaled in backward, unscaled before clipping, then the step."""
    weights = {}
    for precision in ("no", "fp16"):
        accelerator = Accelerator(cpu=True)
        if precision == "fp16":
            accelerator.scaler, accelerator.native_amp = torch.amp.GradScaler("cpu"), True
            monkeypatch.setattr(Accelerator, "mixed_precision", "fp16")
            monkeypatch.setattr(Accelerator, "prepare_model", lambda self, model, **_: model)  # no autocast: rounding
        torch.manual_seed(0)
        student = ecgzoo.create_student(NET.backbone, drop_rate=0.0)
        before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
        job = Job(
            name="a",
            student=student,
            teacher=None,
            terms=(LossTerm("bce", 1),),
            cohort=cohort,
            train_rows=np.arange(64),
            val_rows=np.arange(100, 160),
            recipe=recipe(tmp_path, epochs=1, opt="sgd", lr=0.05, clip_grad=0.1),
            folder=tmp_path / precision,
        )
        fit(accelerator, job)
        weights[precision] = student.state_dict()
    for name, tensor in weights["no"].items():
        torch.testing.assert_close(weights["fp16"][name], tensor, rtol=1e-4, atol=1e-6, msg=name)
    assert any(not torch.equal(tensor, before[name]) for name, tensor in weights["no"].items())


def test_the_scale_of_the_loss_is_in_the_checkpoint_and_starts_again_for_each_network(tmp_path: Path) -> None:
    student = ecgzoo.create_student(NET.backbone)
    distiller = Distiller(student, None, {})
    optimizer = torch.optim.SGD(student.parameters(), 0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)  # what the network before has left
    state = TrainingState(distiller, optimizer, 0, {}, scaler)
    first = scaler.state_dict()["scale"]
    assert first > 8
    scaler.scale(torch.tensor(torch.inf, requires_grad=True)).backward()
    scaler.load_state_dict({**scaler.state_dict(), "scale": 32.0, "_growth_tracker": 7})
    state.record({"epoch": 1, "val_macro_auc": 0.5})
    state.save(tmp_path)
    later = torch.amp.GradScaler("cpu")
    resumed = TrainingState(distiller, optimizer, 0, {}, later)
    assert later.state_dict()["scale"] == first
    resumed.resume(tmp_path)
    assert (later.state_dict()["scale"], later.state_dict()["_growth_tracker"]) == (32.0, 7)


# more epochs


def test_a_run_is_given_more_epochs_as_if_it_had_them_from_the_start(cohort: ecgzoo.Cohort, tmp_path: Path) -> None:
    fields = {"sched": "step", "sched_arguments": ("decay_epochs=1", "decay_rate=0.5"), "ema_decay": 0.9}
    fields |= {"losses": ("bce=1", "mkd=1"), "teacher": NET.backbone, "transforms": ("gain=0.3",)}
    for epochs in (1, 3):
        run = Run(recipe(tmp_path, epochs=epochs, resume=True, **fields), cohort)
        run.teacher()  # students have learned from it: it is left as it is
        run.train("baseline", NET)
    folder = tmp_path / "run"
    assert [len(log(folder / arm)) for arm in ("teacher", "baseline")] == [1, 3]
    assert json.loads((folder / "recipe.json").read_text())["epochs"] == 3
    Run(recipe(tmp_path, epochs=3, output=tmp_path / "whole", **fields), cohort).train("baseline", NET)
    assert log(folder / "baseline") == log(tmp_path / "whole" / "baseline")
    files = [(tmp_path / run / "baseline" / "model.safetensors").read_bytes() for run in ("run", "whole")]
    assert files[0] == files[1]
    found = ecgzoo.load_pretrained(folder / "baseline").config.training
    assert found["epochs"] == found["recipe"]["epochs"] == 3
    with pytest.raises(RecipeError, match="epochs is 3 there and 2 here"):
        Run(recipe(tmp_path, epochs=2, resume=True, **fields), cohort)


@pytest.mark.parametrize(
    ("fields", "tied"),
    [
        ({}, "sched onecycle"),
        ({"sched": "cosine"}, "sched cosine"),
        ({"sched": "step", "sched_arguments": {"noise": 0.5}}, "the schedule's noise"),
        ({"sched": "constant", "transforms": ("any_lead=0.5",)}, "transform any_lead"),
    ],
)
def test_a_run_that_depends_on_its_epochs_gets_no_more(
    cohort: ecgzoo.Cohort, tmp_path: Path, fields: dict[str, Any], tied: str
) -> None:
    wanted = recipe(tmp_path, **fields)
    Run(wanted, cohort)
    with pytest.raises(RecipeError, match=f"epochs is 2 there and 5 here, and {tied} depends on the number of epochs"):
        Run(dataclasses.replace(wanted, epochs=5, resume=True), cohort)
    Run(dataclasses.replace(wanted, resume=True), cohort)
