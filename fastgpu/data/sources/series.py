"""Sensor series: folders of runs, tables with a column of time, `.ts` files and arrays `(n, steps, channels)`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.data.raw import Raw
from fastgpu.data.sources.arrays import pairs_of
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, one_each, split_file, split_name
from fastgpu.data.sources.frames import by_split_column
from fastgpu.data.sources.series_parts import Part, as_raw, part_of_frame
from fastgpu.data.sources.series_roles import LABEL_NAMES, ROLES, Roles, find_roles, has_roles
from fastgpu.data.sources.targets import as_targets
from fastgpu.errors import ArgumentError, BadItemError, DataError
from fastgpu.reading.series_items import SeriesLayout
from fastgpu.reading.series_runs import Repairs, run_of_array
from fastgpu.reading.table_files import column_names, is_table, read_table
from fastgpu.reading.ts_files import read_ts

__all__: list[str] = []

Parts = dict[str, Part]


def _recognise(data: Any, request: Request) -> bool:
    path = as_path(data)
    if path is not None and (path.suffix == ".ts" or (path.is_dir() and any(path.glob("*_TRAIN.ts")))):
        return not request.kinds or "series" in request.kinds
    # A network of the user's own takes anything: then the window says that a series is meant.
    if "series" not in request.kinds and (request.kinds or request.window is None):
        return False
    only = request.wants("series")
    if path is not None:
        return _is_file_of_series(path, request, only) if path.is_file() else _is_folder_of_series(path, request, only)
    if hasattr(data, "iloc") and getattr(data, "ndim", 0) == 2:
        return only or has_roles(map(str, data.columns), request)
    pairs = pairs_of(data)
    return pairs is not None and all(_is_array_of_series(x, only) for x, _ in pairs.values())


def _is_file_of_series(path: Path, request: Request, only: bool) -> bool:
    return is_table(path.name) and (only or has_roles(column_names(path), request))


def _is_folder_of_series(folder: Path, request: Request, only: bool) -> bool:
    files = [f for f in sorted(folder.iterdir()) if f.is_file() and is_table(f.name)]
    if files:
        return only or has_roles(column_names(files[0]), request)
    inside = [f for f in sorted(folder.iterdir()) if f.is_dir()]
    return any(is_table(f.name) for each in inside for f in (*each.iterdir(), *each.glob("*/*")))


def _is_array_of_series(x: Any, only: bool) -> bool:
    if hasattr(x, "ndim") and not (isinstance(x, np.ndarray) and x.dtype == object):
        return x.ndim == 3 or (only and x.ndim == 2 and not hasattr(x, "iloc"))
    first = x[0] if isinstance(x, (list, tuple, np.ndarray)) and len(x) else None
    return getattr(first, "ndim", 0) == 2


def _load(data: Any, request: Request) -> Raw:
    repairs = Repairs(skip=request.skip)
    if not isinstance(data, (str, os.PathLike)):
        if hasattr(data, "iloc"):
            return _of_frames(by_split_column(data), request, repairs, "table", "the DataFrame", [])
        request.refuse_target("arrays")
        return _of_arrays(data, request, repairs)
    path = Path(data).expanduser()
    if path.suffix == ".ts" or (path.is_dir() and any(path.glob("*_TRAIN.ts"))):
        request.refuse_target("a .ts file")
        return _of_ts(path, request, repairs)
    notes: list[str] = []
    labels = request.may_be_target(LABEL_NAMES)
    if path.is_file():
        frames = by_split_column(read_table(path, notes, labels=labels))
        return _of_frames(frames, request, repairs, path.name.split(".")[0], str(path), notes)
    splits = one_each((f for f in path.iterdir() if f.is_file() and is_table(f.name)), split_file)
    if "train" in splits:
        frames = {split: read_table(file, notes, labels=labels) for split, file in splits.items()}
        return _of_frames(frames, request, repairs, path.resolve().name, str(path), notes)
    return _of_folder(path, request, repairs)


def _of_frames(frames: dict[str, Any], request: Request, repairs: Repairs, name: str, words: str, notes: list[str]) -> Raw:
    frames = {split: frame.rename(columns=str) for split, frame in frames.items()}
    roles = find_roles(frames["train"], request, words)
    parts: Parts = {}
    for split, frame in frames.items():
        lacking = [column for column in roles.targets if column not in frame.columns]
        if lacking and split != "train":
            notes.append(f"{split} left out: it has no column {', '.join(lacking)}")
            continue
        parts[split] = part_of_frame(frame, roles, f"{split} of {words}" if len(frames) > 1 else words, repairs)
    if len(frames) > 1 and roles.layout.unit:
        notes += _shared_units(parts, roles)
    return as_raw(parts, roles, request, repairs, name=name, origin=words, notes=[*notes, *roles.notes])


def _shared_units(parts: Parts, roles: Roles) -> list[str]:
    names = {split: {run.name for run in part.runs} for split, part in parts.items()}
    shared = {split: sorted(names[split] & names["train"]) for split in names if split != "train"}
    return [
        f"{len(units)} {roles.layout.unit} in train and in {split}, for example {units[0]}: these must be other runs, or what is learnt leaks"
        for split, units in shared.items()
        if units
    ]


def _of_folder(folder: Path, request: Request, repairs: Repairs) -> Raw:
    """One folder a class, or files alone; below `train/`, `val/`, `test/` or at the top."""
    inside = [f for f in sorted(folder.iterdir()) if f.is_dir() and not f.name.startswith(".")]
    places = {split: f for f in inside if (split := split_name(f.name)) is not None}
    places = places if "train" in places else {"train": folder}
    found = {split: _files_by_class(place) for split, place in places.items()}
    classes = sorted(c for c in found["train"] if c is not None)
    if not any(found["train"].values()):
        raise DataError(f"A folder of series holds one folder a class, with a CSV or Parquet file a run. {folder} holds none. Check the path.")
    if classes:
        request.refuse_target("a folder of series")
        if request.task not in (None, "classification", "anomaly"):
            raise ArgumentError(
                f"A folder of series gives one class a run: task='classification'. task={request.task!r} came. "
                "For other targets give the files a column, and target= its name."
            )
    notes: list[str] = []
    files = next(files for files in found["train"].values() if files)
    labels = request.may_be_target(LABEL_NAMES)
    roles = find_roles(read_table(files[0], notes, labels=labels), request, str(files[0]), labelled=bool(classes))
    parts: Parts = {}
    for split, by_class in found.items():
        parts[split] = Part()
        for name, files in by_class.items():
            for file in files:
                shown = file.relative_to(folder).as_posix()
                part = part_of_frame(read_table(file, notes, labels=labels), roles, shown, repairs)
                parts[split].add(part, name)
    settled = dict.fromkeys([*notes, *roles.notes])
    return as_raw(parts, roles, request, repairs, name=folder.resolve().name, origin=str(folder), notes=list(settled))


def _files_by_class(place: Path) -> dict[str | None, list[Path]]:
    """Class -> its files; files at the top have the class None, and count only where there are no class folders."""
    inside = [f for f in sorted(place.iterdir()) if f.is_dir() and not f.name.startswith(".")]
    by_class: dict[str | None, list[Path]] = {
        f.name: files for f in inside if (files := sorted(file for file in f.rglob("*") if file.is_file() and is_table(file.name)))
    }
    return by_class or {None: sorted(f for f in place.iterdir() if f.is_file() and is_table(f.name))}


def _of_ts(path: Path, request: Request, repairs: Repairs) -> Raw:
    files = {"train": path}
    if path.is_dir():
        found = sorted(path.glob("*_TRAIN.ts"))
        if len(found) > 1:
            raise DataError(f"A data set has one _TRAIN.ts. {path} holds {', '.join(f.name for f in found[:3])}. Give one of the files.")
        files["train"] = found[0]
    name = files["train"].stem.removesuffix("_TRAIN")
    test = files["train"].with_name(f"{name}_TEST.ts")
    if files["train"].stem.endswith("_TRAIN") and test.is_file():
        files["test"] = test
    read = {split: read_ts(file) for split, file in files.items()}
    named = {split: [f"{files[split].name} {i}" for i in range(len(series))] for split, (series, _) in read.items()}
    return _of_series(read, named, request, repairs, name=name, origin=str(path))


def _of_arrays(data: Any, request: Request, repairs: Repairs) -> Raw:
    read: dict[str, tuple[list[np.ndarray], np.ndarray | None]] = {}
    for split, (x, y) in (pairs_of(data) or {}).items():
        series = [np.asarray(each.detach().cpu() if hasattr(each, "detach") else each) for each in x]
        series = [each[:, None] if each.ndim == 1 else each for each in series]
        labels = None if y is None else as_targets(y, f"y of {split}")
        if labels is not None and len(labels) != len(series):
            raise DataError(f"x and y must have the same length. {split} has {len(series):,} series and {len(labels):,} targets. Check both.")
        if not series or any(each.dtype.kind not in "biuf" for each in series):
            raise DataError(f"Series come as numbers (n, steps, channels). {split} holds {series[0].dtype if series else 'nothing'}. Convert it.")
        read[split] = (series, labels)
    named = {split: [f"{split} {i}" for i in range(len(series))] for split, (series, _) in read.items()}
    return _of_series(read, named, request, repairs, name="arrays", origin="arrays")


def _of_series(
    read: dict[str, tuple[list[np.ndarray], np.ndarray | None]], named: dict[str, list[str]], request: Request, repairs: Repairs, **words: str
) -> Raw:
    """Series that come without names of columns."""
    channels = tuple(map(str, range(read["train"][0][0].shape[1])))
    parts: Parts = {}
    for split, (series, labels) in read.items():
        parts[split] = Part()
        for i, (values, name) in enumerate(zip(series, named[split])):
            if values.shape[1] != len(channels):
                message = f"All runs must have the same sensors. {name} has {values.shape[1]}, the first has {len(channels)}. Convert it."
                repairs.refuse(message, name)
                continue
            try:
                run = run_of_array(values, channels, name, repairs)
            except BadItemError as error:
                repairs.refuse(str(error), name)
                continue
            parts[split].runs.append(run)
            parts[split].labels.append(None if labels is None else labels[i])
    roles = Roles(layout=SeriesLayout(channels=channels))
    return as_raw(parts, roles, request, repairs, notes=[], **words)


SOURCES.register("series")(
    Source(
        order=35,
        form="sensor series: a folder with one folder a class and a file a run, a table with unit and time, a .ts file, arrays (n, steps, channels)",
        recognise=_recognise,
        load=_load,
        roles=ROLES,
        windows=True,
    )
)
