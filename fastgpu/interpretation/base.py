"""Interpretation: what every task's has; the worst items, and the metrics of parts of the data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastgpu.errors import ArgumentError, MissingColumnError, nearest

if TYPE_CHECKING:
    from pandas import DataFrame

    from fastgpu.figures import Figure
    from fastgpu.interpretation.items import SeenItems

__all__ = ["Interpretation"]

Judge = Callable[[np.ndarray], dict[str, float]]
"""Positions `(m,)` of items -> the learner's metrics of those items alone."""

PARTS = 4
"""Slices that a column of many different numbers is cut into, of about as many items each."""


class Interpretation(ABC):
    """Predictions beside the truth, item by item: made by `learn.interpret()`.

    Each task has methods of its own; all have these. Item `i` is the position in the arrays, which is also the index of the
    DataFrame that `top_losses` gives; `numbers[i]` is the item's number in its split.

    Attributes:
        targets: `(n,)` class numbers, `(n, labels)` 0 and 1, or `(n, k)` numbers in their own units.
        losses: `(n,)` loss of each item; None where the network computes one loss for a whole batch.
        class_names: classes in the order of the network's outputs; empty for a regression.
        items: the items, `SeenItems`, to draw them or take them plain.
        numbers: `(n,)` the number of each item in its split.
        total: how many items the split has; more than `len()` where only a part was looked at.
        split: name of the split; empty for data that were given.
    """

    task: ClassVar[str]
    """The task that is interpreted."""

    def __init__(
        self,
        *,
        names: Sequence[str | int],
        targets: np.ndarray,
        outputs: np.ndarray,
        losses: np.ndarray | None,
        items: SeenItems,
        judge: Judge,
        total: int,
        split: str = "",
    ) -> None:
        self.names, self.targets, self._outputs, self.losses = tuple(names), targets, outputs, losses
        self.items, self.numbers, self._judge = items, items.numbers, judge
        self.total, self.split = total, split

    def __len__(self) -> int:
        return len(self.targets)

    def __getattr__(self, name: str) -> Any:
        # Only asked for what is no attribute: a table that another task has, or a misspelt one.
        if name.startswith("_"):
            raise AttributeError(name)
        has = [each for each in dir(type(self)) if not each.startswith("_")]
        near = nearest(name, has)
        advice = f"Did you mean {' or '.join(map(repr, near))}?" if near else f"It has: {', '.join(has)}."
        raise MissingColumnError(f"The interpretation of a {self.task} has no {name!r}. {advice}")

    def __repr__(self) -> str:
        part = f" of {self.total:,}" if self.total > len(self) else ""
        return f"{type(self).__name__}({len(self):,}{part} items{f' of {self.split}' if self.split else ''})"

    @property
    def class_names(self) -> tuple[str | int, ...]:
        """Classes in the order of the network's outputs; empty where there are none."""
        return ()

    @abstractmethod
    def truth(self, i: int) -> Any:
        """The truth of item `i`: a class, labels as one text, a number."""

    @abstractmethod
    def predicted(self, i: int) -> Any:
        """The prediction for item `i`, in the form of `truth`."""

    def draw(self, axes: Any, i: int) -> None:
        """Draw item `i` into matplotlib axes."""
        self.items.draw(axes, i)

    def title(self, i: int) -> str:
        """Prediction and truth of item `i` as a short text."""
        return f"{self.predicted(i)}\ntruth {self.truth(i)}"

    def plot_results(self, n: int = 9) -> Figure:
        """Draw the first `n` items with prediction and truth."""
        from fastgpu.figures import grid

        shown = range(min(_count("n", n), len(self)))
        self.items.hold(shown)
        return grid(len(shown), self.draw, self.title)

    # The worst items

    def top_losses(self, k: int = 9) -> DataFrame:
        """The items with the largest loss, largest first.

        Args:
            k: how many at most.

        Returns:
            Columns `item` (its number in the split), `loss`, `truth`, `predicted`, and `probability` of what was predicted, for
            classes; the index is the position in the arrays.

        Raises:
            ArgumentError: the network computes its loss itself, one for a whole batch.
        """
        import pandas as pd

        worst = self._worst(k)
        frame = {"item": self.numbers[worst], "loss": self._loss()[worst]}
        frame |= {"truth": [self.truth(i) for i in worst], "predicted": [self.predicted(i) for i in worst]}
        return pd.DataFrame(frame | self._further(worst), index=worst)

    def plot_top_losses(self, k: int = 9) -> Figure:
        """Draw the `k` items with the largest loss, with prediction, truth and loss."""
        from fastgpu.figures import grid

        worst = self._worst(k)
        losses = self._loss()
        self.items.hold(worst)
        return grid(len(worst), lambda axes, n: self.draw(axes, worst[n]), lambda n: f"{self.title(worst[n])}, loss {losses[worst[n]]:.3g}")

    def _further(self, index: list[int]) -> dict[str, Any]:
        """Further columns of `top_losses`."""
        return {}

    def _loss(self) -> np.ndarray:
        if self.losses is None:
            raise ArgumentError("top_losses needs a loss for each item. This network computes one for a whole batch. Use per_slice instead.")
        return self.losses

    def _worst(self, k: int) -> list[int]:
        return np.argsort(-self._loss(), kind="stable")[: _count("k", k)].tolist()

    # Parts of the data

    def per_slice(self, by: str | Sequence[Any]) -> DataFrame:
        """The learner's metrics for each value of a column, to find the parts of the data on which a network is weak.

        Args:
            by: name of a column of a table, or one value an item, in the order of the items. More than ten different numbers
                are cut into four ranges that hold about as many items each.

        Returns:
            One row a value: `count`, `loss` where items have one, and the learner's metrics. Items without a value (None, NaN) have a
            row of their own, NaN.

        Raises:
            ArgumentError: there is no such column, or there are not as many values as items.
        """
        import pandas as pd

        if not isinstance(by, Iterable):
            raise ArgumentError(f"per_slice takes the name of a column, or one value an item. {by!r} came. Give a list of as many values as items.")
        values = pd.Series(self.items.column(by) if isinstance(by, str) else list(by))
        if len(values) != len(self):
            raise ArgumentError(f"per_slice takes one value an item, {len(self):,} here. {len(values):,} came. Give as many.")
        if pd.api.types.is_numeric_dtype(values) and values.nunique() > 10:
            values = pd.Series(pd.qcut(values, PARTS, duplicates="drop"))
        groups = values.groupby(values, observed=True, dropna=False).groups
        rows = {value: self._judged(index.to_numpy()) for value, index in groups.items()}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis(by if isinstance(by, str) else "slice")

    def _judged(self, index: np.ndarray) -> dict[str, float]:
        loss = {} if self.losses is None else {"loss": float(self.losses[index].mean())}
        return {"count": len(index), **loss, **self._judge(index)}


def _count(name: str, given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise ArgumentError(f"{name} is how many items, at least 1. {given!r} came.")
    return given
