"""Which task the targets ask for."""

from __future__ import annotations

import numpy as np

from fastgpu.data.raw import Raw
from fastgpu.errors import DataError

__all__ = ["infer_task"]

FEW = 20  # whole numbers with at most this many values are classes


def infer_task(raw: Raw) -> str:
    """The task that the training targets ask for, unless the source knows it.

    - names (strings), and True and False: classification;
    - lists of names, and rows of several 0s and 1s `(n, k)`: multilabel (so are one-hot rows: hand in their `argmax(1)` for
      classification);
    - rows of other numbers `(n, k)`: regression;
    - whole numbers: classification if they take at most 20 values, or are consecutive from 0 or 1 with at least ten items
      a value on average; else regression;
    - floats: classification if all are whole and take at most 20 values; else regression.

    Returns:
        `"classification"`, `"multilabel"` or `"regression"`.

    Raises:
        DataError: there are no targets, or all are the same.
    """
    y = raw.splits["train"].y
    if y is None or len(y) == 0:
        raise DataError("Training needs targets. None came. Give (x, y), or a target column.")
    if raw.task is not None:
        return raw.task
    if y.ndim == 2:
        return "multilabel" if np.isin(y, (0, 1)).all() else "regression"
    if y.dtype == object and not isinstance(y[0], str):
        return "multilabel"
    values = np.unique(y)
    if len(values) < 2:
        raise DataError(
            f"Targets must differ: classification needs at least two classes. All {len(y):,} are {values[0]}. Check them."
        )
    if y.dtype.kind in "iu":
        span = int(values[-1]) - int(values[0]) + 1
        consecutive = int(values[0]) in (0, 1) and span == len(values)
        classes = len(values) <= FEW or (consecutive and len(y) >= 10 * len(values))
        return "classification" if classes else "regression"
    if y.dtype.kind == "f":
        classes = len(values) <= FEW and bool((values == np.round(values)).all())
        return "classification" if classes else "regression"
    return "classification"
