"""Looking: items and results as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from fastgpu.data.columns import Columns, PartColumns, TensorColumns
from fastgpu.data.split import ColumnSplit, Split
from fastgpu.errors import ArgumentError
from fastgpu.one_pass import predict_batch

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastgpu.learner import Learner

__all__ = ["show_batch", "show_results"]


def show_batch(learner: Learner, n: int) -> Figure:
    """Training items with their targets; see `Learner.show_batch`."""
    from fastgpu.figures import grid

    x, y, n = _some(learner.data.split("train"), n)
    task = learner.data.task
    truth = task.truth(y)

    def draw(axes: Any, i: int) -> None:
        learner.data.input.draw(axes, x, i)
        task.draw(axes, truth, i)

    return grid(n, draw, lambda i: task.title(truth, i))


def show_results(learner: Learner, n: int, split: str | None) -> Figure:
    """Items with prediction and truth; see `Learner.show_results`."""
    from fastgpu.figures import grid

    task = learner.data.task
    x, y, n = _some(learner.data.judged() if split is None else learner.data.split(split), n)
    predicted, truth = task.columns(predict_batch(learner, x.gather(torch.arange(n)))), task.truth(y)

    def draw(axes: Any, i: int) -> None:
        learner.data.input.draw(axes, x, i)
        task.draw(axes, predicted, i)

    return grid(n, draw, lambda i: f"{task.title(predicted, i)}\ntruth {task.title(truth, i)}")


def _some(split: Split, n: int) -> tuple[Columns, dict[str, Any], int]:
    if not isinstance(n, int) or n < 1:
        raise ArgumentError(f"n is how many items to draw, at least 1. {n!r} came.")
    batch = split.head(n)
    # Drawn as a batch of their own: texts then show their padding.
    x = split.x if isinstance(split, ColumnSplit) else TensorColumns(batch["x"])
    return PartColumns(x, torch.arange(batch["n"])), batch["y"], batch["n"]
