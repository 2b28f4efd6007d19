"""Files of tables: CSV, TSV, Parquet and JSON lines."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgpu.errors import DataError
from fastgpu.optional import require
from fastgpu.reading.text_files import not_utf8, read_json_lines, read_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SUFFIXES", "column_names", "is_table", "read_table"]

SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".jsonl", ".jsonl.gz")

MISSING = (
    "", "NA", "<NA>", "N/A", "n/a", "#N/A", "#N/A N/A", "#NA", "NaN", "nan", "-NaN", "-nan", "NULL", "null",
    "1.#IND", "-1.#IND", "1.#QNAN", "-1.#QNAN",
)  # fmt: skip
"""What pandas takes for a missing value, but for `None`, which is also what people call the class of those that have none."""


def is_table(name: str) -> bool:
    """Whether a file is a table, by its name."""
    return name.lower().endswith(SUFFIXES)


def read_table(
    path: Path,
    notes: list[str],
    *,
    strings: Callable[[str], bool] | bool = False,
    labels: Callable[[str], bool] | None = None,
    header: Callable[[list[str]], bool] | None = None,
) -> pd.DataFrame:
    """Read one file as a DataFrame.

    Types are guessed by pandas, but for columns whose cells are names: `0123` is another id than `123`, and `null` is a word.

    Args:
        path: ends in `.csv`, `.tsv`, `.jsonl` (also `.gz`) or `.parquet`; text is UTF-8.
        notes: takes what was decided about the file.
        strings: columns of CSV and TSV files to read as they stand, only an empty cell missing; True: all.
        labels: columns of CSV and TSV files in which `None` is the name of a class, unless they hold numbers beside.
        header: whether these cells of a CSV or TSV file's first row are the names of its columns; else these are 0, 1, ...

    Raises:
        DataError: the file is empty, is not a table, is cut off, or is not UTF-8.
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
        how, names = _form(path, notes)
        if header is not None and not header(names):
            how["header"], names = None, []
        if strings is True:
            return pd.read_csv(path, **how, dtype=str, keep_default_na=False, na_values=[""])
        exact = [n for n in names if strings and strings(n)]
        named = [n for n in names if labels is not None and n not in exact and labels(n)]
        missing = {**dict.fromkeys(names, [*MISSING, "None"]), **dict.fromkeys(exact, [""]), **dict.fromkeys(named, MISSING)}
        frame = pd.read_csv(path, **how, dtype=dict.fromkeys(exact, str), keep_default_na=False, na_values=missing)
        return _with_labels(frame, named, notes)
    except pd.errors.EmptyDataError:
        raise DataError(f"Data must have rows. {path} is empty. Check the file.") from None
    except UnicodeDecodeError:
        raise not_utf8(path, "A table") from None
    except (pd.errors.ParserError, ValueError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"A table must be readable by pandas. {path} is not: {error}. Mend the file.") from error


def _form(path: Path, notes: list[str]) -> tuple[dict[str, Any], list[str]]:
    """How pandas reads a CSV or TSV file, and the names in its first row."""
    import pandas as pd

    how: dict[str, Any] = {"sep": ",", "low_memory": False}  # in pieces, one column would get two types
    if ".tsv" in path.name.lower():
        how["sep"] = "\t"
        if not _quoted(path):
            how["quoting"] = csv.QUOTE_NONE
            notes.append(f"{path.name}: quotes taken as part of the text")
    names = [str(name) for name in pd.read_csv(path, nrows=0, **how).columns]
    if how["sep"] == "," and len(names) == 1 and ";" in names[0]:
        notes.append("columns are parted by semicolons")
        how["sep"] = ";"
        names = [str(name) for name in pd.read_csv(path, nrows=0, **how).columns]
    return how, names


def _quoted(path: Path) -> bool:
    """Whether the quotes in a TSV file stand around cells; where they are part of the text, one of them would swallow rows."""
    try:
        text = read_text(path)
        if '"' not in text:
            return True
        cells = (cell for row in csv.reader(io.StringIO(text, newline=""), delimiter="\t", strict=True) for cell in row)
        return not any("\t" in cell and "\n" in cell for cell in cells)
    except csv.Error:
        return False
    except DataError:  # not UTF-8, or cut off: whoever reads the table says so
        return True


def _with_labels(frame: pd.DataFrame, named: list[str], notes: list[str]) -> pd.DataFrame:
    """Columns of names keep `None` as one of them; in those of numbers it is a gap."""
    import pandas as pd

    for name in named:
        none = frame[name].eq("None").fillna(False).to_numpy(dtype=bool)
        if not none.any():
            continue
        others = frame[name].mask(none)
        numbers: Any = pd.to_numeric(others, errors="coerce")
        if others.notna().any() and numbers.notna().eq(others.notna()).all():
            frame[name] = numbers
        else:
            notes.append(f"column {name!r}: 'None' taken as a name, not as missing")
    return frame


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
    except (DataError, ValueError, OSError, EOFError, IndexError, zlib.error):  # whoever reads the file says what is wrong with it
        return []
