"""Interpreting: one pass over a split, item by item, without Lightning: it also runs on the first of several processes alone."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu.compress.measure import evaluating
from fastgpu.data.columns import PartColumns
from fastgpu.data.loaders import like
from fastgpu.data.split import ColumnSplit, Split
from fastgpu.errors import ArgumentError, DataError
from fastgpu.interpretation import KINDS, Interpretation, SeenItems
from fastgpu.judging import in_order, split_to_judge
from fastgpu.tasks.base import joined
from fastgpu.train.module import TaskModule
from fastgpu.train.preflight import check_batch
from fastgpu.train.reproducible import own_randomness

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["interpret", "pass_over"]


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
    check_batch(module, split.head(2))
    total, numbers = len(split), None
    if most is not None and isinstance(split, ColumnSplit) and total > most:
        numbers = torch.linspace(0, total - 1, most, dtype=torch.float64).round().long()
        y = None if split.y is None else PartColumns(split.y, numbers)
        split = ColumnSplit(PartColumns(split.x, numbers), y)
    seen = pass_over(learner, module, split, most)
    predictions, y, losses = seen["predictions"], seen["y"], seen["losses"]
    n = len(y["target"])
    columns = split.x if isinstance(split, ColumnSplit) else split.items()
    items = SeenItems(learner.data.input, columns, np.arange(n) if numbers is None else numbers.numpy())
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
    metrics = {name: copy.deepcopy(metric).cpu() for name, metric in module.val_metrics.items()}
    for metric in metrics.values():
        metric.sync_on_compute = False  # other processes may be doing something else
        metric.reset()
    module.task.judge(metrics, *({k: v[index] for k, v in part.items()} for part in (predictions, y)))
    values = {name: metric.compute() for name, metric in metrics.items()}
    return {name: float(value) for name, value in values.items() if isinstance(value, Tensor) and value.numel() == 1}


def pass_over(learner: Learner, module: TaskModule, split: Split, most: int | None = None) -> dict[str, Any]:
    """Predictions, encoded targets and the loss of each item of a split, on the CPU, in the order of the items.

    Args:
        most: items after which no further batch is asked for; None: all.

    Returns:
        `"predictions"` and `"y"`, name -> tensor or list; `"losses"` `(n,)`, None where the network computes one for a batch.
    """
    loader = split.loader(learner.data.batch_size, shuffle=False, seed=0, epoch=lambda: 0, rank=0, world=1)
    parts, count = [], 0
    with _on_device(learner, module) as weight, own_randomness(), torch.inference_mode(), evaluating(module):
        for batch in loader:
            parts.append(_looked_at(module, batch, weight))
            count += batch["n"]
            if most is not None and count >= most:
                break
    if not parts:
        raise DataError("Interpreting needs items. The split has none.")
    whole: dict[str, Any] = {key: in_order(split, joined([part[key] for part in parts])) for key in ("predictions", "y")}
    losses = [part["losses"] for part in parts]
    whole["losses"] = None if losses[0] is None else in_order(split, joined([{"loss": each} for each in losses]))["loss"]
    return whole


def _looked_at(module: TaskModule, batch: Any, weight: Tensor) -> dict[str, Any]:
    x, y = ({k: v.to(weight.device) if isinstance(v, Tensor) else v for k, v in batch[part].items()} for part in ("x", "y"))
    x, losses = like(module.preparation(x), weight), _ItemLosses(module.loss)
    out, _ = module.task.step(module.model, x, y, losses)
    return {"predictions": module.task.predict(module.model, x, out), "y": batch["y"], "losses": losses.of(batch["n"])}


@contextlib.contextmanager
def _on_device(learner: Learner, module: TaskModule) -> Iterator[Tensor]:
    """The network where it trains, in the precision in which it trains; yields one of its weights. Afterwards it is back."""
    hardware = learner.hardware
    index = f":{hardware.devices[0]}" if isinstance(hardware.devices, list) and hardware.accelerator == "cuda" else ""
    device, weight = torch.device(f"{hardware.accelerator}{index}"), next(learner.module.parameters())
    home, dtype = weight.device, {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}.get(hardware.precision)
    try:
        module.to(device)
        module.preparation.to(weight.dtype)
        with torch.autocast(device.type, dtype=dtype) if dtype else contextlib.nullcontext():
            yield next(learner.module.parameters())
    finally:
        module.to(home)


class _ItemLosses:
    """Stands in for a loss and keeps what it is for each item."""

    def __init__(self, loss: nn.Module) -> None:
        self._loss, self._values = loss, torch.empty(0)
        if hasattr(loss, "reduction"):
            self._loss = copy.copy(loss)
            self._loss.reduction = "none"

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        values = self._loss(logits, target)
        if values.ndim == 0:  # a loss of the user's own, which gives the mean: it is asked item by item
            values = torch.stack([self._loss(logits[i : i + 1], target[i : i + 1]) for i in range(len(logits))])
        self._values = values.reshape(len(values), -1).mean(1)
        return self._values.mean()

    def of(self, n: int) -> Tensor | None:
        """`(n,)` losses; of an ensemble in one network the mean over its members. None where it was not asked."""
        return self._values.reshape(n, -1).mean(1).float() if len(self._values) else None
