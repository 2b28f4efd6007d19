"""What stands on a command line: texts as they are, or one file of them or of rows."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fastgpu.errors import ArgumentError
from fastgpu.reading.table_files import is_table, read_table
from fastgpu.reading.text_files import read_text

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["TEXT_NAMES", "rows_of", "texts_in", "texts_of"]

TEXT_NAMES = ("text", "sentence", "review", "comment", "message", "tweet", "content", "document", "question")
"""Usual names of a column of texts."""


def rows_of(given: Sequence[str], *, strings: bool = False) -> DataFrame:
    """The rows of the one file that is given.

    Args:
        given: what stands on the command line.
        strings: whether its cells are names and texts, to be read as they stand.

    Raises:
        ArgumentError: it is no file of rows, is not there, or there are several.
    """
    if len(given) != 1 or not is_table(given[0]):
        raise ArgumentError(f"Rows to predict come in one CSV, Parquet or JSON Lines file. {' '.join(given)} came. Give one such file.")
    if not Path(given[0]).is_file():
        raise ArgumentError(f"A path must lead to a file. {given[0]} does not. Check the path.")
    return read_table(Path(given[0]), [], strings=strings)


def texts_of(given: Sequence[str]) -> list[str]:
    """The texts themselves, or those of the one file that is given: a column of a table, or the lines of a `.txt`.

    Raises:
        ArgumentError: a file comes with others, or it is not plain which of its columns holds the texts.
        DataError: a `.txt` is not UTF-8.
    """
    if len(given) == 1 and _is_text_file(given[0]):
        return [line for line in read_text(Path(given[0])).splitlines() if line.strip()]
    if not any(map(is_table, given)):
        return list(given)
    return texts_in(rows_of(given, strings=True), given[0])


def _is_text_file(given: str) -> bool:
    return Path(given).suffix.lower() == ".txt" and os.path.isfile(given)


def texts_in(frame: DataFrame, name: str) -> list[str]:
    """The column of a table that holds the texts: its only one, or the one with a usual name.

    Raises:
        ArgumentError: it is not plain which one.
    """
    columns = [str(c) for c in frame.columns]
    named = columns if len(columns) == 1 else [c for c in columns if c.lower() in TEXT_NAMES]
    if len(named) != 1:
        raise ArgumentError(f"A table of texts has one column, or one called text. {name} has: {', '.join(columns)}. Hand over that column.")
    return frame[named[0]].tolist()
