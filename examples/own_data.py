"""A student trained on your own records: from arrays to a cohort, training and a prediction.

    python examples/own_data.py

The arrays here are simulated; replace them with your own. docs/own-data.md explains each field.
"""

import hashlib
from pathlib import Path

import numpy as np

import ecgzoo
from ecgzoo.data.store import to_microvolts

LEADS, CLASSES, RATE_HZ = ("I", "II", "V2"), ("CD", "HYP", "MI", "NORM", "STTC"), 100.0  # classes in alphabetical order


def make_cohort(millivolts: np.ndarray, labels: np.ndarray, patients: np.ndarray) -> ecgzoo.Cohort:
    """A cohort of records ``[N, leads, T]`` in mV, integers 0 and 1 as labels ``[N, C]``, and patients ``[N]``."""
    store = to_microvolts(millivolts)
    _, number = np.unique(patients, return_inverse=True)
    return ecgzoo.Cohort(
        name="my_data",
        task="superclasses",
        classes=CLASSES,
        leads=LEADS,
        rate_hz=RATE_HZ,
        store=store,
        positions=np.arange(len(store)),
        labels=labels,
        folds=(number % 10 + 1).astype(np.int16),  # from 1 to 10, all records of a patient in the same
        patients=number.astype(np.int64),
        record_ids=np.arange(len(store)),
        fingerprint=hashlib.sha256(store.tobytes() + labels.tobytes()).hexdigest(),
    )


def main(records: int = 1000, epochs: int = 3, output: str | Path = "runs/own_data") -> ecgzoo.Prediction:
    """Train a student of lead I with a teacher of three leads, load it, and apply it to a new record."""
    simulated = ecgzoo.load_cohort("synthetic")
    of_leads = [simulated.leads.index(lead) for lead in LEADS]
    millivolts = simulated.signals(slice(records))[:, of_leads] / 1000
    cohort = make_cohort(millivolts, simulated.labels[:records], simulated.patients[:records])

    recipe = ecgzoo.Recipe(
        teacher_leads=LEADS, student_leads=("I",), losses=("bce=1", "mkd=1"), epochs=epochs, output=output
    )
    report = ecgzoo.distill(recipe, cohort=cohort)
    print({arm: round(figures["macro_auc"], 3) for arm, figures in report.values["arms"].items()})

    student = ecgzoo.load_pretrained(Path(output) / "student")
    new = simulated.signals(slice(-1, None))[0, of_leads] / 1000
    return student.predict(ecgzoo.Record(new.astype(np.float32), LEADS, RATE_HZ, "a new record"))


if __name__ == "__main__":
    print(main())
