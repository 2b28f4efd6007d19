"""Instance segmentation: detection, and a mask for each object."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fastgpu.answers.instances import InstanceAnswers
from fastgpu.data.columns import Columns, JoinedColumns
from fastgpu.data.instance_masks import InstanceMasks
from fastgpu.errors import DataError
from fastgpu.tasks.base import TASKS
from fastgpu.tasks.boxes import mean_average_precision
from fastgpu.tasks.detection import Detection

__all__ = ["InstanceSegmentation"]


@TASKS.register("instance_segmentation")
@dataclasses.dataclass(frozen=True, kw_only=True)
class InstanceSegmentation(InstanceAnswers, Detection):
    """Boxes with classes and masks, in the original picture's pixels.

    A raw target has `"outlines"` too, one an object, in a form that `fastgpu.data.instance_masks.filled` takes; a batch's `y`
    has `"masks"` `(b, k, h, w)`. The network gives masks `(k, side, side)` as shares of their boxes (Mask R-CNN: 28).
    """

    metric_names: ClassVar[tuple[str, ...]] = (*Detection.metric_names, "mask_map")

    def encode(self, targets: np.ndarray, x: Columns | None = None) -> Columns:
        if not all("outlines" in t for t in targets):
            raise DataError("Instance segmentation needs an outline for each object. None came. Give COCO annotations with segmentation.")
        masks = InstanceMasks([t["outlines"] for t in targets], [t["size"] for t in targets], self.frame)
        return JoinedColumns(super().encode(targets, x), masks)

    def update(self, metrics: Mapping[str, Any], predictions: Mapping[str, Any], y: Mapping[str, Any]) -> None:
        super().update({name: metric for name, metric in metrics.items() if name != "mask_map"}, predictions, y)
        if "mask_map" not in metrics:
            return
        found, true = [], []
        for i, (boxes, labels) in enumerate(self._true(y)):
            size = predictions["size"][i] if "size" in predictions else self._size(y, i)
            own = {k: predictions[k][i] for k in ("boxes", "labels", "scores")}
            found.append({**own, "masks": _pasted(predictions["masks"][i], predictions["boxes"][i], size)})
            true.append({"boxes": boxes, "labels": labels, "masks": _unframed(y["masks"][i, : len(labels)], y["scale"][i], size)})
        metrics["mask_map"].update(found, true)

    def truth(self, y: Mapping[str, Any]) -> dict[str, Any]:
        listed = super().truth(y)["boxes"]
        for i, found in enumerate(listed):
            found["masks"] = _unframed(y["masks"][i, : len(found["labels"])], y["scale"][i], self._size(y, i)).numpy()
        return {"boxes": listed}

    def _size(self, y: Mapping[str, Any], i: int) -> Tensor:
        """`(height, width)` of the frame in pixels of picture number `i` as it came: all of the picture, and what it is filled up with."""
        return torch.tensor([round(side / y["scale"][i].item()) for side in self.frame])

    def metric(self, name: str) -> Any:
        return mean_average_precision("map", "segm") if name == "mask_map" else super().metric(name)


def _pasted(masks: Tensor, boxes: Tensor, size: Tensor) -> Tensor:
    """Masks `(k, side, side)` as shares of their boxes -> `(k, height, width)` bool in the original picture's pixels."""
    from torchvision.models.detection.roi_heads import paste_masks_in_image

    height, width = size.tolist()
    return paste_masks_in_image(masks[:, None].float(), boxes.float(), (height, width))[:, 0] > 0.5


def _unframed(masks: Tensor, scale: Tensor, size: Tensor) -> Tensor:
    """Masks `(k, h, w)` in the frame -> `(k, height, width)` bool in the original picture's pixels."""
    height, width = (int(side) for side in size.tolist())
    inside = masks[:, : max(1, round(height * scale.item())), : max(1, round(width * scale.item()))]
    if not len(inside):
        return inside.new_zeros((0, height, width), dtype=torch.bool)
    return F.interpolate(inside[None].float(), (height, width), mode="nearest-exact")[0] > 0.5
