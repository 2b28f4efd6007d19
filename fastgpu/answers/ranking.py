"""How much a user likes an item, and the rank of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastgpu.answers.base import ANSWERS, Answers

__all__ = ["RankingAnswers"]


@ANSWERS.register("ranking")
@dataclasses.dataclass(frozen=True, kw_only=True)
class RankingAnswers(Answers):
    """`scores` `(n,)`, 0 to 1, `known` `(n,)` and, where items are ranked, `ranks` `(n,)` from 1 -> the same."""

    name: ClassVar[str] = "ranking"

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        return {name: np.asarray(values) for name, values in predictions.items()}

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        if "scores" in columns:
            return f"{columns['scores'][index]:.2f}" + (f", rank {columns['ranks'][index]}" if "ranks" in columns else "")
        return "liked" if columns["liked"][index] else "not liked"
