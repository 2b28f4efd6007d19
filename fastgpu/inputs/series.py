"""Sensor series: windows of runs with several channels, scaled and cut off on the device."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from fastgpu.data.columns import Columns
from fastgpu.errors import DataError
from fastgpu.inputs.base import INPUTS, Input, Preparation
from fastgpu.reading.series_items import Run, SeriesItems, SeriesLayout, WindowColumns
from fastgpu.reading.series_runs import Repairs, run_of_array, runs_of_frame
from fastgpu.reading.table_files import is_table, read_table
from fastgpu.reading.ts_files import read_ts

__all__ = ["SeriesInput", "constant_channels"]

CLIP = 8.0
"""Scaled values are cut at plus and minus this: a sensor that hardly moved in training may move later."""

TAIL = 0.005
"""Share of the values at either end that does not count for the scale: a few glitches do not flatten a sensor."""

_MEASURED_ON = 200_000


@INPUTS.register("series")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SeriesInput(Input):
    """Series as `series` `(b, steps, channels)` float, a window or a whole run each.

    Each channel is scaled by `(value - centre) / scale` and cut at +-8. Where a channel has no value, and behind the end of a
    run that is shorter than others, stands 0, the centre.

    Args:
        channels: names of the sensors.
        length: steps that an item has.
        centre: median of each channel over the training runs.
        scale: standard deviation likewise, with the outermost 0.5 % of the values at either end drawn in; 1 for a channel that is constant.
        window: steps of a window; None where each run is an item.
        stride: steps from one window to the next; None: the window.
        unit: column that names the run in a table, `""` where a table is one run.
        time: column of time in a table, `""` where there is none.
        double: whether values are stored as float64, since float32 has too few digits for the small changes of a large value.

    Example:
        >>> from fastgpu.reading.series_items import SeriesItems
        >>> runs = [Run(name="a", values=np.array([[1.0], [2.0], [3.0], [9.0]]))]
        >>> series = SeriesInput.fit(SeriesItems(runs, SeriesLayout(channels=("x",)), window=2))
        >>> series.encode(series.as_items(np.array([[1.0], [2.0]]))).gather(torch.tensor([0]))["series"].shape
        torch.Size([1, 2, 1])
    """

    kind: ClassVar[str] = "series"
    keys: ClassVar[tuple[str, ...]] = ("series",)

    channels: tuple[str, ...]
    length: int
    centre: tuple[float, ...]
    scale: tuple[float, ...]
    window: int | None = None
    stride: int | None = None
    unit: str = ""
    time: str = ""
    double: bool = False

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
        return WindowColumns(self._in_order(items), self.length, np.float64 if self.double else np.float32)

    def _in_order(self, items: SeriesItems) -> SeriesItems:
        came = items.layout.channels
        unnamed = [tuple(map(str, range(len(names)))) == names for names in (came, self.channels)]
        if any(unnamed):  # channels of arrays have no names: they stand in order
            if len(came) != len(self.channels):
                raise self._other_channels("Series", came)
            return items
        lacking = [name for name in self.channels if name not in came]
        if lacking:
            there = f"{', '.join(map(repr, lacking[:5]))} is missing; there are: {_short(came)}"
            raise DataError(f"A series has the channels of training here: {_short(self.channels)}. {there}. Rename or add them.")
        return items if came == self.channels else items.with_channels(self.channels)

    def as_items(self, given: Any) -> SeriesItems:
        """One run or several -> windows as they were cut in training; a run longer than an item gives several.

        Args:
            given: an array `(steps, channels)` (for one channel also `(steps,)`), an array `(n, steps, channels)`, a DataFrame or
                file with the columns of the training data, a folder of files, or a list of these.

        Raises:
            DataError: a run has other channels, or is shorter than the window.
            BadItemError: a value is infinite, or a time comes twice.
        """
        if isinstance(given, SeriesItems):
            return given
        runs = self._runs(given, "0")
        short = [run for run in runs if len(run) < (self.window or 1)]
        if short or not runs:
            came = f"{short[0].name} has {len(short[0])}" if short else "No run came"
            raise DataError(f"A run has at least {self.window or 1} steps, those of a window. {came}. Give longer ones.")
        layout = SeriesLayout(channels=self.channels, unit=self.unit, time=self.time)
        if self.window is None and all(len(run) <= self.length for run in runs):
            return SeriesItems(runs, layout)
        # A run that is shorter than an item is one item, filled up.
        cut = [SeriesItems([run], layout, window=min(self.length, len(run)), stride=self.stride) for run in runs]
        return SeriesItems(
            runs,
            layout,
            window=self.window,
            stride=self.stride,
            run=np.repeat(np.arange(len(runs)), [len(each) for each in cut]),
            start=np.concatenate([each.start for each in cut]),
        )

    def from_shell(self, given: Sequence[str]) -> tuple[Sequence[Any], Any]:
        return given, self.as_items(list(given))

    def _runs(self, given: Any, name: str) -> list[Run]:
        layout, repairs = SeriesLayout(channels=self.channels, unit=self.unit, time=self.time), Repairs()
        if isinstance(given, (str, os.PathLike)):
            path = Path(given).expanduser()
            if path.is_dir():
                files = sorted(f for f in path.iterdir() if is_table(f.name) or f.suffix == ".ts")
                return [run for file in files for run in self._runs(file, file.name)]
            if not path.is_file():
                raise DataError(f"A series comes as a file or an array. There is no file {path}. Check the path.")
            if path.suffix != ".ts":
                return runs_of_frame(read_table(path, []), layout, path.name, repairs)
            return [self._array(each, f"{path.name} {i}", repairs) for i, each in enumerate(read_ts(path)[0])]
        if hasattr(given, "iloc") and getattr(given, "ndim", 0) == 2:
            return runs_of_frame(given, layout, name, repairs)
        if isinstance(given, (list, tuple)) and given and (isinstance(given[0], (str, os.PathLike)) or hasattr(given[0], "shape")):
            return [run for i, each in enumerate(given) for run in self._runs(each, str(i))]
        values = np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
        if values.ndim == 1 or (values.ndim == 2 and len(self.channels) == 1 and values.shape[1] != 1):
            values = values[..., None]  # the one channel is understood
        if values.ndim == 3:
            return [self._array(each, str(i), repairs) for i, each in enumerate(values)]
        return [self._array(values, name, repairs)]

    def _array(self, values: np.ndarray, name: str, repairs: Repairs) -> Run:
        if values.dtype.kind not in "biuf" or values.ndim != 2:
            raise DataError(f"A run is numbers (steps, {len(self.channels)}). {values.dtype} of shape {values.shape} came. Convert it.")
        if values.shape[1] != len(self.channels):
            raise self._other_channels(f"Run {name}", tuple(range(values.shape[1])))
        return run_of_array(values, self.channels, name, repairs)

    def _other_channels(self, what: str, came: tuple[Any, ...]) -> DataError:
        return DataError(
            f"A series has {len(self.channels)} channels here: {_short(self.channels)}. {what} of {len(came)} came. "
            "Give (steps, channels), time first."
        )

    def facts(self) -> dict[str, Any]:
        return {"kind": self.kind, "channels": len(self.channels), "length": self.length}

    def describe(self) -> str:
        cut = "whole runs, up to" if self.window is None else "windows of"
        return f"series of {len(self.channels)} channel{'s' if len(self.channels) > 1 else ''} ({_short(self.channels)}), {cut} {self.length} steps"

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


def _short(names: tuple[str, ...]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
