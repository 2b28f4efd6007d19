"""Interpreting: from a learner and data to the task's `Interpretation`."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from fastgpu.data.columns import PartColumns
from fastgpu.data.split import ColumnSplit, LoaderSplit
from fastgpu.errors import ArgumentError
from fastgpu.interpretation import KINDS, Interpretation, SeenItems
from fastgpu.judging import split_to_judge
from fastgpu.one_pass import pass_over
from fastgpu.train.module import TaskModule
from fastgpu.train.preflight import check_batch
from fastgpu.train.reproducible import own_randomness

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["interpret"]


def interpret(learner: Learner, data: Any = None, most: int | None = None) -> Interpretation:
    """Predictions beside the truth; see `Learner.interpret`.

    Args:
        most: about how many items are looked at, spread over the split where it can be; None: all.
    """
    task = learner.data.task
    if task.name not in KINDS:
        raise ArgumentError(
            f"interpret() knows {', '.join(KINDS)}. The task is {task.name}. Use evaluate() for its metrics and show_results() to see it."
        )
    learner.refuse_missing()
    split: Any = split_to_judge(learner, data)
    module = learner.task_module()
    total, numbers = len(split), None
    if isinstance(split, LoaderSplit):
        with own_randomness(0):
            split, numbers = split.steady(most)
    check_batch(module, split.head(2))
    if most is not None and isinstance(split, ColumnSplit) and total > most:
        part = torch.linspace(0, total - 1, most, dtype=torch.float64).round().long()
        y = None if split.y is None else PartColumns(split.y, part)
        split, numbers = ColumnSplit(PartColumns(split.x, part), y), part.numpy()
    seen = pass_over(learner, module, split, most)
    predictions, y, losses = seen["predictions"], seen["y"], seen["losses"]
    n = len(y["target"])
    columns = split.x if isinstance(split, ColumnSplit) else split.items(seen["marks"] if numbers is None else None)
    items = SeenItems(learner.data.input, columns, numbers if numbers is not None and numbers.shape == (n,) else np.arange(n))
    name = next((name for name, each in learner.data.splits.items() if data is None and each is learner.data.judged()), "")
    return KINDS[task.name](
        names=task.names,
        items=items,
        losses=None if losses is None else losses.double().numpy(),
        judge=lambda index: _judged(module, predictions, y, torch.tensor(index)),
        total=max(total, n),
        split=data if isinstance(data, str) and data in learner.data.splits else name,
        **_sides(task, predictions, y),
    )


def _sides(task: Any, predictions: dict[str, Tensor], y: dict[str, Tensor]) -> dict[str, Any]:
    """Truth and predictions as arrays, in the form that the task's interpretation takes."""
    if task.name == "regression":
        truth = np.asarray(task.truth(y)["values"], dtype=np.float64)
        return {"targets": truth.reshape(len(truth), -1), "outputs": predictions["values"].double().numpy()}
    given = {"threshold": task.threshold} if task.name == "multilabel" else {}
    return {"targets": y["target"].long().numpy(), "outputs": predictions["probabilities"].float().numpy(), **given}


def _judged(module: TaskModule, predictions: dict[str, Any], y: dict[str, Any], index: Tensor) -> dict[str, float]:
    """The learner's metrics of some items."""
    metrics: dict[str, Any] = {name: copy.deepcopy(metric).cpu() for name, metric in module.val_metrics.items()}
    for metric in metrics.values():
        metric.sync_on_compute = False  # other processes may be doing something else
        metric.reset()
    module.task.judge(metrics, *({k: v[index] for k, v in part.items()} for part in (predictions, y)))
    values = {name: metric.compute() for name, metric in metrics.items()}
    return {name: float(value) for name, value in values.items() if isinstance(value, Tensor) and value.numel() == 1}
