"""What a source has to know, and what every source needs: the names of splits, object arrays, rows in words."""

from __future__ import annotations

import collections
import dataclasses
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.data.raw import Raw
from fastgpu.data.ready import Ready
from fastgpu.errors import ArgumentError, DataError, UnknownNameError
from fastgpu.registry import Registry

__all__ = [
    "SOURCES",
    "Request",
    "Source",
    "as_path",
    "class_targets",
    "count",
    "objects",
    "one_each",
    "repeated",
    "rows",
    "split_file",
    "split_name",
    "split_names",
]

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

    def may_be_target(self, usual: Iterable[str]) -> Callable[[str], bool]:
        """Whether a column is a target by its name: one that was asked for, or a usual one."""
        return lambda name: name in self.target or name.lower() in usual

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
        roles: what `columns=` may name here; empty: nothing.
        windows: whether `window=` and `stride=` cut the items.
    """

    order: int
    form: str
    recognise: Callable[[Any, Request], bool]
    load: Callable[[Any, Request], Raw | Ready]
    names: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    windows: bool = False

    def check(self, request: Request) -> None:
        """Refuse settings that would do nothing here.

        Raises:
            ArgumentError: `columns`, `window` or `stride` came, and this source takes none.
            UnknownNameError: `columns` has a role that there is not.
        """
        for name, given, takes in (("columns", request.columns, self.roles), ("window", request.window, self.windows)):
            if given and not takes:
                raise ArgumentError(f"{name}= says how some sorts of data are read. {given!r} came with {self.form}. Leave it out.")
        for role in request.columns:
            if role not in self.roles:
                raise UnknownNameError("role in columns", role, self.roles)
        if request.stride is not None and request.window is None:
            raise ArgumentError(f"stride= goes from one window to the next. {request.stride!r} came without window=. Give both, or none.")


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


def split_names(cells: Iterable[object], words: str, first: int = 0) -> list[str] | None:
    """The splits that a column `split` says; None where that column means something else.

    Args:
        cells: what it holds.
        words: what the table is called in an error.
        first: number of the first row.

    Raises:
        DataError: most rows name a split, and one does not: it would be trained on, whatever it was held out for.
    """
    cells = list(cells)
    names = [split_name(cell) for cell in cells]
    odd = np.array([name is None for name in names], dtype=bool)
    if 2 * odd.sum() > len(odd):
        return None
    if odd.any():
        raise DataError(
            f"A column 'split' says train, val or test in every row. {words} has {cells[int(np.argmax(odd))]!r} "
            f"({rows(odd, first=first)}, from {first}). Mend or drop such rows, or call the column something else."
        )
    return [str(name) for name in names]


def split_file(file: Path) -> str | None:
    """The split that a file is called by, up to the first dot: `"val"` for `valid.csv.gz`, else None."""
    return split_name(file.name.split(".")[0])


def one_each(files: Iterable[Path], name_of: Callable[[Path], str | None]) -> dict[str, Path]:
    """What `name_of` calls a file -> the file; those that it calls None are passed over.

    Raises:
        DataError: two files are called the same: one of them would be lost.
    """
    found: dict[str, Path] = {}
    for file in sorted(files):
        name = name_of(file)
        if name in found:
            folder = file.parent
            raise DataError(f"A split or table is one file. {folder} holds both {found[name].name} and {file.name}. Join them, or remove one.")
        if name is not None:
            found[name] = file
    return found


def objects(items: Iterable[Any]) -> np.ndarray:
    """An object array `(n,)`, whatever the items are."""
    items = list(items)
    array = np.empty(len(items), dtype=object)
    for i, item in enumerate(items):  # an assignment of the whole list would unpack items that are arrays
        array[i] = item
    return array


def rows(mask: np.ndarray, most: int = 3, first: int = 0) -> str:
    """The first true places of a mask in words, numbered from `first`: `"rows 0, 4, 7 and 2 more"`."""
    at = np.flatnonzero(mask) + first
    more = f" and {len(at) - most} more" if len(at) > most else ""
    return f"row{'s' if len(at) > 1 else ''} {', '.join(map(str, at[:most]))}{more}"


def repeated(values: Iterable[Any]) -> list[Any]:
    """Those that come more than once."""
    return [value for value, times in collections.Counter(values).items() if times > 1]


def count(number: int, thing: str) -> str:
    """`"1 file"`, `"1,797 files"`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def class_targets(codes: Any, classes: tuple[str, ...] | None) -> np.ndarray:
    """Class numbers `(n,)` -> class names where there are any, else the numbers as int64."""
    codes = np.asarray(codes, dtype=np.int64).reshape(-1)
    return codes if classes is None else np.asarray(classes)[codes]
