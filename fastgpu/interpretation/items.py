"""The items that were judged, to draw them and to look their columns up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgpu.data.columns import Columns
from fastgpu.data.split import LoaderColumns
from fastgpu.inputs.base import Input

__all__ = ["SeenItems"]


class SeenItems:
    """Items of one split, as the network sees them.

    Args:
        input: the fitted input kind.
        columns: the encoded items.
        numbers: `(n,)` the number of each item in its split, from 0.

    Attributes:
        kind: the input kind: `"image"`, `"text"`, `"table"` and others.
        numbers: as given.
    """

    def __init__(self, input: Input, columns: Columns, numbers: np.ndarray) -> None:
        self.kind, self.numbers = input.kind, numbers
        self._input, self._columns = input, columns

    def draw(self, axes: Any, i: int) -> None:
        """Draw item `i` into matplotlib axes."""
        self._input.draw(axes, self._columns, i)

    def hold(self, positions: Sequence[int]) -> None:
        """Say which items are wanted next: a loader of the user's own runs once for all of them."""
        if isinstance(self._columns, LoaderColumns):
            self._columns.hold(positions)

    def plain(self, i: int) -> Any:
        """Item `i` for people: a picture as `(height, width, channels)` uint8, a text, a row as a dict; None for other kinds."""
        return self._input.plain(self._columns, i)

    def column(self, name: str) -> np.ndarray:
        """The values `(n,)` of a column of a table.

        Raises:
            ArgumentError: the items have no columns by name, or none of that name.
        """
        return self._input.column(self._columns, name)
