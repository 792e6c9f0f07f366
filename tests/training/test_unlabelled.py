"""Records without labels: what they teach, what they must not, and CLT's rule for negatives among them."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

import ecgzoo
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.errors import DataError, RecipeError
from ecgzoo.losses.bank import EXCLUDED, MemoryBank
from ecgzoo.training.batches import TrainingRecords

TERMS = ("bce=1", "mkd=1", "clt=0.5")


@pytest.fixture(scope="module")
def cohort() -> ecgzoo.Cohort:
    return load_synthetic(num_records=480)


def recipe(folder: Path, **fields: object) -> ecgzoo.Recipe:
    return ecgzoo.Recipe(
        **{
            **{"train_folds": "1", "unlabelled_folds": "2-3", "losses": TERMS, "epochs": 1, "compare": False},
            **{
                "output": folder,
                "precision": "fp32",
                "batch_size": 16,
                "student": "xresnet1d_tiny",
                "teacher_weights": "xresnet1d18.ptbxl_super_12",
            },
            **fields,
        }
    )


def with_other_labels(cohort: ecgzoo.Cohort, folds: list[int]) -> ecgzoo.Cohort:
    labels = cohort.labels.copy()
    labels[cohort.rows(folds)] = 1 - labels[cohort.rows(folds)]
    return dataclasses.replace(cohort, labels=labels)


def trained(folder: Path, cohort: ecgzoo.Cohort, **fields: object) -> dict[str, torch.Tensor]:
    run = ecgzoo.Run(recipe(folder, **fields), cohort)
    return run.student(run.teacher()).state_dict()


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def test_labels_of_unlabelled_folds_are_never_read(cohort: ecgzoo.Cohort, tmp_path: Path) -> None:
    taught = trained(tmp_path / "a", cohort)
    assert same(taught, trained(tmp_path / "b", with_other_labels(cohort, [2, 3])))
    assert not same(taught, trained(tmp_path / "c", with_other_labels(cohort, [1])))


@pytest.mark.parametrize("processes", [1, 2])
def test_every_batch_holds_both_kinds_in_proportion(cohort: ecgzoo.Cohort, processes: int) -> None:
    rows = np.concatenate([cohort.rows([1]), cohort.rows([2, 3])])
    labelled = len(cohort.rows([1]))
    records = TrainingRecords(cohort, rows, [0], 250, 32, torch.device("cpu"), labelled=labelled)
    epochs = [[batch for _, batch in records.epoch(0, epoch, 0, processes)] for epoch in range(2)]
    for batch in epochs[0]:
        assert batch.labelled is not None
        assert len(batch.index) == 32 // processes
        assert (batch.index[: batch.labelled] < labelled).all()
        assert (batch.index[batch.labelled :] >= labelled).all()
        assert abs(batch.labelled / len(batch.index) - labelled / len(rows)) <= 0.5 * processes / 32 + 1e-9
    seen = torch.cat([batch.index for batch in epochs[0]])
    assert not torch.equal(seen, torch.cat([batch.index for batch in epochs[1]]))
    if processes == 1:
        assert len(seen.unique()) >= 0.9 * len(seen)


def test_a_loss_of_labels_is_called_with_the_labelled_records_alone() -> None:
    called: dict[str, tuple[int, int, int]] = {}

    class Spy(ecgzoo.Loss):
        def __init__(self, name: str, *reads: str, soft: bool = False) -> None:
            torch.nn.Module.__init__(self)
            self.name, self.extras = name, {}
            self.requires, self.soft_labels = frozenset(reads), soft  # type: ignore[misc]

        def forward(self, student: ecgzoo.View, teacher: ecgzoo.View, batch: ecgzoo.Batch) -> torch.Tensor:
            called[self.name] = len(student.logits), len(teacher.logits), len(batch.index)
            return student.logits.mean()

    losses = {
        "labels": (1.0, Spy("labels", "student.logits", "teacher.logits", "labels")),
        "auxiliary": (1.0, Spy("auxiliary", "student.logits", "auxiliary")),
        "answers": (1.0, Spy("answers", "student.logits", "teacher.logits")),
        "soft": (1.0, Spy("soft", "student.logits", "labels", soft=True)),
    }
    student, teacher = ecgzoo.create_student("xresnet1d_tiny"), ecgzoo.create_teacher("xresnet1d18")
    batch = ecgzoo.Batch(torch.rand(8, 5), torch.arange(8), torch.rand(8, 3), labelled=3)
    ecgzoo.Distiller(student, teacher, losses)(torch.randn(8, 1, 250), torch.randn(8, 12, 250), batch)
    assert called == {"labels": (3, 3, 3), "auxiliary": (3, 3, 3), "answers": (8, 8, 8), "soft": (8, 8, 8)}


def test_a_negative_is_not_expected_to_share_a_diagnosis() -> None:
    random = np.random.default_rng(0)
    labels = torch.from_numpy(random.random((40, 5)).astype(np.float32) ** 4)
    labels[:10] = (labels[:10] > 0.3).float()
    bank = MemoryBank(labels, 4, 0.5, share_limit=0.1)
    bank.visited[:35] = True
    index = torch.tensor([3, 20])
    mask = bank.mask(index, labels[index], None)
    for row, anchor in enumerate(index.tolist()):
        for other in range(40):
            expected = float((labels[anchor] * labels[other]).sum())
            chance = 1 - float(torch.prod(1 - labels[anchor] * labels[other]))
            assert chance <= expected + 1e-6, "the limit bounds the chance of sharing any"
            negative = other < 35 and other != anchor and expected <= 0.1
            assert (mask[row, other] == 0) == negative, (anchor, other)
            assert negative or mask[row, other] <= EXCLUDED * 1e-7


def test_of_labels_the_limit_changes_nothing() -> None:
    labels = (torch.rand(30, 5, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    assert MemoryBank(labels, 4, 0.5).share_limit == 0


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"losses": ("bce=1",), "teacher_weights": None}, "no loss of this recipe requires a teacher"),
        ({"unlabelled_folds": "1,2"}, "fold 1 is in both train_folds and unlabelled_folds"),
        ({"unlabelled_folds": "9"}, "fold 9 is in both unlabelled_folds and val_folds"),
        ({"losses": ("bce=1", "mkd=1"), "transforms": ("mixup=0.2",)}, "mixup mixes labels"),
        ({"train_folds": ""}, "labels are required by bce"),
        ({"train_folds": "", "losses": ("mkd=1",), "teacher_weights": None}, "labels are required by the teacher"),
    ],
)
def test_what_does_not_go_together_is_refused(
    cohort: ecgzoo.Cohort, tmp_path: Path, fields: dict[str, object], said: str
) -> None:
    with pytest.raises(RecipeError, match=said):
        ecgzoo.Run(recipe(tmp_path, **fields), cohort)


def test_a_teacher_of_other_classes_gives_no_answers_in_place_of_labels(cohort: ecgzoo.Cohort, tmp_path: Path) -> None:
    teacher = ecgzoo.create_teacher("xresnet1d_tiny")
    teacher.config = dataclasses.replace(teacher.config, classes=tuple("ABCDE"))
    run = ecgzoo.Run(recipe(tmp_path / "a", losses=("bce=1", "clt=0.5"), teacher_weights=None), cohort)
    with pytest.raises(RecipeError, match="the classes of the teacher are A, B, C, D, E, those of the data are CD"):
        run.student(teacher)
    run = ecgzoo.Run(recipe(tmp_path / "b", losses=("bce=1", "clt=0.5"), unlabelled_folds=""), cohort)
    run.student(teacher)  # its embeddings know no classes


def test_folds_without_labels_are_refused_except_as_unlabelled_folds(cohort: ecgzoo.Cohort, tmp_path: Path) -> None:
    labelled = ~np.isin(cohort.folds, [2, 3])
    some = dataclasses.replace(cohort, labels=cohort.labels * labelled[:, None], labelled=labelled)
    ecgzoo.Run(recipe(tmp_path / "a"), some)
    for fields in (
        {"train_folds": "1-2", "unlabelled_folds": "3"},
        {"val_folds": "3", "unlabelled_folds": "2"},
        {"test_folds": "3", "unlabelled_folds": "2"},
    ):
        with pytest.raises(DataError, match="records of fold [23] have no labels; .* with --unlabelled-folds"):
            ecgzoo.Run(recipe(tmp_path / "b", **fields), some)


def test_a_second_task_without_labels_is_refused(
    cohort: ecgzoo.Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fine = load_synthetic(task="diagnostic", num_records=480)
    labelled = fine.folds != 1
    tasks = {
        "superdiagnostic": cohort,
        "diagnostic": dataclasses.replace(fine, labels=fine.labels * labelled[:, None], labelled=labelled),
    }
    monkeypatch.setattr("ecgzoo.training.run.load_cohort", lambda data, root, task: tasks[task])
    given = recipe(tmp_path, data="synthetic", aux_task="diagnostic", losses=("bce=1", "aux=1"), unlabelled_folds="")
    with pytest.raises(DataError, match="of the training records have no label of task diagnostic"):
        ecgzoo.Run(given)


def test_a_cohort_without_any_label_to_learn_from(cohort: ecgzoo.Cohort, tmp_path: Path) -> None:
    labels = cohort.labels.copy()
    labels[~np.isin(cohort.folds, [9, 10])] = 0  # of an archive, only the records that judge were read by somebody
    bare = dataclasses.replace(cohort, labels=labels, labelled=np.isin(cohort.folds, [9, 10]))
    report = ecgzoo.distill(recipe(tmp_path, train_folds="", losses=("mkd=1", "clt=0.5")), bare)
    assert set(report.values["arms"]) == {"teacher", "student"}
    training = ecgzoo.load_pretrained(tmp_path / "student").config.training
    assert (training["train_folds"], training["unlabelled_folds"]) == ("", "2-3")
    assert not (tmp_path / "baseline").exists()
