"""What networks for recommendation share: vectors of users and items with their side features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["Entity", "dot", "widened"]


class Entity(nn.Module):
    """A learnt vector for each user or item, and one for each value of its side features, all side by side.

    Code 0, what training did not have, is zero and stays so.

    Args:
        codes: how many codes there are, 0 among them.
        cardinalities: how many codes each side feature has.
        width: length of the entity's own vector.
        side_width: length of the vector of a side feature.

    Attributes:
        features: length of the joined vector.

    Example:
        >>> Entity(5, (3,), 8, 4)(torch.tensor([[0, 4]]), torch.tensor([[[0], [2]]])).shape
        torch.Size([1, 2, 12])
    """

    offsets: Tensor

    def __init__(self, codes: int, cardinalities: Sequence[int], width: int, side_width: int = 8) -> None:
        super().__init__()
        self.ids = nn.Embedding(codes, width, padding_idx=0)
        counts = torch.tensor(list(cardinalities), dtype=torch.int64)
        self.register_buffer("offsets", counts.cumsum(0) - counts, persistent=False)
        self.sides = nn.Embedding(sum(cardinalities), side_width) if cardinalities else None
        self.features = width + side_width * len(cardinalities)
        nn.init.normal_(self.ids.weight, std=0.05)
        with torch.no_grad():
            self.ids.weight[0] = 0.0
            if self.sides is not None:
                nn.init.normal_(self.sides.weight, std=0.05)
                self.sides.weight[self.offsets] = 0.0

    def forward(self, codes: Tensor, features: Tensor) -> Tensor:
        """Codes `(...)` int64 and their side features `(..., k)` int64 -> `(..., features)`."""
        if self.sides is None:
            return self.ids(codes)
        return torch.cat((self.ids(codes), self.sides(features + self.offsets).flatten(-2)), -1)


def widened(item: Tensor, features: Tensor) -> tuple[Tensor, Tensor]:
    """Items as `(b, m)` with features `(b, m, k)`, where one a row came as `(b,)` and `(b, k)`."""
    return (item[:, None], features[:, None]) if item.ndim == 1 else (item, features)


def dot(user: Tensor, items: Tensor) -> Tensor:
    """`(b, d)` with `(b, m, d)`, or `(1, m, d)` for the same items in each row -> `(b, m)` inner products."""
    if items.shape[0] == 1:
        return user @ items[0].T
    return (items @ user[:, :, None]).squeeze(-1)
