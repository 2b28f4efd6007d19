"""A score an item, higher is more anomalous."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from fastgpu.answers.base import ANSWERS, Answers
from fastgpu.answers.pixels import in_original, overlay

__all__ = ["ScoreAnswers"]


@ANSWERS.register("anomaly")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreAnswers(Answers):
    """`scores` `(n,)`, `thresholds` `(n,)` and `maps` `(n, h, w)`, where there are any -> which items are anomalous, and where."""

    name: ClassVar[str] = "anomaly"

    def complete(self, outputs: Mapping[str, Any], x: Mapping[str, Any]) -> Mapping[str, Any]:
        """With the sizes of framed pictures, which their maps are brought to."""
        return {**outputs, "original_sizes": x["original_size"]} if "maps" in outputs and "original_size" in x else outputs

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        """`scores` `(n,)`; `anomalous`, where a threshold is known; `maps`, in the pixels of the pictures as they came."""
        scores = np.asarray(predictions["scores"])
        columns: dict[str, Any] = {"scores": scores}
        if "thresholds" in predictions:
            thresholds = np.asarray(predictions["thresholds"])
            if not np.isnan(thresholds).any():
                columns |= {"anomalous": (scores > thresholds).tolist(), "thresholds": thresholds}
        if "maps" in predictions:
            maps, sizes = np.asarray(predictions["maps"]), predictions.get("original_sizes")
            columns["maps"] = list(maps) if sizes is None else [in_original(each, size) for each, size in zip(maps, np.asarray(sizes))]
        return columns

    def table(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        """Without the maps."""
        return {name: column for name, column in columns.items() if name != "maps"}

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        word = [] if "anomalous" not in columns else ["anomalous" if columns["anomalous"][index] else "normal"]
        return " ".join(word + ([f"{columns['scores'][index]:.3g}"] if "scores" in columns else []))

    def draw(self, axes: Any, columns: Mapping[str, Any], index: int) -> None:
        if "maps" not in columns:
            return
        values, top = columns["maps"][index], 2 * float(columns.get("thresholds", columns["scores"])[index])
        low = float(values.min())
        overlay(axes, values, share=np.clip((values - low) / max(top - low, 1e-6), 0, 1) * 0.6)
