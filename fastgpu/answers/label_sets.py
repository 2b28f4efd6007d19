"""Any number of labels an item."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastgpu.answers.base import ANSWERS, Answers

__all__ = ["LabelAnswers"]


@ANSWERS.register("multilabel")
@dataclasses.dataclass(frozen=True, kw_only=True)
class LabelAnswers(Answers):
    """Which `labels` `(n, labels)` bool are given, and their `probabilities` -> a list of labels an item.

    Args:
        classes: the labels in the order of the network's outputs.
    """

    name: ClassVar[str] = "multilabel"

    classes: tuple[str | int, ...]

    @property
    def names(self) -> tuple[str | int, ...]:
        return self.classes

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        return {**self._labels(predictions["labels"]), "probabilities": np.asarray(predictions["probabilities"])}

    def _labels(self, given: Any) -> dict[str, Any]:
        return {"labels": [[c for c, has in zip(self.classes, row, strict=True) if has] for row in given.tolist()]}

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        return ", ".join(str(label) for label in columns["labels"][index]) or "no label"
