"""examples/predict.py: on a simulated recording and on a WFDB record, in one screen."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import wfdb

SCRIPT = Path(__file__).parents[2] / "examples" / "predict.py"


def test_it_predicts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = runpy.run_path(str(SCRIPT))
    prediction = script["main"]([])
    assert capsys.readouterr().out.startswith("simulated [I, 3 windows]  ")
    record = script["simulated"]().select("I")
    signal = record.signal.T.astype(np.float64)
    wfdb.wrsamp("rec", fs=100, units=["mV"], sig_name=["I"], p_signal=signal, write_dir=str(tmp_path), fmt=["32"])
    again = script["main"]([str(tmp_path / "rec")])
    assert again.probabilities == pytest.approx(prediction.probabilities, abs=1e-4)
    assert len(SCRIPT.read_text().splitlines()) <= 40
