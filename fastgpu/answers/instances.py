"""Any number of objects a picture, each with a box, a class, a score and a mask."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from fastgpu.answers.base import ANSWERS
from fastgpu.answers.boxes import BoxAnswers
from fastgpu.reading.scaling import scaled

__all__ = ["InstanceAnswers", "pasted"]


@ANSWERS.register("instance_segmentation")
@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceAnswers(BoxAnswers):
    """Boxes as `BoxAnswers` has them, and a mask `(height, width)` bool of each, in the pixels of the picture as it came."""

    name: ClassVar[str] = "instance_segmentation"

    def complete(self, outputs: Mapping[str, np.ndarray], x: Mapping[str, np.ndarray]) -> Mapping[str, Any]:
        """As `BoxAnswers.complete`, with `masks` `(b, n, side, side)`, shares of the boxes -> those of each picture, and `size`."""
        return {**super().complete(outputs, x), "masks": list(outputs["masks"]), "size": list(x["original_size"])}

    def columns(self, predictions: Mapping[str, Any]) -> dict[str, Any]:
        """As `BoxAnswers.columns`, with `masks` `(k, height, width)` bool in the dict of each picture."""
        listed = super().columns(predictions)["boxes"]
        for found, masks, shown, size in zip(listed, *(predictions[name] for name in ("masks", "shown", "size"))):
            found["masks"] = pasted(np.asarray(masks)[np.asarray(shown)], found["boxes"], size)
        return {"boxes": listed}

    def draw(self, axes: Any, columns: Mapping[str, Any], index: int) -> None:
        left, right, bottom, top = *axes.get_xlim(), *axes.get_ylim()
        for mask in columns["boxes"][index]["masks"]:
            shown = np.ma.masked_equal(mask[: round(bottom), : round(right)], 0)
            axes.imshow(shown, cmap="autumn", alpha=0.4, vmin=0, vmax=1, extent=(left, right, bottom, top), interpolation="nearest")
        super().draw(axes, columns, index)


def pasted(masks: np.ndarray, boxes: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Masks as shares of their boxes -> in the pixels of the picture, as torchvision's `paste_masks_in_image` and its threshold of a half.

    Args:
        masks: `(k, side, side)`, 0 to 1.
        boxes: `(k, 4)` left, top, right, bottom in pixels of the picture.
        size: `(height, width)` of the picture.

    Returns:
        `(k, height, width)` bool.

    Example:
        >>> found = pasted(np.ones((1, 28, 28)), np.array([[10.0, 0.0, 30.0, 20.0]]), (40, 40))
        >>> found.shape, found[0].any(0).nonzero()[0][[0, -1]].tolist()
        ((1, 40, 40), [10, 29])
    """
    height, width = (int(side) for side in size)
    made = np.zeros((len(masks), height, width), bool)
    if not len(masks):
        return made
    framed = np.pad(masks, ((0, 0), (1, 1), (1, 1)))  # so that an edge of the mask fades out
    low, high = boxes[:, :2], boxes[:, 2:]
    half = (high - low) * boxes.dtype.type(0.5) * boxes.dtype.type(framed.shape[-1] / masks.shape[-1])
    middle = (high + low) * boxes.dtype.type(0.5)
    corners = np.concatenate([middle - half, middle + half], 1).astype(np.int64).tolist()
    for canvas, mask, (left, top, right, bottom) in zip(made, framed, corners):
        drawn = scaled(mask, (max(bottom - top + 1, 1), max(right - left + 1, 1)), antialias=False) > 0.5
        rows, columns = slice(max(top, 0), min(bottom + 1, height)), slice(max(left, 0), min(right + 1, width))
        canvas[rows, columns] = drawn[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    return made
