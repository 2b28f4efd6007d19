"""What networks for tables share: numbers and categories joined into one vector a row."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

__all__ = ["CategoryEmbeddings", "TableFeatures"]


class CategoryEmbeddings(nn.Module):
    """A learnt vector for every category of every column, looked up in one table.

    Args:
        cardinalities: how many codes each column has; a column's codes go from 0 (missing or unseen) to its
            cardinality - 1.
        width: length of a vector; None: `1.6 * c ** 0.56` of the largest cardinality `c`, between 4 and 32.

    Attributes:
        features: length of a row's joined vector, columns x width.

    Example:
        >>> CategoryEmbeddings((3, 5), width=4)(torch.tensor([[0, 4]])).shape
        torch.Size([1, 8])
    """

    offsets: Tensor

    def __init__(self, cardinalities: Sequence[int], width: int | None = None) -> None:
        super().__init__()
        counts = torch.tensor(list(cardinalities))
        width = width or min(32, max(4, round(1.6 * max(cardinalities) ** 0.56)))
        # One table with an offset a column: one lookup, however many columns there are.
        self.register_buffer("offsets", counts.cumsum(0) - counts, persistent=False)
        self.table = nn.Embedding(sum(cardinalities), width)
        self.features = len(cardinalities) * width
        bound = width**-0.5
        nn.init.uniform_(self.table.weight, -bound, bound)
        with torch.no_grad():
            # Unseen categories may never occur in training: they start, and then stay, in the middle.
            self.table.weight[self.offsets] = 0.0

    def forward(self, categories: Tensor) -> Tensor:
        """Codes `(batch, columns)` int64 -> `(batch, columns * width)`."""
        return self.table(categories + self.offsets).flatten(1)


class TableFeatures(nn.Module):
    """A table's numbers and embedded categories side by side.

    Args:
        numbers: how many numeric columns there are, 0 for none.
        cardinalities: see `CategoryEmbeddings`; empty for no category columns.
        width: length of a category's vector.

    Attributes:
        features: how many values a row gives.
    """

    def __init__(self, numbers: int, cardinalities: Sequence[int] = (), width: int | None = None) -> None:
        super().__init__()
        self.has_numbers = numbers > 0
        self.embeddings = CategoryEmbeddings(cardinalities, width) if cardinalities else None
        self.features = numbers + (self.embeddings.features if self.embeddings is not None else 0)

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        """Join a batch of rows.

        Args:
            first: numbers `(batch, numbers)`, or the categories where there are no numbers.
            second: categories `(batch, columns)` int64 where there are both.

        Returns:
            `(batch, features)`.
        """
        if self.embeddings is None:
            return first
        if not self.has_numbers:
            return self.embeddings(first)
        if second is None:
            raise TypeError("The network was built for numbers and categories: call it with both.")
        return torch.cat((first, self.embeddings(second).to(first.dtype)), 1)
