"""Apply a packaged single-lead student to a WFDB record, or to a simulated recording.

    python examples/predict.py [RECORD]

Research use only.
"""

import sys

import numpy as np

import ecgzoo
from ecgzoo.data.synthetic import load_synthetic


def simulated() -> ecgzoo.Record:
    """Ten seconds of a simulated patient with twelve leads; the student selects its own lead by name."""
    cohort = load_synthetic(num_records=1)
    millivolts = (cohort.signals()[0] / 1000).astype(np.float32)  # stored as microvolts
    return ecgzoo.Record(millivolts, cohort.leads, cohort.rate_hz, source="simulated")


def main(paths: list[str]) -> ecgzoo.Prediction:
    """Predict on the first of `paths`, or on a simulated recording."""
    model = ecgzoo.load_pretrained("resnet1d18.ptbxl_super_i")
    prediction = model.predict(paths[0] if paths else simulated())
    print(prediction)
    findings = ", ".join(f"{name} {found}" for name, found in prediction.findings.items())
    print(f"signal quality {prediction.quality:.2f}; {findings or prediction.unreadable}")
    return prediction


if __name__ == "__main__":
    main(sys.argv[1:])
