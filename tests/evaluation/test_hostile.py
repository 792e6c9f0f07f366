"""No figure from what is no number."""

import dataclasses

import numpy as np
import pytest

import ecgzoo
from ecgzoo.data import Cohort
from ecgzoo.errors import WeightsError


def test_a_model_of_a_negative_variance_is_not_measured() -> None:
    random = np.random.default_rng(0)
    cohort = Cohort(
        name="\x1b[2J[/x]",
        task="superdiagnostic",
        classes=("A", "B"),
        leads=("I",),
        rate_hz=100,
        store=random.integers(-500, 500, (4, 1, 500)).astype(np.int16),
        positions=np.arange(4),
        labels=np.array([[0, 1], [1, 0], [0, 1], [1, 0]], np.uint8),
        folds=np.ones(4, np.int16),
        patients=np.arange(4),
        record_ids=np.arange(4),
        fingerprint="by hand",
    )
    model = ecgzoo.create_student("xresnet1d18", num_classes=2)
    model.config = dataclasses.replace(model.config, classes=cohort.classes)
    assert np.isfinite(ecgzoo.evaluate(model, cohort, [1], progress=True).y_score).all()
    next(buffer for name, buffer in model.named_buffers() if name.endswith("running_var")).fill_(-1.0)
    with pytest.raises(WeightsError, match="a probability that is not finite"):
        ecgzoo.evaluate(model, cohort, [1])
