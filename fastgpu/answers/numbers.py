"""A number an item, or several."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastgpu.answers.base import ANSWERS, Answers

__all__ = ["NumberAnswers"]


@ANSWERS.register("regression")
@dataclasses.dataclass(frozen=True, kw_only=True)
class NumberAnswers(Answers):
    """`values` `(n, k)` in the targets' own units -> the same, `(n,)` for one target.

    Args:
        target: name of each target, empty where they have none.
    """

    name: ClassVar[str] = "regression"

    target: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str | int, ...]:
        return self.target

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        values = np.asarray(predictions["values"])
        return {"values": values[:, 0] if values.shape[1] == 1 else values}

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        values = np.atleast_1d(columns["values"][index])
        if len(values) == 1 or not self.target:
            return ", ".join(f"{v:.4g}" for v in values)
        return ", ".join(f"{name} {v:.4g}" for name, v in zip(self.target, values, strict=True))
