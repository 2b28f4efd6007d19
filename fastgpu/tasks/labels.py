"""What the tasks with classes share: raw labels to class numbers, without a Python loop over items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgpu.answers.base import short
from fastgpu.errors import DataError, nearest

__all__ = ["Label", "classes_of", "codes", "renumbering", "rows", "unknown_class"]

Label = str | int


def rows(mask: np.ndarray) -> str:
    """Where a mask `(n,)` is true, in words: `"rows 3, 7, 12, ..."`."""
    found = np.flatnonzero(mask)
    shown = ", ".join(str(i) for i in found[:5])
    return f"row{'s' if len(found) > 1 else ''} {shown}{', ...' if len(found) > 5 else ''}"


def factorize(labels: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Labels `(n,)` -> `(n,)` numbers, -1 where missing, and what they number, as plain Python values."""
    import pandas as pd

    try:
        numbers, found = pd.factorize(labels)
    except TypeError:
        raise DataError(
            "Class labels must be strings or whole numbers. Lists came. Give task='multilabel' for several labels an item."
        ) from None
    # Whole numbers read as floats (a column with gaps, say) are the whole numbers that they were.
    return numbers, [_plain(value) for value in found]


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return int(value) if isinstance(value, float) and value.is_integer() else value


def missing_label(missing: np.ndarray) -> DataError:
    """The error for items without a label; `missing` is `(n,)` bool."""
    count = int(missing.sum())
    return DataError(
        f"Every item needs a label. {count} of {len(missing)} have none ({rows(missing)}). Drop them or fill them in."
    )


def classes_of(labels: np.ndarray) -> tuple[Label, ...]:
    """The distinct labels of `(n,)` labels, sorted, as plain Python values.

    Raises:
        DataError: a label is missing, or they are numbers with fractions.
    """
    numbers, found = factorize(labels)
    if (numbers < 0).any():
        raise missing_label(numbers < 0)
    fractions = [value for value in found if isinstance(value, float)]
    if fractions:
        raise DataError(
            f"Class labels must be strings or whole numbers. {fractions[0]} came ({rows(np.asarray(labels == fractions[0]))}). "
            "Give task='regression' for numbers."
        )
    odd = [value for value in found if not isinstance(value, (str, int))]
    if odd:
        raise DataError(f"Class labels must be strings or whole numbers. {odd[0]!r} came, a {type(odd[0]).__name__}.")
    return tuple(sorted(found, key=_order))


def _order(value: Any) -> tuple[bool, Any]:
    # Numbers before strings, where a column mixes them.
    return isinstance(value, str), value


def codes(labels: np.ndarray, classes: Sequence[Label]) -> np.ndarray:
    """Labels `(n,)` -> class numbers `(n,)` int64, from 0.

    Whole numbers are taken for class numbers where no class is a number itself.

    Raises:
        DataError: a label is missing, or is none of the classes.
    """
    numbers, found = factorize(labels)
    if (numbers < 0).any():
        raise missing_label(numbers < 0)
    position = {label: i for i, label in enumerate(classes)}
    numbered = not any(isinstance(c, int) for c in classes) and all(isinstance(v, int) for v in found)
    if numbered:
        # Names that read as numbers ("1", "2", folders of digits) are meant by their number, not by their place.
        named = {str(c): i for i, c in enumerate(classes)}
        spelt = all(str(v) in named for v in found)
        position = {v: named[str(v)] for v in found} if spelt else {i: i for i in range(len(classes))}
    table = np.array([position.get(value, -1) for value in found], dtype=np.int64)
    encoded = table[numbers] if len(found) else np.zeros(0, np.int64)
    if (encoded < 0).any():
        raise _unknown_label(encoded < 0, found[numbers[np.argmin(encoded)]], classes, numbered)
    return encoded


def renumbering(names: Sequence[Label], classes: Sequence[Label]) -> np.ndarray:
    """Where each of `names` stands among `classes`: `(names,)` int64, -1 where it is none of them.

    Names that are but their own numbers (`"0"`, `"1"`, ...: read off the targets) are class numbers as they are, where not
    all of them are names of classes.
    """
    position = {str(label): i for i, label in enumerate(classes)}
    table = np.array([position.get(str(name), -1) for name in names], dtype=np.int64)
    numbered = all(str(name) == str(i) for i, name in enumerate(names))
    return np.arange(len(names)) if numbered and (table < 0).any() else table


def unknown_class(name: Label, classes: Sequence[Label]) -> DataError:
    """The error for a class of other data that training did not know."""
    return DataError(
        f"Data for a trained network have its {len(classes)} classes {short(classes)}. {name!r} came, which is none of them. "
        "Rename it, leave it out, or train with it."
    )


def _unknown_label(unknown: np.ndarray, value: Any, classes: Sequence[Label], numbered: bool) -> DataError:
    came = f"{value!r} came ({int(unknown.sum())} of {len(unknown)} items are outside: {rows(unknown)})."
    if numbered:
        return DataError(
            f"Labels must lie in the range 0 to {len(classes) - 1}, one number a class. {came} Count the classes from 0."
        )
    near = nearest(str(value), [str(c) for c in classes])
    advice = f"Did you mean {' or '.join(repr(n) for n in near)}?" if near else "Correct the labels, or train with that class."
    return DataError(f"Labels must be among the {len(classes)} classes {short(classes)}. {came} {advice}")
