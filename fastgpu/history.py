"""History: what each epoch gave, as rows of plain numbers."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pandas import DataFrame

    from fastgpu.figures import Figure

__all__ = ["History"]

BOOKKEEPING = ("epoch", "seconds")


class History:
    """One row an epoch: `epoch` (counted from 1), losses, metrics, `lr` and `seconds`.

    Attributes:
        rows: the rows, oldest first.
        interrupted: whether the training that wrote the last row was stopped by hand.

    Example:
        >>> history = History([{"epoch": 1, "loss": 0.5, "val_loss": 0.6, "seconds": 2.0}])
        >>> history.history
        {'loss': [0.5], 'val_loss': [0.6]}
        >>> len(history), history["loss"]
        (1, [0.5])
    """

    def __init__(self, rows: list[dict[str, float]] | None = None) -> None:
        self.rows: list[dict[str, float]] = list(rows or [])
        self.interrupted = False

    @property
    def history(self) -> dict[str, list[float]]:
        """Keras's shape: key -> one value an epoch; NaN where an epoch has no such value."""
        return {key: self[key] for key in self.keys() if key not in BOOKKEEPING}

    @property
    def epoch(self) -> list[int]:
        """The epochs' numbers, counted from 1 over all fits."""
        return [int(row["epoch"]) for row in self.rows]

    def keys(self) -> list[str]:
        """Every key that some row has, in the order of first appearance."""
        return list(dict.fromkeys(key for row in self.rows for key in row))

    def __getitem__(self, key: str) -> list[float]:
        if key not in self.keys():
            raise KeyError(f"The history has no {key!r}. It has: {', '.join(self.keys()) or 'no epoch yet'}.")
        return [row.get(key, float("nan")) for row in self.rows]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.rows)

    def __repr__(self) -> str:
        if not self.rows:
            return "History(no epoch yet)"
        last = ", ".join(f"{k} {v:.4g}" for k, v in self.rows[-1].items() if k not in BOOKKEEPING)
        return f"History({len(self)} epoch{'s' * (len(self) != 1)}; last: {last})"

    def append(self, row: Mapping[str, float]) -> None:
        """Add one epoch's row."""
        self.rows.append(dict(row))

    def since(self, epoch: int) -> History:
        """The rows after epoch number `epoch`."""
        part = History([row for row in self.rows if row["epoch"] > epoch])
        part.interrupted = self.interrupted
        return part

    def best(self, key: str, *, higher_is_better: bool, after: int = 0) -> dict[str, float] | None:
        """The row with the best value of `key`, of equals the one with the lowest `val_loss`; None where there is none.

        Args:
            key: a key of the history.
            higher_is_better: its direction.
            after: number of the epoch after which rows count.
        """
        rows = [row for row in self.rows if row["epoch"] > after and row.get(key, math.nan) == row.get(key)]
        sign = -1 if higher_is_better else 1
        return min(rows, key=lambda row: (sign * row[key], row.get("val_loss", 0.0)), default=None)

    def to_frame(self) -> DataFrame:
        """The rows as a DataFrame."""
        import pandas

        return pandas.DataFrame(self.rows, columns=self.keys())

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the rows as CSV; the file is replaced in one step, so a reader never sees half of it."""
        path = Path(path)
        partial = path.with_name(path.name + ".partial")
        with partial.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=self.keys())
            writer.writeheader()
            writer.writerows(self.rows)
        os.replace(partial, path)

    def plot(self) -> Figure:
        """Curves over the epochs: losses on the left, one further panel for each metric."""
        from matplotlib.ticker import MaxNLocator

        from fastgpu.figures import Figure

        names = [k for k in self.keys() if k not in (*BOOKKEEPING, "lr") and not k.startswith("val_")]
        names += [k[4:] for k in self.keys() if k.startswith("val_") and k[4:] not in names]
        # Margins by hand: a layout engine draws every label twice, 0.3 s at the end of each fit.
        figure = Figure(figsize=(5 * max(1, len(names)), 3.6))
        figure.subplots_adjust(left=0.14 / max(1, len(names)) + 0.01, right=0.98, bottom=0.15, top=0.9, wspace=0.2)
        panels: Any = figure.subplots(1, max(1, len(names)), squeeze=False)[0]
        for axes, name in zip(panels, names):
            for key, label, style in ((name, "training", "--"), (f"val_{name}", "validation", "-")):
                if key in self.keys():
                    axes.plot(self.epoch, self[key], style, marker="o", markersize=3, label=label)
            axes.set(title=name.replace("_", " "), xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
            axes.legend()
        return figure
