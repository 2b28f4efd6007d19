"""Sensor series: windows of runs with several channels, scaled and cut off on the device."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastgpu.data.columns import Columns
from fastgpu.errors import DataError
from fastgpu.inputs.base import INPUTS, Input, Preparation
from fastgpu.reading.series import SeriesReader, short
from fastgpu.reading.series_items import Run, SeriesItems, Windows

__all__ = ["SeriesInput", "WindowColumns", "constant_channels"]

CLIP = 8.0
"""Scaled values are cut at plus and minus this: a sensor that hardly moved in training may move later."""

TAIL = 0.005
"""Share of the values at either end that does not count for the scale: a few glitches do not flatten a sensor."""

_MEASURED_ON = 200_000


@INPUTS.register("series")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SeriesInput(SeriesReader, Input):
    """Series as `series` `(b, steps, channels)` float, a window or a whole run each.

    Each channel is scaled by `(value - centre) / scale` and cut at +-8. Where a channel has no value, and behind the end of a
    run that is shorter than others, stands 0, the centre.

    Args:
        channels: as length, window, stride, unit, time and double of a `SeriesReader`.
        centre: median of each channel over the training runs.
        scale: standard deviation likewise, with the outermost 0.5 % of the values at either end drawn in; 1 for a channel that is constant.

    Example:
        >>> from fastgpu.reading.series_items import SeriesLayout
        >>> runs = [Run(name="a", values=np.array([[1.0], [2.0], [3.0], [9.0]]))]
        >>> series = SeriesInput.fit(SeriesItems(runs, SeriesLayout(channels=("x",)), window=2))
        >>> series.encode(series.as_items(np.array([[1.0], [2.0]]))).gather(torch.tensor([0]))["series"].shape
        torch.Size([1, 2, 1])
    """

    centre: tuple[float, ...]
    scale: tuple[float, ...]

    @classmethod
    def fit(cls, items: SeriesItems, *, size: tuple[int, int] | None = None) -> SeriesInput:
        """Measure centre and scale of each channel on the runs that the training items are cut from.

        Args:
            items: the training items.
            size: unused.

        Raises:
            DataError: there is no item.
        """
        if not len(items):
            raise DataError("Training needs series. None came. Check the data.")
        centre, scale = _scales(_rows(items.used))
        layout = items.layout
        return cls(
            channels=layout.channels,
            length=items.window or items.longest,
            centre=tuple(centre.tolist()),
            scale=tuple(scale.tolist()),
            window=items.window,
            stride=items.stride,
            unit=layout.unit,
            time=layout.time,
            double=bool((scale < 1e-5 * np.abs(centre)).any()),
        )

    def encode(self, items: SeriesItems) -> Columns:
        """Items -> windows of their runs; channels are put into the order of training, by their names.

        Raises:
            DataError: the items have other channels.
        """
        return WindowColumns(self.arrays(items))

    def facts(self) -> dict[str, Any]:
        return {"kind": self.kind, "channels": len(self.channels), "length": self.length}

    def describe(self) -> str:
        cut = "whole runs, up to" if self.window is None else "windows of"
        return f"series of {len(self.channels)} channel{'s' if len(self.channels) > 1 else ''} ({short(self.channels)}), {cut} {self.length} steps"

    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        series = self.preparation()(columns.gather(torch.tensor([index])))["series"][0]
        shown = min(6, series.shape[1])
        for channel in range(shown):
            # One above the other: six channels over each other cannot be told apart.
            axes.plot(series[:, channel].numpy() / 4 - channel, linewidth=0.8)
        axes.set_yticks([-i for i in range(shown)], [name[:10] for name in self.channels[:shown]], fontsize=6)
        axes.tick_params(axis="x", labelsize=6)

    def preparation(self) -> Preparation:
        return _Scale(self)


class WindowColumns(Columns):
    """Windows as tensors, cut when they are asked for.

    Args:
        windows: what is cut.

    Attributes:
        items: what was encoded.
    """

    def __init__(self, windows: Windows) -> None:
        self.items = windows.items
        self._values, self._starts = torch.from_numpy(windows.values), torch.from_numpy(windows.starts)
        self._steps = torch.arange(windows.length)
        self.item_bytes = windows.length * self._values.shape[1] * self._values.element_size()

    def __len__(self) -> int:
        return len(self._starts)

    def gather(self, index: Tensor) -> dict[str, Tensor]:
        return {"series": self._values[self._starts[index][:, None] + self._steps]}

    def origins(self) -> dict[str, list[Any]]:
        return self.items.origins()


class _Scale(Preparation):
    """Values -> scaled values, 0 where there is none."""

    centre: Tensor
    factor: Tensor

    def __init__(self, series: SeriesInput) -> None:
        super().__init__()
        kind = torch.get_default_dtype()
        self.register_buffer("centre", torch.tensor(series.centre, dtype=kind), persistent=False)
        self.register_buffer("factor", 1 / torch.tensor(series.scale, dtype=kind), persistent=False)

    def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        # Subtracted before it is rounded: pressures in pascal have more digits than float32.
        scaled = ((x["series"] - self.centre) * self.factor).to(self.centre.dtype)
        return {**x, "series": scaled.nan_to_num(nan=0.0).clamp(-CLIP, CLIP)}


def constant_channels(runs: list[Run], channels: tuple[str, ...]) -> list[str]:
    """Names of the channels that never change over all runs."""
    with np.errstate(invalid="ignore"):
        low = np.fmin.reduce([np.fmin.reduce(run.values, axis=0) for run in runs])
        high = np.fmax.reduce([np.fmax.reduce(run.values, axis=0) for run in runs])
    return [name for name, moved in zip(channels, high > low) if not moved]


def _rows(runs: list[Run]) -> np.ndarray:
    """The values of all runs `(rows, channels)` float64, of very many evenly spread ones."""
    step = max(1, sum(map(len, runs)) // _MEASURED_ON)
    return np.concatenate([run.values[::step] for run in runs]).astype(np.float64)


def _scales(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centre and scale of each channel."""
    centre, scale = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
    for i, values in enumerate(rows.T):
        values = values[~np.isnan(values)]
        if not len(values):
            continue
        low, centre[i], high = np.quantile(values, (TAIL, 0.5, 1 - TAIL))
        spread = values.clip(low, high).std()
        if not spread > 1e-9 * abs(centre[i]):
            spread = values.std()  # all but a few values are the same
        # A constant channel has no spread but that of rounding.
        scale[i] = spread if spread > 1e-9 * abs(centre[i]) else 1.0
    return centre, scale
