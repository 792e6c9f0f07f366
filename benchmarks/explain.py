"""Does a model look at an infarction where the infarction is?

    python -m benchmarks.explain

On the simulated cohort, where the time of every wave is known: a student of leads I, II and V2 learns from folds 1 to 8
for some epochs (a minute), and integrated gradients say what it looked at in the records of fold 10 that have an
infarction and in which it finds one. Counted is the share of the absolute attribution of MI that lies between Q and
the end of T. A large share comes easily, since attributions grow with the signal and most of the signal is there: so
beside it stand the share of time, the share of the signal's absolute height, and that of a network with random weights.

What random weights cannot do: an inferior infarction changes lead II and an anterior one V2, and the student, which was
told of neither, only of MI, should take its evidence from there. The AUC is that of the attribution of lead II minus
that of V2, for inferior (1) against anterior (0) infarctions.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import track
from sklearn.metrics import roc_auc_score

import ecgzoo
from benchmarks._report import report
from ecgzoo.data._dipole import WAVES
from ecgzoo.data.synthetic import load_synthetic, wave_times

RECORDS, SEED, EPOCHS, LEADS, LABEL = 4000, 0, 6, ("I", "II", "V2"), "MI"
TEST_FOLD = 10
AIM = 0.70
REACH = 3.0  # standard deviations of Q and T: beyond, a wave is 1 % of its peak
MOST = 40  # records that are explained
DRAWS = 2000


def train(cohort: ecgzoo.Cohort, folder: Path) -> ecgzoo.EcgModel:
    """The student, on labels alone."""
    recipe = ecgzoo.Recipe(
        data="synthetic", student="xresnet1d18", student_leads=LEADS, losses=("bce=1",), epochs=EPOCHS, seed=SEED,
        compare=False, output=folder,
    )  # fmt: skip
    ecgzoo.distill(recipe, cohort=cohort)
    return ecgzoo.load_pretrained(folder / "student")


def recording(cohort: ecgzoo.Cohort, row: int) -> ecgzoo.Record:
    """A record of the cohort."""
    signal = cohort.signals(np.array([row]))[0].astype(np.float32) / 1000
    return ecgzoo.Record(signal, cohort.leads, cohort.rate_hz, f"simulated record {row}")


def in_qrst(row: int, samples: int, rate_hz: float, times: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Which samples of a record lie between Q and the end of T, bool ``[samples]``."""
    names = list(WAVES)
    centre_s, width_s = times[0][row], times[1][row]
    q, t = names.index("Q"), names.index("T")
    inside = np.zeros(samples, bool)
    for begin, end in zip(centre_s[:, q] - REACH * width_s[q], centre_s[:, t] + REACH * width_s[t], strict=True):
        inside[max(0, round(begin * rate_hz)) : max(0, round(end * rate_hz) + 1)] = True
    return inside


def share(values: np.ndarray, inside: np.ndarray) -> float:
    """Of absolute `values` ``[leads, samples]``, how much lies inside."""
    return float(np.abs(values[:, inside]).sum() / np.abs(values).sum())


def explained(
    model: ecgzoo.EcgModel, cohort: ecgzoo.Cohort, rows: np.ndarray, times: tuple[np.ndarray, np.ndarray]
) -> Iterator[dict[str, float]]:
    """The shares of each record, and how far attributions are from completeness."""
    for row in track(rows.tolist(), "records"):
        record = recording(cohort, row)
        found = ecgzoo.explain(model, record, LABEL)
        inside = in_qrst(row, record.signal.shape[1], cohort.rate_hz, times)
        heights = record.select(LEADS).signal
        heights = heights - np.median(heights, axis=1, keepdims=True)
        by_lead = found.attribution.sum(axis=1)
        total = found.logit - found.baseline_logit
        yield {
            "in QRS–T": share(found.attribution, inside),
            "speaking for it": share(np.maximum(found.attribution, 0), inside),
            "of the time": float(inside.mean()),
            "of the signal": share(heights, inside),
            "II minus V2": float(by_lead[LEADS.index("II")] - by_lead[LEADS.index("V2")]),
            "sum of attributions / difference of logits": float(found.attribution.sum() / total),
        }


def summary(name: str, found: list[dict[str, float]], inferior: np.ndarray, anterior: np.ndarray) -> dict[str, Any]:
    """Means over records; of the share, a 95 % interval by resampling records."""
    one_place = inferior != anterior  # bool [records]
    shares = np.array([one["in QRS–T"] for one in found])
    means = np.random.default_rng(SEED).choice(shares, (DRAWS, len(shares))).mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975)).tolist()
    row: dict[str, Any] = {"network": name, "records": len(found), "share in QRS–T": float(shares.mean())}
    row |= {"low": low, "high": high, "least": float(shares.min())}
    row |= {
        key: float(np.mean([one[key] for one in found])) for key in ("speaking for it", "of the time", "of the signal")
    }
    evidence = np.array([one["II minus V2"] for one in found])[one_place]
    row["inferior"], row["anterior"] = int(inferior[one_place].sum()), int(anterior[one_place].sum())
    row["told apart by lead, AUC"] = float(roc_auc_score(inferior[one_place], evidence))
    ratio = np.array([one["sum of attributions / difference of logits"] for one in found])
    return row | {"median |error| of the sum": float(np.median(np.abs(ratio - 1)))}


def main() -> None:
    """Train, explain, print, write the JSON."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    cohort, times = load_synthetic(num_records=RECORDS, seed=SEED), wave_times(RECORDS, SEED)
    with tempfile.TemporaryDirectory() as folder:
        student = train(cohort, Path(folder) / "run")
    torch.manual_seed(SEED)
    random = ecgzoo.EcgModel.build(student.config).eval()
    rows = np.flatnonzero((cohort.folds == TEST_FOLD) & (cohort.labels[:, cohort.classes.index(LABEL)] == 1))
    predicted = [student.predict(recording(cohort, row)) for row in rows.tolist()]
    found = rows[[said.findings.get(LABEL) == "present" for said in predicted]][:MOST]
    lesions = load_synthetic(task="diagnostic", num_records=RECORDS, seed=SEED)
    inferior, anterior = (
        lesions.labels[found, lesions.classes.index(f"{place} infarction")] == 1 for place in ("inferior", "anterior")
    )
    table = [
        summary(name, list(explained(model, cohort, found, times)), inferior, anterior)
        for name, model in (("student", student), ("random weights", random))
    ]
    for row in table:
        row |= {
            "aim": f">= {AIM}",
            "macro AUC": student.config.metrics["macro_auc"],
            "with MI": len(rows),
            "seed": SEED,
        }
    report("explain", f"at least {AIM:.0%} of the student's attribution of {LABEL} lies in QRS–T", table)


if __name__ == "__main__":
    main()
