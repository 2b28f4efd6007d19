"""Rows of tables: dicts, arrays, DataFrames and files -> numbers, and codes of categories."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastgpu.errors import DataError, nearest
from fastgpu.reading.base import READERS, Reader, as_array
from fastgpu.reading.encoded import Encoded, Stacked
from fastgpu.reading.shell import rows_of
from fastgpu.reading.table_columns import as_finite, as_floats, as_frame, codes_of, numbers_of, row_type

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["TableReader", "short"]


@READERS.register("table")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TableReader(Reader):
    """Rows, by the columns of training.

    Args:
        columns: every column's name, in the order of the training table.
        numbers: the columns that hold numbers or dates.
        dates: those of `numbers` that hold dates.
        categories: the columns that hold categories.
        levels: the values of each of `categories` as strings, in the order of their codes from 1.
        median: median of each of `numbers`.
        gaps: positions in `numbers` of the columns that had gaps in training.
    """

    kind: ClassVar[str] = "table"
    keys: ClassVar[tuple[str, ...]] = ("numbers", "categories")

    columns: tuple[str, ...]
    numbers: tuple[str, ...]
    dates: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    median: tuple[float, ...] = ()
    gaps: tuple[int, ...] = ()

    def arrays(self, items: Any) -> Encoded:
        """Rows -> numbers as they are, gaps as NaN where the device fills them, and category codes.

        Raises:
            DataError: a column is missing, holds something else than in training, or a number is infinite.
        """
        columns: dict[str, np.ndarray] = {}
        notes: tuple[str, ...] = ()
        if self.numbers:
            if isinstance(items, np.ndarray) and self._is_array():
                self._check_width(items)
                numbers = as_finite(as_floats(items), self.numbers)
            else:
                numbers = numbers_of(self._complete(items), self.numbers, self.dates)
            if not self.gaps and np.isnan(numbers).any():
                # Columns without gaps in training cost the device nothing: what is missing now is filled here.
                numbers = np.where(np.isnan(numbers), np.array(self.median, numbers.dtype), numbers)
            columns["numbers"] = numbers
        if self.categories:
            frame = self._complete(items)
            codes = [codes_of(frame[name], levels) for name, levels in zip(self.categories, self.levels, strict=True)]
            columns["categories"] = np.stack(codes, 1)
            notes = tuple(note for name, own in zip(self.categories, codes, strict=True) if (note := _unknown(frame[name], own)))
        return Stacked(columns, notes)

    def as_items(self, given: Any) -> Any:
        """A dict, a 1-D array (one row); a list of dicts, a dict of lists, a 2-D array, a DataFrame, a file (many) -> rows."""
        if isinstance(given, (str, os.PathLike)):
            given = rows_of([os.fspath(given)])
        if isinstance(given, dict):
            return self._complete(as_frame(given))
        if hasattr(given, "iloc"):
            # A Series is one row.
            return self._complete(as_frame(given) if given.ndim == 2 else as_frame(given.to_frame().T.infer_objects()))
        if isinstance(given, (list, tuple)) and given and isinstance(given[0], dict):
            return self._complete(as_frame(list(given)))
        rows = np.asarray(as_array(given) if hasattr(given, "detach") else given, dtype=row_type(given))
        rows = rows[None] if rows.ndim == 1 else rows
        self._check_width(rows)
        return rows if rows.dtype.kind in "biuf" and self._is_array() else self._named(rows)

    def from_shell(self, given: Sequence[str]) -> tuple[Sequence[Any], Any]:
        frame = rows_of(given)
        return range(len(frame)), self.as_items(frame)

    def _is_array(self) -> bool:
        """Whether rows can stay an array of numbers."""
        return not self.categories and not self.dates

    def _named(self, rows: np.ndarray) -> DataFrame:
        import pandas as pd

        return pd.DataFrame(rows, columns=list(self.columns)).infer_objects()

    def _check_width(self, rows: np.ndarray) -> None:
        if rows.ndim != 2 or rows.shape[1] != len(self.columns):
            raise DataError(
                f"A row has {len(self.columns)} values here: {short(self.columns)}. Rows of shape {rows.shape[1:]} came."
            )

    def _complete(self, items: Any) -> DataFrame:
        if isinstance(items, np.ndarray):
            self._check_width(items)
            return self._named(items)
        frame = items.rename(columns=str)
        for name in self.columns:
            if name not in frame.columns:
                near = nearest(name, map(str, frame.columns))
                advice = f"Is it {' or '.join(repr(n) for n in near)}?" if near else f"There are: {short(tuple(frame.columns))}."
                raise DataError(f"The table must have the columns of the training data. {name!r} is missing. {advice}")
        return frame


def _unknown(column: Any, codes: np.ndarray) -> str:
    """How many cells hold a value that has no code, `""` where none does."""
    unknown = (codes == 0) & column.notna().to_numpy()
    if not unknown.any():
        return ""
    some = ", ".join(map(repr, map(str, column[unknown].unique()[:3])))
    return f"{unknown.sum():,} of {len(codes):,} rows have a value in {column.name!r} that was not learnt ({some}), taken as missing"


def short(names: tuple[Any, ...]) -> str:
    """The first names."""
    return ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")
