"""What is taken for what: counted pairs, and the heat map of a table of counts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastgpu.errors import ArgumentError

if TYPE_CHECKING:
    from pandas import DataFrame

    from fastgpu.figures import Figure

__all__ = ["confused", "heat_map"]

MOST_NUMBERS = 20
"""Rows up to which each cell shows its number."""

MOST_NAMES = 60
"""Rows up to which each row shows its name."""


def confused(truth: Sequence[Any], predicted: Sequence[Any], min_count: int) -> DataFrame:
    """Pairs of wrong answers with how often they came, most often first."""
    import pandas as pd

    if not isinstance(min_count, int) or isinstance(min_count, bool) or min_count < 1:
        raise ArgumentError(f"min_count is a whole number, at least 1. {min_count!r} came.")
    pairs = [(*pair, count) for pair, count in Counter(zip(truth, predicted)).most_common() if count >= min_count]
    return pd.DataFrame(pairs, columns=["truth", "predicted", "count"])


def heat_map(counts: DataFrame) -> Figure:
    """Counts as a picture: colours are shares of the row, numbers the counts."""
    from fastgpu.figures import Figure, literal

    table = counts.to_numpy()
    shares = table / table.sum(1, keepdims=True).clip(1)
    rows, columns = table.shape
    figure = Figure(figsize=(2.4 + 0.42 * min(columns, 24), 1.8 + 0.42 * min(rows, 24)), layout="constrained")
    axes: Any = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    if rows <= MOST_NAMES:
        long = max(len(str(name)) for name in counts.columns) > 3
        axes.set_xticks(range(columns), [literal(name, 18) for name in counts.columns], rotation=90 if long else 0, fontsize=8)
        axes.set_yticks(range(rows), [literal(name, 18) for name in counts.index], fontsize=8)
    if rows <= MOST_NUMBERS:
        for (row, column), share in ((at, shares[at]) for at in zip(*table.nonzero())):
            colour = "white" if share > 0.5 else "black"
            axes.text(column, row, f"{table[row, column]}", ha="center", va="center", fontsize=7, color=colour)
    axes.set(xlabel=counts.columns.name or "", ylabel=counts.index.name or "")
    return figure
