"""Multilayer perceptron: linear layers with ReLU between them, for tables and for small pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from fastgpu.nn.tables import TableFeatures
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["TableMLP", "layers"]

HIDDEN: dict[str, tuple[int, ...]] = {
    "mlp": (128,),
    "mlp/small": (64,),
    "mlp/large": (512, 256),
}
"""Name -> widths of the hidden layers."""


def layers(features: int, hidden: Sequence[int], outputs: int) -> nn.Sequential:
    """Linear layers with ReLU between them.

    Args:
        features: values an item has.
        hidden: widths of the hidden layers; empty gives one linear layer.
        outputs: numbers an item gets.

    Returns:
        `(batch, features)` -> `(batch, outputs)`.
    """
    parts: list[nn.Module] = []
    for width in hidden:
        parts += [nn.Linear(features, width), nn.ReLU()]
        features = width
    return nn.Sequential(*parts, nn.Linear(features, outputs))


class TableMLP(nn.Module):
    """Linear layers over a table's numbers and embedded categories.

    Args:
        numbers: numeric columns.
        cardinalities: codes of each category column.
        hidden: widths of the hidden layers.
        outputs: numbers a row gets.
    """

    def __init__(self, numbers: int, cardinalities: Sequence[int], hidden: Sequence[int], outputs: int) -> None:
        super().__init__()
        self.features = TableFeatures(numbers, cardinalities)
        self.layers = layers(self.features.features, hidden, outputs)

    def forward(self, first: Tensor, second: Tensor | None = None) -> Tensor:
        """Columns as `TableFeatures` takes them -> `(batch, outputs)`."""
        return self.layers(self.features(first, second))


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build a perceptron for pictures (flattened) or for a table."""
    hidden, outputs = HIDDEN[name], target["outputs"]
    if facts["kind"] == "image":
        net = layers(facts["channels"] * math.prod(facts["size"]), hidden, outputs).insert(0, nn.Flatten())
        return Built(net=net, head=(str(len(net) - 1),))
    if not facts["cardinalities"]:
        # Nothing to embed: the plain layers, with no module around them to pay for at every step.
        return Built(net=layers(facts["numbers"], hidden, outputs), head=(str(2 * len(hidden)),))
    net = TableMLP(facts["numbers"], facts["cardinalities"], hidden, outputs)
    return Built(net=net, head=(f"layers.{2 * len(hidden)}",))


def entry(name: str) -> Entry:
    """Facts about a perceptron."""
    return Entry(
        name=name,
        inputs=("image", "table"),
        tasks=("classification", "multilabel", "regression"),
        source=f"perceptron with hidden layers of {', '.join(map(str, HIDDEN[name]))}",
        licence="Apache-2.0",
    )


FAMILIES.register("mlp")(Family(names=lambda: list(HIDDEN), entry=entry, build=build))
