"""Items of sensor series: windows of runs, cut when they are asked for, so that overlapping ones share their memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgpu.reading.encoded import Encoded

__all__ = ["Run", "SeriesItems", "SeriesLayout", "Windows"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeriesLayout:
    """Which columns of a table of sensors are what.

    Args:
        channels: the sensors, in the order in which the network gets them.
        unit: the column that names the run (the machine, the engine); `""` where a table is one run.
        time: the column of time, `""` where rows come in order.
    """

    channels: tuple[str, ...]
    unit: str = ""
    time: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One recording without a break.

    Args:
        name: what people know it by: a file, a unit.
        values: `(steps, channels)` floats; a channel that was not recorded at all is NaN.
        times: `(steps,)` time of each step where it is known.
        rows: `(steps,)` rows of the table that the steps come from.
    """

    name: str
    values: np.ndarray
    times: np.ndarray | None = None
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)


class SeriesItems:
    """Windows of runs.

    Args:
        runs: the runs.
        layout: what their columns are.
        window: steps of a window; None: each run is one item.
        stride: steps from one window to the next; None: the window.
        run: `(n,)` number of each item's run; None: windows are cut, and a rest at the end of a run is left out.
        start: `(n,)` step at which each item begins.
        longest: steps of the longest run that there is, in any split.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        layout: SeriesLayout,
        *,
        window: int | None = None,
        stride: int | None = None,
        run: np.ndarray | None = None,
        start: np.ndarray | None = None,
        longest: int | None = None,
    ) -> None:
        self.runs, self.layout, self.window, self.stride = tuple(runs), layout, window, stride
        self.longest = longest or max((len(each) for each in self.runs), default=0)
        if run is None or start is None:
            step = stride or window or 1
            starts = [np.arange(0, 1 if window is None else len(each) - window + 1, step) for each in self.runs]
            run = np.repeat(np.arange(len(self.runs)), [len(each) for each in starts])
            start = np.concatenate(starts) if starts else np.zeros(0, np.int64)
        self.run, self.start = run, start

    def __len__(self) -> int:
        return len(self.run)

    def __getitem__(self, index: Any) -> SeriesItems:
        index = np.atleast_1d(index)
        return SeriesItems(
            self.runs,
            self.layout,
            window=self.window,
            stride=self.stride,
            run=self.run[index],
            start=self.start[index],
            longest=self.longest,
        )

    def with_channels(self, names: tuple[str, ...]) -> SeriesItems:
        """The same windows with these of their channels, in this order."""
        at = [self.layout.channels.index(name) for name in names]
        runs = [dataclasses.replace(run, values=run.values[:, at]) for run in self.runs]
        layout = dataclasses.replace(self.layout, channels=names)
        return SeriesItems(
            runs, layout, window=self.window, stride=self.stride, run=self.run, start=self.start, longest=self.longest
        )

    def __repr__(self) -> str:
        names = [self.runs[i].name for i in np.unique(self.run)[:3]]
        return f"{len(self)} of {', '.join(names)}"

    @property
    def used(self) -> list[Run]:
        """The runs that the items are cut from."""
        return [self.runs[i] for i in np.unique(self.run)]

    def begins(self) -> list[Any]:
        """Where each item begins: its time, or, where that is not known, the step."""
        return [
            start if self.runs[run].times is None else _plain(self.runs[run].times[start])  # type: ignore[index]
            for run, start in zip(self.run.tolist(), self.start.tolist())
        ]

    def origins(self) -> dict[str, list[Any]]:
        """`runs`, the run of each item by name, and `starts`, the time or step at which it begins."""
        return {"runs": [self.runs[i].name for i in self.run.tolist()], "starts": self.begins()}


def _plain(time: Any) -> Any:
    return time.item() if isinstance(time, np.generic) and time.dtype.kind in "biuf" else time


class Windows(Encoded):
    """Windows of one length out of runs that are stored end to end.

    Args:
        items: what is encoded.
        length: steps that the network takes; a shorter run is filled up with NaN at its end, of a longer item the rest is cut off.
        dtype: of the stored values.

    Attributes:
        values: `(rows, channels)` of all runs, one after the other.
        starts: `(n,)` int64 row at which each item begins.
        length: as given.
    """

    def __init__(self, items: SeriesItems, length: int, dtype: type) -> None:
        used, member = np.unique(items.run, return_inverse=True)
        parts, offsets, total = [], np.zeros(len(used), np.int64), 0
        for i, number in enumerate(used):
            values = items.runs[number].values
            lacking = length - len(values)
            if lacking > 0:
                values = np.concatenate((values, np.full((lacking, values.shape[1]), np.nan)))
            offsets[i], total = total, total + len(values)
            parts.append(values.astype(dtype, copy=False))
        self.items, self.length = items, length
        self.values = np.concatenate(parts) if parts else np.zeros((0, len(items.layout.channels)), dtype)
        self.starts = offsets[member] + items.start

    def __len__(self) -> int:
        return len(self.starts)

    def gather(self, index: np.ndarray) -> dict[str, np.ndarray]:
        return {"series": self.values[self.starts[index][:, None] + np.arange(self.length)]}

    def origins(self) -> dict[str, list[Any]]:
        return self.items.origins()
