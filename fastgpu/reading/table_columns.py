"""Columns of a table, whatever their type, as numbers, scales and category codes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgpu.errors import DataError

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["as_finite", "as_floats", "as_frame", "as_strings", "codes_of", "kind_of", "levels_of", "numbers_of", "row_type", "scales_of"]

LEVELS = 1000
"""Most values of a category column that get a code of their own: the most frequent ones."""


def as_frame(given: Any) -> DataFrame:
    """Anything that pandas takes for a table -> a DataFrame whose columns are named by strings.

    A dict of single values is one row; beside a list, array or Series a single value stands in every row.

    Raises:
        DataError: the columns of a dict differ in length.
    """
    import pandas as pd

    if isinstance(given, dict) and not any(map(pd.api.types.is_list_like, given.values())):
        given = [given]
    try:
        frame = given if isinstance(given, pd.DataFrame) else pd.DataFrame(given).infer_objects()
    except ValueError as error:
        raise DataError(f"The columns of a table have one length. pandas says: {error}. Give as many values of each.") from None
    return frame.rename(columns=str)


def row_type(given: Any) -> type | None:
    """The dtype for rows given as lists: object where they mix numbers and strings, all of which NumPy would make strings."""
    if isinstance(given, (list, tuple)):
        flat = [v for row in given for v in (row if isinstance(row, (list, tuple)) else [row])]
        return object if any(isinstance(v, str) or v is None for v in flat) else None
    return None


def kind_of(column: Any) -> str:
    """What a column holds: `"number"`, `"date"` or `"category"`."""
    from pandas.api import types

    if types.is_datetime64_any_dtype(column) or types.is_timedelta64_dtype(column):
        return "date"
    if types.is_complex_dtype(column):
        raise DataError(f"A table holds numbers, dates, strings and booleans. The column {column.name!r} holds complex numbers.")
    if types.is_numeric_dtype(column) and not types.is_bool_dtype(column):
        return "number"
    return "category"


def as_floats(rows: np.ndarray) -> np.ndarray:
    """Numbers of any type -> float32 where that holds them, else float64."""
    if rows.dtype in (np.float32, np.float64):
        return rows
    small = rows.dtype.kind == "b" or rows.dtype == np.float16 or np.abs(rows).max(initial=0) < 2**24
    return rows.astype(np.float32 if small else np.float64)


def numbers_of(frame: Any, names: tuple[str, ...], dates: tuple[str, ...] | None = None) -> np.ndarray:
    """The columns `names` as `(n, k)` numbers, NaN for gaps; `dates`: those read as dates, None: by their type."""
    if not names:
        return np.empty((len(frame), 0), np.float32)
    parts = [_seconds(frame[n]) if dates is not None and n in dates else _number(frame[n]) for n in names]
    table = np.stack(parts, 1, dtype=np.result_type(*parts))
    return as_finite(table, names, frame.index)


def _number(column: Any) -> np.ndarray:
    import pandas as pd

    if kind_of(column) == "date":
        return _seconds(column)
    if kind_of(column) == "number":
        return as_floats(column.to_numpy(dtype=np.float64, na_value=np.nan) if column.isna().any() else column.to_numpy())
    numbers = np.asarray(pd.to_numeric(column.astype(object), errors="coerce"), dtype=np.float64)
    wrong = np.isnan(numbers) & column.notna().to_numpy()
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"The column {column.name!r} holds numbers. {column.iloc[row]!r} came in row {column.index[row]}. Correct or drop it.")
    return numbers


def _seconds(column: Any) -> np.ndarray:
    import pandas as pd

    with warnings.catch_warnings():
        # pandas warns where it reads each date on its own.
        warnings.simplefilter("ignore", UserWarning)
        try:
            times = column if kind_of(column) == "date" else pd.to_datetime(column)
        except (TypeError, ValueError) as error:
            bad = pd.to_datetime(column, errors="coerce").isna() & column.notna()
            row = int(np.argmax(bad.to_numpy()))
            came = f"{column.iloc[row]!r} came in row {column.index[row]}" if bad.any() else f"Something else came: {error}"
            raise DataError(f"The column {column.name!r} holds dates. {came}. Correct it, or drop the row.") from None
    if isinstance(times.dtype, pd.DatetimeTZDtype):
        times = times.dt.tz_convert(None)
    stamps = times.to_numpy()
    return np.where(np.isnat(stamps), np.nan, stamps.astype(f"{stamps.dtype.kind}8[ns]").astype(np.int64) / 1e9)


def as_finite(table: np.ndarray, names: tuple[str, ...], rows: Any = None) -> np.ndarray:
    """The table itself, or an error that names the first infinite number; NaN may be there.

    Args:
        table: `(n, k)` numbers.
        names: of the columns.
        rows: what the rows are called where they came from: numbers in the whole table, of which this may be a part.
    """
    infinite = np.isinf(table)
    if infinite.any():
        row, column = np.argwhere(infinite)[0]
        where = row if rows is None else rows[row]
        raise DataError(
            f"Numbers must be finite. The column {names[column]!r} holds {table[row, column]} in row {where}. "
            "Correct it, or leave it empty for a missing value."
        )
    return table


def scales_of(table: np.ndarray) -> dict[str, tuple[Any, ...]]:
    """Median, mean, std and gaps of the columns of `(n, k)` numbers."""
    missing = np.isnan(table)
    gaps = np.flatnonzero(missing.any(0))
    median = np.zeros(table.shape[1])
    for j in range(table.shape[1]):
        known = table[~missing[:, j], j] if j in gaps else table[:, j]
        median[j] = np.median(known) if len(known) else 0.0
    filled = np.where(missing, median, table) if len(gaps) else table
    mean, std = filled.mean(0, dtype=np.float64), filled.std(0, dtype=np.float64)
    # A constant column has no spread but that of rounding, and stays as it is apart from its mean.
    std = np.where(np.isfinite(std) & (std > 1e-12 * np.abs(mean)), std, 1.0)
    return {
        "median": tuple(median.tolist()),
        "mean": tuple(mean.tolist()),
        "std": tuple(std.tolist()),
        "gaps": tuple(gaps.tolist()),
    }


def as_strings(column: Any) -> Any:
    """Values as strings, missing ones as missing; whole numbers alike whether they came as int or as float."""
    from pandas.api import types

    if types.is_float_dtype(column) and (column.dropna() % 1 == 0).all():
        column = column.astype("Int64")
    return column.astype(object).map(str, na_action="ignore")


def levels_of(column: Any) -> tuple[str, ...]:
    """The values of a category column as sorted strings, of very many only the most frequent."""
    # Sorted first: where values are as frequent, the same ones are kept each time.
    counts = as_strings(column).value_counts().sort_index().sort_values(ascending=False, kind="stable")
    return tuple(sorted(counts.index[:LEVELS]))


def codes_of(column: Any, levels: tuple[str, ...]) -> np.ndarray:
    """`(n,)` int64 codes: 1 for the first of `levels`; 0 for what is missing or not among them."""
    import pandas as pd

    return pd.Index(levels, dtype=object).get_indexer(pd.Index(as_strings(column), dtype=object)).astype(np.int64) + 1
