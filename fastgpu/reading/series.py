"""Sensor series: runs with several channels from arrays and files -> windows `(steps, channels)`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastgpu.errors import DataError
from fastgpu.reading.base import READERS, Reader, as_array
from fastgpu.reading.series_items import Run, SeriesItems, SeriesLayout, Windows
from fastgpu.reading.series_runs import Repairs, run_of_array, runs_of_frame
from fastgpu.reading.table_files import is_table, read_table
from fastgpu.reading.ts_files import read_ts

__all__ = ["SeriesReader", "short"]


@READERS.register("series")
@dataclasses.dataclass(frozen=True, kw_only=True)
class SeriesReader(Reader):
    """Series, cut as in training.

    Args:
        channels: names of the sensors.
        length: steps that an item has.
        window: steps of a window; None where each run is an item.
        stride: steps from one window to the next; None: the window.
        unit: column that names the run in a table, `""` where a table is one run.
        time: column of time in a table, `""` where there is none.
        double: whether values are stored as float64, since float32 has too few digits for the small changes of a large value.
    """

    kind: ClassVar[str] = "series"
    keys: ClassVar[tuple[str, ...]] = ("series",)

    channels: tuple[str, ...]
    length: int
    window: int | None = None
    stride: int | None = None
    unit: str = ""
    time: str = ""
    double: bool = False

    def arrays(self, items: SeriesItems) -> Windows:
        """Items -> windows of their runs; channels are put into the order of training, by their names.

        Raises:
            DataError: the items have other channels.
        """
        return Windows(self._in_order(items), self.length, np.float64 if self.double else np.float32)

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
        values = as_array(given)
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
            f"A series has {len(self.channels)} channels here: {short(self.channels)}. {what} of {len(came)} came. "
            "Give (steps, channels), time first."
        )

    def _in_order(self, items: SeriesItems) -> SeriesItems:
        came = items.layout.channels
        unnamed = [tuple(map(str, range(len(names)))) == names for names in (came, self.channels)]
        if any(unnamed):  # channels of arrays have no names: they stand in order
            if len(came) != len(self.channels):
                raise self._other_channels("Series", came)
            return items
        lacking = [name for name in self.channels if name not in came]
        if lacking:
            there = f"{', '.join(map(repr, lacking[:5]))} is missing; there are: {short(came)}"
            raise DataError(f"A series has the channels of training here: {short(self.channels)}. {there}. Rename or add them.")
        return items if came == self.channels else items.with_channels(self.channels)


def short(names: tuple[str, ...]) -> str:
    """The first names."""
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
