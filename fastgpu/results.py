"""Results: predictions in the order of the items, as columns, rows, a DataFrame or a picture."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from fastgpu.errors import ArgumentError, MissingColumnError, RunFolderError

if TYPE_CHECKING:
    from pandas import DataFrame

    from fastgpu.figures import Figure

__all__ = ["FILMS", "VIDEOS", "Results", "refuse_form"]

VIDEOS = (".mp4", ".mov", ".avi", ".mkv", ".webm", ".m4v", ".mpg", ".mpeg")
FILMS = (*VIDEOS, ".gif")
"""Suffixes of files that hold one picture after the other."""

PREFIXES = {"probabilities": "p_", "shares": "share_"}
"""Column -> what stands before the classes' names in a table."""


class Results:
    """Predictions, one an item, in the order in which the items were given.

    A row is a dict: classification `{"label", "probability", "probabilities"}`, multilabel
    `{"labels", "probabilities"}`, regression `{"value"}` (or `{"values"}` for several targets), where
    `probability` is the one of the label, and `probabilities` and `values` map names to numbers. Other tasks have
    columns of their own, by the names that the task's guide gives: `boxes`, `masks`, `texts`, `sounds`, `scores`.

    Args:
        columns: name -> `n` values: a list, or an array `(n,)` or `(n, k)`.
        names: what the `k` values stand for: class names, or names of targets.
        draw: `draw(axes, i)` draws item `i`; None where the items cannot be drawn.
        title: `title(i)` is the prediction of item `i` as a short text.
        write: `write(i, path)` writes prediction `i` in the form that its kind has (a sound, a mask); None: there is none.
        table: the columns -> those of `to_frame`, where cells are no numbers or words (boxes); None: they are.
        film: `film(numbers, path)` writes items with their predictions as a film; None: they are no pictures.
        speed: items predicted a second, reading and preparing them included.
        forms: suffixes of the files that `save` writes.

    Attributes:
        columns: the columns as given.
        speed: as given.

    Example:
        >>> results = Results({"labels": ["cat"], "probabilities": np.array([[0.9, 0.1]])}, names=("cat", "dog"))
        >>> results[0]["label"], results[0]["probability"]
        ('cat', 0.9)
    """

    def __init__(
        self,
        columns: Mapping[str, Any],
        *,
        names: Sequence[str | int] = (),
        draw: Callable[[Any, int], None] | None = None,
        title: Callable[[int], str] | None = None,
        write: Callable[[int, Path], None] | None = None,
        table: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None,
        film: Callable[[Sequence[int], Path], None] | None = None,
        speed: float | None = None,
        forms: Sequence[str] = (".csv",),
    ) -> None:
        self.columns, self.speed, self._forms = dict(columns), speed, tuple(forms)
        self._names, self._draw, self._title, self._write, self._film = tuple(names), draw, title, write, film
        self._table = table

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is no attribute: the columns that a task of its own kind gives.
        if name.startswith("_") or name == "columns":
            raise AttributeError(name)
        if name not in self.columns:
            raise MissingColumnError(f"These results have no .{name}. They have: {', '.join(self.columns)}.")
        return self.columns[name]

    @property
    def labels(self) -> list[Any]:
        """The predicted class of each item; for multilabel a list of classes each."""
        return self._column("labels")

    @property
    def probabilities(self) -> np.ndarray:
        """`(n, classes)` probabilities, 0 to 1, in the order of the classes."""
        return self._column("probabilities")

    @property
    def values(self) -> np.ndarray:
        """`(n,)` predicted numbers in the target's own units, or `(n, k)` for `k` targets."""
        return self._column("values")

    def _column(self, name: str) -> Any:
        if name not in self.columns:
            raise MissingColumnError(f"These results have no .{name}. They have: {', '.join(self.columns)}.")
        return self.columns[name]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Results: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | Results:
        if isinstance(index, slice):
            return self._slice(range(len(self))[index], index)
        i = range(len(self))[index]
        row: dict[str, Any] = {}
        for name, column in self.columns.items():
            row.update(self._cell(name, column, i))
        if "label" in row and "probabilities" in row:
            row["probability"] = max(row["probabilities"].values())
        return row

    def _cell(self, name: str, column: Any, i: int) -> dict[str, Any]:
        value = column[i]
        if isinstance(column, np.ndarray) and column.ndim == 2:
            return {name: dict(zip(self._names or range(len(value)), value.tolist(), strict=True))}
        if isinstance(value, (list, dict)):
            return {name: value}
        return {_one(name): value.item() if isinstance(value, np.generic) else value}

    def _slice(self, picked: range, index: slice) -> Results:
        draw, title, write, film = self._draw, self._title, self._write, self._film
        return Results(
            {name: column[index] for name, column in self.columns.items()},
            names=self._names,
            draw=None if draw is None else lambda axes, i: draw(axes, picked[i]),
            title=None if title is None else lambda i: title(picked[i]),
            write=None if write is None else lambda i, path: write(picked[i], path),
            table=self._table,
            film=None if film is None else lambda numbers, path: film([picked[i] for i in numbers], path),
            speed=self.speed,
            forms=self._forms,
        )

    def to_frame(self) -> DataFrame:
        """A pandas DataFrame, one row an item; of boxes one row a box.

        Returns:
            Columns `label` and `probability` (of that label), then `p_<class>` for each class; or `labels`
            and `p_<class>`; or the name of each target (`value` where it has none). Of boxes `item` (its number), `label`,
            `score`, `left`, `top`, `right`, `bottom`; of masks `share_<class>`, the share of the pixels. Maps are left out.

        Raises:
            ArgumentError: the predictions are sounds, or others that no table holds.
        """
        import pandas as pd

        table: dict[str, Any] = {}
        for name, column in (self.columns if self._table is None else self._table(self.columns)).items():
            if isinstance(column, list) and any(isinstance(cell, (np.ndarray, dict)) for cell in column[:1]):
                raise ArgumentError(
                    f"A table holds numbers and words. {name} are none. Save a file an item, of their own kind: "
                    ".save('hello.wav') in Python, --out hello.wav in a shell."
                )
            if isinstance(column, np.ndarray) and column.ndim == 2:
                if name == "probabilities" and "label" in table:
                    table["probability"] = column.max(1) if len(column) else []
                prefix = PREFIXES.get(name, "" if self._names else f"{_one(name)}_")
                names = self._names or range(column.shape[1])
                table.update({f"{prefix}{n}": column[:, j] for j, n in enumerate(names)})
            elif name == "values" and len(self._names) == 1:
                table[str(self._names[0])] = column
            else:
                plural = len(column) > 0 and isinstance(column[0], (list, dict))
                table[name if plural else _one(name)] = column
        return pd.DataFrame(table)

    def save(self, path: str | os.PathLike[str]) -> list[Path]:
        """Write the predictions: as a table to a `.csv`, else one file each in the form of their kind.

        Args:
            path: a `.csv` for all; else the file of the only prediction (`hello.wav`, `mask.png`), or, for several,
                a file name to which a number is added (`mask-0.png`, `mask-1.png`); a `.gif` or a video (`.mp4`, ...) for
                pictures with their predictions drawn over them, one after the other.

        Returns:
            The files written.

        Raises:
            ArgumentError: these predictions have no such form, or the path names no file.
            RunFolderError: nothing can be written there.
        """
        path = Path(path).expanduser()
        if not path.name:
            raise ArgumentError(f"path is where the predictions are to be. {str(path)!r} came. Give a file, for example 'results.csv'.")
        refuse_form(path, self._forms)
        try:
            return self._saved(path)
        except OSError as error:
            why = "what should be its folder is a file" if isinstance(error, (FileExistsError, NotADirectoryError)) else error.strerror or error
            raise RunFolderError(f"Predictions must be written to {path}. They could not be: {why}. Choose another place.") from None

    def _saved(self, path: Path) -> list[Path]:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix.lower() == ".csv":
            self.to_frame().to_csv(path, index=False)
            return [path]
        if path.suffix.lower() in FILMS and self._film is not None:
            self._film(range(len(self)), path)
            return [path]
        write: Any = self._write  # whose suffixes are among the forms
        files = [path] if len(self) == 1 else [path.with_name(f"{path.stem}-{i}{path.suffix}") for i in range(len(self))]
        for i, file in enumerate(files):
            write(i, file)
        return files

    def plot(self, n: int = 9) -> Figure:
        """Draw the first items with their predictions; `results[20:].plot()` draws others.

        Args:
            n: how many at most.

        Returns:
            The matplotlib figure.

        Raises:
            ArgumentError: these items cannot be drawn.
        """
        if self._draw is None:
            raise ArgumentError("plot() needs items that can be drawn. These results came without. Use .to_frame() instead.")
        from fastgpu.figures import grid

        return grid(min(n, len(self)), self._draw, self._title)

    def __repr__(self) -> str:
        if not len(self):
            return "Results(no items)"
        first = [self._title(i) if self._title else str(next(iter(self[i].values()))) for i in range(min(3, len(self)))]
        return f"Results({len(self)} items: {'; '.join(first)}{'; ...' if len(self) > 3 else ''})"


def refuse_form(path: Path, forms: Sequence[str]) -> None:
    """Refuse a file in whose form predictions are not saved.

    Args:
        path: the file.
        forms: suffixes of those that are.

    Raises:
        ArgumentError: the suffix is another.
    """
    if path.suffix.lower() not in forms:
        raise ArgumentError(f"These predictions are saved as {', '.join(forms)}. {path.name!r} came. Give a file with such a suffix.")


def _one(name: str) -> str:
    """A column's name for one item: `"labels"` -> `"label"`, and `"anomalous"` as it is."""
    return name if name.endswith("us") else name.removesuffix("s")
