"""Files of tables: CSV, TSV, Parquet and JSON lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from fastgpu.errors import DataError
from fastgpu.inputs.text_files import not_utf8, read_json_lines
from fastgpu.optional import require

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SUFFIXES", "column_names", "is_table", "read_table"]

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".jsonl", ".jsonl.gz")


def is_table(name: str) -> bool:
    """Whether a file is a table, by its name."""
    return name.lower().endswith(SUFFIXES)


def read_table(path: Path, notes: list[str]) -> pd.DataFrame:
    """Read one file as a DataFrame.

    Args:
        path: ends in `.csv`, `.tsv`, `.jsonl` (also `.gz`) or `.parquet`; text is UTF-8.
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
        if ".jsonl" in name:
            return pd.DataFrame(read_json_lines(path))
        if ".tsv" in name:
            return pd.read_csv(path, sep="\t")
        frame = pd.read_csv(path)
        if len(frame.columns) == 1 and ";" in str(frame.columns[0]):
            notes.append("columns are parted by semicolons")
            frame = pd.read_csv(path, sep=";")
        return frame
    except pd.errors.EmptyDataError:
        raise DataError(f"Data must have rows. {path} is empty. Check the file.") from None
    except UnicodeDecodeError:
        raise not_utf8(path, "A table") from None
    except (pd.errors.ParserError, ValueError, OSError) as error:
        raise DataError(f"A table must be readable by pandas. {path} is not: {error}. Mend the file.") from error


def column_names(path: Path) -> list[str]:
    """Names of a file's columns, without reading its rows; empty where it cannot be read."""
    import pandas as pd

    try:
        if path.name.lower().endswith(".parquet"):
            parquet = require("pyarrow.parquet", need="Reading Parquet files")
            return [str(name) for name in parquet.read_schema(path).names]
        if ".jsonl" in path.name.lower():
            return list(next(iter(read_json_lines(path)), {}))
        frame = pd.read_csv(path, nrows=0, sep="\t" if ".tsv" in path.name.lower() else ",")
        return [str(name) for name in (frame.columns[0].split(";") if len(frame.columns) == 1 else frame.columns)]
    except (DataError, ValueError, OSError, IndexError):  # whoever reads the file says what is wrong with it
        return []
