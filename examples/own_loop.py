"""Your own training loop: the Distiller computes the loss, the rest is plain Accelerate.

    python examples/own_loop.py

With the same seed, the steps are the same as in ecgzoo's own loop.
"""

from dataclasses import replace

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from timm.optim import create_optimizer_v2
from torch.optim.lr_scheduler import OneCycleLR

import ecgzoo
from ecgzoo.training.batches import TrainingRecords

SEED, EPOCHS, BATCH, LR = 0, 2, 64, 1e-2


def train(cohort: ecgzoo.Cohort, teacher: ecgzoo.EcgModel) -> tuple[ecgzoo.EcgModel, list[float]]:
    """The student, and the mean loss of each epoch."""
    accelerator, rows = Accelerator(cpu=True), cohort.rows(range(1, 9))
    set_seed(SEED)
    student = ecgzoo.create_student("xresnet1d18", num_classes=len(cohort.classes))
    mean_mv, std_mv = cohort.mean_and_deviation_mv(rows)
    scale = ecgzoo.Normalization(mean_mv=mean_mv, std_mv=std_mv)
    student.config = replace(student.config, classes=cohort.classes, rate_hz=cohort.rate_hz, normalization=scale)

    data = ecgzoo.DataInfo(cohort.classes, torch.from_numpy(cohort.labels[rows]))
    losses = ecgzoo.create_losses(("bce=1", "mkd=1", "clt=0.8"), student, teacher, data)
    distiller = ecgzoo.Distiller(student, teacher, losses)
    every = list(range(len(cohort.leads)))
    records = TrainingRecords(cohort, rows, every, student.config.window, BATCH, accelerator.device)
    optimizer = create_optimizer_v2(distiller, opt="adamw", lr=LR, weight_decay=1e-2, fused=True)
    schedule = OneCycleLR(optimizer, LR, total_steps=EPOCHS * len(records) + 1)
    wrapped, optimizer = accelerator.prepare(distiller, optimizer)
    own, taught = (model.lead_positions(cohort.leads, cohort.title) for model in (student, teacher))
    means = []
    for epoch in range(EPOCHS):
        torch.manual_seed(int(np.random.SeedSequence([SEED, epoch, 0]).generate_state(1)[0]))  # for dropout
        wrapped.train()
        means.append(0.0)
        for millivolts, batch in records.epoch(SEED, epoch):
            loss, _ = wrapped(millivolts[:, own], millivolts[:, taught], batch)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(distiller.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            distiller.after_backward()
            schedule.step()
            means[-1] += loss.item() / len(records)
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {means[-1]:.4f}")
    return student.eval(), means


if __name__ == "__main__":
    train(ecgzoo.load_cohort("synthetic"), ecgzoo.create_teacher("xresnet1d18", pretrained="ptbxl_super_12"))
