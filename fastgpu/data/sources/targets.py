"""Targets and texts from whatever holds them: lists, arrays, tensors, pandas columns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgpu.data.sources.base import objects, rows
from fastgpu.errors import DataError

__all__ = ["as_targets", "as_texts", "incomplete", "plain"]


def plain(values: Any) -> np.ndarray:
    """A tensor (of any device and dtype), a pandas column or a list as a NumPy array; lists of unequal things as objects."""
    import torch

    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        return (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    if hasattr(values, "to_numpy"):
        return values.to_numpy()
    if isinstance(values, Sequence) and any(isinstance(v, str) or v is None for v in values):
        return objects(values)  # NumPy would make strings of the numbers among them
    try:
        return np.asarray(values)
    except ValueError:  # lists of different lengths
        return objects(values)


def as_targets(values: Any, where: str = "y") -> np.ndarray:
    """Targets as an array of bools, ints, floats or strings.

    Args:
        values: `(n,)` or `(n, k)` targets; a single column `(n, 1)` becomes `(n,)`.
        where: what they are called in an error.

    Returns:
        `(n,)` or `(n, k)`; dtype object only for lists of labels, and for strings some of which are missing (None).

    Raises:
        DataError: targets of several types, dates, or of more than two dimensions.
    """
    y = plain(values)
    if y.ndim not in (1, 2):
        raise DataError(f"Targets are (n,) or (n, k). {where} has shape {y.shape}. Reshape it.")
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.dtype == object:
        return _from_objects(y, where)
    if y.dtype.kind not in "biufUS":
        raise DataError(f"Targets are labels or numbers. {where} holds {y.dtype}. Convert them.")
    return y.astype(str) if y.dtype.kind == "S" else y


def _from_objects(y: np.ndarray, where: str) -> np.ndarray:
    lacking = incomplete(y)
    there = y[~lacking] if y.ndim == 1 else y.reshape(-1)
    types = {type(v) for v in there}
    if y.ndim == 1 and types and all(issubclass(t, str) for t in types):
        if not lacking.any():
            return y.astype(str)
        strings = y.copy()
        strings[lacking] = None
        return strings
    if types and all(issubclass(t, (list, tuple, set, np.ndarray)) for t in types):
        return objects([list(v) if v is not None else None for v in y])
    if types and all(issubclass(t, (bool, np.bool_)) for t in types) and not lacking.any():
        return y.astype(bool)
    if all(issubclass(t, (int, np.integer)) and not issubclass(t, bool) for t in types) and not lacking.any():
        return y.astype(np.int64)
    if all(issubclass(t, (int, float, np.number)) and not issubclass(t, bool) for t in types):
        numbers = np.full(y.shape, np.nan)
        numbers[~lacking] = y[~lacking].astype(float)
        return numbers
    named = ", ".join(sorted(t.__name__ for t in types))
    raise DataError(
        f"Targets are all of one type: names, numbers, or lists of names. {where} holds {named}. Convert them to one."
    )


def incomplete(y: np.ndarray) -> np.ndarray:
    """Which items have no target, or one that is NaN or infinite: `(n,)` bool."""
    if y.dtype.kind == "f":
        bad = ~np.isfinite(y)
    elif y.dtype == object:
        import pandas as pd

        bad = np.asarray(pd.isna(y), dtype=bool)
    else:
        return np.zeros(len(y), dtype=bool)
    return np.any(bad, axis=1) if bad.ndim == 2 else bad


def as_texts(values: Any, where: str = "x") -> np.ndarray:
    """Texts as an object array of strings `(n,)`; numbers among them become their digits.

    Raises:
        DataError: a text is missing (None or NaN), or has nothing in it.
    """
    import pandas as pd

    texts = plain(values).astype(object)
    lacking = np.asarray(pd.isna(texts)) | np.array([isinstance(text, str) and not text.strip() for text in texts], dtype=bool)
    if lacking.any():
        raise DataError(
            f"Every item must have a text. {lacking.sum():,} of {len(texts):,} in {where} have none: {rows(lacking)} (from 0). "
            "Fill or drop them."
        )
    return objects(v if type(v) is str else str(v) for v in texts)
