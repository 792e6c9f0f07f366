"""Windows: the parts that a model reads of a record that is longer than its input."""

import numpy as np

from ecgzoo.errors import SignalError


def window_starts(num_samples: int, window: int, stride: int, source: str, rate_hz: float) -> np.ndarray:
    """First samples (int64) of the windows of a record: every `stride`, and one at the end of the record.

    Args:
        num_samples: length of the record.
        window: length in samples.
        stride: from one window to the next, in samples.
        source: name of the record in errors.
        rate_hz: samples per second, for errors.

    Raises:
        SignalError: the record is shorter than a window.
    """
    if num_samples < window:
        raise SignalError(
            f"{source}: {duration(num_samples, rate_hz)} is shorter than a window of {duration(window, rate_hz)}; "
            "use a longer recording"
        )
    return np.unique(np.append(np.arange(0, num_samples - window + 1, stride), num_samples - window))


def duration(samples: int, rate_hz: float) -> str:
    """A duration for messages, such as ``2.5 s (250 samples at 100 Hz)``."""
    return f"{samples / rate_hz:.4g} s ({samples} samples at {rate_hz:g} Hz)"
