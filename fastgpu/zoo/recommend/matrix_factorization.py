"""Matrix factorisation: the inner product of a user's and an item's vector, with a bias of each."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.nn.recommend import Entity, dot, widened
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family
from fastgpu.zoo.recommend.facts import TYPICAL

__all__ = ["MatrixFactorization"]

WIDTHS: dict[str, int] = {"matrix_factorization": 32, "matrix_factorization/large": 128}
"""Name -> length of a vector."""


class MatrixFactorization(nn.Module):
    """Biased matrix factorisation (Koren et al., 2009, Matrix Factorization Techniques for Recommender Systems, Computer 42(8)).

    Args:
        users: how many codes users have, 0 being unknown.
        items: likewise items.
        width: length of a vector.
    """

    def __init__(self, users: int, items: int, width: int = 32) -> None:
        super().__init__()
        self.users, self.items = Entity(users, (), width), Entity(items, (), width)
        self.user_bias, self.item_bias = nn.Embedding(users, 1, padding_idx=0), nn.Embedding(items, 1, padding_idx=0)
        self.bias = nn.Parameter(torch.zeros(()))
        for each in (self.user_bias, self.item_bias):
            nn.init.zeros_(each.weight)

    def forward(self, user: Tensor, item: Tensor, history: Tensor, user_features: Tensor, item_features: Tensor) -> Tensor:
        """Codes of users `(b,)` and items `(b,)`, `(b, m)` or `(1, m)` -> scores `(b, m)`; features and history are not used."""
        item, item_features = widened(item, item_features)
        product = dot(self.users(user, user_features), self.items(item, item_features))
        return product + self.bias + self.user_bias(user) + self.item_bias(item)[..., 0]


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the vectors for these users and items."""
    return Built(net=MatrixFactorization(facts["users"], facts["items"], WIDTHS[name]), head=("",))  # all of it is one layer


def entry(name: str) -> Entry:
    """Facts about a matrix factorisation."""
    return Entry(
        name=name,
        inputs=("interactions",),
        tasks=("ranking",),
        source=f"Koren et al., 2009, Computer 42(8), 30-37; vectors of {WIDTHS[name]}",
        licence="Apache-2.0",
        typical=TYPICAL,
    )


FAMILIES.register("matrix_factorization")(Family(names=lambda: list(WIDTHS), entry=entry, build=build))
