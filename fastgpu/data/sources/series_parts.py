"""Runs with their labels -> items: windows that never mix runs, and the label of each."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from fastgpu.data.raw import SPLITS, Items, Raw
from fastgpu.data.sources.base import Request
from fastgpu.data.sources.series_roles import Roles
from fastgpu.data.sources.targets import as_targets, incomplete
from fastgpu.errors import DataError, nearest
from fastgpu.inputs.series import constant_channels
from fastgpu.reading.series_items import Run, SeriesItems
from fastgpu.reading.series_runs import Repairs, runs_of_frame

__all__ = ["Part", "as_raw", "part_of_frame"]


@dataclasses.dataclass
class Part:
    """One split: runs, and for each its label: one for the run, or an array `(steps,)` or `(steps, k)`, one a step; None for none."""

    runs: list[Run] = dataclasses.field(default_factory=list)
    labels: list[Any] = dataclasses.field(default_factory=list)

    def add(self, other: Part, label: Any = None) -> None:
        """Add the runs of another part; `label`, where there is one, is that of each whole run."""
        self.runs += other.runs
        self.labels += other.labels if label is None else [label] * len(other.runs)


def part_of_frame(frame: Any, roles: Roles, where: str, repairs: Repairs) -> Part:
    """The runs of a table, with the label of each step."""
    lacking = [name for name in roles.targets if name not in frame.columns]
    if lacking:
        near = nearest(lacking[0], frame.columns)
        advice = f"Is it {near[0]!r}?" if near else "Add it, or leave the run out with on_bad_item='skip'."
        repairs.refuse(f"All runs must have the same targets. {where} lacks {', '.join(map(repr, lacking))}. {advice}", where)
        return Part()
    runs = runs_of_frame(frame, roles.layout, where, repairs)
    if not roles.targets:
        return Part(runs, [None] * len(runs))
    columns = [as_targets(frame[name], f"column {name!r} of {where}") for name in roles.targets]
    labels = columns[0] if len(columns) == 1 else np.stack(columns, 1)
    return Part(runs, [labels[run.rows] for run in runs])


def as_raw(
    parts: dict[str, Part], roles: Roles, request: Request, repairs: Repairs, *, name: str, origin: str, notes: list[str]
) -> Raw:
    """Cut the runs into items.

    Without `request.window` each run is an item. The label of an item is that of its last step: what is the case now.

    Raises:
        DataError: no run is left, a run is shorter than the window, or a label changes within a run that is one item.
    """
    window = request.window
    for part in parts.values():
        _refuse_short(part, window, repairs)
    train = parts["train"]
    if not train.runs:
        raise DataError(f"Data must have runs. {origin} has none that can be used. Check the files.")
    constant = constant_channels(train.runs, roles.layout.channels)
    if constant:
        shown = ", ".join(constant[:5]) + (", ..." if len(constant) > 5 else "")
        notes.append(f"{len(constant)} of {len(roles.layout.channels)} sensors constant in training, kept: {shown}")
    longest = max(len(run) for part in parts.values() for run in part.runs)
    splits: dict[str, Items] = {}
    for split in SPLITS:
        part = parts.get(split)
        if part is not None and part.runs:
            x = SeriesItems(part.runs, roles.layout, window=window, stride=request.stride, longest=longest)
            splits[split] = _items(x, part, split, request, notes)
    if window is not None:
        notes.append(f"windows of {window} steps, one each {request.stride or window}, the label that of the last step")
    elif len({len(run) for part in parts.values() for run in part.runs}) > 1:
        notes.append(f"runs of unequal length, filled up to {longest} steps; window= cuts them instead")
    several = len(roles.targets) > 1
    y = splits["train"].y
    multilabel = several and y is not None and bool(np.isin(y, (0, 1)).all())
    return Raw(
        name=name,
        kind="series",
        splits=splits,
        classes=roles.targets if multilabel else None,
        task="multilabel" if multilabel else "regression" if several else None,
        origin=origin,
        notes=(*notes, *repairs.lines()),
        target=roles.targets,
    )


def _refuse_short(part: Part, window: int | None, repairs: Repairs) -> None:
    keep = []
    for i, run in enumerate(part.runs):
        if len(run) >= (window or 1):
            keep.append(i)
        else:
            repairs.refuse(
                f"A run is at least as long as the window. {run.name} has {len(run)} steps, the window {window or 1}. Give a smaller window=, "
                "or leave the run out with on_bad_item='skip'.",
                run.name,
            )
    part.runs, part.labels = [part.runs[i] for i in keep], [part.labels[i] for i in keep]


def _items(x: SeriesItems, part: Part, split: str, request: Request, notes: list[str]) -> Items:
    """Items of one split; windows of a run are a group."""
    group = None if x.window is None else np.asarray(x.run)
    if all(label is None for label in part.labels):
        return Items(x, None, group)
    if x.window is None:
        y = as_targets([_of_run(run, label) for run, label in zip(part.runs, part.labels)], f"the labels of {split}")
    else:
        pairs = zip(x.run.tolist(), (x.start + x.window - 1).tolist())
        y = as_targets([_at(part.labels[run], last) for run, last in pairs], f"the labels of {split}")
    bad = incomplete(y)
    if bad.any():
        if not request.skip or bad.all():
            raise DataError(
                f"Every item must have a label. {bad.sum():,} of {len(bad):,} in {split} have none: {_places(x, part, bad)}. "
                "Fill or drop them, or leave them out with on_bad_item='skip'."
            )
        notes.append(f"{bad.sum():,} items of {split} left out, without a label: {_places(x, part, bad)}")
    return Items(x, y, group).take(np.flatnonzero(~bad)) if bad.any() else Items(x, y, group)


def _places(x: SeriesItems, part: Part, bad: np.ndarray, most: int = 3) -> str:
    """Where items stand, by their run, and of windows by the row of their last step in its table."""
    places = []
    for i in np.flatnonzero(bad)[:most]:
        run = part.runs[int(x.run[i])]
        last = None if x.window is None or run.rows is None else run.rows[int(x.start[i]) + x.window - 1]
        places.append(f"run {run.name}" if last is None else f"run {run.name}, row {last} (from 0)")
    return "; ".join(places) + (f"; and {bad.sum() - most} more" if bad.sum() > most else "")


def _of_run(run: Run, label: Any) -> Any:
    """The label of a whole run: that of its last step; a class must not change on the way."""
    if isinstance(label, np.ndarray) and label.dtype.kind not in "fc" and len(label) and not (label == label[-1]).all():
        step = int(np.argmin((label == label[-1]).reshape(len(label), -1).all(1)))
        raise DataError(
            f"A run that is one item has one label. {run.name} has {label[step]!r} and {label[-1]!r}. Give window= to cut it, "
            "or columns={'unit': ...} to part the runs."
        )
    return _at(label, -1)


def _at(label: Any, step: int) -> Any:
    value = label[step] if isinstance(label, np.ndarray) else label
    return value.tolist() if isinstance(value, (np.ndarray, np.generic)) else value
