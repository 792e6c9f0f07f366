"""Does the signal quality check refuse signals that are not an ECG, and nothing else?

    python -m benchmarks.quality --root PTBXL --af2017 DIR

It uses PTB-XL's fold 9 (lead I, and II for polarity), clean and damaged, with the findings that the packaged student
would give without the check; the handheld recordings of the AF Challenge 2017, on which no limit was chosen; and it
measures time and memory.
"""

import argparse
import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.signal import resample_poly
from sklearn.metrics import roc_auc_score

import ecgzoo
from benchmarks._report import peak_growth_mb, report
from ecgzoo.data.ptbxl import RATE_HZ, load_ptbxl
from ecgzoo.model import EcgModel
from ecgzoo.signal import LEADS_12
from ecgzoo.signal.quality import Quality, assess

STUDENT = "xresnet1d18.ptbxl_super_i"
WINDOWS_S = (2.5, 5.0)  # with a stride of half a window
STATEMENTS = ("SR", "AFIB", "PVC", "STACH", "CLBBB", "CRBBB", "PACE")  # check that no disease is refused
AF_WINDOW_S = 5.0  # the student's window
ASKED = 500  # records to which the student is applied
DRAWS = 2000


def replaced(values: Callable[[np.random.Generator, int], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """A damage that replaces the whole record."""
    return lambda x: np.stack([values(np.random.default_rng(row), x.shape[1]) for row in range(len(x))])


def one_sample(rng: np.random.Generator, samples: int) -> np.ndarray:
    """Zeros with one sample of 50 µV."""
    return np.where(np.arange(samples) == rng.integers(samples), 0.05, 0.0)


def last_zeros(x: np.ndarray) -> np.ndarray:
    """The electrode falls off after a fifth of the time."""
    return np.where(np.arange(x.shape[1]) < x.shape[1] // 5, x, 0)


def square(x: np.ndarray) -> np.ndarray:
    """5 mV up and 5 mV down, one second each."""
    return np.broadcast_to(5.0 * (np.arange(x.shape[1]) // 100 % 2), x.shape)


def stairs(x: np.ndarray) -> np.ndarray:
    """5 mV up or down every second, at random."""
    steps = np.random.default_rng(0).choice([-5.0, 5.0], (len(x), -(-x.shape[1] // 100)))
    return np.repeat(np.cumsum(steps, 1), 100, 1)[:, : x.shape[1]]


# name: the change of millivolts [records, samples], and the target for the refused share
DAMAGES: dict[str, tuple[Callable[[np.ndarray], np.ndarray], str]] = {
    "clean": (lambda x: x, "<= 0.01"),
    "inverted": (np.negative, "<= 0.01"),
    "zeros, one sample of 50 µV": (replaced(one_sample), ">= 0.98"),
    "the last 80 % zeros": (last_zeros, ">= 0.98"),
    "white noise of 0.1 mV": (replaced(lambda rng, n: rng.normal(0, 0.1, n)), ">= 0.98"),
    "steps of 5 mV alone": (square, ">= 0.98"),
    "steps of 5 mV added": (lambda x: x + square(x), ">= 0.98"),
    "stairs of 5 mV added": (lambda x: x + stairs(x), ">= 0.98"),
    "microvolts as millivolts": (lambda x: x * 1e3, ">= 0.98"),
    "volts as millivolts": (lambda x: x * 1e-3, ">= 0.98"),
    "sampled at 5 Hz": (lambda x: resample_poly(x, 1, 20, axis=1), ">= 0.98"),
}


def starts(seconds: float, window_s: float) -> np.ndarray:
    """Start times every half window, and one window that ends with the record."""
    return np.unique(np.append(np.arange(0, seconds - window_s, window_s / 2), seconds - window_s))


def assess_all(x: np.ndarray, rate_hz: float, window_s: float, lead: str) -> list[Quality]:
    """The quality of millivolts ``[records, samples]``."""
    at = starts(x.shape[1] / rate_hz, window_s)
    return [assess(row[None], rate_hz, window_s=window_s, starts_s=at, leads=(lead,)) for row in x]


def has_findings(model: EcgModel, x: np.ndarray) -> float:
    """Share of records in which the student, without the check, finds any class other than NORM."""
    with torch.no_grad():
        probabilities = model.eval().score(torch.from_numpy(x.astype(np.float32))[:, None])
    found = [model.findings(row) for row in probabilities.double().tolist()]
    return float(np.mean([any(f[k] == "present" for k in f if k != "NORM") for f in found]))


def inverted(found: list[Quality]) -> float:
    """Share of recordings with a note of an inverted lead."""
    return float(np.mean([any("inverted" in note for note in q.notes) for q in found]))


def refused(found: list[Quality]) -> float:
    """Share of recordings that are unreadable."""
    return float(np.mean([q.unreadable is not None for q in found]))


def ptbxl(root: Path, fold: int) -> list[dict[str, Any]]:
    """Rows for the damages and for polarity."""
    cohort = load_ptbxl(root, "superdiagnostic")
    signals = cohort.store[cohort.positions[cohort.folds == fold]] / 1e3
    model = ecgzoo.load_pretrained(STUDENT)
    clean, rows = signals[:, 0], []
    for name, (damage, aim) in DAMAGES.items():
        x = damage(clean)
        rate_hz = RATE_HZ * x.shape[1] / clean.shape[1]
        found = {window_s: assess_all(x, rate_hz, window_s, "I") for window_s in WINDOWS_S}
        at_model = x if rate_hz == RATE_HZ else resample_poly(x, round(RATE_HZ / rate_hz), 1, axis=1)
        row: dict[str, Any] = {"question": f"lead I, {name}: refused", "aim": aim, "n": len(x)}
        row |= {f"{w} s": refused(q) for w, q in found.items()} | {
            "findings without it": has_findings(model, at_model[:ASKED])
        }
        rows.append(row)
        if "volts" in name:
            guess = f"{name.split()[0]} given as millivolts"
            named = {f"{w} s": float(np.mean([guess in (q.unreadable or "") for q in found[w]])) for w in WINDOWS_S}
            rows.append({"question": f"lead I, {name}: named", "aim": ">= 0.98", "n": len(x)} | named)
    codes = load_ptbxl(root, "all")
    of_fold = codes.labels[codes.folds == fold].astype(bool)
    clean_codes = codes.store[codes.positions[codes.folds == fold]] / 1e3
    for statement in STATEMENTS:
        some = clean_codes[of_fold[:, codes.classes.index(statement)]]
        found = {w: assess_all(some[:, 0], RATE_HZ, w, "I") for w in WINDOWS_S}
        row = {"question": f"lead I, clean, {statement}: refused", "aim": "", "n": len(some)}
        rows.append(row | {f"{w} s": refused(found[w]) for w in found})
    for lead in ("I", "II"):
        for sign, aim in ((1, "<= 0.03"), (-1, ">= 0.80")):
            found = {w: assess_all(sign * signals[:, LEADS_12.index(lead)], RATE_HZ, w, lead) for w in WINDOWS_S}
            name = f"lead {lead}, {'upright' if sign == 1 else 'inverted'}: note of an inverted lead"
            rows.append({"question": name, "aim": aim, "n": len(clean)} | {f"{w} s": inverted(found[w]) for w in found})
    for lead in ("II", "V2", "V5"):
        found = {w: assess_all(signals[:, LEADS_12.index(lead)], RATE_HZ, w, lead) for w in WINDOWS_S}
        row = {"question": f"lead {lead}, clean: refused", "aim": "<= 0.01", "n": len(clean)}
        rows.append(row | {f"{w} s": refused(found[w]) for w in found})
    every = {
        w: [assess(x, RATE_HZ, window_s=w, starts_s=starts(10, w), leads=LEADS_12) for x in signals[::16]]
        for w in WINDOWS_S
    }
    row = {"question": "all 12 leads, clean: refused", "aim": "", "n": len(signals[::16])}
    rows.append(row | {f"{w} s": refused(every[w]) for w in every})
    return rows


def wilson(hits: int, of: int) -> list[float]:
    """95 % Wilson interval of a share."""
    z, p = 1.96, hits / of
    middle, half = p + z * z / 2 / of, z * np.sqrt(p * (1 - p) / of + (z / 2 / of) ** 2)
    return [round(float(v / (1 + z * z / of)), 3) for v in (middle - half, middle + half)]


def af2017(folder: Path) -> list[dict[str, Any]]:
    """Rows for the handheld recordings: quality index against the noise class, and refused shares."""
    with (folder / "REFERENCE.csv").open(encoding="utf-8", newline="") as file:
        kinds = dict(csv.reader(file))
    index, gone = [], []
    for name in kinds:
        record = ecgzoo.read_record(folder / name)
        at = starts(record.signal.shape[1] / record.rate_hz, AF_WINDOW_S)
        quality = assess(record.signal, record.rate_hz, window_s=AF_WINDOW_S, starts_s=at, leads=("I",))
        index.append(float(quality.index.mean()))
        gone.append(quality.unreadable is not None)
    scores, kind, refusals = np.array(index), np.array(list(kinds.values())), np.array(gone)
    noise, column = kind == "~", f"{AF_WINDOW_S} s"
    rng, draws = np.random.default_rng(0), []
    groups = np.flatnonzero(noise), np.flatnonzero(~noise)
    for _ in range(DRAWS):
        some = np.concatenate([rng.choice(group, len(group)) for group in groups])
        draws.append(roc_auc_score(~noise[some], scores[some]))
    interval = [round(float(v), 3) for v in np.percentile(draws, (2.5, 97.5))]
    rows: list[dict[str, Any]] = [
        {
            "question": "AF-2017: AUC of the mean index, noise (~) against the rest",
            "aim": ">= 0.955",
            "n": len(kind),
            column: float(roc_auc_score(~noise, scores)),
            "95 %": interval,
        }
    ]
    for name, aim in (("N", ""), ("A", "no more than N, within the intervals"), ("O", ""), ("~", "")):
        of = kind == name
        interval = wilson(int(refusals[of].sum()), int(of.sum()))
        share = float(refusals[of].mean())
        rows.append(
            {"question": f"AF-2017, {name}: refused", "aim": aim, "n": int(of.sum()), column: share, "95 %": interval}
        )
    return rows


def cost(beat: np.ndarray) -> list[dict[str, Any]]:
    """Rows for time and memory, on repetitions of a real record ``[samples]`` at 100 Hz."""
    short = resample_poly(beat, 5, 1)[None].astype(np.float32)
    times = []
    for _ in range(50):
        begin = time.perf_counter()
        assess(short, 500.0, window_s=5.0)
        times.append(time.perf_counter() - begin)
    day = np.tile(resample_poly(beat, 5, 2), 8640)[None].astype(np.float32)
    begin = time.perf_counter()
    growth = peak_growth_mb(lambda: assess(day, 250.0, window_s=5.0))
    spent = time.perf_counter() - begin
    return [
        {"question": "10 s at 500 Hz: ms", "aim": "<= 5", "n": len(times), "5.0 s": float(np.median(times)) * 1e3},
        {"question": "24 h at 250 Hz: s", "aim": "<= 10", "n": 1, "5.0 s": spent},
        {"question": "24 h at 250 Hz: MB in addition to the signal", "aim": "<= 400", "n": 1, "5.0 s": growth},
    ]


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="PTB-XL's folder")
    parser.add_argument("--af2017", type=Path, help="folder of the AF Challenge 2017 recordings")
    parser.add_argument("--fold", type=int, default=9, help="fold to measure; use 8 while choosing limits")
    arguments = parser.parse_args()
    rows = ptbxl(arguments.root, arguments.fold)
    cohort = load_ptbxl(arguments.root, "superdiagnostic")
    rows += cost(cohort.store[cohort.positions[0], 0] / 1e3)
    if arguments.af2017:
        rows += af2017(arguments.af2017)
    columns = ("question", "aim", "n", *(f"{w} s" for w in WINDOWS_S), "95 %", "findings without it")
    report(
        "quality" if arguments.fold == 9 else f"quality_fold{arguments.fold}",
        f"PTB-XL fold {arguments.fold}; limits from folds 1-8; nothing chosen on AF-2017",
        [{name: row.get(name, "") for name in columns} for row in rows],
    )


if __name__ == "__main__":
    main()
