"""The engine's path against the loop that anyone would write first: the same losses, step by step.

In double precision: training turns a rounding of single precision into differences of a thousandth within fifty steps.
"""

from copy import deepcopy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from benchmarks.training import PlainNet
from ecgzoo import create_model, create_teacher
from ecgzoo.data.synthetic import load_synthetic
from ecgzoo.losses.contract import DataInfo
from ecgzoo.losses.mkd import MKD
from ecgzoo.model import EcgModel
from ecgzoo.training.batches import TrainingRecords
from ecgzoo.training.distiller import Distiller

STEPS, BATCH, LR = 50, 8, 1e-3


def fresh(leads: tuple[str, ...], seed: int) -> EcgModel:
    torch.manual_seed(seed)
    return create_model("xresnet1d18", leads, drop_rate=0.0).double()


def test_fifty_steps_agree() -> None:
    cohort = load_synthetic(num_records=STEPS * BATCH)
    rows = np.arange(len(cohort))
    torch.manual_seed(2)
    teacher = create_teacher("xresnet1d18").double()
    teacher.train()(torch.from_numpy(cohort.signals()[:64, :, :250] / 1000.0))  # statistics worth folding
    teacher.eval()

    student = fresh(("I",), seed=1)
    mkd = MKD(student.info, teacher.info, DataInfo(cohort.classes, torch.zeros(1, 5))).double()
    learner = Distiller(student, teacher, {"mkd": (1.0, mkd)}).train()
    fused = torch.optim.SGD(learner.parameters(), lr=LR, momentum=0.9, fused=True)
    fast = []
    records = TrainingRecords(cohort, rows, list(range(12)), 250, BATCH, torch.device("cpu"))
    for millivolts, batch in records.epoch(3, 0):
        millivolts = millivolts.double()
        total, _ = learner(millivolts[:, :1], millivolts, batch)
        total.backward()
        fused.step()
        fused.zero_grad()
        fast.append(total.item())

    plain_student = PlainNet(fresh(("I",), seed=1).backbone).train()
    plain_teacher = PlainNet(deepcopy(teacher.backbone))
    optimizer = torch.optim.SGD(plain_student.parameters(), lr=LR, momentum=0.9, foreach=False)
    random = np.random.default_rng([3, 0])
    order, starts = random.permutation(len(rows)), random.integers(0, 751, len(rows))
    plain = []
    for step in range(STEPS):
        index = order[step * BATCH : (step + 1) * BATCH]
        crops = np.stack([cohort.store[i, :, starts[i] : starts[i] + 250] for i in index]).astype(np.float32) / 1000
        s = plain_student(torch.from_numpy(crops[:, :1]).double())
        with torch.no_grad():
            t = plain_teacher(torch.from_numpy(crops).double())
        terms = [torch.sigmoid(sign * t) * (F.logsigmoid(sign * t) - F.logsigmoid(sign * s)) for sign in (1, -1)]
        loss = sum(terms).sum() / BATCH
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        plain.append(loss.item())
    assert len(fast) == STEPS
    assert fast == pytest.approx(plain, rel=1e-7)
    assert plain[-1] < plain[0]  # something was learned on the way
