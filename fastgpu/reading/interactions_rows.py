"""Interactions of users with items as raw rows: which column is what, and ids and times in one form."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgpu.errors import DataError, UnknownNameError, nearest
from fastgpu.reading.table_columns import as_strings

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["ROLES", "Interactions", "as_ids", "as_numbers", "as_times", "find_columns", "is_id", "unknown_to"]

ROLES: dict[str, tuple[str, ...]] = {
    "user": ("user", "userid", "uid", "customer", "customerid", "visitor", "visitorid", "member", "memberid", "reviewerid"),
    "item": (
        "item", "itemid", "iid", "movie", "movieid", "product", "productid", "article", "articleid", "book", "bookid",
        "isbn", "song", "songid", "track", "trackid", "asin", "business", "businessid", "parentasin",
    ),
    "rating": ("rating", "score", "stars", "overall", "click", "clicked", "clicks", "liked", "like", "label", "target"),
    "time": ("time", "timestamp", "datetime", "date", "unixreviewtime"),
    "title": ("title", "itemtitle", "movietitle", "producttitle", "itemname", "productname", "name"),
}  # fmt: skip
"""What a column is -> its usual names, in lower case and without signs; the first that is there is taken."""


@dataclasses.dataclass(frozen=True)
class Interactions:
    """`n` interactions, indexed by an integer array as an array is.

    Args:
        user: `(n,)` ids as strings, None where one is missing.
        item: likewise.
        time: `(n,)` float64, ascending with time; infinite where none is known: after everything.
        names: what a column is -> its name in the table that they came from.
        users: what is known of users beside their ids, indexed by id; None: nothing.
        items: likewise of items; a column `title` is for people alone.
    """

    user: np.ndarray
    item: np.ndarray
    time: np.ndarray
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)
    users: DataFrame | None = None
    items: DataFrame | None = None

    def __len__(self) -> int:
        return len(self.user)

    def __getitem__(self, index: np.ndarray) -> Interactions:
        return dataclasses.replace(self, user=self.user[index], item=self.item[index], time=self.time[index])


def find_columns(columns: Iterable[object], asked: Mapping[str, str], roles: Iterable[str], where: str) -> dict[str, str]:
    """Which column is what: those that were asked for, and others by their usual names.

    Args:
        columns: names of the columns that there are.
        asked: role -> column, as the user named them.
        roles: the roles to find, of `ROLES`.
        where: the table in words.

    Returns:
        Role -> column, for the roles that there are.

    Raises:
        UnknownNameError: `asked` has a role that there is not.
        DataError: `asked` names a column that is not there.
    """
    there = [str(column) for column in columns]
    for role in asked:
        if role not in ROLES:
            raise UnknownNameError("role in columns", role, ROLES)
    found: dict[str, str] = {}
    by_key = {_key(column): column for column in reversed(there)}
    for role in roles:
        if role in asked:
            name = str(asked[role])
            if name not in there:
                near = nearest(name, there)
                advice = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"There are: {', '.join(there[:20])}."
                raise DataError(f"columns must name columns of {where}. {role!r} is to be {name!r}, which is not there. {advice}")
            found[role] = name
        else:
            usual = [by_key[key] for key in ROLES[role] if key in by_key and by_key[key] not in asked.values()]
            found.update({role: usual[0]} if usual else {})
    return found


def _key(column: str) -> str:
    return re.sub(r"[^a-z0-9]", "", column.lower())


def is_id(asked: Mapping[str, str]) -> Callable[[str], bool]:
    """Whether a column of a file holds ids or titles, by its name: such are read as they stand, zeros in front and all.

    Args:
        asked: role -> column, as the user named them.
    """
    roles = ("user", "item", "title")
    named = {asked[role] for role in roles if role in asked}
    return lambda column: column in named or any(_key(column) in ROLES[role] for role in roles if role not in asked)


def as_ids(column: Any) -> np.ndarray:
    """Ids as strings `(n,)`, whole numbers alike whether they came as int, float or text; None where one is missing."""
    import pandas as pd

    ids = as_strings(pd.Series(column))
    if all(v.endswith(".0") and v[:-2].isdecimal() for v in ids.dropna()):  # whole numbers of a column with gaps, from a file
        ids = ids.map(lambda v: v[:-2], na_action="ignore")
    values = ids.to_numpy(dtype=object)
    return np.array([v if isinstance(v, str) and v.strip() else None for v in values], dtype=object)


def as_numbers(column: Any) -> np.ndarray:
    """Numbers `(n,)` float64; NaN for what is none."""
    import pandas as pd

    return np.asarray(pd.to_numeric(pd.Series(column), errors="coerce"), dtype=np.float64)


def as_times(column: Any) -> np.ndarray:
    """Times `(n,)` float64, numbers as they are and dates in seconds; NaN for what is neither."""
    import pandas as pd

    column = pd.Series(column)
    numbers = np.full(len(column), np.nan) if pd.api.types.is_datetime64_any_dtype(column) else as_numbers(column)
    if not np.isnan(numbers).all() or not len(column):
        return np.where(np.isfinite(numbers), numbers, np.nan)
    stamps = pd.to_datetime(column, errors="coerce", utc=True, format=None if column.dtype.kind == "M" else "mixed")
    values = stamps.dt.tz_localize(None).to_numpy().astype("datetime64[us]")
    return np.where(np.isnat(values), np.nan, values.astype(np.int64) / 1e6)


def unknown_to(train: Interactions, held: Interactions, name: str) -> tuple[str, ...]:
    """Notes on rows of `held` whose user or item training does not have, or that are earlier than training."""
    import pandas as pd

    users, items = (int((~np.isin(part.astype(str), known.astype(str))).sum()) for part, known in (
        (held.user, train.user), (held.item, train.item)))  # fmt: skip
    notes = []
    if users or items:
        notes.append(f"{name}: {users:,} rows of users and {items:,} of items that training does not have; they score without an id")
    last: Any = pd.Series(train.time).groupby(train.user).max()
    early = int((held.time < last.reindex(held.user).to_numpy()).sum())
    if early:
        notes.append(f"{name}: {early:,} of {len(held):,} rows are earlier than the same user's last in train; as the split given")
    return tuple(notes)
