"""What is looked up on the device for interactions: side features, items not met, items seen."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from fastgpu.inputs.base import Preparation

__all__ = ["Catalogue", "seen_of"]


class Catalogue(Preparation):
    """Adds to `user`, `item` and `history` what is known of them.

    `user_features` and `item_features` go to the network. For the task there are `negative` `(b,)`, an item drawn
    evenly from all, with its `negative_features`; in evaluation it is drawn once and for all for a user and an item, and
    there are `catalogue` `(b, items)` and `catalogue_features` `(b, items, k)`, all items, and, for `seen_of`, what all users have
    seen; views of these, nothing is copied.

    Args:
        users: `(users + 1, j)` codes of side features, by the user's code.
        items: `(items + 1, k)` likewise.
        counts: `(users + 1,)` how many items each user has seen.
        seen: the items seen, by user.
    """

    users: Tensor
    items: Tensor
    counts: Tensor
    starts: Tensor
    seen: Tensor
    steps: Tensor

    def __init__(self, users: np.ndarray, items: np.ndarray, counts: np.ndarray, seen: np.ndarray) -> None:
        super().__init__()
        starts = np.cumsum(counts) - counts
        for name, values in {"users": users, "items": items, "counts": counts, "starts": starts, "seen": seen}.items():
            self.register_buffer(name, torch.tensor(values, dtype=torch.int64), persistent=False)
        # The length of the longest row as a number, which the host knows without asking the device.
        self.register_buffer("steps", torch.arange(int(counts.max(initial=0))), persistent=False)

    def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        user, item = x["user"], x["item"]
        known = len(self.items) - 1
        # A draw that depends on user and item alone gives the same validation loss each time; the factors are large primes.
        drawn = torch.randint_like(item, known) if self.training else (user * 2654435761 + item * 805459861) % known
        negative = drawn + 1
        found = {"user_features": self.users[user], "item_features": self.items[item]}
        found |= {"negative": negative, "negative_features": self.items[negative]}
        return {**x, **found} if self.training else {**x, **found, **self._everything(user)}

    def _everything(self, user: Tensor) -> dict[str, Tensor]:
        every = torch.arange(1, len(self.items), device=user.device)
        return {
            "catalogue": every.expand(user.shape[0], -1),
            "catalogue_features": self.items[1:].expand(user.shape[0], -1, -1),
            "seen_from": self.starts[user],
            "seen_count": self.counts[user],
            "seen_steps": self.steps.expand(user.shape[0], -1),
            "seen_items": self.seen.expand(user.shape[0], -1),
        }


def seen_of(x: Mapping[str, Tensor]) -> Tensor:
    """What the users of a prepared batch have seen in training, `(b, longest)` int64 codes of items, 0 where there are no more."""
    items, steps = x["seen_items"][0], x["seen_steps"]
    at = (x["seen_from"][:, None] + steps).clamp_(max=len(items) - 1)
    return items[at] * (steps < x["seen_count"][:, None])
