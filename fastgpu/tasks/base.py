"""What a task has to know: the contract that every file of this package fills."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu.answers.base import Answers
from fastgpu.data.columns import Columns
from fastgpu.data.raw import Items
from fastgpu.errors import ArgumentError, ModelError, UnknownNameError
from fastgpu.inputs.base import Input
from fastgpu.registry import Registry

__all__ = ["OWNED", "TASKS", "Task", "joined", "owned_loss", "per_member"]

TASKS: Registry[type[Task]] = Registry("task", "fastgpu.tasks")

OWNED = "network"
"""Name of the loss where the network's library computes it."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(Answers):
    """A task, fitted to the training targets.

    Fields are plain data, so that a task is saved as JSON with the model. What turns predictions into columns without torch can
    stand in `Answers` of its own, from which the task derives too: the `Predictor` then gives them. The model contract:
    `model(x: dict, y: dict | None) -> dict` with the same keys in training and evaluation, `"logits"` where a task of
    this package does not say otherwise; `"loss"` is there when the library owns the loss and `y` was given.

    A task is judged either by what the forward pass gave (`metric_inputs`, in training and validation alike), or, with
    `decodes = True`, by its predictions (`predict` and `update`, in validation only, every `decode_every` epochs).
    """

    loss_names: ClassVar[tuple[str, ...]] = (OWNED,)
    """Names of the losses that this task takes; the default stands first."""
    metric_names: ClassVar[tuple[str, ...]]
    """Names of the metrics that this task takes."""
    default_metrics: ClassVar[tuple[str, ...]]
    output: ClassVar[str] = "class"
    """What one of the network's outputs stands for, in the words of an error."""
    kinds: ClassVar[tuple[str, ...]] = ()
    """Input kinds that the task is for; empty: any."""
    stratify: ClassVar[bool] = False
    """Whether an automatic split keeps the share of each target value."""
    needs_targets: ClassVar[bool] = True
    """Whether training needs targets; a task without learns from the items alone."""
    decodes: ClassVar[bool] = False
    """Whether metrics look at predictions, which may cost more than the forward pass."""
    options: ClassVar[tuple[str, ...]] = ()
    """Settings of the learner that `fit` takes beside the targets."""
    monitor: ClassVar[str]
    """The metric by which the best epoch is chosen, of `metrics()`; its own `higher_is_better` gives the direction."""

    @classmethod
    @abstractmethod
    def fit(
        cls,
        targets: np.ndarray,
        *,
        classes: tuple[str | int, ...] | None = None,
        target: tuple[str, ...] = (),
        input: Input | None = None,
    ) -> Task:
        """Learn classes, scales or a vocabulary from the training targets.

        Args:
            targets: raw targets of the training split.
            classes: the classes where they are known.
            target: names of the target columns.
            input: the fitted input kind, for a task that shares something with it (a tokenizer, a size).
        """

    @classmethod
    def classes_in(
        cls, targets: np.ndarray, classes: tuple[str | int, ...] | None, target: tuple[str, ...]
    ) -> tuple[str | int, ...] | None:
        """The classes in all targets, before any split: one of few items may fall into the held-out part alone."""
        return classes

    @classmethod
    def input_options(cls, targets: np.ndarray) -> dict[str, Any]:
        """What this task asks of the input kind, as keywords of its `fit`: `{"frame": "pad"}`."""
        return {}

    @classmethod
    def split(cls, items: Items, share: float, seed: int) -> tuple[Items, Items, tuple[str, ...]]:
        """Hold out a share of the training items: (training, validation, notes)."""
        from fastgpu.data.splits import split

        return split(items, share, seed, stratify=cls.stratify)

    def renumbered(self, targets: np.ndarray, classes: tuple[str | int, ...]) -> np.ndarray:
        """Raw targets of other data -> the same, with this task's class numbers; targets that are no class numbers stay.

        Args:
            targets: raw targets.
            classes: the classes of those data, in the order of their numbers.

        Raises:
            DataError: a target has a class that this task does not know.
        """
        return targets

    @property
    @abstractmethod
    def outputs(self) -> int:
        """How many numbers the network gives an item, a place or a token."""

    @property
    def default_loss(self) -> str:
        """Name of the loss where the user names none."""
        return self.loss_names[0]

    def facts(self) -> dict[str, Any]:
        """What a builder of the zoo needs to know of the targets: `"task"`, `"outputs"`, and what a task adds."""
        return {"task": self.name, "outputs": self.outputs}

    @abstractmethod
    def encode(self, targets: np.ndarray, x: Columns | None = None) -> dict[str, Tensor] | Columns:
        """Raw targets `(n,)` or `(n, k)` -> the `y` of a batch, `{"target": (n, ...)}`.

        Args:
            targets: raw targets.
            x: the encoded items that they belong to, None where a loader of the user's own gives tensors.

        Raises:
            DataError: a target is missing, or is not one that was fitted.
        """

    @abstractmethod
    def decode(self, out: Mapping[str, Any]) -> dict[str, Any]:
        """What the network gave -> predictions: name -> tensor `(b, ...)`, or a list of `b` tensors or plain values."""

    def predict(self, model: nn.Module, x: dict[str, Any], out: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Predictions for a prepared batch; `out` is what a forward pass gave for it, where there was one."""
        return self.decode(model(x) if out is None else out)

    def in_graph(self, model: nn.Module, x: dict[str, Any]) -> dict[str, Tensor]:
        """Predictions for a prepared batch as tensors alone `(b, ...)`, by operations that do not depend on values: what an
        exported network gives.

        Raises:
            ExportError: the predictions of this task, or of this network, are not made so.
        """
        return self.decode(model(x))

    def aligned(self, found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> tuple[Mapping[str, np.ndarray], ...]:
        """What a file and the learner gave for a batch, in one order where an order has no meaning; as they are by default."""
        return found, expected

    def judge(self, metrics: Mapping[str, Any], predictions: Mapping[str, Tensor], y: Mapping[str, Any]) -> None:
        """Update metrics with what `in_graph` gave; those that cannot be told from it stay as they are."""
        if self.decodes:
            self.update(metrics, predictions, y)

    def loss(self, name: str, *, class_weight: tuple[float, ...] | None = None) -> nn.Module:
        """The loss of that name for this task: a module called with `(logits, target)`."""
        return owned_loss(self, name, class_weight)

    @abstractmethod
    def metric(self, name: str) -> Any:
        """A fresh torchmetrics metric of that name for this task, updated with what `metric_inputs` or `update` gives."""

    @abstractmethod
    def describe(self) -> str:
        """One line for people: `"classification of 10 classes: 0, 1, 2, ..."`."""

    def step(self, model: nn.Module, x: dict[str, Any], y: dict[str, Any], loss: Callable[..., Tensor]) -> tuple[dict[str, Any], Tensor]:
        """One forward pass with its loss; `loss` is called only where the library does not own it."""
        out = model(x, y)
        return out, (out["loss"] if "loss" in out else loss(*per_member(out, y["target"])))

    def check_outputs(self, out: Mapping[str, Any]) -> None:
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

    def metric_inputs(self, out: Mapping[str, Any], y: Mapping[str, Any]) -> tuple[Tensor, ...]:
        """What a metric is updated with straight from a forward pass, all `(b, ...)` and detached; not with `decodes`."""
        return out["logits"].detach(), y["target"]

    def update(self, metrics: Mapping[str, Any], predictions: Mapping[str, Any], y: Mapping[str, Any]) -> None:
        """Update metrics with the predictions and the encoded targets of a batch; only with `decodes`."""
        raise NotImplementedError

    def settle(self, model: nn.Module, values: Mapping[str, float]) -> None:  # noqa: B027
        """Keep in the model what a validation found (`values` by metric's name), such as a threshold; nothing by default."""

    def truth(self, y: Mapping[str, Any]) -> dict[str, Any]:
        """Encoded targets -> the same columns as `columns`, for drawing predictions beside the truth."""
        raise NotImplementedError

    def recommend(self, module: Any, input: Input, user: Any, k: int) -> Any:
        """The `k` items that suit a user best, as `Results`; only where items are ranked.

        Args:
            module: the `TaskModule`, in evaluation mode: `module.preparation` and `module.model`.
            input: the fitted input.
            user: as the user gave it.
            k: how many items.
        """
        raise ArgumentError(f"recommend ranks items for a user. The task is {self.name}. Use predict.")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for JSON."""
        return {"name": self.name, **{field.name: getattr(self, field.name) for field in dataclasses.fields(self)}}

    @staticmethod
    def from_dict(saved: Mapping[str, Any]) -> Task:
        """The task that `to_dict` gave."""
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in saved.items() if k != "name"}
        return TASKS[saved["name"]](**values)


class _Owned(nn.Module):
    """Stands where the network computes its loss; called, it says that the network did not."""

    def forward(self, *_: Any) -> Tensor:
        raise ModelError("For this task the network computes the loss: its output is a dict with 'loss' when targets are given. Add it.")


def owned_loss(task: Task, name: str, class_weight: Sequence[float] | None) -> nn.Module:
    """The loss of a task whose networks bring their own.

    Raises:
        UnknownNameError: another name was given.
        ArgumentError: class weights were given.
    """
    if name not in task.loss_names:
        raise UnknownNameError(f"loss of {task.name}", name, task.loss_names)
    if class_weight is not None:
        raise ArgumentError(f"class_weight goes with a loss of classes. The loss of {task.name} is the network's own. Leave it out.")
    return _Owned()


def per_member(out: Mapping[str, Any], target: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and targets for the loss: of an ensemble in one network (`"members"` `(b, k, outputs)`) each member has its own."""
    if "members" not in out:
        return out["logits"], target
    members = out["members"]
    return members.flatten(0, 1), target.repeat_interleave(members.shape[1], 0)


def joined(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Predictions of several batches as one: tensors are joined, lists strung together; on the CPU."""
    whole: dict[str, Any] = {}
    for key, first in parts[0].items():
        if isinstance(first, Tensor):
            whole[key] = torch.cat([part[key] for part in parts]).cpu().clone()  # a clone is out of inference mode
        else:
            values = [value for part in parts for value in part[key]]
            whole[key] = [v.cpu().clone() if isinstance(v, Tensor) else v for v in values]
    return whole
