"""One class an item."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastgpu.answers.base import ANSWERS, Answers

__all__ = ["ClassAnswers"]


@ANSWERS.register("classification")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassAnswers(Answers):
    """Numbers of classes `labels` `(n,)` and `probabilities` `(n, classes)` -> the classes by name.

    Args:
        classes: the labels in the order of the network's outputs; at least two.

    Example:
        >>> ClassAnswers(classes=("cat", "dog")).columns({"labels": np.array([1]), "probabilities": np.array([[0.1, 0.9]])})["labels"]
        ['dog']
    """

    name: ClassVar[str] = "classification"

    classes: tuple[str | int, ...]

    @property
    def names(self) -> tuple[str | int, ...]:
        return self.classes

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._labels(predictions["labels"]), "probabilities": np.asarray(predictions["probabilities"])}

    def _labels(self, numbers: Any) -> dict[str, Any]:
        return {"labels": [self.classes[i] for i in numbers.tolist()]}

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        label = str(columns["labels"][index])
        return f"{label} {columns['probabilities'][index].max():.0%}" if "probabilities" in columns else label
