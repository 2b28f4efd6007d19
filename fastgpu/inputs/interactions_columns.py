"""Encoded interactions, with each user's earlier items."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from fastgpu.data.columns import Columns

__all__ = ["InteractionColumns"]


class InteractionColumns(Columns):
    """Rows `user`, `item` `(b,)` int64 and `history` `(b, length)` int64: the items before, latest last, 0 where there is none.

    The histories are windows into one array of all items that were seen, cut when a batch is made.

    Its arguments are those of `fastgpu.reading.interactions.Histories`, the same rows without torch, as tensors.
    """

    def __init__(self, user: Tensor, item: Tensor, first: Tensor, end: Tensor, seen: Tensor, length: int) -> None:
        self.user, self.item, self.first, self.end, self.seen = user, item, first, end, seen
        self.steps = torch.arange(-length, 0)
        self.item_bytes = 8 * (2 + length)

    def __len__(self) -> int:
        return len(self.user)

    def gather(self, index: Tensor) -> dict[str, Any]:
        at = self.end[index][:, None] + self.steps
        before = at >= self.first[index][:, None]
        return {"user": self.user[index], "item": self.item[index], "history": self.seen[at.clamp_(min=0)].mul_(before)}
