"""Tests for every loss of the package."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ecgzoo import (
    Batch,
    DataInfo,
    Distiller,
    Recipe,
    RecipeError,
    Run,
    View,
    create_loss,
    create_student,
    create_teacher,
    registry,
)
from ecgzoo.backbones.fold import folded
from ecgzoo.testing import assert_loss_conforms
from ecgzoo_losses.plugin import ecgzoo_losses

PARTS = ("logits", "embedding", "features")
NAMES = [spec.name for spec in ecgzoo_losses()]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_registered_and_conforms(name: str) -> None:
    assert registry.lookup("loss", name).distribution == "ecgzoo-losses"
    assert_loss_conforms(name)


def test_the_plugin_imports_no_torch() -> None:
    code = "import sys, ecgzoo_losses.plugin as p; p.ecgzoo_losses(); print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"


@pytest.mark.parametrize(
    ("name", "params"),
    [
        ("fitnet", {"depth": 2}),
        ("at", {"p": 0.5}),
        ("at", {"p": float("nan")}),
        ("at", {"p": "two"}),
        ("rkd", {"distance": -1}),
        ("rkd", {"distance": 0, "angle": 0}),
        ("rkd", {"angle": float("inf")}),
        ("simkd", {"fit": 0}),
        ("dkd", {"temperature": 0}),
        ("dkd", {"temperature": float("nan")}),
        ("dkd", {"alpha": -1}),
        ("dkd", {"alpha": 0, "beta": 0}),
        ("dist", {"temperature": -1}),
        ("dist", {"beta": -1}),
        ("dist", {"beta": 0, "gamma": 0}),
        ("mld", {"logit": -1}),
        ("mld", {"class_aware": float("nan")}),
        ("mld", {"readout": 0}),
        ("mld", {"size": 0}),
        ("mld", {"size": 1.5}),
        ("mld", {"logit": 0, "class_aware": 0, "instance_aware": 0}),
        ("mld", {"readout": "much"}),
        ("dkd", {"beta": "eight"}),
        ("logit_std", {"temperature": 0}),
        ("logit_std", {"of": "clt"}),
        ("logit_std", {"of": "bce"}),
        ("logit_std", {"of": "rkd"}),
    ],
)
def test_a_wrong_parameter_is_refused(make, name: str, params: dict) -> None:
    with pytest.raises(RecipeError, match=params.get("of", name)):
        make(name, **params)


@pytest.mark.parametrize("name", NAMES)
def test_without_a_teacher_it_is_refused(infos, name: str) -> None:
    with pytest.raises(RecipeError, match="give a teacher"):
        create_loss(name, infos[0], None, DataInfo(tuple("ABCD"), torch.zeros(3, 4)))


@pytest.mark.parametrize("name", NAMES)
def test_a_distiller_in_bfloat16_gives_the_loss_of_the_rounded_views(name: str) -> None:
    torch.manual_seed(0)
    student, teacher = create_student("xresnet1d18").eval(), create_teacher("resnet1d_wang")
    signals, labels = torch.randn(6, 12, 250), (torch.rand(6, 5) < 0.5).float()
    loss = create_loss(name, student.info, teacher.info, DataInfo(tuple("ABCDE"), labels))
    distiller, batch = Distiller(student, teacher, {name: (1.0, loss)}), Batch(labels, torch.arange(6))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value, _ = distiller(signals[:, :1], signals, batch)
        views = [student.view(signals[:, :1]), folded(teacher).view(signals)]
    assert views[0].logits.dtype == torch.bfloat16
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(loss(*(view.full_precision() for view in views), batch).item(), rel=1e-5)
    value.backward()
    assert all(part.grad.isfinite().all() for part in student.parameters() if part.grad is not None)


def test_records_without_labels_that_no_loss_can_use_are_refused(tmp_path: Path) -> None:
    fields = {"train_folds": "1", "unlabelled_folds": "2", "compare": False, "output": tmp_path, "batch_size": 16}
    recipe = Recipe(losses=("bce=1", "dkd=1"), teacher_weights="xresnet1d18.ptbxl_super_12", **fields)
    with pytest.raises(RecipeError, match="every loss of this recipe reads labels, so unlabelled_folds have no effect"):
        Run(recipe)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("records", [1, 4])
@pytest.mark.parametrize("case", ["zeros", "ones", "no labels", "all labels"])
def test_a_degenerate_batch_gives_finite_values_and_gradients(make, draw, name: str, records: int, case: str) -> None:
    loss, (student, teacher, batch) = make(name), draw(records)
    if case in ("zeros", "ones"):  # of the student: constant rows, equal embeddings
        student = View(*(torch.full_like(getattr(student, part), float(case == "ones")) for part in PARTS))
    else:
        batch = Batch(torch.full_like(batch.labels, float(case == "all labels")), batch.index)
    leaves = [getattr(student, part).requires_grad_() for part in PARTS]
    value = loss(View(*leaves), teacher, batch)
    value.backward()
    assert value.isfinite()
    gradients = [tensor.grad for tensor in (*leaves, *loss.parameters()) if tensor.grad is not None]
    assert gradients
    assert all(gradient.abs().max() < 1e3 for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_two_steps_of_a_real_student_lower_it(name: str) -> None:
    torch.manual_seed(0)
    student = create_student("xresnet1d18", drop_rate=0.0).train()
    teacher = create_teacher("resnet1d_wang")  # with another width and length
    signals = torch.randn(8, 12, 250)
    labels = (torch.rand(8, 5) < 0.5).float()
    loss = create_loss(name, student.info, teacher.info, DataInfo(tuple("ABCDE"), labels))
    optimizer = torch.optim.Adam([*student.parameters(), *loss.parameters()], lr=1e-4)
    batch, values = Batch(labels, torch.arange(8)), []
    for _ in range(3):
        value = loss(student.view(signals[:, :1]), teacher.view(signals), batch)
        values.append(value.item())
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        loss.after_backward()
    assert values[0] > values[1] > values[2]
