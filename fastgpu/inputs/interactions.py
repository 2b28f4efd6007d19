"""Interactions: which user met which item, when, and what had come before."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import torch

from fastgpu.data.columns import Columns
from fastgpu.errors import DataError, UnknownNameError
from fastgpu.inputs.base import INPUTS, Input, Preparation
from fastgpu.inputs.interactions_columns import InteractionColumns
from fastgpu.inputs.interactions_preparation import Catalogue
from fastgpu.inputs.interactions_sides import Sides
from fastgpu.reading.interactions import InteractionReader, codes_of
from fastgpu.reading.interactions_rows import Interactions, as_ids
from fastgpu.reading.packed import pack, unpack

__all__ = ["InteractionInput"]


@INPUTS.register("interactions")
@dataclasses.dataclass(frozen=True, kw_only=True)
class InteractionInput(InteractionReader, Input):
    """Rows of a user, an item and the user's items before, with side features of both.

    A batch has `user`, `item` `(b,)`, `history` `(b, 50)`, `user_features` `(b, j)` and `item_features` `(b, k)`, all
    int64 codes from 1; 0 is a user, item or value that training did not have. A history holds the training items of
    the user that are earlier than the row, the latest last; where training has no times, histories are empty. Side
    numbers are cut into ten ranges of equal frequency.

    Args:
        users: as items, names, counts, seen and times of an `InteractionReader`.
        titles: a title for each of `items`; empty: there are none.
        user_sides: side features of users.
        item_sides: side features of items.
        held: packed int32, users and items of what was met outside of training, `""`: nothing; it is never recommended.

    Example:
        >>> rows = Interactions(as_ids([7, 7, 8]), as_ids(["a", "b", "a"]), np.array([1.0, 2.0, 3.0]))
        >>> fitted = InteractionInput.fit(rows)
        >>> fitted.encode(fitted.as_items({"user": 7, "item": "b"})).gather(torch.tensor([0]))["history"][0, -3:]
        tensor([0, 1, 2])
    """

    titles: tuple[str, ...] = ()
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
        user, item = codes_of(users, items.user), codes_of(items_known, items.item)
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
        found = self.arrays(items)
        user, item, first, end, seen = map(torch.from_numpy, (found.user, found.item, found.first, found.end, found.seen))
        return InteractionColumns(user, item, first, end, seen, found.length)

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

    def user_rows(self, user: Any) -> Interactions:
        """One row of a known user, with an unknown item, after everything.

        Raises:
            UnknownNameError: training did not have the user.
        """
        name = as_ids([user])[0]
        if codes_of(self.users, np.array([name], dtype=object))[0] == 0:
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
            "history": self.history,
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
