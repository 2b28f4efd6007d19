"""DataFrames by split -> raw items: which column is the target, and what the other columns are."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgpu.data.raw import SPLITS, Items, Raw
from fastgpu.data.sources.base import Request, count, objects, rows, split_names
from fastgpu.data.sources.pictures import are_pictures
from fastgpu.data.sources.targets import as_targets, as_texts, incomplete
from fastgpu.errors import DataError, nearest
from fastgpu.reading.shell import TEXT_NAMES

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Origin", "by_split_column", "read_frames"]

TARGET_NAMES = ("target", "label", "class", "y")
PATH_NAMES = ("path", "file", "filename", "file_name", "filepath", "image", "image_path", "picture", "photo")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """Where frames come from, and what their source knows beside their cells.

    Args:
        name: short name for the run folder.
        words: where the data come from, for people.
        base: folder that relative paths of pictures start from; None: the current one.
        classes: column -> its class names in order, where the source knows them.
        pictures: split -> object array of pictures, where a source keeps them outside the frame.
        notes: what was decided before.
    """

    name: str
    words: str
    base: Path | None = None
    classes: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    pictures: Mapping[str, np.ndarray] | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Layout:
    """What the columns are: the input kind, the column that holds it where it is one, all input columns, the targets."""

    kind: str
    column: str
    used: tuple[str, ...]
    targets: tuple[str, ...]


def by_split_column(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """A frame with a column `split` of train, val and test -> its parts; any other is all `train`.

    Raises:
        DataError: that column has an odd cell among the names of splits.
    """
    names = split_names(frame["split"], "The table") if "split" in frame.columns else None
    if names is None or "train" not in names:
        return {"train": frame}
    held = np.asarray(names)
    return {name: frame.drop(columns="split").loc[held == name] for name in SPLITS if name in names}


def read_frames(frames: Mapping[str, pd.DataFrame], request: Request, origin: Origin) -> Raw:
    """Find target and input columns in the training frame, and read all splits by them.

    Args:
        frames: split -> rows; `train` must be there.
        request: what the user asked for: `target`, `on_bad_item`.
        origin: where the frames come from.

    Raises:
        DataError: no or several candidates for the target, a target or text that is missing, pictures that are not there.
    """
    notes = list(origin.notes)
    frames = {split: _named(frame) for split, frame in frames.items()}
    train = frames["train"]
    if not len(train):
        raise DataError(f"Data must have rows. {origin.words} has none. Check the file.")
    targets = _target_columns(train, request.target, origin.words)
    inputs = _input_columns(train, targets, notes)
    kind, column = _kind(train, inputs, origin, notes)
    layout = _Layout(
        kind=kind, column=column, used=(column,) if column else tuple(inputs) if kind == "table" else (), targets=targets
    )
    splits: dict[str, Items] = {}
    for split, frame in frames.items():
        items = _read(frame, split, layout, request, origin, notes)
        if items is not None:
            splits[split] = items
    y, known = splits["train"].y, origin.classes.get(targets[0])
    several = len(targets) > 1
    multilabel = several and y is not None and bool(np.all(np.isin(y, (0, 1))))
    return Raw(
        name=origin.name,
        kind=kind,
        splits={split: splits[split] for split in SPLITS if split in splits},
        classes=targets if multilabel else None if several else known,
        task="multilabel" if multilabel else "regression" if several else None,
        origin=origin.words,
        notes=tuple(notes),
        target=targets,
    )


def _named(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with strings for column names, and rows numbered from 0."""
    frame = frame.rename(columns=str).reset_index(drop=True)
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DataError(f"Column names must differ. {twice[0]!r} is there more than once. Rename one of them.")
    return frame


def _target_columns(frame: pd.DataFrame, asked: tuple[str, ...], words: str) -> tuple[str, ...]:
    columns = list(frame.columns)
    listed = ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")
    if asked:
        for name in asked:
            if name not in columns:
                near = nearest(name, columns)
                advice = f"Did you mean {' or '.join(map(repr, near))}?" if near else "Name one of them."
                raise DataError(f"target must name a column of {words}. {name!r} came; the columns are {listed}. {advice}")
        return asked
    found = [c for c in columns if c.lower() in TARGET_NAMES]
    if len(found) != 1:
        came = f"{' and '.join(found)} both could be" if found else f"None of {', '.join(TARGET_NAMES)} is there"
        raise DataError(f"A table needs one target column. {came}; the columns are {listed}. Say which with target=.")
    return tuple(found)


def _input_columns(frame: pd.DataFrame, targets: tuple[str, ...], notes: list[str]) -> list[str]:
    inputs = [c for c in frame.columns if c not in targets]
    for column in [c for c in inputs if c.startswith("Unnamed: ")]:  # what pandas calls the row numbers of a saved frame
        if (frame[column].to_numpy() == np.arange(len(frame))).all():
            inputs.remove(column)
            notes.append(f"column {column!r} left out: it numbers the rows")
    return inputs


def _kind(frame: pd.DataFrame, inputs: list[str], origin: Origin, notes: list[str]) -> tuple[str, str]:
    """The input kind, and the column that holds it where it is a single one."""
    if origin.pictures is not None:
        return "image", ""
    if not inputs:
        raise DataError(f"A table needs input columns beside its target. {origin.words} has none. Add them.")
    strings = [c for c in inputs if _is_strings(frame[c])]
    found = _picture_column(frame, inputs, strings)
    if found is None:
        kind, found = "text", _text_column(frame, inputs, strings)
    else:
        kind = "image"
    if found is None:
        prose = [c for c in strings if _words(frame[c]) >= 3]
        if prose:
            notes.append(f"columns of prose taken as categories: {', '.join(prose)}; for text keep one of them beside the target")
        return "table", ""
    others = [c for c in inputs if c != found]
    also = f"; not used: {', '.join(others)}" if others else ""
    notes.append(f"input: column {found!r} as {'paths of pictures' if kind == 'image' else 'text'}{also}")
    return kind, found


def _is_strings(column: Any) -> bool:
    import pandas as pd

    return pd.api.types.infer_dtype(column, skipna=True) == "string"


def _picture_column(frame: pd.DataFrame, inputs: list[str], strings: list[str]) -> str | None:
    for column in strings:
        if (len(inputs) == 1 or column.lower() in PATH_NAMES) and are_pictures(frame[column].dropna().tolist()):
            return column
    return None


def _text_column(frame: pd.DataFrame, inputs: list[str], strings: list[str]) -> str | None:
    """A column of prose: the only one, or one with a usual name; short repeated strings are categories."""
    for column in strings:
        if len(inputs) > 1 and column.lower() not in TEXT_NAMES:
            continue
        words, named = _words(frame[column]), column.lower() in TEXT_NAMES
        varied = len(set(frame[column].tolist())) > len(frame) / 2
        if words >= 3 or (len(inputs) == 1 and (named or (words > 1 and varied))):
            return column
    return None


def _words(column: Any) -> float:
    """Words in a cell of strings on average."""
    cells = column.dropna().astype(str)
    return float(cells.str.count(r"\s+").to_numpy().mean()) + 1 if len(cells) else 0.0


def _read(frame: pd.DataFrame, split: str, layout: _Layout, request: Request, origin: Origin, notes: list[str]) -> Items | None:
    """The items of one split; None for a split without any target."""
    targets, column, kind = layout.targets, layout.column, layout.kind
    lacking = [c for c in (*targets, *layout.used) if c not in frame.columns]
    if lacking and set(lacking) <= set(targets) and split == "test":
        notes.append(f"test left out: it has no column {', '.join(lacking)}")
        return None
    if lacking:
        raise DataError(f"All splits must have the same columns. {split} lacks {', '.join(lacking)}. Add them.")
    y = _targets(frame, targets, split)
    bad = incomplete(y)
    if split != "train" and bad.all():
        notes.append(f"{split} left out: none of its {len(bad):,} rows has a target")
        return None
    if not request.skip:
        _refuse(bad, f"a target in {_of(targets, split)}")
    if column:
        no_input = np.asarray(frame[column].isna(), dtype=bool)
        if kind == "text":
            no_input = no_input | np.asarray(frame[column].astype(str).str.strip().eq(""), dtype=bool)
        if not request.skip:
            _refuse(no_input, f"a {'picture' if kind == 'image' else kind} in {_of((column,), split)}")
        bad = bad | no_input
    if bad.any():
        notes.append(f"{count(int(bad.sum()), 'row')} of {split} left out, without target or {kind}: {rows(bad)} (from 0)")
    keep = np.flatnonzero(~bad)
    if not len(keep):
        raise DataError(f"Data must have rows with targets. {split} of {origin.words} has none. Check the column {targets[0]!r}.")
    x = _inputs(frame.iloc[keep], split, layout, origin, keep)
    y = y[keep]
    return Items(x, y.astype(str) if y.dtype == object and isinstance(y[0], str) else y)


def _refuse(bad: np.ndarray, what: str) -> None:
    if bad.any():
        raise DataError(
            f"Every row must have {what}. {bad.sum():,} of {len(bad):,} have none: {rows(bad)} (from 0). "
            "Fill or drop them, or leave them out with on_bad_item='skip'."
        )


def _targets(frame: pd.DataFrame, targets: tuple[str, ...], split: str) -> np.ndarray:
    if len(targets) == 1:
        return as_targets(frame[targets[0]], _of(targets, split))
    columns = [as_targets(frame[name], _of((name,), split)) for name in targets]
    for name, values in zip(targets, columns, strict=True):
        if values.dtype.kind not in "biuf":
            raise DataError(
                f"Several target columns hold 0 and 1 (multilabel) or numbers. {name!r} holds names. Name one column."
            )
    return np.stack(columns, 1)


def _inputs(frame: pd.DataFrame, split: str, layout: _Layout, origin: Origin, keep: np.ndarray) -> Any:
    if origin.pictures is not None:
        return origin.pictures[split][keep]
    if layout.kind == "text":
        return as_texts(frame[layout.column], _of((layout.column,), split))
    if layout.kind == "image":
        return _paths(frame[layout.column], layout.column, origin.base)
    return frame[list(layout.used)].reset_index(drop=True)


def _paths(cells: Any, column: str, base: Path | None) -> np.ndarray:
    """Paths as they can be opened: relative ones start from the table's folder, else from the current one."""
    names = cells.astype(str).tolist()
    for root in [str(base)] * (base is not None) + [""]:
        if any(os.path.isfile(os.path.join(root, name)) for name in names[:100]):
            return objects(os.path.join(root, name) for name in names)
    raise DataError(
        f"A column of pictures names files that are there. None of the first {min(100, len(names))} in column {column!r} is, "
        f"for example {names[0]}. Paths start from {base or 'the current folder'}."
    )


def _of(targets: tuple[str, ...], split: str) -> str:
    return f"column{'s' if len(targets) > 1 else ''} {', '.join(map(repr, targets))} of {split}"
