"""Regression: every item has a number, or several."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu import losses, metrics
from fastgpu.answers.base import short
from fastgpu.answers.numbers import NumberAnswers
from fastgpu.data.columns import Columns
from fastgpu.errors import DataError
from fastgpu.inputs.base import Input
from fastgpu.tasks.base import TASKS, Task, per_member
from fastgpu.tasks.labels import rows

__all__ = ["Regression"]


@TASKS.register("regression")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Regression(NumberAnswers, Task):
    """Numbers: the network gives `(b, k)` in standardised units, (value - mean) / std of the training targets.

    The loss is in standardised units too, so a learning rate serves any target; metrics and predictions are in the
    target's own units.

    Args:
        target: name of each target, empty where they have none.
        mean: mean of each of the `k` targets over the training items.
        std: standard deviation likewise; 1 for a target that is constant.

    Example:
        >>> task = Regression.fit(np.array([10.0, 20.0]))
        >>> task.encode(np.array([20.0]))["target"].tolist(), task.mean
        ([[1.0]], (15.0,))
    """

    loss_names: ClassVar[tuple[str, ...]] = losses.FITTING["regression"]
    metric_names: ClassVar[tuple[str, ...]] = metrics.names("regression")
    default_metrics: ClassVar[tuple[str, ...]] = ("mae", "r2")
    output: ClassVar[str] = "target"
    monitor: ClassVar[str] = "mae"

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def fit(
        cls,
        targets: np.ndarray,
        *,
        classes: tuple[str | int, ...] | None = None,
        target: tuple[str, ...] = (),
        input: Input | None = None,
    ) -> Regression:
        """Read mean and standard deviation from the training targets.

        Args:
            targets: `(n,)` or `(n, k)` numbers.
            classes: unused.
            target: names of the target columns.

        Raises:
            DataError: a target is missing, infinite or not a number.
        """
        numbers = _numbers(targets, target)
        if not len(numbers):
            raise DataError("Regression needs training targets. None came. Check the data.")
        std = numbers.std(0)
        mean = numbers.mean(0)
        # Rounding leaves a constant column a spread of its last digits.
        std = np.where(std > 1e-12 * np.abs(mean), std, 1.0)
        return cls(target=target if len(target) == numbers.shape[1] else (), mean=tuple(mean.tolist()), std=tuple(std.tolist()))

    @property
    def outputs(self) -> int:
        return len(self.mean)

    def encode(self, targets: np.ndarray, x: Columns | None = None) -> dict[str, Tensor]:
        numbers = _numbers(targets, self.target)
        if numbers.shape[1] != self.outputs:
            raise DataError(f"An item has {self.outputs} target(s) here. Targets of shape {np.shape(targets)} came.")
        scaled = (numbers - np.array(self.mean)) / np.array(self.std)
        double = np.asarray(targets).dtype == np.float64
        return {"target": torch.from_numpy(scaled if double else scaled.astype(np.float32))}

    def step(
        self, model: nn.Module, x: dict[str, Tensor], y: dict[str, Tensor], loss: Callable[..., Tensor]
    ) -> tuple[dict[str, Tensor], Tensor]:
        """One forward pass with its loss, in float32 or, where the network gives float64, in that."""
        out = model(x, y)
        if "loss" in out:
            return out, out["loss"]
        logits, target = per_member(out, y["target"])
        logits = _wide(logits)
        # (b,) against (b, 1) would broadcast to (b, b).
        return out, loss(logits.reshape(target.shape), target.to(logits.dtype))

    def check_outputs(self, out: Mapping[str, Tensor]) -> None:
        logits = out.get("logits")
        if logits is not None and not (self.outputs == 1 and logits.ndim == 1):  # one target may come as (items,)
            super().check_outputs(out)

    def decode(self, out: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {"values": self._values(out["logits"])}

    def _values(self, scaled: Tensor) -> Tensor:
        """Standardised `(b, k)`, or `(b,)` for one target -> `(b, k)` in the targets' own units."""
        scaled = _wide(scaled).reshape(-1, self.outputs)  # by len() a tracer would fix the size of a batch
        if self.outputs == 1:
            return scaled * self.std[0] + self.mean[0]
        return scaled * _constant(self.std, scaled.dtype, scaled.device) + _constant(self.mean, scaled.dtype, scaled.device)

    def judge(self, metrics: Mapping[str, Any], predictions: Mapping[str, Tensor], y: Mapping[str, Any]) -> None:
        values, target = predictions["values"], self._values(y["target"])
        target = target.to(values.dtype)
        for metric in metrics.values():
            metric.update(*((values[:, 0], target[:, 0]) if self.outputs == 1 else (values, target)))

    def truth(self, y: Mapping[str, Tensor]) -> dict[str, Any]:
        return self.columns({"values": self._values(y["target"])})

    def metric_inputs(self, out: Mapping[str, Tensor], y: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        values, target = self._values(out["logits"].detach()), self._values(y["target"])
        target = target.to(values.dtype)
        return (values[:, 0], target[:, 0]) if self.outputs == 1 else (values, target)

    def loss(self, name: str, *, class_weight: tuple[float, ...] | None = None) -> nn.Module:
        return losses.create(self.name, name, self.outputs, class_weight=class_weight)

    def metric(self, name: str) -> Any:
        return metrics.create(self.name, name, self.outputs, center=self.mean)

    def describe(self) -> str:
        what = short(self.target) if self.target else "1 number" if self.outputs == 1 else f"{self.outputs} numbers"
        return f"regression of {what}, mean {short([f'{m:.4g}' for m in self.mean])}, std {short([f'{s:.4g}' for s in self.std])}"


def _wide(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


@lru_cache(maxsize=64)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Kept on the device, so that a step does not wait for a copy."""
    return torch.tensor(values, dtype=dtype, device=device)


def _numbers(targets: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Targets -> `(n, k)` float64, all finite."""
    given = np.asarray(targets)
    if given.ndim not in (1, 2):
        raise DataError(f"Regression takes numbers (n,) or (n, k). Targets of shape {given.shape} came.")
    if given.dtype.kind not in "biuf":
        given = _converted(given)
    table = given.reshape(len(given), -1).astype(np.float64)
    finite = np.isfinite(table)
    if not finite.all():
        row, column = np.argwhere(~finite)[0]
        name = f" of {names[column]!r}" if column < len(names) else ""
        raise DataError(
            f"Regression targets must be finite numbers. {table[row, column]} came{name} ({rows(np.any(~finite, axis=1))}). "
            "Drop or correct them."
        )
    return table


def _converted(given: np.ndarray) -> np.ndarray:
    import pandas as pd

    flat = pd.Series(given.reshape(-1), dtype=object)
    if given.dtype.kind in "mMc":
        raise DataError(f"Regression targets must be numbers. Values of type {given.dtype} came. Convert them to numbers first.")
    # Strings are refused even where they read like numbers: they may be class labels.
    wrong = flat.map(lambda v: isinstance(v, (str, bytes, list, tuple, dict))).to_numpy(dtype=bool)
    if wrong.any():
        first = int(np.argmax(wrong))
        width = given.size // max(1, len(given))
        raise DataError(
            f"Regression targets must be numbers. {flat[first]!r} came (row {first // width}). "
            "Give task='classification' for labels, or convert them to numbers."
        )
    return np.asarray(pd.to_numeric(flat, errors="coerce"), dtype=np.float64).reshape(given.shape)
