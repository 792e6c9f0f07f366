"""Aggregates: labels that mean "any of these classes", such as atrial fibrillation or flutter."""

from collections.abc import Mapping, Sequence

import numpy as np


def with_aggregates(values: np.ndarray, classes: Sequence[str], aggregates: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Labels or probabilities ``[N, C]`` followed by those of the aggregates: ``[N, C + A]``.

    An aggregate is ``1 − Π (1 − p)`` over its classes: the union of labels, or the probability of the union if the
    classes are independent.
    """
    columns = [
        1 - np.prod([1 - values[:, classes.index(member)] for member in members], axis=0)
        for members in aggregates.values()
    ]
    return np.column_stack([values, *columns]).astype(values.dtype)
