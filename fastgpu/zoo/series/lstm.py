"""LSTM: a recurrent network that reads a series forwards and backwards."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.nn.series import TYPICAL
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["SeriesLSTM"]

SIZES: dict[str, tuple[int, int]] = {"lstm": (64, 2), "lstm/small": (32, 1), "lstm/large": (128, 2)}
"""Name -> values of the state in each direction, and layers."""


class SeriesLSTM(nn.Module):
    """Bidirectional LSTM (Hochreiter and Schmidhuber, 1997; Graves and Schmidhuber, 2005); mean and largest value over all steps go to a linear head.

    Args:
        channels: channels of a series.
        outputs: numbers a series gets.
        width: values of the state in each direction.
        layers: how many are stacked.
        dropout: share of values dropped between layers in training, 0 to 1.
    """

    def __init__(self, channels: int, outputs: int, *, width: int = 64, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        between = dropout if layers > 1 else 0.0
        self.lstm = nn.LSTM(channels, width, layers, batch_first=True, dropout=between, bidirectional=True)
        self.head = nn.Linear(4 * width, outputs)

    def forward(self, series: Tensor) -> Tensor:
        """Series `(batch, steps, channels)` -> `(batch, outputs)`."""
        steps = self.lstm(series)[0]
        return self.head(torch.cat((steps.mean(1), steps.amax(1)), 1))


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the network for series of any length."""
    width, layers = SIZES[name]
    return Built(net=SeriesLSTM(facts["channels"], target["outputs"], width=width, layers=layers), head=("head",))


def entry(name: str) -> Entry:
    """Facts about an LSTM."""
    width, layers = SIZES[name]
    return Entry(
        name=name,
        inputs=("series",),
        tasks=("classification", "multilabel", "regression"),
        source=f"bidirectional LSTM (Graves and Schmidhuber, 2005), {layers} layer{'s' if layers > 1 else ''} of {width}",
        licence="Apache-2.0",
        typical=TYPICAL,
    )


FAMILIES.register("lstm")(Family(names=lambda: list(SIZES), entry=entry, build=build, prefixes=("lstm",)))
