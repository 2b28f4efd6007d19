"""Interactions: which user met which item, when, and what had come before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from fastgpu.data.columns import Columns
from fastgpu.errors import DataError, UnknownNameError
from fastgpu.inputs.base import INPUTS, Input, Preparation
from fastgpu.inputs.interactions_columns import InteractionColumns, pack, unpack
from fastgpu.inputs.interactions_preparation import Catalogue
from fastgpu.inputs.interactions_rows import Interactions, as_ids, as_times, find_columns
from fastgpu.inputs.interactions_sides import Sides
from fastgpu.reading.shell import rows_of
from fastgpu.reading.table_columns import as_frame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["InteractionInput"]

HISTORY = 50
"""Most earlier items of a user that a network gets, the latest."""


@INPUTS.register("interactions")
@dataclasses.dataclass(frozen=True, kw_only=True)
class InteractionInput(Input):
    """Rows of a user, an item and the user's items before, with side features of both.

    A batch has `user`, `item` `(b,)`, `history` `(b, 50)`, `user_features` `(b, j)` and `item_features` `(b, k)`, all
    int64 codes from 1; 0 is a user, item or value that training did not have. A history holds the training items of
    the user that are earlier than the row, the latest last; where training has no times, histories are empty. Side
    numbers are cut into ten ranges of equal frequency.

    Args:
        users: ids of the training users, in the order of their codes from 1.
        items: ids of the training items likewise.
        titles: a title for each of `items`; empty: there are none.
        names: what a column is -> its name in the training table.
        counts: packed int32, how many training items each code of a user has seen, from code 0.
        seen: packed int32, the items seen, by user and time.
        times: packed float64, when; empty: training has no times.
        user_sides: side features of users.
        item_sides: side features of items.
        held: packed int32, users and items of what was met outside of training, `""`: nothing; it is never recommended.

    Example:
        >>> rows = Interactions(as_ids([7, 7, 8]), as_ids(["a", "b", "a"]), np.array([1.0, 2.0, 3.0]))
        >>> fitted = InteractionInput.fit(rows)
        >>> fitted.encode(fitted.as_items({"user": 7, "item": "b"})).gather(torch.tensor([0]))["history"][0, -3:]
        tensor([0, 1, 2])
    """

    kind: ClassVar[str] = "interactions"
    keys: ClassVar[tuple[str, ...]] = ("user", "item", "history", "user_features", "item_features")

    users: tuple[str, ...]
    items: tuple[str, ...]
    titles: tuple[str, ...] = ()
    names: dict[str, str] = dataclasses.field(default_factory=dict)
    counts: str
    seen: str
    times: str
    user_sides: dict[str, Any] = dataclasses.field(default_factory=dict)
    item_sides: dict[str, Any] = dataclasses.field(default_factory=dict)
    held: str = ""

    @classmethod
    def fit(cls, items: Any, *, size: tuple[int, int] | None = None) -> InteractionInput:
        """Number users, items and side values, and keep who has seen what.

        Args:
            items: `Interactions` of training.
            size: unused.

        Raises:
            DataError: there is no interaction.
        """
        if not len(items):
            raise DataError("Interactions need rows. None came. Check the table.")
        users, items_known = _sorted_ids(items.user), _sorted_ids(items.item)
        user, item = _codes(users, items.user), _codes(items_known, items.item)
        order = np.lexsort((np.arange(len(user)), items.time, user))
        table = None if items.items is None else items.items.reindex(list(items_known))
        titles = () if table is None or "title" not in table else tuple("" if v != v or v is None else str(v) for v in table["title"])
        return cls(
            users=users,
            items=items_known,
            titles=titles,
            names=dict(items.names),
            counts=pack(np.bincount(user, minlength=len(users) + 1).astype("<i4")),
            seen=pack(item[order].astype("<i4")),
            times="" if np.isinf(items.time).all() else pack(items.time[order].astype("<f8")),
            user_sides=Sides.fit(items.users, users).to_dict(),
            item_sides=Sides.fit(None if table is None else table.drop(columns="title", errors="ignore"), items_known).to_dict(),
        )

    def encode(self, items: Any) -> Columns:
        """`Interactions` -> codes, and where in the items seen each row's history ends."""
        user, item = _codes(self.users, items.user), _codes(self.items, items.item)
        counts = unpack(self.counts, "<i4").astype(np.int64)
        first = (np.cumsum(counts) - counts)[user]
        end = first + _earlier(user, items.time, counts, unpack(self.times, "<f8")) if self.times else first
        seen = torch.from_numpy(unpack(self.seen, "<i4").astype(np.int64))
        codes, spans = (torch.from_numpy(user), torch.from_numpy(item)), (torch.from_numpy(first), torch.from_numpy(end))
        return InteractionColumns(*codes, *spans, seen, self._history())

    def completed(self, splits: Sequence[Columns]) -> InteractionInput:
        """This input with what users met in any split, as `held`."""
        width = len(self.items) + 1  # a pair of codes is one number
        counts, seen = unpack(self.counts, "<i4"), unpack(self.seen, "<i4")
        before, met = self._held(), [c.user.numpy() * width + c.item.numpy() for c in splits if isinstance(c, InteractionColumns)]
        pairs = np.concatenate((before[0] * width + before[1], *met))
        pairs = pairs[(pairs >= width) & (pairs % width > 0)]  # both are known
        held = np.setdiff1d(pairs, np.repeat(np.arange(len(counts)), counts) * width + seen)
        return dataclasses.replace(self, held=pack(np.stack(np.divmod(held, width)).astype("<i4")))

    def _held(self) -> np.ndarray:
        """`(2, n)` int64 codes: users and items."""
        return (unpack(self.held, "<i4") if self.held else np.zeros(0)).reshape(2, -1).astype(np.int64)

    def met(self, user: int) -> torch.Tensor:
        """Codes `(n,)` int64 of all items that the user of a code met, in training and in what was held out."""
        counts, seen, held = unpack(self.counts, "<i4"), unpack(self.seen, "<i4"), self._held()
        first = int(counts[:user].sum())
        return torch.from_numpy(np.concatenate((seen[first : first + counts[user]], held[1][held[0] == user])).astype(np.int64))

    def _history(self) -> int:
        return HISTORY if self.times else 0

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

    def user_rows(self, user: Any) -> Interactions:
        """One row of a known user, with an unknown item, after everything.

        Raises:
            UnknownNameError: training did not have the user.
        """
        name = as_ids([user])[0]
        if _codes(self.users, np.array([name], dtype=object))[0] == 0:
            hint = "Items are recommended to users of the training data; for another, take the most frequent items."
            raise UnknownNameError("user", user, self.users[:100_000], hint)
        return Interactions(np.array([name], dtype=object), np.array([None], dtype=object), np.array([np.inf]), self.names)

    def item_ids(self, codes: list[int]) -> list[Any]:
        """Codes from 1 -> ids, as numbers where all ids are whole numbers."""
        ids = [self.items[code - 1] for code in codes]
        return [int(v) for v in ids] if _whole(self.items) else ids

    def facts(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "users": len(self.users) + 1,
            "items": len(self.items) + 1,
            "history": self._history(),
            "user_cardinalities": Sides(**self.user_sides).sizes,
            "item_cardinalities": Sides(**self.item_sides).sizes,
        }

    def describe(self) -> str:
        parts = []
        for what, sides in (("users", self.user_sides), ("items", self.item_sides)):
            count, names = len(getattr(self, what)), Sides(**sides).names
            parts.append(f"{count:,} {what}" + (f" ({', '.join(names)})" if names else ""))
        return f"interactions of {' with '.join(parts)}"

    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        row = columns.gather(torch.tensor([index]))
        user, item = int(row["user"]), int(row["item"])
        before = [self._named(int(code)) for code in row["history"][0] if code][-5:]
        lines = [f"user {self.users[user - 1] if user else '?'}", f"item {self._named(item)}", "", *(["before:"] if before else []), *before]
        axes.text(0.0, 1.0, "\n".join(line[:26] for line in lines).replace("$", r"\$"), ha="left", va="top", fontsize=7)
        axes.set_axis_off()

    def _named(self, code: int) -> str:
        """The item's title, without one its id."""
        if not code:
            return "?"
        return (self.titles[code - 1] if self.titles else "") or self.items[code - 1]

    def preparation(self) -> Preparation:
        counts, seen = unpack(self.counts, "<i4"), unpack(self.seen, "<i4")
        return Catalogue(Sides(**self.user_sides).table(len(self.users)), Sides(**self.item_sides).table(len(self.items)), counts, seen)


@lru_cache(maxsize=8)
def _whole(ids: tuple[str, ...]) -> bool:
    return all(v.isdecimal() and v.isascii() and (v == "0" or v[0] != "0") for v in ids)


def _sorted_ids(ids: np.ndarray) -> tuple[str, ...]:
    distinct = {v for v in ids if v is not None}
    return tuple(sorted(distinct, key=lambda v: (len(v), v))) if _whole(tuple(distinct)) else tuple(sorted(distinct))


def _codes(known: tuple[str, ...], ids: np.ndarray) -> np.ndarray:
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
