"""InceptionTime: convolutions of several lengths side by side, with shortcuts."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.nn.series import TYPICAL
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family

__all__ = ["InceptionTime"]

SIZES: dict[str, tuple[int, int]] = {
    "inception_time": (32, 6),
    "inception_time/small": (16, 3),
}
"""Name -> filters of each length, and modules; the first is the paper's."""

KERNELS = (39, 19, 9)
"""Lengths of the convolutions in steps; the paper's 40, 20 and 10 made odd, so that each has a middle."""


class _Inception(nn.Module):
    """Convolutions of three lengths and one of the largest value of three steps, side by side."""

    def __init__(self, channels: int, filters: int) -> None:
        super().__init__()
        narrow = channels > 1
        self.narrow = nn.Conv1d(channels, filters, 1, bias=False) if narrow else nn.Identity()
        inside = filters if narrow else channels
        self.convolutions = nn.ModuleList([nn.Conv1d(inside, filters, k, padding="same", bias=False) for k in KERNELS])
        self.pooled = nn.Sequential(nn.MaxPool1d(3, 1, 1), nn.Conv1d(channels, filters, 1, bias=False))
        self.norm = nn.BatchNorm1d(filters * (len(KERNELS) + 1))

    def forward(self, x: Tensor) -> Tensor:
        narrow = self.narrow(x)
        return self.norm(torch.cat([*(convolution(narrow) for convolution in self.convolutions), self.pooled(x)], 1)).relu()


class InceptionTime(nn.Module):
    """One network of the ensemble of Ismail Fawaz et al., 2020, https://arxiv.org/abs/1909.04939.

    Args:
        channels: channels of a series.
        outputs: numbers a series gets.
        filters: of each of the four branches of a module.
        modules: inception modules, a multiple of 3: each third has a shortcut around it and the two before.
    """

    def __init__(self, channels: int, outputs: int, *, filters: int = 32, modules: int = 6) -> None:
        super().__init__()
        width = 4 * filters
        self.inceptions = nn.ModuleList([_Inception(channels if i == 0 else width, filters) for i in range(modules)])
        self.shortcuts = nn.ModuleList(
            [
                nn.Sequential(nn.Conv1d(channels if i == 0 else width, width, 1, bias=False), nn.BatchNorm1d(width))
                for i in range(modules // 3)
            ]
        )
        self.head = nn.Linear(width, outputs)

    def forward(self, series: Tensor) -> Tensor:
        """Series `(batch, steps, channels)` -> `(batch, outputs)`."""
        x = before = series.transpose(1, 2)
        for i, inception in enumerate(self.inceptions):
            x = inception(x)
            if i % 3 == 2:
                x = before = (x + self.shortcuts[i // 3](before)).relu()
        return self.head(x.mean(2))


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build the network for series of any length."""
    filters, modules = SIZES[name]
    return Built(net=InceptionTime(facts["channels"], target["outputs"], filters=filters, modules=modules), head=("head",))


def entry(name: str) -> Entry:
    """Facts about an InceptionTime network."""
    filters, modules = SIZES[name]
    return Entry(
        name=name,
        inputs=("series",),
        tasks=("classification", "multilabel", "regression"),
        source=f"Ismail Fawaz et al., 2020, arXiv 1909.04939, {modules} modules of {filters} filters, one network",
        licence="Apache-2.0",
        typical=TYPICAL,
    )


FAMILIES.register("inception_time")(Family(names=lambda: list(SIZES), entry=entry, build=build, prefixes=("inception_time",)))
