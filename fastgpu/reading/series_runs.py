"""Runs of sensors from tables and arrays: in order of time, finite, without gaps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgpu.errors import BadItemError, DataError, nearest
from fastgpu.reading.series_items import Run, SeriesLayout
from fastgpu.reading.table_columns import as_floats, kind_of, numbers_of

__all__ = ["Repairs", "run_of_array", "runs_of_frame"]


class Repairs:
    """What was repaired or left out while runs were read, for the notes.

    Args:
        skip: whether bad runs are left out rather than refused.
    """

    def __init__(self, *, skip: bool = False) -> None:
        self.skip = skip
        self._found: dict[str, list[str]] = {}

    def add(self, what: str, run: str) -> None:
        """Note what was done to a run: `"sorted by time"`."""
        self._found.setdefault(what, []).append(run)

    def refuse(self, message: str, run: str) -> None:
        """Raise, or leave the run out, and count it by the rule that `message` begins with."""
        if not self.skip:
            raise BadItemError(message)
        self.add(f"left out ({message.split('. ')[0][:1].lower()}{message.split('. ')[0][1:]})", run)

    def lines(self) -> list[str]:
        """One line for each sort of repair."""
        return [
            f"{len(runs):,} run{'s' if len(runs) > 1 else ''} {what}: {', '.join(runs[:3])}" + (", ..." if len(runs) > 3 else "")
            for what, runs in self._found.items()
        ]


def runs_of_frame(frame: Any, layout: SeriesLayout, where: str, repairs: Repairs) -> list[Run]:
    """The runs of a table, each sorted by time.

    A gap takes the value before it, at the beginning of a run the one after it. Rows that are out of order are sorted. A time
    that comes twice in a run, an infinite value, and a column that holds no numbers are refused.

    Args:
        frame: a row a step; the columns of `layout`, and others, which are passed over. Without the unit's column it is one run.
        layout: what the columns are.
        where: name of the table in errors, and of the run where there is just one.
        repairs: takes what was repaired.

    Raises:
        DataError: a column is missing or holds no numbers.
        BadItemError: a run cannot be used, and `repairs.skip` is not set.
    """
    frame = frame.rename(columns=str).reset_index(drop=True)
    lacking = [name for name in layout.channels if name not in frame.columns]
    if lacking:
        near = nearest(lacking[0], frame.columns)
        advice = f"Is it {near[0]!r}?" if near else "Add it, or take the run out."
        repairs.refuse(f"All runs must have the same sensors. {where} lacks {', '.join(map(repr, lacking[:5]))}. {advice}", where)
        return []
    try:
        values = _values(frame, layout.channels)
    except DataError as error:
        raise DataError(f"{error} ({where})") from None
    times = frame[layout.time].to_numpy() if layout.time in frame.columns else None
    order = _sortable(frame, layout.time, where) if times is not None else np.arange(len(frame), dtype=np.float64)
    parts: dict[str, np.ndarray] = {where: np.arange(len(frame))}
    if layout.unit in frame.columns:
        _refuse_gaps(frame, layout.unit, "unit", where)
        parts = {str(unit): np.asarray(rows) for unit, rows in frame.groupby(layout.unit, sort=True).indices.items()}
    runs = []
    for name, rows in parts.items():
        shown = where if name == where else f"{where}, {layout.unit} {name}"
        rows = _in_order(rows, order, name, shown, layout, repairs)
        if rows is None:
            continue
        if wrong := _unusable(values, rows, layout.channels, shown):
            repairs.refuse(wrong, name)
            continue
        filled = _filled(values[rows], name, repairs)
        runs.append(Run(name=name, values=filled, times=None if times is None else times[rows], rows=rows))
    return runs


def run_of_array(values: Any, channels: tuple[str, ...], name: str, repairs: Repairs) -> Run:
    """A run from `(steps, channels)` numbers in order of time.

    Raises:
        BadItemError: a value is infinite, or there is none.
    """
    values = as_floats(np.asarray(values))
    if wrong := _unusable(values, np.arange(len(values)), channels, name):
        raise BadItemError(wrong)
    return Run(name=name, values=_filled(values, name, repairs))


def _values(frame: Any, channels: Sequence[str]) -> np.ndarray:
    """The sensors as `(rows, channels)` numbers, NaN for gaps and infinite values as they are."""
    table = frame[list(channels)]
    if all(dtype.kind in "biuf" for dtype in table.dtypes):
        return as_floats(table.to_numpy())
    infinite = table.isin([np.inf, -np.inf, "inf", "-inf", "Inf", "-Inf"]).to_numpy()
    values = numbers_of(table.mask(infinite), tuple(channels))
    values[infinite] = np.inf
    return values


def _sortable(frame: Any, time: str, where: str) -> np.ndarray:
    """The column of time as float64: numbers as they are, dates as seconds."""
    column = frame[time]
    _refuse_gaps(frame, time, "time", where)
    dates = (time,) if kind_of(column) == "category" else None
    return numbers_of(frame, (time,), dates)[:, 0].astype(np.float64)


def _refuse_gaps(frame: Any, column: str, role: str, where: str) -> None:
    missing = frame[column].isna().to_numpy()
    if missing.any():
        raise DataError(f"Every row must have a {role}. {where} has none in {column!r}, row {int(np.argmax(missing))} (from 0). Fill or drop it.")


def _in_order(
    rows: np.ndarray, order: np.ndarray, name: str, shown: str, layout: SeriesLayout, repairs: Repairs
) -> np.ndarray | None:
    """The rows of a run sorted by time; None where the run is left out."""
    steps = np.diff(order[rows])
    if (steps < 0).any():
        repairs.add("with time out of order, sorted", name)
        rows = rows[np.argsort(order[rows], kind="stable")]
        steps = np.diff(order[rows])
    if (steps == 0).any():
        at = rows[int(np.argmax(steps == 0)) + 1]
        advice = "Drop one." if layout.unit else "Name the column that tells runs apart: columns={'unit': ...}, or drop one."
        repairs.refuse(f"A time comes once in a run. {shown} has one twice in {layout.time!r}, row {at} (from 0). {advice}", name)
        return None
    return rows


def _unusable(values: np.ndarray, rows: np.ndarray, channels: Sequence[str], shown: str) -> str:
    """What is wrong with a run's values, empty where nothing is: no value at all, or an infinite one."""
    if len(rows) and np.isnan(values[rows]).all():
        return f"A run must hold values. {shown} has none: every sensor is empty. Correct it, or leave the run out with on_bad_item='skip'."
    return _infinite(values, rows, channels, shown)


def _infinite(values: np.ndarray, rows: np.ndarray, channels: Sequence[str], shown: str) -> str:
    """What is wrong with a run that holds an infinite value, `""` where none is infinite."""
    infinite = np.isinf(values[rows])
    if not infinite.any():
        return ""
    step, channel = np.argwhere(infinite)[0]
    return (
        f"Sensors must be finite. {shown} holds an infinite value in {channels[channel]!r}, row {rows[step]} (from 0). "
        "Correct it, leave it empty for a gap, or leave the run out with on_bad_item='skip'."
    )


def _filled(values: np.ndarray, name: str, repairs: Repairs) -> np.ndarray:
    """The values without gaps, but for channels that have no value at all."""
    gaps = np.isnan(values)
    if not gaps.any():
        return values
    import pandas as pd

    repairs.add("with a channel that has no value, taken as its centre" if gaps.all(0).any() else "with gaps, filled with the value before", name)
    return pd.DataFrame(values).ffill().bfill().to_numpy(copy=True)
