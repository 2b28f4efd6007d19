"""Tables for the task `anomaly`: rows that need no target, for most of what is normal has none."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.data.raw import SPLITS, Items, Raw
from fastgpu.data.sources.arrays import pairs_of
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, one_each, split_file
from fastgpu.data.sources.frames import by_split_column
from fastgpu.data.sources.series_roles import LABEL_NAMES
from fastgpu.data.sources.targets import as_targets
from fastgpu.errors import DataError, nearest
from fastgpu.reading.table_files import is_table, read_table

__all__: list[str] = []


def _recognise(data: Any, request: Request) -> bool:
    if request.task != "anomaly" or "table" not in request.kinds:
        return False
    path = as_path(data)
    if path is not None:
        return is_table(path.name) if path.is_file() else "train" in _splits(path)
    if hasattr(data, "iloc") and getattr(data, "ndim", 0) == 2:
        return True
    pairs = pairs_of(data)
    return pairs is not None and all(getattr(x, "ndim", 0) == 2 for x, _ in pairs.values())


def _splits(folder: Path) -> dict[str, Path]:
    return one_each((f for f in folder.iterdir() if f.is_file() and is_table(f.name)), split_file)


def _load(data: Any, request: Request) -> Raw:
    notes: list[str] = []
    if not isinstance(data, (str, os.PathLike)) and not hasattr(data, "iloc"):
        request.refuse_target("arrays")
        items = {split: Items(_rows(x), None if y is None else as_targets(y, f"y of {split}")) for split, (x, y) in (pairs_of(data) or {}).items()}
        for split, each in items.items():
            if each.y is not None and len(each.y) != len(each):
                raise DataError(f"x and y must have the same length. {split} has {len(each):,} items and {len(each.y):,} targets. Check both.")
        return Raw(name="arrays", kind="table", splits=items, task="anomaly", origin="arrays")
    if not isinstance(data, (str, os.PathLike)):
        frames, name, words = by_split_column(data), "table", "the DataFrame"
    else:
        path = Path(data).expanduser()
        name, words = path.resolve().name.split(".")[0], str(path)
        labels = request.may_be_target(LABEL_NAMES)
        if path.is_file():
            frames = by_split_column(read_table(path, notes, labels=labels))
        else:
            frames = {split: read_table(file, notes, labels=labels) for split, file in _splits(path).items()}
    frames = {split: frame.rename(columns=str).reset_index(drop=True) for split, frame in frames.items()}
    target = _target({c for frame in frames.values() for c in frame.columns}, request, words)
    splits = {split: _items(frames[split], target, split) for split in SPLITS if split in frames}
    notes.append(f"target: column {target!r}" if target else "no target column: all rows count as normal")
    return Raw(
        name=name,
        kind="table",
        splits=splits,
        task="anomaly",
        origin=words,
        notes=tuple(notes),
        target=(target,) if target else (),
    )


def _target(columns: set[str], request: Request, words: str) -> str:
    if request.target:
        name = request.target[0]
        if name not in columns or len(request.target) > 1:
            near = nearest(name, columns)
            advice = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(sorted(columns)[:12])}."
            raise DataError(f"target must name one column of {words}. {', '.join(map(repr, request.target))} came. {advice}")
        return name
    found = sorted(c for c in columns if c.lower() in LABEL_NAMES)
    if len(found) > 1:
        raise DataError(f"A table has one target. {' and '.join(found)} both could be, in {words}. Say which with target=.")
    return found[0] if found else ""


def _items(frame: Any, target: str, split: str) -> Items:
    if not len(frame):
        raise DataError(f"Data must have rows. {split} has none. Check the file.")
    x = frame[[c for c in frame.columns if c != target and not c.startswith("Unnamed: ")]]
    return Items(x, as_targets(frame[target], f"column {target!r} of {split}") if target in frame.columns else None)


def _rows(x: Any) -> Any:
    return x if hasattr(x, "iloc") else np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)


SOURCES.register("anomaly_table")(
    Source(order=38, form="for task='anomaly' also a table or rows of numbers without a target", recognise=_recognise, load=_load)
)
