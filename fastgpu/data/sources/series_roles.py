"""Which columns of a table of sensors are unit, time, targets and sensors."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from fastgpu.data.sources.base import Request
from fastgpu.errors import ArgumentError, DataError, nearest
from fastgpu.reading.series_items import SeriesLayout
from fastgpu.reading.table_columns import kind_of

__all__ = ["LABEL_NAMES", "ROLES", "Roles", "find_roles", "has_roles"]

ROLES = ("unit", "time")
"""What `columns=` may name."""

UNIT_NAMES = ("unit", "unit_id", "run", "run_id", "machine", "machine_id", "engine", "engine_id", "episode", "series_id")
TIME_NAMES = ("time", "timestamp", "datetime", "date", "cycle", "step", "t")
LABEL_NAMES = ("target", "label", "class", "fault", "anomaly")
"""Not `y`, as for other tables: it is an axis of many a sensor."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Roles:
    """What the columns are.

    Args:
        layout: sensors, unit and time.
        targets: target columns, empty where there are none.
        notes: what was decided.
    """

    layout: SeriesLayout
    targets: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def has_roles(columns: Iterable[str], request: Request) -> bool:
    """Whether a table is surely one of series: a window or a unit was asked for, or it has both a unit and a time by usual names."""
    named = {name.lower() for name in columns}
    asked = request.window is not None or "unit" in request.columns
    return asked or (any(name in named for name in UNIT_NAMES) and any(name in named for name in TIME_NAMES))


def find_roles(frame: Any, request: Request, words: str, *, labelled: bool = False) -> Roles:
    """Find the columns.

    Args:
        frame: rows of the training data.
        request: `target` and `columns` name them where they have no usual names.
        words: where the frame comes from, for people.
        labelled: whether targets come from elsewhere: from the names of folders.

    Raises:
        DataError: a column is not there, several could be the target, or no column holds numbers.
    """
    columns = [str(c) for c in frame.columns]
    unit = _named(columns, request.columns.get("unit"), UNIT_NAMES, words)
    time = _named(columns, request.columns.get("time"), TIME_NAMES, words)
    if unit and unit == time:
        raise ArgumentError(f"Unit and time are two columns. {unit!r} came for both. Name them in columns=.")
    targets = () if labelled else _targets(columns, request, words)
    notes, channels = [], []
    for name in columns:
        if name in (unit, time, *targets) or (labelled and name.lower() in LABEL_NAMES) or name.startswith("Unnamed: "):
            continue
        if kind_of(frame[name]) == "category" and not _numeric(frame[name]):
            notes.append(f"column {name!r} left out: it holds no numbers")
            continue
        channels.append(name)
    if not channels:
        raise DataError(f"A series needs columns of numbers, its sensors. {words} has {', '.join(columns[:8])}. Add them.")
    said = [f"{role}: column {name!r}" for role, name in (("unit", unit), ("time", time), ("target", ", ".join(targets))) if name]
    layout = SeriesLayout(channels=tuple(channels), unit=unit, time=time)
    return Roles(layout=layout, targets=targets, notes=(*([", ".join(said)] if said else []), *notes))


def _numeric(column: Any) -> bool:
    """Whether a column of objects is numbers in most places: the odd cell is then an error that names its row."""
    import pandas as pd

    if pd.api.types.is_bool_dtype(column):
        return True
    there = column.dropna()
    return len(there) > 0 and float(np.isnan(np.asarray(pd.to_numeric(there.astype(object), errors="coerce"), float)).mean()) < 0.5


def _named(columns: list[str], asked: str | None, usual: tuple[str, ...], words: str) -> str:
    if asked is not None:
        if asked not in columns:
            near = nearest(asked, columns)
            advice = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(columns[:12])}."
            raise DataError(f"columns must name columns of {words}. {asked!r} came. {advice}")
        return asked
    lower = {c.lower(): c for c in reversed(columns)}
    return next((lower[name] for name in usual if name in lower), "")


def _targets(columns: list[str], request: Request, words: str) -> tuple[str, ...]:
    for name in request.target:
        if name not in columns:
            near = nearest(name, columns)
            advice = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(columns[:12])}."
            raise DataError(f"target must name a column of {words}. {name!r} came. {advice}")
    if request.target:
        return request.target
    found = [c for c in columns if c.lower() in LABEL_NAMES]
    if len(found) > 1:
        raise DataError(f"A series has one target. {' and '.join(found)} both could be, in {words}. Say which with target=.")
    if not found and request.task != "anomaly":
        raise DataError(f"Training needs targets. None of {', '.join(LABEL_NAMES)} is a column of {words}. Say which is with target=.")
    return tuple(found)
