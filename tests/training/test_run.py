"""Runs on a small simulated cohort: whole, resumed, stopped, refused."""

import dataclasses
import itertools
import json
import os
import runpy
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import ecgzoo
from ecgzoo import DataInfo, LossTerm, ModelInfo, Network, Recipe, Run
from ecgzoo.config import LEAST_POSITIVES
from ecgzoo.create import load_cohort
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import DataError, EcgZooError, RecipeError, RegistryError, SignalError, WeightsError
from ecgzoo.evaluation import calibrate, decision_points, evaluate, fit_temperature, macro_auc
from ecgzoo.losses.clt import CLT
from ecgzoo.losses.mkd import MKD
from ecgzoo.model import EcgModel
from ecgzoo.training.batches import TrainingRecords
from ecgzoo.training.checkpoint import load_state

RECIPES = Path(__file__).parents[2] / "recipes"


NET = "xresnet1d_tiny"


def recipe(tmp_path: Path, **fields: object) -> Recipe:
    given = {"data": "tiny", "teacher": NET, "student": NET, "epochs": 2, "precision": "fp32"}
    return Recipe(**{**given, "output": str(tmp_path / "run"), **fields})


def log(folder: Path) -> list[dict]:
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if not name.endswith("seconds")} for line in lines]


def test_a_whole_run(tiny: str, tmp_path: Path) -> None:
    report = ecgzoo.distill(recipe(tmp_path, ema_decay=0.9, patience=5))
    folder = tmp_path / "run"
    results = json.loads((folder / "results.json").read_text())
    assert results == json.loads(json.dumps(report.values))
    assert results["simulated"]
    assert set(results["arms"]) == {"teacher", "baseline", "student"}
    for arm, figures in results["arms"].items():
        assert figures["folds"] == [10]
        assert figures["seed"] == 0
        assert figures["ci"][0] <= figures["macro_auc"] <= figures["ci"][1]
        assert set(figures["per_class"]) == {"CD", "HYP", "MI", "NORM", "STTC"}
        assert [line["epoch"] for line in log(folder / arm)] == [1, 2]
    difference = results["paired"]["student-baseline"]["difference"]
    arms = results["arms"]
    assert difference == pytest.approx(arms["student"]["macro_auc"] - arms["baseline"]["macro_auc"], abs=1e-12)
    if arms["teacher"]["macro_auc"] > arms["baseline"]["macro_auc"]:
        gap = arms["teacher"]["macro_auc"] - arms["baseline"]["macro_auc"]
        assert results["gap_recovered"] == pytest.approx(difference / gap)
    for name in ("curves.png", "comparison.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")

    # the published student gives the table's figures
    student = ecgzoo.load_pretrained(folder / "student")
    again = evaluate(student, load_cohort(tiny, None, "superdiagnostic"), [10]).evaluation()
    assert again.macro_auc == pytest.approx(arms["student"]["macro_auc"], abs=1e-9)
    assert list(again.ci) == pytest.approx(arms["student"]["ci"], abs=1e-9)
    assert student.config.leads == ("I",)
    assert student.config.training["simulated"]
    card = (folder / "student" / "README.md").read_text()
    assert "simulated" in card
    assert "Not a medical device" in card
    assert f"{student.config.metrics['macro_auc']:.4f}" in card


def test_the_best_epoch_is_kept(tiny: str, tmp_path: Path) -> None:
    run = Run(recipe(tmp_path, epochs=4))
    model = run.train("baseline", Network(NET, ("I",)))
    lines = log(tmp_path / "run" / "baseline")
    best = max(line["val_macro_auc"] for line in lines)
    rows = run.cohort.rows([9])
    found = macro_auc(run.cohort.labels[rows], evaluate(model, run.cohort, [9]).y_score)
    assert found == pytest.approx(best, abs=1e-12)
    assert model.config.training["best_epoch"] == max(lines, key=lambda line: line["val_macro_auc"])["epoch"]


def test_a_published_model_is_calibrated_rounded_and_judged_as_its_file_is(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calibrate, "LEAST_AUC", 0.0)  # so that two epochs are enough for a finding
    options = {"student_arguments": ("drop_rate=0.1",), "weights_dtype": "float16", "test_folds": "", "compare": False}
    report = ecgzoo.distill(recipe(tmp_path, losses=("bce=1", "mkd=0.1"), root=None, **options))
    assert report.values["judged"] == "validation"
    assert "validation folds 9" in str(report.table().title)
    student = ecgzoo.load_pretrained(tmp_path / "run" / "student")
    config = student.config
    assert config.arguments == {"drop_rate": 0.1}
    positives = config.metrics["positives"]
    assert set(config.thresholds) == {name for name in config.classes if positives[name] >= LEAST_POSITIVES}
    assert config.calibrated_on == "synthetic/superdiagnostic (simulated), folds 9"
    assert config.temperature != 1
    scores = evaluate(student, load_cohort(tiny, None, "superdiagnostic"), [9])
    assert (
        scores.evaluation().macro_auc == config.metrics["macro_auc"]
    )  # of the half-precision weights, to the last digit
    assert fit_temperature(scores.y_true, scores.y_score) == pytest.approx(1, abs=1e-2)
    normal = config.classes.index("NORM")
    assert decision_points(scores.y_true[:, normal], scores.y_score[:, normal]) == config.thresholds["NORM"]
    local = {"root", "output", "pretrain_folder", "resume", "tracker", "teacher_weights", "student_weights", "compare"}
    assert set(config.training["recipe"]) == {field.name for field in dataclasses.fields(Recipe)} - local
    assert config.training["recipe"]["losses"] == config.training["losses"] == ["bce=1", "mkd=0.1"]
    teacher = ecgzoo.load_pretrained(tmp_path / "run" / "teacher").weights_source
    assert teacher is not None
    assert config.training["teacher"]["weights_sha256"] == teacher.sha256


def test_another_teacher_is_noticed_on_resume(tiny: str, tmp_path: Path) -> None:
    """Also one that was changed since it was loaded: its weights count, not the file that they came from."""
    wanted = recipe(tmp_path, losses=("bce=1", "mkd=0.1"), epochs=1, resume=True)
    of_teacher = dataclasses.replace(wanted, losses=("bce=1",), output=str(tmp_path / "teacher"))
    made = Run(of_teacher).train("teacher", wanted.teacher_network, (LossTerm("bce", 1),), is_teacher=True)
    student = Run(wanted).student(made)
    assert made.weights_source is not None
    assert student.config.training["teacher"]["weights_sha256"] == made.weights_source.sha256
    with torch.no_grad():
        for tensor in made.backbone.parameters():
            tensor.mul_(0.9)
    with pytest.raises(RecipeError, match="holds a model of another recipe: teacher"):
        Run(wanted).student(made)


def test_a_second_task_and_any_lead(tiny: str, tmp_path: Path) -> None:
    options = {"losses": ("bce=1", "aux=0.2"), "aux_task": "diagnostic", "transforms": ("any_lead=0.7",)}
    run = Run(recipe(tmp_path, student_leads=("V2",), **options))
    fine = load_cohort(tiny, None, "diagnostic")
    assert run.auxiliary is not None
    assert run.auxiliary.shape == (len(run.train_rows), len(fine.classes))
    for row in range(0, len(run.train_rows), 50):
        record = run.cohort.record_ids[run.train_rows[row]]
        assert (run.auxiliary[row] == fine.labels[fine.record_ids == record][0]).all()
    student = run.train("student", Network(NET, ("V2",)), run.recipe.loss_terms)
    assert student.num_classes == 5
    first, last = log(tmp_path / "run" / "student")
    assert last["aux"] < first["aux"]
    with pytest.raises(RecipeError, match="--aux-task"):
        Run(recipe(tmp_path, losses=("bce=1", "aux=1"), output=str(tmp_path / "other")))
    with pytest.raises(RecipeError, match=r"AnyLead: amount is 1\.5"):
        Run(recipe(tmp_path, transforms=("any_lead=1.5",), output=str(tmp_path / "other")))


def test_a_stopped_run_goes_on_as_if_it_had_not(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(**fields: object) -> None:
        run = Run(recipe(tmp_path, epochs=3, ema_decay=0.9, **fields))
        run.student(run.teacher())

    train(output=str(tmp_path / "whole"))

    from ecgzoo.training import state as module

    save, count = module.save_state, [0]

    def save_then_stop(*arguments: object) -> None:
        save(*arguments)
        count[0] += 1
        if count[0] in (2, 5):  # in the teacher's second epoch, then, after resuming, in the student's second
            raise KeyboardInterrupt

    monkeypatch.setattr(module, "save_state", save_then_stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(resume=True)
    train(resume=True)
    for arm in ("teacher", "student"):
        assert log(tmp_path / "run" / arm) == log(tmp_path / "whole" / arm)
        weights = [(tmp_path / run / arm / "model.safetensors").read_bytes() for run in ("run", "whole")]
        assert weights[0] == weights[1]
    state = [load_state(tmp_path / run / "student" / "checkpoint.safetensors") for run in ("run", "whole")]
    for name in ("terms.clt.bank.student", "terms.clt.bank.teacher", "terms.clt.bank.visited", "terms.clt.log_z"):
        assert torch.equal(state[0]["learner"][name], state[1]["learner"][name])


def test_another_recipe_in_the_folder_is_refused(tiny: str, tmp_path: Path) -> None:
    Run(recipe(tmp_path))
    with pytest.raises(RecipeError, match="--resume"):
        Run(recipe(tmp_path))
    with pytest.raises(RecipeError, match="epochs is 2 there and 3 here"):
        Run(recipe(tmp_path, epochs=3, resume=True))


def test_a_checkpoint_of_another_shape_is_refused(tiny: str, tmp_path: Path) -> None:
    run = Run(recipe(tmp_path))
    run.train("a", Network(NET, ("I",)))
    (tmp_path / "run" / "a" / "config.json").unlink()
    with pytest.raises(EcgZooError, match=r"checkpoint\.safetensors does not fit"):
        run.train("a", Network("xresnet1d34", ("I",)))


def test_a_teacher_can_be_given_and_is_not_touched(tiny: str, tmp_path: Path) -> None:
    run = Run(recipe(tmp_path))
    run.train("teacher", Network(NET, ("I", "II", "V2")))
    folder = tmp_path / "run" / "teacher"
    before = (folder / "model.safetensors").read_bytes()
    losses = ("bce=1", "mkd=1", "clt=0.8,critic=infonce")
    given = recipe(tmp_path, output=str(tmp_path / "given"), teacher_weights=str(folder), compare=False, losses=losses)
    second = Run(given)
    teacher = second.teacher()
    weights = {name: value.clone() for name, value in teacher.state_dict().items()}
    second.train("student", Network(NET, ("I",)), second.recipe.loss_terms, teacher)
    assert all(torch.equal(value, weights[name]) for name, value in teacher.state_dict().items())
    assert (folder / "model.safetensors").read_bytes() == before
    assert not (tmp_path / "given" / "teacher").exists()


def test_the_recipe_of_a_given_teacher_says_what_it_is(tiny: str, tmp_path: Path) -> None:
    folder = ecgzoo.save_pretrained(
        Run(recipe(tmp_path)).train("teacher", Network(NET, ("I", "II"))), tmp_path / "kept"
    )
    given = recipe(tmp_path, output=str(tmp_path / "given"), teacher="xresnet1d18", teacher_weights=str(folder))
    found = Run(given).recipe
    assert (found.teacher, found.teacher_leads) == (NET, ("I", "II"))
    assert json.loads((tmp_path / "given" / "recipe.json").read_text())["teacher_leads"] == ["I", "II"]
    for fields in ({"teacher": "resnet1d18"}, {"teacher_leads": ("I",)}, {"teacher_arguments": {"drop_rate": 0.9}}):
        with pytest.raises(RecipeError, match=r"but .*kept has .*; leave out --teacher"):
            Run(dataclasses.replace(given, **fields))


def test_a_given_teacher_of_a_plugin_may_be_named_without_its_distribution(
    tiny: str, tmp_path: Path, forget_plugins: Callable[[], None]
) -> None:
    meta = tmp_path / "site" / "own_nets-1.0.dist-info"
    meta.mkdir()
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: own-nets\nVersion: 1.0\n")
    (meta / "entry_points.txt").write_text("[ecgzoo]\nown = own_nets\n")
    (tmp_path / "site" / "own_nets.py").write_text(
        """
from ecgzoo import BackboneSpec, hookimpl


@hookimpl
def ecgzoo_backbones():
    return [BackboneSpec(name="own_net", factory="ecgzoo.backbones.xresnet:xresnet1d_tiny", summary="for tests")]
"""
    )
    forget_plugins()
    folder = ecgzoo.save_pretrained(
        Run(recipe(tmp_path, epochs=1)).train("t", Network("own_net", ("I",))), tmp_path / "kept"
    )
    given = recipe(tmp_path, output=str(tmp_path / "given"), teacher="own_net", teacher_weights=folder)
    assert Run(given).recipe.teacher == "own-nets::own_net"


def test_the_card_of_a_student_and_the_results_name_the_network_of_its_own_teacher(tiny: str, tmp_path: Path) -> None:
    run = Run(recipe(tmp_path, teacher="xresnet1d18", losses=("bce=1", "mkd=1")))
    student = run.student(run.train("mine", Network(NET, ("I", "II"))))
    for kept in (student.config.training["recipe"], run.report({"student": student}).values["recipe"]):
        assert (kept["teacher"], kept["teacher_leads"]) == (NET, ["I", "II"])


def test_a_teacher_is_not_pretrained(tiny: str, tmp_path: Path) -> None:
    Run(recipe(tmp_path, epochs=1, pretrain_epochs=1, teacher_leads=("II",))).teacher()
    assert not list((tmp_path / "run").glob("**/pretrained.*"))


def test_a_teacher_of_other_labels_or_of_the_test_folds_is_refused(tiny: str, tmp_path: Path) -> None:
    folder = ecgzoo.save_pretrained(ecgzoo.create_model(NET, num_classes=2), tmp_path / "other")
    with pytest.raises(RecipeError, match="teacher of this task"):
        Run(recipe(tmp_path, teacher_weights=folder))
    run = Run(recipe(tmp_path, epochs=1))
    run.teacher()
    named = ecgzoo.load_pretrained(folder)
    named.config = dataclasses.replace(named.config, classes=("A", "B"))
    with pytest.raises(RecipeError, match="the classes of the teacher are A, B"):
        run.student(named)
    with pytest.raises(DataError, match="the model's classes are A, B"):
        run.report({"teacher": named})
    given = {"teacher_weights": tmp_path / "run" / "teacher", "output": tmp_path / "second"}
    with pytest.raises(RecipeError, match="on fold 9"):
        Run(recipe(tmp_path, val_folds="8", train_folds="1-7", test_folds="9", **given))
    second = Run(recipe(tmp_path, val_folds="8", train_folds="1-7", test_folds="9", output=tmp_path / "third"))
    with pytest.raises(RecipeError, match="the teacher was trained or chosen on fold 9"):
        second.student(run.teacher())
    with pytest.raises(RecipeError, match="teacher was trained or chosen on fold 9, which is a test fold"):
        second.report({"teacher": run.teacher()})
    with pytest.raises(RecipeError, match="on fold 8"):  # without test folds, the validation folds judge
        Run(recipe(tmp_path, val_folds="8", train_folds="1-7", test_folds="", **given))


def test_the_recipe_reaches_the_network(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    view = EcgModel.view
    monkeypatch.setattr(EcgModel, "view", lambda self, x: (seen.append((self.config.leads, x)), view(self, x))[1])
    wanted = recipe(tmp_path, epochs=1, aggregation="max", stride_s=0.5, student_leads=("V5", "II"), batch_size=16)
    run = Run(wanted)
    seen.clear()  # of the rehearsal
    teacher = ecgzoo.create_teacher(NET, ("V2", "I"))
    student = run.train("student", wanted.student_network, (LossTerm("bce", 2), LossTerm("mkd", 0.5)), teacher)

    signals = run.cohort.signals()[run.train_rows] / 1000.0
    config = student.config
    assert (config.aggregation, config.stride_s, config.classes) == ("max", 0.5, run.cohort.classes)
    assert config.normalization.mean_mv == pytest.approx(signals.mean())
    assert config.normalization.std_mv == pytest.approx(signals.std())
    (line,) = log(tmp_path / "run" / "student")
    assert line["loss"] == pytest.approx(2 * line["bce"] + 0.5 * line["mkd"], rel=1e-5)

    (_, batch) = next(TrainingRecords(run.cohort, run.train_rows, [0], 250, 16, torch.device("cpu")).epoch(0, 0))
    names = [leads for leads, _ in seen[:2]]
    assert names == [("V2", "I"), ("V5", "II")]
    for leads, x in seen[:2]:
        for crop, index in zip(x, batch.index.tolist(), strict=True):
            whole = signals[index][[run.cohort.leads.index(lead) for lead in leads]]
            assert any(np.allclose(whole[:, s : s + 250], crop, atol=1e-5) for s in range(751))


def test_patience_stops_and_ema_clip_and_decay_matter(tiny: str, tmp_path: Path) -> None:
    def train(name: str, **fields: object) -> list[dict]:
        run = Run(recipe(tmp_path, output=tmp_path / name, **{"epochs": 1, **fields}))
        run.train("b", Network(NET, ("I",)))
        return log(tmp_path / name / "b")

    plain = train("plain")
    assert len(train("patience", epochs=30, patience=1, lr=1e-7)) < 30
    averaged = train("ema", ema_decay=0.99)
    assert [line["bce"] for line in averaged] == [line["bce"] for line in plain]
    assert averaged[-1]["val_macro_auc"] != plain[-1]["val_macro_auc"]
    assert train("decay", weight_decay=0.5) != plain
    assert train("seed", seed=1) != plain
    sgd = train("sgd", opt="sgd", lr=0.1)
    assert train("clipped", opt="sgd", lr=0.1, clip_grad=0.01) != sgd


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("c++") is None, reason="torch.compile needs a C++ compiler")
def test_compiled_training_follows_the_plain_one(tiny: str, tmp_path: Path) -> None:
    lines = {}
    for compiled in (False, True):
        run = Run(recipe(tmp_path, output=tmp_path / str(compiled), compile=compiled, epochs=1, opt="sgd"))
        run.train("b", Network("resnet1d18", ("I",)))
        (lines[compiled],) = log(tmp_path / str(compiled) / "b")
    assert lines[True]["bce"] == pytest.approx(lines[False]["bce"], rel=1e-3)


def test_losses_know_the_seed_of_the_run(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds, create = [], CLT.__init__

    def spied(self: CLT, student: ModelInfo, teacher: ModelInfo, data: DataInfo) -> None:
        seeds.append(data.seed)
        create(self, student, teacher, data)

    monkeypatch.setattr(CLT, "__init__", spied)
    run = Run(recipe(tmp_path, epochs=1, seed=7, losses=("bce=1", "clt=1")))
    run.train("s", Network(NET, ("I",)), (LossTerm("clt", 1),), run.train("t", Network(NET, ("II",))))
    assert set(seeds) == {7}  # in the rehearsal and in the training


def test_an_arm_of_ones_own_is_reported(tiny: str, tmp_path: Path) -> None:
    run = Run(recipe(tmp_path, epochs=1, losses=("bce=1",)))
    arms = {name: run.train(name, Network(NET, ("I",))) for name in ("baseline", "mine")}
    report = run.report(arms)
    assert set(report.values["paired"]) == {"mine-baseline"}
    assert report.table().row_count == 3


def test_a_second_task_that_the_data_do_not_have_can_be_left_out(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"no task 'other'.* give --aux-task= and --losses without aux"):
        Run(recipe(tmp_path, aux_task="other", losses=("bce=1", "aux=0.2")))
    Run(recipe(tmp_path, aux_task="", losses=("bce=1",)))


def test_a_recipe_without_a_teacher_is_refused_one(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="leave out --teacher-weights"):
        Run(recipe(tmp_path, losses=("bce=1",), teacher_weights="x"))
    assert not (tmp_path / "run").exists()
    run = Run(recipe(tmp_path, losses=("mkd=1",)))
    assert run.distills
    with pytest.raises(RecipeError, match="give a teacher"):
        run.student()
    assert not (tmp_path / "run" / "student").exists()


def test_a_recipe_without_bce_has_its_report(tiny: str, tmp_path: Path) -> None:
    ecgzoo.distill(recipe(tmp_path, epochs=1, losses=("mkd=1",), compare=False))
    assert (tmp_path / "run" / "curves.png").exists()


@pytest.mark.parametrize(
    ("fields", "error", "reason"),
    [
        ({"data": "ptbxxl"}, RegistryError, "Did you mean ptbxl"),
        ({"task": "superdiag"}, DataError, "superdiagnostic"),
        ({"data": "ptbxl"}, DataError, "--root"),
        ({"root": "somewhere"}, DataError, "somewhere|root"),
        ({"test_folds": "11"}, DataError, "no records in fold 11"),
        ({"student": "xresnet1d17"}, RegistryError, "xresnet1d18"),
        ({"teacher": "xresnet1d17"}, RegistryError, "xresnet1d18"),
        ({"teacher_weights": "nowhere"}, WeightsError, "nowhere"),
        ({"losses": ("bce=1", "mkkd=1")}, RegistryError, "mkd"),
        ({"losses": ("bce=1", "clt=1,tau=2")}, RecipeError, "tau"),
        ({"batch_size": 1000}, RecipeError, "batch-size"),
        ({"window_s": 11.0}, SignalError, "shorter"),
        ({"stride_s": 0.004}, WeightsError, "at least a sample"),
        ({"sched": "zigzag"}, RecipeError, "zigzag"),
        ({"opt": "zagzig"}, RecipeError, "zagzig"),
        ({"tracker": "wandb"}, RecipeError, "wandb"),
        ({"aux_task": "diagnostic"}, RecipeError, "add the loss aux"),
    ],
)
def test_what_a_recipe_cannot_have_is_said(
    tiny: str, tmp_path: Path, fields: dict, error: type[Exception], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        ecgzoo.distill(recipe(tmp_path, **fields))
    assert not (tmp_path / "run").exists()  # said before anything was trained, and the folder is still free


def test_a_class_without_positives_is_refused(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cohort = load_synthetic(num_records=480)
    cohort.labels[:, 2] = 0
    monkeypatch.setattr("ecgzoo.training.run.load_cohort", lambda *_: cohort)
    with pytest.raises(DataError, match="no positive records of MI"):
        Run(recipe(tmp_path))


def test_records_with_the_offset_of_their_electrodes_need_another_normalization(tmp_path: Path) -> None:
    """A student of labels alone fell from a macro AUC of 0.78 to 0.58 with offsets within 1.7 mV."""
    cohort = load_synthetic(num_records=400)
    offsets = np.random.default_rng(0).integers(-2500, 2500, (len(cohort), len(cohort.leads), 1))
    raw = dataclasses.replace(cohort, store=(cohort.signals() + offsets).astype(np.int16))
    with pytest.raises(DataError, match=r"deviate by 1\.4\d mV, .* --normalization window_z --highpass-hz 0\.5"):
        Run(recipe(tmp_path, losses=("bce=1",)), cohort=raw)
    Run(recipe(tmp_path, losses=("bce=1",), normalization="window_z", highpass_hz=0.5), cohort=raw)


def changed(cohort: ecgzoo.Cohort, what: str, fold: int) -> ecgzoo.Cohort:
    rows = cohort.rows([fold])
    if what == "no positives":
        labels = cohort.labels.copy()
        labels[rows] = 0
        return dataclasses.replace(cohort, labels=labels)
    if what == "two positive patients":
        labels = cohort.labels.copy()
        labels[rows[~np.isin(cohort.patients[rows], np.unique(cohort.patients[rows])[:2])]] = 0
        return dataclasses.replace(cohort, labels=labels)
    if what == "one patient":
        patients = cohort.patients.copy()
        patients[rows] = patients.max() + 1
        return dataclasses.replace(cohort, patients=patients)
    lengths, store = np.full(len(cohort), cohort.store.shape[2]), np.array(cohort.store)
    lengths[rows[0]], store[cohort.positions[rows[0]], :, 200:] = 200, 0
    return dataclasses.replace(cohort, lengths=lengths, store=store)


@pytest.mark.parametrize(("fold", "named"), [(9, "validation folds 9"), (10, "test folds 10")])
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("no positives", "no class has both a positive and a negative record in {}"),
        ("one patient", "no class has 3 patients with it and 3 without it in {}"),
        ("two positive patients", "no class has 3 patients with it and 3 without it in {}"),
        ("short", "a record of 2 s .* in {} is shorter than a window of 2.5 s"),
    ],
)
def test_folds_on_which_no_model_can_be_judged_are_refused_before_training(
    tmp_path: Path, what: str, said: str, fold: int, named: str
) -> None:
    cohort = changed(load_synthetic(num_records=400), what, fold)
    with pytest.raises(EcgZooError, match=said.format(named)):
        Run(recipe(tmp_path, losses=("bce=1",)), cohort=cohort)
    assert not (tmp_path / "run").exists()


def test_a_given_teacher_is_judged_too(tiny: str, tmp_path: Path) -> None:
    teacher = ecgzoo.load_pretrained("xresnet1d18.ptbxl_super_12")
    teacher.config = dataclasses.replace(teacher.config, window_s=11.0, metrics={}, thresholds={})
    ecgzoo.save_pretrained(teacher, tmp_path / "teacher")
    with pytest.raises(SignalError, match=r"in test folds 10 is shorter than a window of 11 s"):
        Run(recipe(tmp_path, teacher="xresnet1d18", teacher_weights=tmp_path / "teacher"))


def test_a_loss_that_is_no_number_stops_the_run(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="lower --lr"):
        Run(recipe(tmp_path, lr=1e30, clip_grad=0.0)).train("b", Network(NET, ("I",)))


def test_the_term_that_is_not_finite_first_is_named(tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forward, calls = MKD.forward, itertools.count(1)
    # the first call is the rehearsal's
    spoilt = lambda self, *given: forward(self, *given) * (torch.inf if next(calls) == 3 else 1)  # noqa: E731
    monkeypatch.setattr(MKD, "forward", spoilt)
    teacher = ecgzoo.load_pretrained("xresnet1d18.ptbxl_super_12")
    with pytest.raises(RecipeError, match=r"in batch 2, loss mkd of ecgzoo \S+ alone was not finite: .* lower --lr"):
        Run(recipe(tmp_path, losses=("bce=1", "mkd=1"), batch_size=32)).student(teacher)


def test_a_second_precision_in_one_process_is_refused(tiny: str, tmp_path: Path) -> None:
    Run(recipe(tmp_path))
    with pytest.raises(RecipeError, match="bf16"):
        Run(recipe(tmp_path, precision="bf16", output=str(tmp_path / "other")))


def test_cosine_from_timm_and_bf16(tiny: str, tmp_path: Path) -> None:
    run = Run(recipe(tmp_path, sched="cosine", precision="bf16", opt="sgd"))
    run.train("baseline", Network(NET, ("I",)))
    rates = [line["lr"] for line in log(tmp_path / "run" / "baseline")]
    assert rates == pytest.approx([0.005, 0.0], abs=1e-3)  # half-way down the cosine, and its end


def test_crops_are_the_cohorts_own_millivolts() -> None:
    cohort = load_synthetic(num_records=60)
    rows = np.arange(5, 45)
    records = TrainingRecords(cohort, rows, [1, 7], 250, 8, torch.device("cpu"))
    seen = []
    for millivolts, batch in records.epoch(seed=3, epoch=1):
        assert millivolts.shape == (8, 2, 250)
        for crop, index, labels in zip(millivolts, batch.index.tolist(), batch.labels, strict=True):
            whole = cohort.signals()[rows[index]][[1, 7]] / 1000.0
            starts = [s for s in range(751) if np.allclose(whole[:, s : s + 250], crop, atol=1e-6)]
            assert starts
            assert labels.tolist() == cohort.labels[rows[index]].tolist()
            seen.append((index, starts[0]))
    assert len({index for index, _ in seen}) == len(records) * 8 == 40
    assert len({start for _, start in seen}) > 20


def test_streamed_batches_are_the_resident_ones() -> None:
    cohort = load_synthetic(num_records=60)
    rows, device = np.arange(5, 55), torch.device("cpu")
    resident = TrainingRecords(cohort, rows, [7, 0], 250, 8, device)
    streamed = TrainingRecords(cohort, rows, [7, 0], 250, 8, device, resident_bytes=0)
    assert streamed.crops is None
    for (a, batch_a), (b, batch_b) in zip(resident.epoch(1, 2), streamed.epoch(1, 2), strict=True):
        assert torch.equal(a, b)
        assert torch.equal(batch_a.index, batch_b.index)
        assert torch.equal(batch_a.labels, batch_b.labels)
    threads = threading.active_count()
    given_up = streamed.epoch(1, 2)
    next(given_up)
    given_up.close()
    assert threading.active_count() == threads


def test_shares_of_two_processes_make_one_batch() -> None:
    cohort = load_synthetic(num_records=60)
    records = TrainingRecords(cohort, np.arange(60), [0], 250, 8, torch.device("cpu"))
    whole = list(records.epoch(0, 0))
    shares = [list(records.epoch(0, 0, process, 2)) for process in (0, 1)]
    for step, (_, batch) in enumerate(whole):
        parts = sorted(torch.cat([share[step][1].index for share in shares]).tolist())
        assert parts == sorted(batch.index.tolist())
    assert [b.index.tolist() for _, b in records.epoch(0, 0)] != [b.index.tolist() for _, b in records.epoch(0, 1)]


def test_a_stopped_process_leaves_whole_files_and_resumes(tiny: str, tmp_path: Path) -> None:
    folder = tmp_path / "run" / "baseline"
    checkpoint = folder / "checkpoint.safetensors"
    command = [sys.executable, str(RECIPES / "baseline.py"), "--data", "tiny", "--epochs", "20", "--resume"]
    command += ["--student", NET, "--output", str(tmp_path / "run")]
    history: list[dict] = []
    for stop in (signal.SIGKILL, signal.SIGINT, signal.SIGTERM):  # each process continues what the last one left
        written = checkpoint.stat().st_mtime_ns if history else None
        # a shell's background job ignores SIGINT, and so would its child
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        finally:
            signal.signal(signal.SIGINT, before)
        try:
            deadline = time.monotonic() + 300
            while (checkpoint.stat().st_mtime_ns if checkpoint.exists() else None) == written:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            time.sleep(0.1)
            process.send_signal(stop)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
        if stop != signal.SIGKILL:
            assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143}[stop]
            assert "--resume continues" in errors
            assert not [path for path in folder.iterdir() if path.name.startswith(".")]
        found = load_state(checkpoint)["history"]
        assert len(history) < len(found) < 20
        assert found[: len(history)] == history
        history = found
    runpy.run_path(command[1])["main"](command[2:])  # in this process, which has imported everything
    assert [line["loss"] for line in log(folder)[: len(history)]] == [line["loss"] for line in history]
    assert len(log(folder)) == 20


def test_a_cohort_of_ones_own_in_place_of_the_recipes(tmp_path: Path) -> None:
    own = load_synthetic(num_records=700, seed=5)
    run = Run(recipe(tmp_path, normalization="window_z", epochs=1, losses=("bce=1",)), cohort=own)
    assert run.cohort is own
    student = run.train("student", Network(NET, ("I",)))
    assert student.config.training["data_fingerprint"] == own.fingerprint
    assert student.config.normalization.kind == "window_z"
    assert "the mean and deviation of each window" in (tmp_path / "run" / "student" / "README.md").read_text(
        encoding="utf-8"
    )
    with pytest.raises(RecipeError, match="clt must know the record of each crop"):
        Run(recipe(tmp_path, transforms=("mixup=0.2",), output=str(tmp_path / "other")), cohort=own)
    with pytest.raises(RecipeError, match="aux_task 'diagnostic' belongs to tiny, not to the given cohort"):
        Run(recipe(tmp_path, aux_task="diagnostic"), cohort=own)
    with pytest.raises(RecipeError, match="transform 'mixup=-1'"):
        recipe(tmp_path, transforms=("mixup=-1",))
    with pytest.raises(RecipeError, match="normalization is 'none'"):
        recipe(tmp_path, normalization="none")


def test_a_run_goes_on_only_with_the_same_records(tmp_path: Path) -> None:
    own = load_synthetic(num_records=300, seed=5)
    Run(recipe(tmp_path), cohort=own)
    again = recipe(tmp_path, resume=True)
    Run(again, cohort=own)
    two = np.array(own.labels)
    two[0] = 1 - two[0]
    changes = {"folds": (own.folds % 10 + 1).astype(np.int16), "leads": ("II", "I", *own.leads[2:]), "labels": two}
    for name, value in changes.items():
        other = dataclasses.replace(own, **{name: value})
        assert other.fingerprint == own.fingerprint
        with pytest.raises(RecipeError, match="another recipe: its records are others, or their labels"):
            Run(again, cohort=other)


def test_a_cohort_of_another_task_is_published_as_what_it_is(tmp_path: Path) -> None:
    own = load_synthetic(task="diagnostic", num_records=700, seed=5)
    wanted = recipe(tmp_path, root="elsewhere", epochs=1, losses=("bce=1",), compare=False)
    report = ecgzoo.distill(wanted, cohort=own)
    config = ecgzoo.load_pretrained(tmp_path / "run" / "student").config
    assert config.task == config.training["recipe"]["task"] == report.values["task"] == "diagnostic"
    assert config.training["data"] == config.training["recipe"]["data"] == "synthetic"
    assert "task diagnostic" in (tmp_path / "run" / "student" / "README.md").read_text(encoding="utf-8")
    Run(dataclasses.replace(wanted, resume=True), cohort=own)
    other = load_synthetic(num_records=700, seed=5)
    with pytest.raises(RecipeError, match="already holds another recipe"):
        Run(dataclasses.replace(wanted, resume=True), cohort=other)


@pytest.mark.parametrize(
    ("field", "change", "reason"),
    [
        ("store", lambda cohort: cohort.store / 1000, "float64, expected int16 microvolts"),
        ("store", lambda cohort: cohort.store[:, :2], "2 channels, expected one per lead, 12 for"),
        ("labels", lambda cohort: cohort.labels[:, 0], "labels has shape"),
        ("patients", lambda cohort: cohort.patients * 0, "a patient is in two folds"),
    ],
)
def test_a_cohort_that_breaks_its_contract_is_refused(tmp_path: Path, field: str, change, reason: str) -> None:
    own = load_synthetic(num_records=60)
    own = dataclasses.replace(own, **{field: change(own)})
    with pytest.raises(DataError, match=reason):
        ecgzoo.distill(recipe(tmp_path), cohort=own)
    assert not (tmp_path / "run").exists()


def test_deterministic_runs_give_one_file(tiny: str, tmp_path: Path) -> None:
    command = [sys.executable, str(RECIPES / "mvkt.py"), "--data", "tiny", "--epochs", "1", "--deterministic"]
    command += ["--no-compare", "--teacher", NET, "--student", NET]
    hashes = set()
    for name in ("one", "two"):
        output = ["--output", str(tmp_path / name), "--transforms", "gain=0.3", "noise=0.05", "any_lead=0.5"]
        threads = {**os.environ, "OMP_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"}  # cores are shared
        done = subprocess.run([*command, *output], capture_output=True, text=True, timeout=300, env=threads)
        assert done.returncode == 0, done.stderr
        hashes.add((tmp_path / name / "student" / "model.safetensors").read_bytes())
    assert len(hashes) == 1


def test_a_student_starts_from_given_weights(tiny: str, tmp_path: Path) -> None:
    options = {"losses": ("bce=1",), "epochs": 1}
    start = Run(recipe(tmp_path, **options, output=tmp_path / "first", test_folds="")).student()
    start.config = dataclasses.replace(start.config, license="CC-BY-NC-4.0")
    first = ecgzoo.save_pretrained(start, tmp_path / "first" / "student")
    again = recipe(tmp_path, **options, student_weights=first, lr=1e-9)
    for task, left_out in (("superdiagnostic", 0), ("diagnostic", 2)):  # other labels: all but the classifier
        found = Run(dataclasses.replace(again, task=task, output=tmp_path / task)).student()
        assert found.config.training["started_from"]["weights_sha256"] == start.weights_source.sha256
        assert found.config.training["started_from"]["train_folds"] == "1-8"
        assert found.config.license == "CC-BY-NC-4.0"
        own = dict(found.backbone.named_parameters())
        kept = {name: tensor for name, tensor in start.backbone.named_parameters() if own[name].shape == tensor.shape}
        assert len(own) - len(kept) == left_out
        assert all(torch.allclose(own[name], tensor, atol=1e-6) for name, tensor in kept.items())
    for fields, said in (
        ({"student_leads": ("II",)}, "is xresnet1d_tiny for I; the student is xresnet1d_tiny for II"),
        ({"pretrain_epochs": 1}, "set pretrain_epochs to 0 or leave out student_weights"),
        ({"train_folds": "1-7", "val_folds": "9", "test_folds": "8"}, "was trained or chosen on fold 8"),
        (
            {"train_folds": "1-7", "val_folds": "8", "test_folds": "10"},
            "fold 8, which is a validation fold of this run",
        ),
    ):
        with pytest.raises(RecipeError, match=said):
            Run(recipe(tmp_path, **{**options, **fields}, student_weights=first))
