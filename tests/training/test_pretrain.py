"""Pretraining on pairs of leads: its loss against a loop, what it learns, and that it comes once, for one lead only."""

import dataclasses
import json
import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator

import ecgzoo
from ecgzoo import Network, Recipe, Run
from ecgzoo.create import load_cohort
from ecgzoo.errors import RecipeError
from ecgzoo.training import pretrain as module
from ecgzoo.training import run
from ecgzoo.training.pretrain import TEMPERATURE, pair_loss, pretrain

NET = "xresnet1d_tiny"


def recipe(tmp_path: Path, **fields: object) -> Recipe:
    given = {"data": "tiny", "teacher": NET, "student": NET, "epochs": 1, "precision": "fp32"}
    return Recipe(**{**given, "output": str(tmp_path / "run"), **fields})


def test_the_loss_is_that_of_a_loop() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 7, 5))
    total = 0.0
    for one, other in ((a, b), (b, a)):
        for i in range(7):
            cosines = [one[i] @ other[j] / np.linalg.norm(one[i]) / np.linalg.norm(other[j]) for j in range(7)]
            total -= cosines[i] / TEMPERATURE - math.log(sum(math.exp(cosine / TEMPERATURE) for cosine in cosines))
    assert pair_loss(torch.tensor(a), torch.tensor(b)).item() == pytest.approx(total / 14)


@pytest.mark.slow
@pytest.mark.long
def test_leads_of_one_heart_are_found_after_it(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BATCH", 32)  # more steps for fewer records
    cohort = load_cohort(tiny, None, "superdiagnostic")
    rows, held_out = cohort.rows(range(1, 9)), cohort.rows([9, 10])
    torch.manual_seed(0)
    student = ecgzoo.create_student(NET, ("I",), 5)
    classifier = student.get_classifier().weight.clone()

    def nearer() -> float:
        """Share of other records' II that are farther from a record's V1 than its own II: chance is a half."""
        millivolts = torch.from_numpy(cohort.signals(held_out)[:, :, :500] / 1000.0).float()
        ii, v1 = (millivolts[:, [cohort.leads.index(lead)]] for lead in ("II", "V1"))
        with torch.no_grad():
            a, b = (torch.nn.functional.normalize(student.eval().view(x).embedding) for x in (ii, v1))
        distances = torch.cdist(b, a)
        return float((distances > distances.diagonal()[:, None]).float().mean())

    assert nearer() == pytest.approx(0.5, abs=0.1)
    wanted = recipe(tmp_path, pretrain_epochs=40)
    pretrain(Accelerator(cpu=True), student, cohort, rows, wanted, tmp_path)
    assert nearer() > 0.8  # 0.6 if its batch norm learns and its weights do not
    assert torch.equal(student.get_classifier().weight, classifier)


def test_it_comes_before_a_student_of_one_lead_and_no_other(tiny: str, tmp_path: Path) -> None:
    for name, epochs in (("pretrained", 1), ("plain", 0)):
        run = Run(recipe(tmp_path, losses=("bce=1", "mkd=1"), pretrain_epochs=epochs, output=tmp_path / name))
        run.student(run.teacher())

    def first_bce(name: str, arm: str) -> float:
        return json.loads((tmp_path / name / arm / "log.jsonl").read_text().splitlines()[0])["bce"]

    assert first_bce("pretrained", "teacher") == first_bce("plain", "teacher")
    assert first_bce("pretrained", "student") != pytest.approx(first_bce("plain", "student"), rel=1e-3)
    assert [path.parent.name for path in tmp_path.rglob("pretrained.*.safetensors")] == ["pretrained"]


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Records in each step of pretraining; with the tiny cohort, a step is an epoch."""
    counted: list[int] = []
    monkeypatch.setattr(module, "pair_loss", lambda a, b: (counted.append(len(a)), pair_loss(a, b))[1])
    return counted


def equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(*pair) for pair in pairs)


def test_baseline_and_student_share_one_pretraining(tiny: str, tmp_path: Path, steps: list[int]) -> None:
    ecgzoo.distill(recipe(tmp_path, losses=("bce=1",), pretrain_epochs=2))
    assert len(steps) == 2
    assert equal(*(ecgzoo.load_pretrained(tmp_path / "run" / arm) for arm in ("baseline", "student")))


def test_students_of_several_leads_start_from_one_folder(tiny: str, tmp_path: Path, steps: list[int]) -> None:
    wanted = recipe(tmp_path, pretrain_epochs=2, pretrain_folder=tmp_path / "kept", losses=("bce=1",))

    def pretrained(**fields: object) -> ecgzoo.EcgModel:
        output = tmp_path / str(len(list(tmp_path.iterdir())))
        return Run(dataclasses.replace(wanted, output=output, **fields)).pretrained()

    first = pretrained()
    of_ii = {"student_leads": ("II",), "losses": ("bce=1", "aux=0.2"), "aux_task": "diagnostic"}
    assert equal(pretrained(**of_ii), first)
    assert len(steps) == 2
    assert equal(pretrained(**of_ii, pretrain_folder=tmp_path / "again"), first)  # and learns the same
    others: list[dict[str, object]] = [{"seed": 1}, {"lr": 1e-3}, {"window_s": 2.0}, {"train_folds": "1-7"}]
    others += [{"student_arguments": ("drop_rate=0",)}, {"normalization": "window_z"}, {"pretrain_epochs": 3}]
    for number, fields in enumerate(others, start=2):
        pretrained(**fields)
        assert len(list((tmp_path / "kept").iterdir())) == number, fields


def test_a_run_pretrains_the_network_that_it_is_given(tiny: str, tmp_path: Path) -> None:
    run = Run(recipe(tmp_path, pretrain_epochs=1, losses=("bce=1",)))
    assert run.train("two", Network("timm/test_resnet", ("I", "II"))).config.leads == ("I", "II")
    other = run.train("other", Network("timm/test_resnet", ("II",)))
    assert (other.config.architecture, other.config.leads) == ("timm/test_resnet", ("II",))


def test_stopped_it_goes_on_as_if_it_had_not(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = recipe(tmp_path, pretrain_epochs=3, losses=("bce=1", "aux=0.2"), aux_task="diagnostic")
    whole = Run(dataclasses.replace(wanted, output=tmp_path / "whole")).student(None)
    seen: list[torch.Tensor] = []

    def loss(a: torch.Tensor, b: torch.Tensor, last: int | None = None) -> torch.Tensor:
        if len(seen) == last:
            raise KeyboardInterrupt
        seen.append(a)
        return pair_loss(a, b)

    def no_fit(*_: object) -> None:
        raise KeyboardInterrupt

    for last in (1, 3):  # a step is an epoch here
        stopped = dataclasses.replace(wanted, output=tmp_path / str(last))
        seen.clear()
        with monkeypatch.context() as patched:
            patched.setattr(module, "pair_loss", partial(loss, last=last))
            patched.setattr(run, "fit", no_fit)
            with pytest.raises(KeyboardInterrupt):
                Run(stopped).student(None)
        with monkeypatch.context() as patched:
            patched.setattr(module, "pair_loss", loss)
            resumed = Run(dataclasses.replace(stopped, resume=True)).student(None)
        assert len(seen) == 3
        assert equal(resumed, whole)


def test_what_cannot_be_pretrained_is_refused(tiny: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RecipeError, match="choose another --pretrain-folder"):
        Run(recipe(tmp_path, pretrain_epochs=1, pretrain_folder=tmp_path / "file"))
    with pytest.raises(RecipeError, match="a student with one lead; this one has 2"):
        recipe(tmp_path, pretrain_epochs=1, student_leads=("I", "II"))
    with pytest.raises(RecipeError, match="pretrain_epochs is -1; it must not be negative"):
        recipe(tmp_path, pretrain_epochs=-1)
    with pytest.raises(RecipeError, match=r"pretrain_epochs is 1\.5; it must be a whole number"):
        recipe(tmp_path, pretrain_epochs=1.5)


def test_a_rate_too_high_is_said(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"pretraining: the loss is .* lower --lr"):
        Run(recipe(tmp_path, pretrain_epochs=2, lr=1e30, losses=("bce=1",))).student(None)
