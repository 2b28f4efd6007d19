"""Tables of texts with their translations: CSV, TSV, JSONL and Parquet files, a folder with `train.tsv`, and DataFrames."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgpu.data.raw import Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, one_each, split_file
from fastgpu.data.sources.frames import by_split_column
from fastgpu.data.sources.pairs import ROLES, pairs, raw_pairs
from fastgpu.errors import DataError, nearest
from fastgpu.reading.table_files import is_table, read_table

if TYPE_CHECKING:
    import pandas as pd

__all__: list[str] = []

SOURCE_NAMES = ("source", "src", "source_text", "original")
TARGET_NAMES = ("target", "tgt", "target_text", "translation", "translated")
_LANGUAGE = re.compile(r"[a-z]{2,3}([-_][A-Za-z]{2,4})?")


def _read(path: Path, request: Request, notes: list[str]) -> pd.DataFrame:
    frame = read_table(path, notes, strings=True, header=lambda cells: _is_header(cells, request))
    if 0 in frame.columns:
        cure = "if they are names, give columns={'source': ..., 'target': ...}"
        notes.append(f"{path.name}: the first row taken for a pair, its cells are no usual names of columns; {cure}")
    return frame


def _is_header(cells: list[Any], request: Request) -> bool:
    names = [str(cell).strip() for cell in cells]
    asked = {*request.columns.values(), *request.target}
    usual = (*SOURCE_NAMES, *TARGET_NAMES, "split", "id")
    return bool(asked & set(names)) or any(n.lower() in usual for n in names) or all(_LANGUAGE.fullmatch(n) for n in names)


def _unfolded(frame: pd.DataFrame) -> pd.DataFrame:
    """A column `translation` of `{"en": ..., "de": ...}` -> a column for each language."""
    import pandas as pd

    if "translation" not in frame.columns or not len(frame) or not isinstance(frame["translation"].iloc[0], dict):
        return frame
    cells = [cell if isinstance(cell, dict) else {} for cell in frame["translation"]]
    return pd.concat([frame.drop(columns="translation").reset_index(drop=True), pd.DataFrame(cells)], axis=1)


def _columns(frame: pd.DataFrame, request: Request, words: str, notes: list[str]) -> tuple[Any, Any]:
    """Which columns are source and target: as asked, by their usual names, else the first two of texts."""
    names = {str(column): column for column in frame.columns}
    asked = {role: request.columns[role] for role in ("source", "target") if role in request.columns}
    if request.target:
        asked["target"] = request.target[0]
    for name in asked.values():
        if name not in names:
            near = nearest(name, names)
            advice = f"Did you mean {near[0]!r}?" if near else "Name one of them."
            raise DataError(f"columns names columns of {words}. {name!r} came; the columns are {', '.join(names)}. {advice}")
    usual = {"source": SOURCE_NAMES, "target": TARGET_NAMES}
    for role in ("source", "target"):
        found = [name for name in names if name.lower() in usual[role] and name not in asked.values()]
        if role not in asked and found:
            asked[role] = found[0]
    strings = [name for name in names if name not in asked.values() and frame[names[name]].map(lambda v: isinstance(v, str)).any()]
    texts = [name for name in strings if not _numbers(frame[names[name]])]
    left = texts if len(asked) + len(texts) > 1 else strings
    for role in ("source", "target"):
        if role not in asked and left:
            asked[role] = left.pop(0)
    if len(asked) < 2:
        raise DataError(
            f"A table for translation has a column of texts and one of translations. {words} has {', '.join(names)}. "
            "Say which with columns={'source': ..., 'target': ...}."
        )
    notes.append(f"translation from column {asked['source']!r} into column {asked['target']!r}")
    return names[asked["source"]], names[asked["target"]]


def _numbers(column: Any) -> bool:
    """Whether a column of strings holds numbers alone: of rows, most likely."""
    import pandas as pd

    numbers: Any = pd.to_numeric(column.dropna(), errors="coerce")
    return bool(numbers.notna().all())


def _frames(data: Any, request: Request, notes: list[str]) -> tuple[dict[str, pd.DataFrame], str, str]:
    """Split -> frame, a short name, and where they come from."""
    if not isinstance(data, (str, os.PathLike)):
        return by_split_column(data), "table", "the DataFrame"
    path = Path(data).expanduser()
    if path.is_dir():
        files = one_each((f for f in path.iterdir() if f.is_file() and is_table(f.name)), split_file)
        return {split: _read(file, request, notes) for split, file in files.items()}, path.resolve().name, str(path)
    return by_split_column(_read(path, request, notes)), path.name.split(".")[0], str(path)


def _recognise(data: Any, request: Request) -> bool:
    if request.task != "translation":
        return False
    if isinstance(data, (str, os.PathLike)):
        path = as_path(data)
        if path is None or path.is_file():
            return path is not None and is_table(path.name)
        return any(split_file(f) == "train" and is_table(f.name) and f.is_file() for f in path.iterdir())
    return type(data).__name__ == "DataFrame" and hasattr(data, "iloc")


def _load(data: Any, request: Request) -> Raw:
    notes: list[str] = []
    frames, name, words = _frames(data, request, notes)
    frames = {split: _unfolded(frame) for split, frame in frames.items()}
    if not len(frames["train"]):
        raise DataError(f"Data must have rows. {words} has none. Check the file.")
    source, target = _columns(frames["train"], request, words, notes)
    splits = {}
    for split, frame in frames.items():
        lacking = [str(column) for column in (source, target) if column not in frame.columns]
        if lacking:
            raise DataError(f"All splits must have the same columns. {split} lacks {', '.join(lacking)}. Add them.")
        of = words if len(frames) == 1 else f"{split} of {words}"
        splits[split] = pairs(frame[source].tolist(), frame[target].tolist(), request, notes, words=of, row="row", first=0)
    return raw_pairs(name, splits, origin=words, notes=notes)


SOURCES.register("translation_table")(
    Source(
        order=36,
        form="for translation a CSV, TSV, JSONL or Parquet file, or a DataFrame, with the columns source and target",
        recognise=_recognise,
        load=_load,
        roles=ROLES,
    )
)
