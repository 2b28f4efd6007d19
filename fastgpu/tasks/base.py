"""What a task has to know: the contract that every file of this package fills."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import numpy as np
from torch import Tensor, nn

from fastgpu.errors import ModelError
from fastgpu.registry import Registry

__all__ = ["TASKS", "Task"]

TASKS: Registry[type[Task]] = Registry("task", "fastgpu.tasks")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A task, fitted to the training targets.

    Fields are plain data, so that a task is saved as JSON with the model. The model contract:
    `model(x: dict, y: dict | None) -> dict` with the same keys in training and evaluation, `"logits"` for the tasks
    of this package; `"loss"` is there when the library owns the loss and `y` was given.
    """

    name: ClassVar[str]
    default_loss: ClassVar[str]
    default_metrics: ClassVar[tuple[str, ...]]
    output: ClassVar[str] = "class"
    """What one of the network's outputs stands for, in the words of an error."""
    stratify: ClassVar[bool] = False
    """Whether an automatic split keeps the share of each target value."""
    monitor: ClassVar[str]
    """The metric by which the best epoch is chosen, of `metrics()`; its own `higher_is_better` gives the direction."""

    @classmethod
    @abstractmethod
    def fit(cls, targets: np.ndarray, *, classes: tuple[str | int, ...] | None = None, target: tuple[str, ...] = ()) -> Task:
        """Learn classes or scales from the training targets."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers the network gives an item."""

    @property
    @abstractmethod
    def names(self) -> tuple[str | int, ...]:
        """What the outputs stand for: classes, or names of targets (empty where they have none)."""

    @abstractmethod
    def encode(self, targets: np.ndarray) -> dict[str, Tensor]:
        """Raw targets `(n,)` or `(n, k)` -> the `y` of a batch, `{"target": (n, ...)}`.

        Raises:
            DataError: a target is missing, or is not one that was fitted.
        """

    @abstractmethod
    def decode(self, out: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What the network gave -> predictions as tensors, for metrics and for `columns`."""

    @abstractmethod
    def columns(self, predictions: Mapping[str, Tensor]) -> dict[str, Any]:
        """Decoded predictions of `n` items, on the CPU -> named columns in plain Python or NumPy for `Results`."""

    @abstractmethod
    def loss(self, name: str, *, class_weight: tuple[float, ...] | None = None) -> nn.Module:
        """The loss of that name for this task: a module called with `(logits, target)`."""

    @abstractmethod
    def metric(self, name: str) -> Any:
        """A fresh torchmetrics metric of that name for this task, updated with what `metric_inputs` gives."""

    @abstractmethod
    def describe(self) -> str:
        """One line for people: `"classification of 10 classes: 0, 1, 2, ..."`."""

    def step(self, model: nn.Module, x: dict[str, Tensor], y: dict[str, Tensor], loss: Callable[..., Tensor]) -> tuple[dict[str, Tensor], Tensor]:
        """One forward pass with its loss; `loss` is called only where the library does not own it."""
        out = model(x, y)
        return out, (out["loss"] if "loss" in out else loss(out["logits"], y["target"]))

    def check_outputs(self, out: Mapping[str, Tensor]) -> None:
        """Refuse in one line what a network gave for a first small batch, where this task cannot use it.

        Raises:
            ModelError: the network gives another number of outputs than the task needs.
        """
        logits = out.get("logits")
        if logits is not None and (logits.ndim != 2 or logits.shape[1] != self.outputs):
            raise ModelError(
                f"The network must give (items, {self.outputs}) numbers, one for each {self.output}. "
                f"It gave {tuple(logits.shape)}. Change its last layer."
            )

    def metric_inputs(self, out: Mapping[str, Tensor], y: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """What a metric is updated with, both `(b, ...)` and detached."""
        return out["logits"].detach(), y["target"]

    def truth(self, y: Mapping[str, Tensor]) -> dict[str, Any]:
        """Encoded targets -> the same columns as `columns`, for drawing predictions beside the truth."""
        raise NotImplementedError

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        """One prediction or truth as a short text over a drawing."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"name": self.name, **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)}}

    @staticmethod
    def from_dict(saved: Mapping[str, Any]) -> Task:
        """The task that `to_dict` gave."""
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in saved.items() if k != "name"}
        return TASKS[saved["name"]](**values)
