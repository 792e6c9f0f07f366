"""Windows: where a model looks in a record that is longer than its input."""

import numpy as np

from ecgzoo.errors import SignalError


def window_starts(num_samples: int, window: int, stride: int, source: str) -> np.ndarray:
    """First samples (int64) of the windows of a record: every `stride`, and one that ends where the record ends.

    `source` is named in errors.

    Raises:
        SignalError: the record is shorter than a window.
    """
    if num_samples < window:
        raise SignalError(
            f"{source}: {num_samples} samples are fewer than a window of {window}; use a longer recording"
        )
    return np.unique(np.append(np.arange(0, num_samples - window + 1, stride), num_samples - window))
