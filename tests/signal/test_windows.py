import numpy as np
import pytest

from ecgzoo.errors import SignalError
from ecgzoo.signal.windows import window_starts


@pytest.mark.parametrize(
    ("samples", "window", "stride", "starts"),
    [
        (250, 250, 125, [0]),
        (251, 250, 125, [0, 1]),
        (500, 250, 125, [0, 125, 250]),
        (610, 250, 250, [0, 250, 360]),
        (749, 250, 250, [0, 250, 499]),
        (750, 250, 250, [0, 250, 500]),
        (10, 3, 7, [0, 7]),
        (10, 2, 5, [0, 5, 8]),
    ],
)
def test_windows_start_every_stride_and_end_with_the_record(samples, window, stride, starts):
    found = window_starts(samples, window, stride, "made", 100)
    assert found.tolist() == starts
    assert found.dtype == np.int64


def test_a_record_shorter_than_a_window_is_refused():
    with pytest.raises(
        SignalError, match=r"made: 2.49 s \(249 samples at 100 Hz\) is shorter than a window of 2.5 s \(250 samples"
    ):
        window_starts(249, 250, 125, "made", 100)
