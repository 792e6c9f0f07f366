"""What is a packaged student as a file? Size, time, memory, and what its numbers lose, in every format.

Calibrated on fold 8 of PTB-XL, compared on fold 9 with the Python model. ``ms`` is the median time of a recording of
ten seconds (of one window, where a file takes no more) on one thread; ``MB in use`` is the growth of a process that
loads the file and runs it once. A format whose converter is not installed is left out.

    python -m benchmarks.export --root DIR
    python -m benchmarks.export --root DIR --model runs/tiny/student
"""

import argparse
import subprocess
import sys
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.progress import track

from benchmarks._report import CHECKOUT, peak_growth_mb, report
from ecgzoo import list_pretrained, load_cohort, load_pretrained
from ecgzoo.data import Cohort
from ecgzoo.errors import ExportError
from ecgzoo.exporting import SPECS, records
from ecgzoo.exporting.metadata import metadata
from ecgzoo.exporting.parity import all_scores, compare, latency_ms, python_scores
from ecgzoo.exporting.run import load_format
from ecgzoo.exporting.scorer import Scorer
from ecgzoo.files import write_bytes
from ecgzoo.model import EcgModel

CALIBRATED_ON, COMPARED_ON = (8,), (9,)
SECONDS = 10
ROUNDS = 51
LIMITS = (
    "xresnet1d18, lead I: onnx at most 1.6 MB and 1e-5, fp16 .8 MB and 2e-3, int8 .5 MB, AUC .002, 1 % of findings "
    "and .6 of the time of onnx; onnx at least as fast as Python"
)


def memory_mb(format: str, path: str, leads: int, samples: int) -> float:
    """Growth of this process by a file that is loaded and run once."""
    into = load_format(format)
    signal = np.zeros((1, leads, samples), np.float32)
    return peak_growth_mb(lambda: into.load(Path(path).read_bytes())(signal))


def python_memory_mb(name: str, leads: int, samples: int) -> float:
    """The same of the Python model."""
    signal = np.zeros((1, leads, samples), np.float32)
    return peak_growth_mb(lambda: python_scores(load_pretrained(name).eval(), signal))


def separately(call: str) -> float:
    """What a function of this module returns in a process of its own."""
    code = f"import torch; torch.set_num_threads(1); from benchmarks import export; print(export.{call})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=CHECKOUT)
    return float(done.stdout.split()[-1])


def rows_of(name: str, model: EcgModel, cohort: Cohort, folder: Path) -> list[dict[str, Any]]:
    """A row for Python, and one for each format that can be made here."""
    config = model.config
    calibration, all_compared = (records.from_cohort(cohort, on, config) for on in (CALIBRATED_ON, COMPARED_ON))
    length = round(SECONDS * config.rate_hz)
    one = np.ascontiguousarray(all_compared.signals[0][None, :, :length])
    rows = [
        {
            "student": name,
            "format": "Python",
            "MB": sum(value.numel() * value.element_size() for value in model.state_dict().values()) / 1e6,
            "ms": latency_ms(lambda: python_scores(model, one), ROUNDS),
            "samples": length,
            "MB in use": separately(f"python_memory_mb({name!r}, {len(config.leads)}, {length})"),
        }
    ]
    expected: dict[int, np.ndarray] = {}
    for format in SPECS:
        into = load_format(format)
        samples = length if into.any_length else config.window
        compared = all_compared.first(samples)
        try:
            content = into.convert(
                Scorer(model), metadata(model, None if into.any_length else samples), samples, calibration
            )
        except ExportError as error:
            print(f"{format} is left out: {error}", file=sys.stderr)
            continue
        score = into.load(content)
        if samples not in expected:
            expected[samples] = all_scores(model, compared)
        found = compare(model, score, compared, into.tolerance, size=len(content), expected=expected[samples])
        file = folder / f"{name.replace('/', '_')}.{format}"
        write_bytes(file, content)
        signal = np.ascontiguousarray(one[:, :, :samples])
        rows.append(
            {
                "student": name,
                "format": format,
                "MB": len(content) / 1e6,
                "ms": latency_ms(partial(score, signal), ROUNDS),
                "samples": samples,
                "MB in use": separately(f"memory_mb({format!r}, {str(file)!r}, {len(config.leads)}, {samples})"),
                "largest difference": found.probability,
                "macro AUC": found.macro_auc,
                "AUC difference": found.macro_auc_difference,
                "findings": found.findings,
                "flipped": found.flipped_share,
                "kept": not found.problems,
            }
        )
    return rows


def main() -> None:
    """Print the table and write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True, type=Path, help="folder of PTB-XL")
    parser.add_argument("--model", nargs="+", help="names or folders; all packaged students if not given")
    given = parser.parse_args()
    names = given.model or [name for name in list_pretrained() if len(load_pretrained(name).config.leads) == 1]
    rows: list[dict[str, Any]] = []
    with TemporaryDirectory() as folder:
        for name in track(names, "students"):
            model = load_pretrained(name).eval()
            rows += rows_of(name, model, load_cohort("ptbxl", given.root, model.config.task), Path(folder))
    keys = list(dict.fromkeys(key for row in rows for key in row))
    report("export", LIMITS, [{key: row.get(key) for key in keys} for row in rows])


if __name__ == "__main__":
    main()
