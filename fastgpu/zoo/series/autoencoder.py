"""Autoencoder: what it cannot rebuild of an item, after learning from normal ones, tells how anomalous the item is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fastgpu.nn.anomaly import AnomalyNetwork
from fastgpu.nn.series import TYPICAL
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["SeriesAutoencoder", "TableAutoencoder"]

SIZES: dict[str, int] = {"autoencoder": 64, "autoencoder/large": 256}
"""Name -> width of the hidden layers."""


class _Rebuilding(AnomalyNetwork):
    """Weighs the error of each number by how well that number is usually rebuilt.

    Args:
        numbers: numbers of an item, or of a step of it.
    """

    usual: Tensor
    seen: Tensor

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.register_buffer("usual", torch.ones(numbers))
        self.register_buffer("seen", torch.tensor(0.0))

    def judged(self, errors: Tensor) -> dict[str, Tensor]:
        """Squared errors `(b, numbers)` -> scores and losses, both `(b,)`."""
        if self.training:
            with torch.no_grad():
                # A running mean that begins as a plain one.
                share = 1 / (self.seen + 1).clamp(max=100)
                self.usual.lerp_(errors.detach().to(self.usual.dtype).mean(0), share)
                self.seen += 1
        # A sensor of pure noise is never rebuilt, and would drown the small errors of the others.
        return {"score": (errors / self.usual.clamp_min(1e-4)).mean(1), "losses": errors.mean(1)}


class SeriesAutoencoder(_Rebuilding):
    """Convolutions that halve the steps three times, few values a place in the middle, and the way back.

    Args:
        channels: channels of a series.
        width: filters of the hidden layers.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__(channels)
        code = max(2, channels // 2)
        self.encoder = nn.Sequential(
            nn.Conv1d(channels, width, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(width, width, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(width, code, 5, stride=2, padding=2),
        )
        self.decoder = nn.Sequential(
            nn.Conv1d(code, width, 5, padding=2),
            nn.Upsample(scale_factor=2.0),
            nn.GELU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.Upsample(scale_factor=2.0),
            nn.GELU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.Upsample(scale_factor=2.0),
            nn.GELU(),
            nn.Conv1d(width, channels, 5, padding=2),
        )

    def forward(self, series: Tensor) -> dict[str, Tensor]:
        """Series `(batch, steps, channels)` -> `score` and `losses`, `(batch,)` each."""
        x = series.transpose(1, 2)
        rebuilt = self.decoder(self.encoder(x))[..., : x.shape[2]]
        return self.judged((rebuilt - x).square().mean(2))


class TableAutoencoder(_Rebuilding):
    """A perceptron that narrows to a quarter of a row's values, and back.

    Args:
        numbers: numeric columns.
        cardinalities: codes of each category column.
        width: of the hidden layers.
    """

    def __init__(self, numbers: int, cardinalities: Sequence[int], width: int) -> None:
        super().__init__(numbers + len(cardinalities))
        self.numbers, self.cardinalities = numbers, tuple(cardinalities)
        values = numbers + sum(self.cardinalities)
        self.encoder = nn.Sequential(nn.Linear(values, width), nn.GELU(), nn.Linear(width, max(2, values // 4)))
        self.decoder = nn.Sequential(nn.Linear(max(2, values // 4), width), nn.GELU(), nn.Linear(width, values))

    def forward(self, first: Tensor, second: Tensor | None = None) -> dict[str, Tensor]:
        """Numbers `(batch, numbers)`, then categories `(batch, columns)` int64, those that there are -> `score` and `losses`."""
        numbers = first if self.numbers else first.new_zeros(first.shape[0], 0, dtype=torch.get_default_dtype())
        categories = second if self.numbers else first
        codes = [] if categories is None else list(categories.unbind(1))
        hot = [F.one_hot(code, count).to(numbers.dtype) for code, count in zip(codes, self.cardinalities)]
        parts = self.decoder(self.encoder(torch.cat((numbers, *hot), 1))).split([self.numbers, *self.cardinalities], 1)
        # Cross entropy, written out: torch's own of single items cannot be traced for export.
        surprise = [-guess.log_softmax(1).gather(1, code[:, None]) for guess, code in zip(parts[1:], codes)]
        return self.judged(torch.cat(((parts[0] - numbers).square(), *surprise), 1))


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the autoencoder for series of any length, or for rows of a table."""
    if facts["kind"] == "series":
        return Built(net=SeriesAutoencoder(facts["channels"], SIZES[name]))
    return Built(net=TableAutoencoder(facts["numbers"], facts["cardinalities"], SIZES[name]))


def entry(name: str) -> Entry:
    """Facts about an autoencoder."""
    return Entry(
        name=name,
        inputs=("series", "table"),
        tasks=("anomaly",),
        source=f"autoencoder, hidden layers of {SIZES[name]}, errors weighed by those of normal items",
        licence="Apache-2.0",
        typical=(TYPICAL[0], {"task": "anomaly", "outputs": 1}),
    )


FAMILIES.register("autoencoder")(Family(names=lambda: list(SIZES), entry=entry, build=build, prefixes=("autoencoder",)))
