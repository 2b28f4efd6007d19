"""Tables: CSV, TSV and Parquet files, a folder with `train.csv`, and DataFrames."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from fastgpu.data.raw import Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, one_each, split_file
from fastgpu.data.sources.frames import TARGET_NAMES, TEXT_NAMES, Origin, by_split_column, read_frames
from fastgpu.reading.table_files import is_table, read_table

__all__ = ["read_table"]


def _files(folder: Path) -> dict[str, Path]:
    """Split -> its file, for a folder that holds `train.csv` and perhaps others."""
    found = one_each((f for f in folder.iterdir() if f.is_file() and is_table(f.name)), split_file)
    return found if "train" in found else {}


def _recognise(data: Any, request: Request) -> bool:
    if isinstance(data, (str, os.PathLike)):
        path = as_path(data)
        return path is not None and (path.is_file() or any(_is_train(f) for f in path.iterdir()))
    return type(data).__name__ == "DataFrame" and hasattr(data, "iloc")


def _is_train(file: Path) -> bool:
    return is_table(file.name) and split_file(file) == "train" and file.is_file()


def _load(data: Any, request: Request) -> Raw:
    if not isinstance(data, (str, os.PathLike)):
        return read_frames(by_split_column(data), request, Origin(name="table", words="the DataFrame"))
    path = Path(data).expanduser()
    notes: list[str] = []
    labels = request.may_be_target((*TARGET_NAMES, *TEXT_NAMES))
    if path.is_dir():
        frames = {split: read_table(file, notes, labels=labels) for split, file in _files(path).items()}
        base, name = path, path.resolve().name
    else:
        frames = by_split_column(read_table(path, notes, labels=labels))
        base, name = path.parent, path.name.split(".")[0]
    return read_frames(frames, request, Origin(name=name, words=str(path), base=base, notes=tuple(notes)))


SOURCES.register("table")(
    Source(
        order=40,
        form="the path of a CSV, TSV, JSONL or Parquet file, or a pandas DataFrame, with a target column",
        recognise=_recognise,
        load=_load,
    )
)
