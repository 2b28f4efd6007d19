"""ResNet for tables (Gorishniy et al., 2021, "Revisiting Deep Learning Models for Tabular Data")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from fastgpu.nn.tables import TableFeatures
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["TableResNet"]

SIZES: dict[str, tuple[int, int]] = {
    "table_resnet": (192, 2),
    "table_resnet/small": (96, 2),
    "table_resnet/large": (384, 4),
}
"""Name -> width and number of blocks."""


class Block(nn.Module):
    """`x + Linear(Dropout(ReLU(Linear(BatchNorm(x)))))`, twice as wide inside."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm1d(width),
            nn.Linear(width, 2 * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(2 * width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class TableResNet(nn.Module):
    """Residual blocks over a table's numbers and embedded categories.

    Blocks as in Gorishniy et al., 2021, section 3.2, https://arxiv.org/abs/2106.11959: a linear layer to `width`,
    `blocks` residual blocks with batch normalisation, then batch normalisation, ReLU and a linear head.

    Args:
        numbers: numeric columns, 0 for none.
        cardinalities: codes of each category column, 0 being missing or unseen; empty for none.
        outputs: numbers a row gets.
        width: values a row has between blocks.
        blocks: residual blocks.
        dropout: share of a block's inner values that is dropped in training, 0 to 1.
    """

    def __init__(
        self,
        numbers: int,
        cardinalities: Sequence[int],
        outputs: int,
        *,
        width: int = 192,
        blocks: int = 2,
        dropout: float = 0.15,
    ) -> None:
        super().__init__()
        self.features = TableFeatures(numbers, cardinalities)
        self.stem = nn.Linear(self.features.features, width)
        self.blocks = nn.Sequential(*(Block(width, dropout) for _ in range(blocks)))
        self.norm = nn.BatchNorm1d(width)
        self.head = nn.Linear(width, outputs)

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        """Columns as `TableFeatures` takes them -> `(batch, outputs)`."""
        x = self.blocks(self.stem(self.features(first, second)))
        return self.head(self.norm(x).relu())


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the ResNet for a table's columns."""
    width, blocks = SIZES[name]
    net = TableResNet(facts["numbers"], facts["cardinalities"], target["outputs"], width=width, blocks=blocks)
    return Built(net=net, head=("head",))


def entry(name: str) -> Entry:
    """Facts about a ResNet for tables."""
    width, blocks = SIZES[name]
    return Entry(
        name=name,
        inputs=("table",),
        tasks=("classification", "multilabel", "regression"),
        source=f"Gorishniy et al., 2021, arXiv 2106.11959; {blocks} blocks of width {width}",
        licence="Apache-2.0",
    )


FAMILIES.register("table_resnet")(Family(names=lambda: list(SIZES), entry=entry, build=build))
