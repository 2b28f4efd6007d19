"""What a source has to know, and what every source needs: the names of splits, object arrays, rows in words."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.data.raw import Raw
from fastgpu.data.ready import Ready
from fastgpu.errors import ArgumentError
from fastgpu.registry import Registry

__all__ = ["SOURCES", "Request", "Source", "as_path", "class_targets", "count", "objects", "rows", "split_name"]

_SPLITS = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """What the user asked for beside the data; `fastgpu.data.sources.load` says what each means."""

    target: tuple[str, ...] = ()
    task: str | None = None
    kinds: tuple[str, ...] = ()
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    window: int | None = None
    stride: int | None = None
    image_size: tuple[int, int] | None = None
    on_bad_item: str = "raise"
    data_dir: Path | None = None

    def wants(self, kind: str) -> bool:
        """Whether the architecture takes only items of this kind: a table is then read as such."""
        return self.kinds == (kind,)

    @property
    def skip(self) -> bool:
        """Whether bad items are left out."""
        return self.on_bad_item == "skip"

    def refuse_target(self, form: str) -> None:
        """Say that `target` means nothing for this form of data, where it was given."""
        if self.target:
            came = ", ".join(map(repr, self.target))
            raise ArgumentError(
                f"target names a column of a table. {came} came with {form}, which brings its own. Leave target out."
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Source:
    """One form in which data come.

    Args:
        order: sources are asked in ascending order, and the first that recognises the data takes them.
        form: the form in words, for the error that lists all of them.
        recognise: whether data have this form, for what was asked; cheap, and without the network.
        load: data and request -> `Raw` items, or `Ready` data sets.
        names: names that this source answers, for nearest-name errors.
    """

    order: int
    form: str
    recognise: Callable[[Any, Request], bool]
    load: Callable[[Any, Request], Raw | Ready]
    names: tuple[str, ...] = ()


SOURCES: Registry[Source] = Registry("data source", "fastgpu.data.sources")


def as_path(data: Any) -> Path | None:
    """The file or folder that a string or path leads to, None where it leads nowhere."""
    if not isinstance(data, (str, os.PathLike)) or not str(data).strip():
        return None
    path = Path(data).expanduser()
    try:
        return path if path.exists() else None
    except (OSError, ValueError):  # too long for a path, or with a null character
        return None


def split_name(text: object) -> str | None:
    """`"train"`, `"val"` or `"test"` for any usual name of that split, else None."""
    return _SPLITS.get(str(text).strip().lower())


def objects(items: Iterable[Any]) -> np.ndarray:
    """An object array `(n,)`, whatever the items are."""
    items = list(items)
    array = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):  # an assignment of the whole list would unpack items that are arrays
        array[i] = item
    return array


def rows(mask: np.ndarray, most: int = 3) -> str:
    """The first true places of a mask in words: `"rows 0, 4, 7 and 2 more"`."""
    at = np.flatnonzero(mask)
    more = f" and {len(at) - most} more" if len(at) > most else ""
    return f"row{'s' if len(at) > 1 else ''} {', '.join(map(str, at[:most]))}{more}"


def count(number: int, thing: str) -> str:
    """`"1 file"`, `"1,797 files"`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def class_targets(codes: Any, classes: tuple[str, ...] | None) -> np.ndarray:
    """Class numbers `(n,)` -> class names where there are any, else the numbers as int64."""
    codes = np.asarray(codes, dtype=np.int64).reshape(-1)
    return codes if classes is None else np.asarray(classes)[codes]
