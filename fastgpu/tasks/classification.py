"""Classification: every item has one of several classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu import losses, metrics
from fastgpu.answers.base import short
from fastgpu.answers.classes import ClassAnswers
from fastgpu.data.columns import Columns
from fastgpu.errors import DataError
from fastgpu.inputs.base import Input
from fastgpu.tasks.base import TASKS, Task
from fastgpu.tasks.labels import classes_of, codes

__all__ = ["Classification"]


@TASKS.register("classification")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Classification(ClassAnswers, Task):
    """One class an item: the network gives `(b, classes)` logits, the target is `(b,)` int64 class numbers.

    Args:
        classes: the labels in the order of the network's outputs; at least two.

    Example:
        >>> task = Classification.fit(np.array(["dog", "cat", "dog"]))
        >>> task.classes, task.encode(np.array(["dog"]))["target"].tolist()
        (('cat', 'dog'), [1])
    """

    loss_names: ClassVar[tuple[str, ...]] = losses.FITTING["classification"]
    metric_names: ClassVar[tuple[str, ...]] = metrics.names("classification")
    default_metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    stratify: ClassVar[bool] = True
    monitor: ClassVar[str] = "accuracy"

    @classmethod
    def fit(
        cls,
        targets: np.ndarray,
        *,
        classes: tuple[str | int, ...] | None = None,
        target: tuple[str, ...] = (),
        input: Input | None = None,
    ) -> Classification:
        """Read the classes from the training labels.

        Args:
            targets: `(n,)` labels: strings, whole numbers or booleans; with `classes`, class numbers too.
            classes: the classes where they are known; None: the distinct labels, sorted.
            target: name of the target column, unused.

        Raises:
            DataError: labels are missing, are not labels, or are all the same.
        """
        flat = _flat(targets)
        found = classes_of(flat) if classes is None else tuple(classes)
        if len(found) < 2:
            raise DataError(
                f"Classification needs at least two classes. {'Only ' + repr(found[0]) if found else 'None'} came. "
                "Check the target column or the folders of the classes."
            )
        codes(flat, found)
        return cls(classes=found)

    @classmethod
    def classes_in(
        cls, targets: np.ndarray, classes: tuple[str | int, ...] | None, target: tuple[str, ...]
    ) -> tuple[str | int, ...]:
        return cls.fit(targets, classes=classes, target=target).classes

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def encode(self, targets: np.ndarray, x: Columns | None = None) -> dict[str, Tensor]:
        return {"target": torch.from_numpy(codes(_flat(targets), self.classes))}

    def decode(self, out: Mapping[str, Tensor]) -> dict[str, Tensor]:
        logits = out["logits"]
        # Half precision has too few digits for probabilities that add up to 1.
        probabilities = logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)
        return {"labels": logits.argmax(-1), "probabilities": probabilities}

    def judge(self, metrics: Mapping[str, Any], predictions: Mapping[str, Tensor], y: Mapping[str, Any]) -> None:
        for metric in metrics.values():
            metric.update(predictions["probabilities"], y["target"])

    def truth(self, y: Mapping[str, Tensor]) -> dict[str, Any]:
        return self._labels(y["target"])

    def loss(self, name: str, *, class_weight: tuple[float, ...] | None = None) -> nn.Module:
        return losses.create(self.name, name, self.outputs, class_weight=class_weight)

    def metric(self, name: str) -> Any:
        return metrics.create(self.name, name, self.outputs)

    def describe(self) -> str:
        return f"classification of {len(self.classes)} classes: {short(self.classes)}"


def _flat(targets: np.ndarray) -> np.ndarray:
    targets = np.asarray(targets)
    if targets.ndim == 2 and targets.shape[1] == 1:
        return targets[:, 0]
    if targets.ndim != 1:
        raise DataError(
            f"Classification takes one label an item, (n,). Targets of shape {targets.shape} came. "
            "Give task='multilabel' for several labels an item, or the number of the class for one-hot rows."
        )
    return targets
