"""Multilabel: every item has any number of the labels."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import chain
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from fastgpu import losses, metrics
from fastgpu.answers.base import short
from fastgpu.answers.label_sets import LabelAnswers
from fastgpu.data.columns import Columns
from fastgpu.errors import DataError
from fastgpu.inputs.base import Input
from fastgpu.tasks.base import TASKS, Task
from fastgpu.tasks.labels import classes_of, codes, missing_label, rows

__all__ = ["Multilabel"]


@TASKS.register("multilabel")
@dataclasses.dataclass(frozen=True, kw_only=True)
class Multilabel(LabelAnswers, Task):
    """Any number of labels an item: the network gives `(b, labels)` logits, the target is 0/1 `(b, labels)` float32.

    Args:
        classes: the labels in the order of the network's outputs.
        threshold: probability above which a label is given, 0 to 1.

    Example:
        >>> task = Multilabel.fit(np.array([["red", "big"], ["red"], []], dtype=object))
        >>> task.classes, task.encode(np.array([["big"]], dtype=object))["target"].tolist()
        (('big', 'red'), [[1.0, 0.0]])
    """

    loss_names: ClassVar[tuple[str, ...]] = losses.FITTING["multilabel"]
    metric_names: ClassVar[tuple[str, ...]] = metrics.names("multilabel")
    default_metrics: ClassVar[tuple[str, ...]] = ("accuracy", "f1")
    stratify: ClassVar[bool] = True
    monitor: ClassVar[str] = "f1"

    threshold: float = 0.5

    @classmethod
    def fit(
        cls,
        targets: np.ndarray,
        *,
        classes: tuple[str | int, ...] | None = None,
        target: tuple[str, ...] = (),
        input: Input | None = None,
    ) -> Multilabel:
        """Read the labels from the training targets.

        Args:
            targets: `(n, k)` of 0 and 1, or an object array `(n,)` of lists of labels.
            classes: the labels where they are known; None: names of the target columns, else 0 to k-1; for lists
                the distinct labels, sorted.
            target: names of the target columns.

        Raises:
            DataError: targets are missing or are neither 0/1 rows nor lists.
        """
        targets = np.asarray(targets)
        if classes is not None:
            found = tuple(classes)
        elif _is_rows(targets):
            found = target if len(target) == targets.shape[1] else tuple(range(targets.shape[1]))
        else:
            found = classes_of(_flat(targets))
        if not found:
            raise DataError(f"Multilabel needs at least one label. The {len(targets)} items have none. Check the target columns.")
        task = cls(classes=found)
        task.encode(targets)
        return task

    @classmethod
    def classes_in(
        cls, targets: np.ndarray, classes: tuple[str | int, ...] | None, target: tuple[str, ...]
    ) -> tuple[str | int, ...]:
        return cls.fit(targets, classes=classes, target=target).classes

    @property
    def outputs(self) -> int:
        return len(self.classes)

    def encode(self, targets: np.ndarray, x: Columns | None = None) -> dict[str, Tensor]:
        targets = np.asarray(targets)
        encoded = self._encode_rows(targets) if _is_rows(targets) else self._encode_lists(targets)
        return {"target": torch.from_numpy(encoded)}

    def _encode_rows(self, targets: np.ndarray) -> np.ndarray:
        if targets.shape[1] != len(self.classes):
            raise DataError(
                f"Multilabel targets have one column a label, {len(self.classes)} here: {short(self.classes)}. "
                f"{targets.shape[1]} columns came."
            )
        try:
            numbers = targets.astype(np.float32)
        except (TypeError, ValueError):
            raise DataError(
                "Multilabel rows must hold 0 and 1. Something that is no number came. Give 0/1 rows or lists of labels."
            ) from None
        wrong = (numbers != 0) & (numbers != 1)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise DataError(
                f"Multilabel rows must hold 0 and 1. {targets[row, column]} came for the label {self.classes[column]!r} "
                f"({rows(np.any(wrong, axis=1))}). Correct or drop them."
            )
        return numbers

    def _encode_lists(self, targets: np.ndarray) -> np.ndarray:
        encoded = np.zeros((len(targets), len(self.classes)), np.float32)
        flat = _flat(targets)
        item = np.repeat(np.arange(len(targets)), [len(labels) for labels in targets])
        encoded[item, codes(flat, self.classes)] = 1.0
        return encoded

    def decode(self, out: Mapping[str, Tensor]) -> dict[str, Tensor]:
        probabilities = _probabilities(out["logits"])
        return {"labels": probabilities > self.threshold, "probabilities": probabilities}

    def judge(self, metrics: Mapping[str, Any], predictions: Mapping[str, Tensor], y: Mapping[str, Any]) -> None:
        for metric in metrics.values():
            metric.update(predictions["probabilities"], y["target"].long())

    def truth(self, y: Mapping[str, Tensor]) -> dict[str, Any]:
        return self._labels(y["target"] > 0.5)

    def metric_inputs(self, out: Mapping[str, Tensor], y: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        # Probabilities: torchmetrics takes a batch of logits that happen to lie in 0 to 1 for them.
        return _probabilities(out["logits"].detach()), y["target"].long()

    def loss(self, name: str, *, class_weight: tuple[float, ...] | None = None) -> nn.Module:
        return losses.create(self.name, name, self.outputs, class_weight=class_weight)

    def metric(self, name: str) -> Any:
        return metrics.create(self.name, name, self.outputs, threshold=self.threshold)

    def describe(self) -> str:
        return f"multilabel with {len(self.classes)} labels: {short(self.classes)}"


def _probabilities(logits: Tensor) -> Tensor:
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).sigmoid()


def _is_rows(targets: np.ndarray) -> bool:
    """Whether targets are rows of 0 and 1, not lists; lists of equal length make a 2-D array of labels."""
    if targets.ndim != 2:
        return False
    strings = targets.dtype.kind == "U" or (targets.dtype == object and targets.size > 0 and isinstance(targets.flat[0], str))
    return not strings


def _flat(targets: np.ndarray) -> np.ndarray:
    """Lists of labels -> all labels one after the other."""
    if targets.ndim == 2:
        return targets.reshape(-1)
    missing = np.array([not isinstance(labels, (list, tuple, set, frozenset, np.ndarray)) for labels in targets], dtype=bool)
    if missing.any():
        came = targets[missing].tolist()[0]
        if came is None or came != came:
            raise missing_label(missing)
        raise DataError(
            f"Multilabel targets must be 0/1 rows (n, k) or lists of labels. {came!r} came ({rows(missing)}). "
            "Give [label] for a single label, or task='classification'."
        )
    flat = list(chain.from_iterable(targets))
    out = np.empty(len(flat), dtype=object)
    out[:] = flat
    return out
