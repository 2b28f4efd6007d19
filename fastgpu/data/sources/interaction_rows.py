"""One frame of interactions -> rows and ratings; what cannot be used is refused or left out, and counted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgpu.data.sources.base import Request, count, rows
from fastgpu.errors import DataError
from fastgpu.reading.interactions_rows import ROLES, Interactions, as_ids, as_numbers, as_times, find_columns

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["find_roles", "read_rows"]


def find_roles(frame: pd.DataFrame, request: Request, where: str) -> dict[str, str]:
    """Which columns are user, item, rating, time and title.

    Raises:
        DataError: there is no column of users or of items, or one that was asked for is not there.
    """
    if len(request.target) > 1:
        raise DataError(f"Ranking has one target column, of ratings or clicks. {', '.join(request.target)} came. Name one.")
    asked = {**request.columns, **({"rating": request.target[0]} if request.target else {})}
    columns = [str(column) for column in frame.columns]
    found = find_columns(columns, asked, ROLES, where)
    for role in ("user", "item"):
        if role not in found:
            raise DataError(
                f"Interactions need a column of {role}s, usually {role} or {role}_id. {where} has {', '.join(columns)}. "
                f"Say which with columns={{'{role}': ...}}."
            )
    return found


def read_rows(
    frame: pd.DataFrame, found: Mapping[str, str], request: Request, where: str, sides: Mapping[str, pd.DataFrame], notes: list[str]
) -> tuple[Interactions, np.ndarray]:
    """Read users, items, ratings and times, and which other columns belong to users or items.

    A pair of user and item that comes more than once counts by its latest row. Without a rating or click each row is a like, 1.

    Args:
        frame: the interactions.
        found: what a column is -> its name, as `find_roles` found them in the training rows.
        request: what the user asked for: `on_bad_item`.
        where: the frame in words.
        sides: `"user"`, `"item"` -> table of features by id, where there is one.
        notes: takes what was decided.

    Returns:
        The rows, and ratings `(n,)` float64.

    Raises:
        DataError: a column is missing; an id, rating or time is missing or no such thing, and bad rows are not left out.
    """
    frame = frame.rename(columns=str).reset_index(drop=True)
    lacking = [found[role] for role in ("user", "item") if found[role] not in frame.columns]
    if lacking:
        raise DataError(f"All splits must have the same columns. {where} lacks {', '.join(lacking)}. Add them.")
    found = {role: name for role, name in found.items() if name in frame.columns}  # rows without a time come after all others
    missing: Any = None
    user, item = as_ids(frame[found["user"]]), as_ids(frame[found["item"]])
    rating = as_numbers(frame[found["rating"]]) if "rating" in found else np.ones(len(frame))
    time = as_times(frame[found["time"]]) if "time" in found else np.full(len(frame), np.inf)
    bad = {
        found["user"]: np.equal(user, missing),
        found["item"]: np.equal(item, missing),
        found.get("rating", ""): ~np.isfinite(rating),
        found.get("time", ""): np.isnan(time),
    }
    keep = _usable(frame, bad, request, where, notes)
    keep = _latest(frame, keep, user, item, time, where, notes)
    late = time[keep]
    back = int((late[1:] < late[:-1]).sum())
    if back:
        notes.append(f"{where}: {count(back, 'row')} earlier than the row before; histories and splits go by {found['time']!r}")
    if not len(keep):
        raise DataError(f"Interactions need rows. {where} has none that can be used. Check the table.")
    tables = {**_own_sides(frame.iloc[keep], found, user[keep], item[keep], where, notes)}
    for side, table in sides.items():
        tables[side] = table if side not in tables else table.join(tables[side], how="outer", rsuffix="_here")
    names = {role: found[role] for role in ("user", "item", "time") if role in found}
    x = Interactions(user[keep], item[keep], time[keep], names, tables.get("user"), tables.get("item"))
    return x, rating[keep]


def _usable(frame: pd.DataFrame, bad: Mapping[str, np.ndarray], request: Request, where: str, notes: list[str]) -> np.ndarray:
    """Rows without a bad cell; each column that has some is named with its rows."""
    every = np.zeros(len(frame), dtype=bool)
    for column, mask in bad.items():
        if not mask.any():
            continue
        cell = frame[column].iloc[int(np.argmax(mask))]
        if not request.skip:
            raise DataError(
                f"Each interaction needs a user and an item, a rating that is a number, and a time or date, where there are such "
                f"columns. {column!r} of {where} holds {cell!r} ({rows(mask)}, from 0). Mend them, or leave them out with on_bad_item='skip'."
            )
        notes.append(f"{where}: {count(int(mask.sum()), 'row')} left out, {column!r} missing or unreadable: {rows(mask)} (from 0)")
        every |= mask
    return np.flatnonzero(~every)


def _latest(
    frame: pd.DataFrame, keep: np.ndarray, user: np.ndarray, item: np.ndarray, time: np.ndarray, where: str, notes: list[str]
) -> np.ndarray:
    """Of each pair of user and item the latest row."""
    import pandas as pd

    pairs = pd.DataFrame({"user": user[keep], "item": item[keep], "time": time[keep], "row": keep})
    pairs = pairs.sort_values(["time", "row"], kind="stable").drop_duplicates(["user", "item"], keep="last")
    again = len(keep) - len(pairs)
    if again:
        notes.append(f"{where}: {count(again, 'row')} left out: the same user and item again; the latest counts")
    return np.sort(pairs["row"].to_numpy())


def _own_sides(
    frame: pd.DataFrame, found: Mapping[str, str], user: np.ndarray, item: np.ndarray, where: str, notes: list[str]
) -> dict[str, Any]:
    """The other columns, by what they belong to: one value a user, or one value an item; others are left out."""
    from pandas.api.types import is_hashable

    sides: dict[str, dict[str, Any]] = {"user": {}, "item": {}}
    left_out = []
    for name in [c for c in frame.columns if c not in [found.get(r) for r in ("user", "item", "rating", "time")]]:
        column = frame[name]
        hashable = column.dtype != object or column.map(is_hashable).all()  # JSON lines may hold lists and dicts
        owner = next((s for s, ids in (("item", item), ("user", user)) if hashable and _one_each(column, ids)), None)
        if owner is None:
            left_out.append(name)
        else:
            ids = user if owner == "user" else item
            sides[owner]["title" if name == found.get("title") and owner == "item" else name] = column.groupby(ids).first()
    if left_out:
        notes.append(f"{where}: not used, since they hold lists, or belong neither to a user nor to an item: {', '.join(left_out)}")
    import pandas as pd

    return {side: pd.DataFrame(columns) for side, columns in sides.items() if columns}


def _one_each(column: Any, ids: np.ndarray) -> bool:
    return int(column.groupby(ids).nunique(dropna=True).max()) <= 1
