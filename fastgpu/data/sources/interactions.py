"""Interactions: tables of user, item, rating or click and time; RecBole's `.inter` with `.user` and `.item` beside."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgpu.data.raw import SPLITS, Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, one_each, split_file, split_name
from fastgpu.data.sources.frames import by_split_column
from fastgpu.data.sources.interaction_rows import find_roles, read_rows
from fastgpu.errors import DataError
from fastgpu.reading.interactions_rows import ROLES, as_ids, find_columns, is_id, unknown_to
from fastgpu.reading.table_files import read_table

if TYPE_CHECKING:
    import pandas as pd

__all__: list[str] = []

TABLES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet")
MAIN = ("train", "ratings", "interactions", "clicks", "events")
SIDE_FILES = {"user": ("users", "user", "customers"), "item": ("items", "item", "movies", "products", "books", "articles")}
"""Whose features a table beside holds -> its usual names, without the ending."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Files:
    """The frames of a source: interactions by split, and tables of users and items where there are any."""

    name: str
    words: str
    frames: Mapping[str, pd.DataFrame]
    sides: Mapping[str, pd.DataFrame] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def _stem(file: Path) -> str:
    return file.name.split(".")[0].lower()


def _is_inter(path: Path) -> bool:
    return path.suffix.lower() == ".inter"


def _main_file(folder: Path) -> Path | None:
    """The file of interactions in a folder: the only `.inter`, else `train`, `ratings`, ... as a table."""
    files = sorted(file for file in folder.iterdir() if file.is_file())
    inter = [file for file in files if _is_inter(file)]
    if inter:
        trains = [file for file in inter if ".train." in file.name]
        if len(inter) > 1 and len(trains) != 1:
            raise DataError(f"A folder holds one .inter file. {folder} has {', '.join(f.name for f in inter)}. Give the path of one.")
        return (trains or inter)[0]
    tables = one_each((file for file in files if file.name.lower().endswith(TABLES)), lambda file: _stem(file) if _stem(file) in MAIN else None)
    return next((tables[name] for name in MAIN if name in tables), None)


def _recognise(data: Any, request: Request) -> bool:
    asked = request.wants("interactions") or request.task == "ranking"
    if not isinstance(data, (str, os.PathLike)):
        return asked and type(data).__name__ == "DataFrame" and hasattr(data, "iloc")
    path = as_path(data)
    if path is None:
        return False
    if path.is_file():
        return asked or _is_inter(path)
    return any(_is_inter(file) for file in path.iterdir()) or (asked and _main_file(path) is not None)


def _read_atomic(path: Path) -> pd.DataFrame:
    """A file of RecBole's: tab-separated, each column's name followed by a colon and its type."""
    import pandas as pd

    try:
        frame = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False, na_values=[""], encoding="utf-8", quoting=3)
    except (ValueError, OSError) as error:
        raise DataError(f"A file of RecBole's is a table parted by tabs, in UTF-8. {path} is not: {error}. Mend the file.") from None
    types = {name: kind for name, _, kind in (str(column).partition(":") for column in frame.columns)}
    if not all(types.values()):
        raise DataError(
            f"Columns of RecBole's files are written name:type. {path} has {next(n for n, t in types.items() if not t)!r}. Add the types."
        )
    frame.columns = list(types)
    for name, kind in types.items():
        if kind == "float":
            numbers: Any = pd.to_numeric(frame[name], errors="coerce")
            frame[name] = frame[name] if (numbers.isna() & frame[name].notna()).any() else numbers
    return frame


def _open(path: Path, request: Request) -> _Files:
    main = path if path.is_file() else _main_file(path)
    if main is None:
        raise DataError(f"A folder of interactions holds a .inter file or {MAIN[0]}.csv. {path} does not. Name the file.")
    notes: list[str] = []
    sides: dict[str, pd.DataFrame] = {}
    if _is_inter(main):
        base = main.name.split(".")[0]
        frames = {split: _read_atomic(file) for split, file in _atomic_splits(main).items()}
        beside = {side: main.with_name(f"{base}.{side}") for side in SIDE_FILES}
        sides = {side: _read_atomic(file) for side, file in beside.items() if file.is_file()}
        notes += [f"{side}s: features from {beside[side].name}" for side in sides]
        return _Files(name=base, words=str(main), frames=frames, sides=sides, notes=tuple(notes))
    strings = is_id(request.columns)
    frames = by_split_column(read_table(main, notes, strings=strings))
    others = [file for file in main.parent.iterdir() if file.is_file() and file != main and file.name.lower().endswith(TABLES)]
    if path.is_dir():
        held = one_each((file for file in others if split_file(file) in SPLITS[1:]), split_file)
        frames = {**frames, **{split: read_table(file, notes, strings=strings) for split, file in held.items()}}
    for side, names in SIDE_FILES.items():
        beside = one_each((file for file in others if _stem(file) in names), _stem)
        file = next((beside[name] for name in names if name in beside), None)
        if file is not None:
            sides[side] = read_table(file, notes, strings=lambda name: strings(name) or name == "id")
            notes.append(f"{side}s: features from {file.name}")
    name = path.resolve().name if path.is_dir() else _stem(main)
    return _Files(name=name, words=str(path), frames=frames, sides=sides, notes=tuple(notes))


def _atomic_splits(main: Path) -> dict[str, Path]:
    """`name.inter` alone, or `name.train.inter` with `name.valid.inter` and `name.test.inter`, RecBole's split files."""
    if ".train." not in main.name:
        return {"train": main}
    found = {name: main.with_name(main.name.replace(".train.", f".{name}.")) for name in ("train", "valid", "test")}
    return {split_name(name) or name: file for name, file in found.items() if file.is_file()}


def _load(data: Any, request: Request) -> Raw:
    if isinstance(data, (str, os.PathLike)):
        files = _open(Path(data).expanduser(), request)
    else:
        files = _Files(name="table", words="the DataFrame", frames=by_split_column(data))
    notes = list(files.notes)
    sides = {side: _by_id(frame, side, request, files.name) for side, frame in files.sides.items()}
    splits: dict[str, Items] = {}
    found = find_roles(files.frames["train"], request, f"train of {files.name}")
    target = found.get("rating", "")
    for split in (name for name in SPLITS if name in files.frames):
        frame = files.frames[split].rename(columns=str)
        if target and target not in frame.columns:
            notes.append(f"{split} left out: it has no column {target!r}")
            continue
        rows, y = read_rows(frame, found, request, f"{split} of {files.name}", sides, notes)
        splits[split] = Items(rows, y)
        if split != "train":
            notes += unknown_to(splits["train"].x, rows, split)
    return Raw(
        name=files.name, kind="interactions", splits=splits, task="ranking", origin=files.words, notes=tuple(notes),
        target=(target,) if target else (),
    )  # fmt: skip


def _by_id(frame: pd.DataFrame, side: str, request: Request, words: str) -> pd.DataFrame:
    """A table of users or items, by their id, its title called `title`."""
    frame = frame.rename(columns=str)
    asked = {role: name for role, name in request.columns.items() if role in (side, "title") and name in frame.columns}
    found = find_columns(frame.columns, asked, (side, "title") if side == "item" else (side,), f"the {side}s of {words}")
    if side not in found:
        if "id" not in frame.columns:
            raise DataError(f"A table of {side}s has a column of their ids. That of {words} has {', '.join(frame.columns)}. Name it {side}_id.")
        found[side] = "id"
    frame = frame.assign(**{found[side]: as_ids(frame[found[side]])}).dropna(subset=[found[side]]).drop_duplicates(found[side])
    return frame.set_index(found[side]).rename(columns={found["title"]: "title"} if "title" in found else {})


SOURCES.register("interactions")(
    Source(
        order=30,
        form="for ranking, a table with columns user, item, rating or click, time; RecBole's .inter file or its folder",
        recognise=_recognise,
        load=_load,
        roles=tuple(ROLES),
    )
)
