"""One class a pixel."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastgpu.answers.base import ANSWERS, Answers
from fastgpu.answers.pixels import IGNORED, class_colours, in_original, inside, overlay

__all__ = ["MaskAnswers"]

@ANSWERS.register("segmentation")
@dataclasses.dataclass(frozen=True, kw_only=True)
class MaskAnswers(Answers):
    """Masks `(h, w)` of class numbers, each in the pixels of its picture as it came.

    Args:
        classes: names of the classes in the order of their numbers, 2 to 255.
        size: `(height, width)` of the frame; None where a loader of the user's own gives tensors.
    """

    name: ClassVar[str] = "segmentation"
    files: ClassVar[tuple[str, ...]] = (".png", ".tif", ".tiff", ".bmp")  # which keep the classes' numbers as they are
    paints: ClassVar[bool] = True

    classes: tuple[str | int, ...]
    size: tuple[int, int] | None = None

    @property
    def names(self) -> tuple[str | int, ...]:
        return self.classes

    def complete(self, outputs: Mapping[str, np.ndarray], x: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """`logits` `(b, classes, h, w)` of the frame, and `masks` `(b, h, w)` made of them -> a mask each."""
        if "original_size" not in x:
            return {"masks": list(outputs["masks"])}
        # Scores are brought to the picture's own pixels, not classes: borders stay smooth.
        pairs = zip(outputs["logits"], x["original_size"])
        return {"masks": [in_original(logits, size).argmax(0).astype(np.uint8) for logits, size in pairs]}

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        """`masks`: `(height, width)` uint8 class numbers, in the pixels of the pictures as they came."""
        return {"masks": [np.asarray(mask) for mask in predictions["masks"]]}

    def table(self, columns: Mapping[str, Any]) -> Mapping[str, Any]:
        """`shares` `(n, classes)`: of the pixels of each picture, 0 to 1."""
        counts = np.array([np.bincount(mask.ravel(), minlength=len(self.classes)) for mask in columns["masks"]]).reshape(-1, len(self.classes))
        return {"shares": counts / counts.sum(1, keepdims=True)}

    def title(self, columns: Mapping[str, Any], index: int) -> str:
        mask = columns["masks"][index]
        counts = np.bincount(mask[mask != IGNORED], minlength=len(self.classes))
        shown = sorted((i for i in range(1, len(self.classes)) if counts[i]), key=lambda i: -counts[i])[:2]
        return ", ".join(f"{self.classes[i]} {counts[i] / max(1, counts.sum()):.0%}" for i in shown) or str(self.classes[0])

    def draw(self, axes: Any, columns: Mapping[str, Any], index: int) -> None:
        from matplotlib.colors import ListedColormap

        mask = columns["masks"][index]
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        original = (round(abs(bottom - top)), round(abs(right - left)))
        if self.size is not None and mask.shape == self.size and original != self.size:
            mask = inside(mask, original)  # of the truth; a predicted mask is out of the frame already
        share = np.where((mask > 0) & (mask != IGNORED), 0.5, 0.0)
        colours = ListedColormap(class_colours(len(self.classes)) / 255)
        overlay(axes, np.where(mask == IGNORED, 0, mask), share=share, colours=colours, most=len(self.classes) - 1)

    def paint(self, picture: Any, columns: Mapping[str, Any], index: int) -> Any:
        from PIL import Image

        mask = columns["masks"][index]
        over = Image.fromarray(class_colours(len(self.classes))[np.where(mask == IGNORED, 0, mask)])
        share = Image.fromarray(np.where((mask > 0) & (mask != IGNORED), 128, 0).astype(np.uint8))
        return Image.composite(over, picture, share)

    def write(self, columns: Mapping[str, Any], index: int, path: Path) -> None:
        """Write a mask as a picture whose pixels are class numbers, with a palette of colours."""
        from PIL import Image

        picture = Image.fromarray(columns["masks"][index])
        picture.putpalette(class_colours(len(self.classes)).flatten().tolist())
        picture.save(path)
