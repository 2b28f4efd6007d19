"""One pass over items without Lightning's Trainer: it also runs where only the first of several processes asks for it."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from fastgpu.compress.measure import evaluating
from fastgpu.data.loaders import like
from fastgpu.data.split import LoaderSplit, Split, item_marks
from fastgpu.errors import DataError
from fastgpu.judging import in_order
from fastgpu.tasks.base import joined
from fastgpu.train.module import TaskModule
from fastgpu.train.reproducible import own_randomness

if TYPE_CHECKING:
    from fastgpu.learner import Learner

__all__ = ["pass_over", "predict_batch"]


def predict_batch(learner: Learner, x: dict[str, Any]) -> dict[str, Any]:
    """Predictions for one batch of encoded items, on the CPU."""
    module = learner.task_module()
    with _on_device(learner, module) as weight:
        prepared = like(module.preparation(_moved(x, weight)), weight)
        return joined([module.task.predict(module.model, prepared)])


def pass_over(learner: Learner, module: TaskModule, split: Split, most: int | None = None) -> dict[str, Any]:
    """Predictions, encoded targets and the loss of each item of a split, on the CPU, in the order of the items.

    Args:
        most: items after which no further batch is asked for; None: all.

    Returns:
        `"predictions"` and `"y"`, name -> tensor or list; `"losses"` `(n,)`, None where the network computes one for a batch;
        `"marks"` `(n,)`, by which items of a loader of the user's own are told, else None.
    """
    loader = split.loader(learner.data.batch_size, shuffle=False, seed=0, epoch=lambda: 0, rank=0, world=1)
    parts, marks, count = [], [], 0
    with _on_device(learner, module) as weight:
        for batch in loader:
            parts.append(_looked_at(module, batch, weight))
            if isinstance(split, LoaderSplit):
                marks.append(item_marks(batch["x"]))
            count += batch["n"]
            if most is not None and count >= most:
                break
    if not parts:
        raise DataError("Interpreting needs items. The split has none.")
    whole: dict[str, Any] = {key: in_order(split, joined([part[key] for part in parts])) for key in ("predictions", "y")}
    losses = [part["losses"] for part in parts]
    whole["losses"] = None if losses[0] is None else in_order(split, joined([{"loss": each} for each in losses]))["loss"]
    return whole | {"marks": torch.cat(marks) if marks else None}


def _looked_at(module: TaskModule, batch: Any, weight: Tensor) -> dict[str, Any]:
    x, losses = like(module.preparation(_moved(batch["x"], weight)), weight), _ItemLosses(module.loss)
    out, _ = module.task.step(module.model, x, _moved(batch["y"], weight), losses)
    return {"predictions": module.task.predict(module.model, x, out), "y": batch["y"], "losses": losses.of(batch["n"])}


def _moved(part: dict[str, Any], weight: Tensor) -> dict[str, Any]:
    return {k: v.to(weight.device) if isinstance(v, Tensor) else v for k, v in part.items()}


@contextlib.contextmanager
def _on_device(learner: Learner, module: TaskModule) -> Iterator[Tensor]:
    """The network ready to predict, where and in the precision in which it trains; yields one of its weights. Afterwards it is back."""
    hardware = learner.hardware
    index = f":{hardware.devices[0]}" if isinstance(hardware.devices, list) and hardware.accelerator == "cuda" else ""
    device, weight = torch.device(f"{hardware.accelerator}{index}"), next(learner.module.parameters())
    home, dtype = weight.device, {"16-mixed": torch.float16, "bf16-mixed": torch.bfloat16}.get(hardware.precision)
    try:
        module.to(device)
        module.preparation.to(weight.dtype)
        precision = torch.autocast(device.type, dtype=dtype) if dtype else contextlib.nullcontext()
        with own_randomness(), torch.inference_mode(), evaluating(module), precision:
            yield next(learner.module.parameters())
    finally:
        module.to(home)


class _ItemLosses:
    """Stands in for a loss and keeps what it is for each item."""

    def __init__(self, loss: Any) -> None:
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
