"""Two towers: a user with all that is known of them, an item with all that is known of it, compared by an inner product."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.nn.recommend import Entity, dot, widened
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family
from fastgpu.zoo.recommend.facts import TYPICAL

__all__ = ["TwoTower"]

WIDTHS: dict[str, tuple[int, int]] = {"two_tower": (32, 64), "two_tower/large": (64, 256)}
"""Name -> length of an id's vector, and width inside a tower."""


class TwoTower(nn.Module):
    """Two perceptrons that meet in an inner product, so that all items' vectors can be kept.

    The user's tower takes the user's vector, their side features and the mean of the vectors of their earlier items
    (Covington et al., 2016, Deep Neural Networks for YouTube Recommendations, https://doi.org/10.1145/2959100.2959190), the
    item's its vector and side features (Yi et al., 2019, https://doi.org/10.1145/3298689.3346996). An item has a bias too.

    Args:
        users: how many codes users have, 0 being unknown.
        items: likewise items.
        user_cardinalities: how many codes each side feature of users has.
        item_cardinalities: likewise of items.
        width: length of an id's vector.
        hidden: width inside a tower.
        dropout: share of a tower's inner values that is dropped in training, 0 to 1.
    """

    def __init__(
        self,
        users: int,
        items: int,
        user_cardinalities: Sequence[int] = (),
        item_cardinalities: Sequence[int] = (),
        *,
        width: int = 32,
        hidden: int = 64,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.users, self.items = Entity(users, user_cardinalities, width), Entity(items, item_cardinalities, width)
        self.user_tower = _tower(self.users.features + width, hidden, width, dropout)
        self.item_tower = _tower(self.items.features, hidden, width, dropout)
        self.item_bias = nn.Embedding(items, 1, padding_idx=0)
        nn.init.zeros_(self.item_bias.weight)

    def forward(self, user: Tensor, item: Tensor, history: Tensor, user_features: Tensor, item_features: Tensor) -> Tensor:
        """Codes, all int64, see `InteractionInput` -> scores `(b, m)`; `item` is `(b,)`, `(b, m)` or `(1, m)`."""
        item, item_features = widened(item, item_features)
        before = self.items.ids(history).sum(1) / (history > 0).sum(1, keepdim=True).clamp(min=1)
        users = self.user_tower(torch.cat((self.users(user, user_features), before), -1))
        return dot(users, self.item_tower(self.items(item, item_features))) + self.item_bias(item)[..., 0]


def _tower(features: int, hidden: int, outputs: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(nn.Linear(features, hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(hidden, outputs))


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the towers for these users and items."""
    width, hidden = WIDTHS[name]
    sides = facts["user_cardinalities"], facts["item_cardinalities"]
    return Built(net=TwoTower(facts["users"], facts["items"], *sides, width=width, hidden=hidden), head=("user_tower", "item_tower"))


def entry(name: str) -> Entry:
    """Facts about two towers."""
    width, hidden = WIDTHS[name]
    return Entry(
        name=name,
        inputs=("interactions",),
        tasks=("ranking",),
        source=f"Covington et al., 2016; Yi et al., 2019; vectors of {width}, towers {hidden} wide",
        licence="Apache-2.0",
        typical=TYPICAL,
    )


FAMILIES.register("two_tower")(Family(names=lambda: list(WIDTHS), entry=entry, build=build))
