"""Rows of users and items: dicts, pairs and tables -> their codes, and each user's earlier items."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastgpu.errors import DataError
from fastgpu.reading.base import READERS, Reader
from fastgpu.reading.encoded import Encoded
from fastgpu.reading.interactions_rows import Interactions, as_ids, as_times, find_columns
from fastgpu.reading.packed import unpack
from fastgpu.reading.shell import rows_of
from fastgpu.reading.table_columns import as_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["HISTORY", "Histories", "InteractionReader", "codes_of"]

HISTORY = 50
"""Most earlier items of a user that a network gets, the latest."""


@dataclasses.dataclass(frozen=True, eq=False)
class Histories(Encoded):
    """Rows `user`, `item` `(b,)` int64 and `history` `(b, length)` int64: the items before, latest last, 0 where there is none.

    Args:
        user: `(n,)` int64 codes, 0 for an unknown user.
        item: `(n,)` int64 codes.
        first: `(n,)` int64, where the user's items begin in `seen`.
        end: `(n,)` int64, after the last item of the user before this row.
        seen: items by user and time, int64.
        length: most items of a history.
    """

    user: np.ndarray
    item: np.ndarray
    first: np.ndarray
    end: np.ndarray
    seen: np.ndarray
    length: int

    def __len__(self) -> int:
        return len(self.user)

    def gather(self, index: np.ndarray) -> dict[str, np.ndarray]:
        at = self.end[index][:, None] + np.arange(-self.length, 0)
        before = at >= self.first[index][:, None]
        return {"user": self.user[index], "item": self.item[index], "history": self.seen[np.maximum(at, 0)] * before}


@READERS.register("interactions")
@dataclasses.dataclass(frozen=True, kw_only=True)
class InteractionReader(Reader):
    """Rows of a user and an item, by the ids of training, and what each user met there.

    Args:
        users: ids of the training users, in the order of their codes from 1.
        items: ids of the training items likewise.
        names: what a column is -> its name in the training table.
        counts: packed int32, how many training items each code of a user has seen, from code 0.
        seen: packed int32, the items seen, by user and time.
        times: packed float64, when; empty: training has no times.
    """

    kind: ClassVar[str] = "interactions"
    keys: ClassVar[tuple[str, ...]] = ("user", "item", "history", "user_features", "item_features")

    users: tuple[str, ...]
    items: tuple[str, ...]
    names: dict[str, str] = dataclasses.field(default_factory=dict)
    counts: str
    seen: str
    times: str

    @property
    def history(self) -> int:
        """Most items of a history; 0 where training has no times."""
        return HISTORY if self.times else 0

    def arrays(self, items: Any) -> Histories:
        """`Interactions` -> codes, and where in the items seen each row's history ends."""
        user, item = codes_of(self.users, items.user), codes_of(self.items, items.item)
        counts = unpack(self.counts, "<i4").astype(np.int64)
        first = (np.cumsum(counts) - counts)[user]
        end = first + _earlier(user, items.time, counts, unpack(self.times, "<f8")) if self.times else first
        return Histories(user, item, first, end, unpack(self.seen, "<i4").astype(np.int64), self.history)

    def as_items(self, given: Any) -> Interactions:
        """A dict, a pair `(user, item)`, a list of either, or a DataFrame -> rows; without a time a row comes after all."""
        import pandas as pd

        if isinstance(given, Interactions):
            return given
        pair = [self.names.get("user", "user"), self.names.get("item", "item")]
        if isinstance(given, tuple) and len(given) == 2 and not isinstance(given[0], (tuple, list, dict)):
            given = [given]
        if isinstance(given, dict):
            frame = as_frame(given)
        elif isinstance(given, (list, tuple)) and given and all(isinstance(row, (tuple, list)) and len(row) == 2 for row in given):
            frame = pd.DataFrame([tuple(row) for row in given], columns=pair, dtype=object)
        elif isinstance(given, pd.DataFrame) or (isinstance(given, (list, tuple)) and given and isinstance(given[0], dict)):
            frame = pd.DataFrame(given)
        else:
            raise DataError(
                f"Interactions are dicts with {pair[0]!r} and {pair[1]!r}, pairs of them, or a DataFrame. {type(given).__name__} came."
            )
        return self._of_frame(frame.rename(columns=str))

    def from_shell(self, given: Sequence[str]) -> tuple[Sequence[Any], Any]:
        frame = rows_of(given, strings=True)  # ids as the source read them
        return range(len(frame)), self.as_items(frame)

    def _of_frame(self, frame: pd.DataFrame) -> Interactions:
        asked = {role: name for role, name in self.names.items() if name in frame.columns}
        found = find_columns(frame.columns, asked, ("user", "item", "time"), "the table")
        for role in ("user", "item"):
            if role not in found:
                raise DataError(
                    f"A row needs a user and an item. A column {self.names.get(role, role)!r} is missing; there are: "
                    f"{', '.join(map(str, frame.columns))}. Add it."
                )
        time = as_times(frame[found["time"]]) if "time" in found else np.full(len(frame), np.inf)
        return Interactions(as_ids(frame[found["user"]]), as_ids(frame[found["item"]]), np.where(np.isnan(time), np.inf, time), self.names)


def codes_of(known: tuple[str, ...], ids: np.ndarray) -> np.ndarray:
    """`(n,)` int64 codes from 1; 0 for an id that is missing or not known."""
    import pandas as pd

    return pd.Index(known, dtype=object).get_indexer(pd.Index(ids, dtype=object)).astype(np.int64) + 1


def _earlier(user: np.ndarray, time: np.ndarray, counts: np.ndarray, times: np.ndarray) -> np.ndarray:
    """How many of the user's seen items are strictly earlier than each row, without a loop over users."""
    # Rows and what was seen are sorted together by user and time, rows first where times are the same; the seen items
    # before a row, less those of earlier users, are those of its user.
    owner = np.repeat(np.arange(len(counts)), counts)
    all_users, all_times = np.concatenate((user, owner)), np.concatenate((time, times))
    is_seen = np.concatenate((np.zeros(len(user), np.int64), np.ones(len(owner), np.int64)))
    order = np.lexsort((is_seen, all_times, all_users))
    before = np.empty(len(order), np.int64)
    before[order] = np.cumsum(is_seen[order])
    return before[: len(user)] - (np.cumsum(counts) - counts)[user]
