"""Tables: rows of numbers and categories, with gaps."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastgpu.data.columns import Columns, columns_of
from fastgpu.errors import DataError, UnknownNameError
from fastgpu.inputs.base import INPUTS, Input, Preparation
from fastgpu.reading.table import TableReader, short
from fastgpu.reading.table_columns import as_finite, as_floats, as_frame, kind_of, levels_of, numbers_of, scales_of

__all__ = ["TableInput"]

CLIP = 8.0
"""Standardised numbers are cut at plus and minus this: a column that hardly moved in training may move later."""


@INPUTS.register("table")
@dataclasses.dataclass(frozen=True, kw_only=True)
class TableInput(TableReader, Input):
    """Rows as `numbers` `(b, k)` float and `categories` `(b, c)` int64 codes; a batch has those that exist.

    Numbers are standardised with the training data's mean and standard deviation and cut at +-8; a missing one becomes
    the training median, and a column that had gaps in training adds a 0/1 number for the gap. Dates are seconds.
    Strings, booleans and pandas categories are codes; 0 is a missing value or one that training did not have.

    Args:
        columns: as numbers, dates, categories, levels, median and gaps of a `TableReader`.
        mean: mean of each of `numbers`, gaps filled with the median.
        std: standard deviation likewise; 1 for a column that is constant.

    Example:
        >>> table = TableInput.fit(np.array([[1.0, 5.0], [3.0, 9.0]]))
        >>> table.preparation()(table.encode(np.array([[1.0, 9.0]])).gather(torch.tensor([0])))
        {'numbers': tensor([[-1.,  1.]])}
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()

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
        return columns_of(self.arrays(items))

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
            parts.append(f"{len(self.categories)} categories ({short(tuple(len(v) for v in self.levels))} values)")
        return "rows of " + " and ".join(parts)

    def plain(self, columns: Columns, index: int) -> dict[str, Any]:
        row = columns.gather(torch.tensor([index]))
        cells: dict[str, Any] = {}
        if self.numbers:
            cells |= zip(self.numbers, row["numbers"][0].tolist(), strict=True)
        if self.categories:
            codes = row["categories"][0].tolist()
            named = zip(self.categories, self.levels, codes, strict=True)
            cells |= {name: levels[code - 1] if code else None for name, levels, code in named}
        return {name: cells[name] for name in self.columns if name in cells}

    def column(self, columns: Columns, name: str) -> np.ndarray:
        if name not in (*self.numbers, *self.categories):
            raise UnknownNameError("column", name, (*self.numbers, *self.categories))
        rows = columns.gather(torch.arange(len(columns)))
        if name in self.numbers:
            return rows["numbers"][:, self.numbers.index(name)].numpy()
        at = self.categories.index(name)
        return np.array([None, *self.levels[at]], dtype=object)[rows["categories"][:, at].numpy()]

    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        cells = {name: _cell(value) for name, value in self.plain(columns, index).items()}
        lines = [f"{name[:14]:<14} {cells[name][:10]:>10}" for name in self.columns[:12]]
        lines += ["..."] if len(self.columns) > 12 else []
        axes.text(0.0, 1.0, "\n".join(lines).replace("$", r"\$"), ha="left", va="top", fontsize=7, family="monospace")
        axes.set_axis_off()

    def preparation(self, augment: bool = False) -> Preparation:
        return _Standardize(self) if self.numbers else Preparation()


def _cell(value: Any) -> str:
    return "?" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)


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
