"""Tables: rows of numbers and categories, with gaps."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fastgpu.data.columns import Columns, TensorColumns
from fastgpu.errors import DataError, nearest
from fastgpu.inputs.base import INPUTS, Input, Preparation
from fastgpu.reading.shell import rows_of
from fastgpu.reading.table_columns import (
    as_finite,
    as_floats,
    as_frame,
    codes_of,
    kind_of,
    levels_of,
    numbers_of,
    row_type,
    scales_of,
)

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["TableInput"]

CLIP = 8.0
"""Standardised numbers are cut at plus and minus this: a column that hardly moved in training may move later."""


@INPUTS.register("table")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TableInput(Input):
    """Rows as `numbers` `(b, k)` float and `categories` `(b, c)` int64 codes; a batch has those that exist.

    Numbers are standardised with the training data's mean and standard deviation and cut at +-8; a missing one becomes
    the training median, and a column that had gaps in training adds a 0/1 number for the gap. Dates are seconds.
    Strings, booleans and pandas categories are codes; 0 is a missing value or one that training did not have.

    Args:
        columns: every column's name, in the order of the training table.
        numbers: the columns that hold numbers or dates.
        dates: those of `numbers` that hold dates.
        categories: the columns that hold categories.
        levels: the values of each of `categories` as strings, in the order of their codes from 1.
        median: median of each of `numbers`.
        mean: mean likewise, gaps filled with the median.
        std: standard deviation likewise; 1 for a column that is constant.
        gaps: positions in `numbers` of the columns that had gaps in training.

    Example:
        >>> table = TableInput.fit(np.array([[1.0, 5.0], [3.0, 9.0]]))
        >>> table.preparation()(table.encode(np.array([[1.0, 9.0]])).gather(torch.tensor([0])))
        {'numbers': tensor([[-1.,  1.]])}
    """

    kind: ClassVar[str] = "table"
    keys: ClassVar[tuple[str, ...]] = ("numbers", "categories")

    columns: tuple[str, ...]
    numbers: tuple[str, ...]
    dates: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    levels: tuple[tuple[str, ...], ...] = ()
    median: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    gaps: tuple[int, ...] = ()

    @classmethod
    def fit(cls, items: Any, *, size: tuple[int, int] | None = None) -> TableInput:
        """Read the columns' kinds, scales and categories from the training rows.

        Args:
            items: a DataFrame, or a 2-D array of numbers.
            size: unused.

        Raises:
            DataError: there is no row or column, a number is infinite, or a column holds nothing usable.
        """
        if not isinstance(items, np.ndarray) or items.dtype.kind not in "biuf":
            items = as_frame(items)
        if items.ndim != 2 or 0 in items.shape:
            raise DataError(f"A table needs rows and columns. A table of shape {items.shape} came.")
        if isinstance(items, np.ndarray):
            names = tuple(str(i) for i in range(items.shape[1]))
            return cls(columns=names, numbers=names, **scales_of(as_finite(as_floats(items), names)))
        if not items.columns.is_unique:
            twice = items.columns[items.columns.duplicated()][0]
            raise DataError(f"Columns must have different names. {twice!r} came twice. Rename one of them.")
        kinds = {str(name): kind_of(column) for name, column in items.items()}
        numbers = tuple(name for name, kind in kinds.items() if kind in ("number", "date"))
        categories = tuple(name for name, kind in kinds.items() if kind == "category")
        return cls(
            columns=tuple(kinds),
            numbers=numbers,
            dates=tuple(name for name, kind in kinds.items() if kind == "date"),
            categories=categories,
            levels=tuple(levels_of(items[name]) for name in categories),
            **scales_of(numbers_of(items, numbers)),
        )

    def encode(self, items: Any) -> Columns:
        """Rows -> numbers as they are, gaps as NaN where the device fills them, and category codes.

        Raises:
            DataError: a column is missing, holds something else than in training, or a number is infinite.
        """
        tensors: dict[str, Tensor] = {}
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
            tensors["numbers"] = torch.from_numpy(np.require(numbers, requirements=("C", "W")))
        if self.categories:
            frame = self._complete(items)
            codes = [codes_of(frame[name], levels) for name, levels in zip(self.categories, self.levels, strict=True)]
            tensors["categories"] = torch.from_numpy(np.stack(codes, 1))
            notes = tuple(note for name, own in zip(self.categories, codes, strict=True) if (note := _unknown(frame[name], own)))
        columns = TensorColumns(tensors)
        columns.notes = notes
        return columns

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
        rows = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given, dtype=row_type(given))
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
                f"A row has {len(self.columns)} values here: {_short(self.columns)}. Rows of shape {rows.shape[1:]} came."
            )

    def _complete(self, items: Any) -> DataFrame:
        if isinstance(items, np.ndarray):
            self._check_width(items)
            return self._named(items)
        frame = items.rename(columns=str)
        for name in self.columns:
            if name not in frame.columns:
                near = nearest(name, map(str, frame.columns))
                advice = f"Is it {' or '.join(repr(n) for n in near)}?" if near else f"There are: {_short(tuple(frame.columns))}."
                raise DataError(f"The table must have the columns of the training data. {name!r} is missing. {advice}")
        return frame

    def facts(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "numbers": len(self.numbers) + len(self.gaps),
            "cardinalities": tuple(len(levels) + 1 for levels in self.levels),
        }

    def describe(self) -> str:
        parts = [f"{len(self.numbers)} numbers"] if self.numbers else []
        if self.gaps:
            parts[0] += f" ({len(self.gaps)} with gaps)"
        if self.categories:
            parts.append(f"{len(self.categories)} categories ({_short(tuple(len(v) for v in self.levels))} values)")
        return "rows of " + " and ".join(parts)

    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        row = columns.gather(torch.tensor([index]))
        cells: dict[str, str] = {}
        if self.numbers:
            cells |= {n: f"{v:.4g}" for n, v in zip(self.numbers, row["numbers"][0].tolist(), strict=True)}
        if self.categories:
            codes = row["categories"][0].tolist()
            named = zip(self.categories, self.levels, codes, strict=True)
            cells |= {name: levels[code - 1] if code else "?" for name, levels, code in named}
        lines = [f"{name[:14]:<14} {cells[name][:10]:>10}" for name in self.columns[:12]]
        lines += ["..."] if len(self.columns) > 12 else []
        axes.text(0.0, 1.0, "\n".join(lines).replace("$", r"\$"), ha="left", va="top", fontsize=7, family="monospace")
        axes.set_axis_off()

    def preparation(self, augment: bool = False) -> Preparation:
        return _Standardize(self) if self.numbers else Preparation()


class _Standardize(Preparation):
    """Numbers with gaps -> standardised numbers, and a 0/1 number for each column that had gaps in training."""

    mean: Tensor
    scale: Tensor
    filling: Tensor
    gaps: Tensor

    def __init__(self, table: TableInput) -> None:
        super().__init__()
        mean, std = np.array(table.mean), np.array(table.std)
        constants = {"mean": mean, "scale": 1 / std, "filling": (np.array(table.median) - mean) / std}
        for name, values in constants.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.get_default_dtype()), persistent=False)
        self.register_buffer("gaps", torch.tensor(table.gaps, dtype=torch.int64), persistent=False)
        self.has_gaps = bool(table.gaps)

    def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        # Subtracted before it is rounded: seconds since 1970 have more digits than float32.
        scaled = ((x["numbers"] - self.mean) * self.scale).to(self.mean.dtype)
        if not self.has_gaps:
            return {**x, "numbers": scaled.clamp_(-CLIP, CLIP)}
        missing = scaled.isnan()
        scaled = torch.where(missing, self.filling, scaled).clamp_(-CLIP, CLIP)
        return {**x, "numbers": torch.cat((scaled, missing.index_select(1, self.gaps).to(scaled.dtype)), 1)}


def _unknown(column: Any, codes: np.ndarray) -> str:
    """How many cells hold a value that has no code, `""` where none does."""
    unknown = (codes == 0) & column.notna().to_numpy()
    if not unknown.any():
        return ""
    some = ", ".join(map(repr, map(str, column[unknown].unique()[:3])))
    return f"{unknown.sum():,} of {len(codes):,} rows have a value in {column.name!r} that was not learnt ({some}), taken as missing"


def _short(names: tuple[Any, ...]) -> str:
    return ", ".join(map(str, names[:8])) + (", ..." if len(names) > 8 else "")
