"""Tables: CSV, TSV and Parquet files, a folder with `train.csv`, and DataFrames."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgpu.data.raw import Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, split_name
from fastgpu.data.sources.frames import Origin, by_split_column, read_frames
from fastgpu.errors import DataError
from fastgpu.optional import require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["read_table"]

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")


def read_table(path: Path, notes: list[str]) -> pd.DataFrame:
    """Read one file as a DataFrame.

    Args:
        path: ends in `.csv`, `.tsv` (also `.gz`) or `.parquet`; text is UTF-8.
        notes: takes what was decided about the file.

    Raises:
        DataError: the file is empty, is not a table, or is not UTF-8.
        MissingPackageError: Parquet files need pyarrow.
    """
    import pandas as pd

    name = path.name.lower()
    if not name.endswith(SUFFIXES):
        raise DataError(f"A file of data ends in {', '.join(SUFFIXES)}. {path} came. Convert it, or give a folder of pictures.")
    try:
        if name.endswith(".parquet"):
            require("pyarrow", need="Reading Parquet files")
            return pd.read_parquet(path, engine="pyarrow")
        if ".tsv" in name:
            return pd.read_csv(path, sep="\t")
        frame = pd.read_csv(path)
        if len(frame.columns) == 1 and ";" in str(frame.columns[0]):
            notes.append("columns are parted by semicolons")
            frame = pd.read_csv(path, sep=";")
        return frame
    except pd.errors.EmptyDataError:
        raise DataError(f"Data must have rows. {path} is empty. Check the file.") from None
    except UnicodeDecodeError as error:
        raise DataError(f"A table must be UTF-8 text. {path} is not, at byte {error.start}. Save it as UTF-8.") from None
    except (pd.errors.ParserError, ValueError, OSError) as error:
        raise DataError(f"A table must be readable by pandas. {path} is not: {error}. Mend the file.") from error


def _is_table(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _files(folder: Path) -> dict[str, Path]:
    """Split -> its file, for a folder that holds `train.csv` and perhaps others."""
    found: dict[str, Path] = {}
    for file in sorted(f for f in folder.iterdir() if f.is_file() and _is_table(f.name)):
        split = split_name(file.name.split(".")[0])
        if split in found:
            raise DataError(f"A split is one file. {folder} holds both {found[split].name} and {file.name}. Remove one.")
        if split is not None:
            found[split] = file
    return found if "train" in found else {}


def _recognise(data: Any, request: Request) -> bool:
    if isinstance(data, (str, os.PathLike)):
        path = as_path(data)
        return path is not None and (path.is_file() or any(_is_train(f) for f in path.iterdir()))
    return type(data).__name__ == "DataFrame" and hasattr(data, "iloc")


def _is_train(file: Path) -> bool:
    return _is_table(file.name) and split_name(file.name.split(".")[0]) == "train" and file.is_file()


def _load(data: Any, request: Request) -> Raw:
    if not isinstance(data, (str, os.PathLike)):
        return read_frames(by_split_column(data), request, Origin(name="table", words="the DataFrame"))
    path = Path(data).expanduser()
    notes: list[str] = []
    if path.is_dir():
        frames = {split: read_table(file, notes) for split, file in _files(path).items()}
        base, name = path, path.resolve().name
    else:
        frames = by_split_column(read_table(path, notes))
        base, name = path.parent, path.name.split(".")[0]
    return read_frames(frames, request, Origin(name=name, words=str(path), base=base, notes=tuple(notes)))


SOURCES.register("table")(
    Source(
        order=40,
        form="the path of a CSV, TSV or Parquet file, or a pandas DataFrame, with a target column",
        recognise=_recognise,
        load=_load,
    )
)
