"""The adapter of the DETR family of transformers: DETR, Conditional DETR, Deformable DETR, RT-DETR, D-FINE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.nn.adapters.base import ADAPTERS, of_library
from fastgpu.nn.adapters.detector import Detector, boxes_of

__all__ = ["Detr"]

MOST = 100  # objects a picture, as COCO counts


@ADAPTERS.register("detr")
class Detr(Detector):
    """Calls a detector by keyword, with boxes as centre and size in shares of the picture; the library computes the loss."""

    @classmethod
    def suits(cls, net: nn.Module) -> bool:
        return of_library(net, "transformers") and any(kind.__name__.endswith("ForObjectDetection") for kind in type(net).__mro__)

    def forward(self, x: Mapping[str, Any], y: Mapping[str, Any] | None = None) -> dict[str, Any]:
        image = x["image"]
        labels = None
        if y is not None:
            shares = _size(image)
            labels = [{"class_labels": t["labels"], "boxes": _centred(t["boxes"]) / shares} for t in boxes_of(y)]
        out = self.net(pixel_values=image, labels=labels)
        given = {"logits": out.logits, "pred_boxes": out.pred_boxes}
        return given if y is None else {**given, "loss": out.loss + self._unused()}

    def _unused(self) -> Tensor | float:
        """Zero, from parameters that take no part in a batch without any box: processes wait for a gradient of each."""
        denoising: Any = getattr(self.net.model, "denoising_class_embed", None)
        return 0.0 if denoising is None else 0.0 * denoising.weight.sum()

    def detect(self, x: Mapping[str, Any], out: Mapping[str, Any]) -> dict[str, list[Tensor]]:
        return {name: list(value) for name, value in self.detect_in_graph(x, out).items()}

    def detect_in_graph(self, x: Mapping[str, Any], out: Mapping[str, Any]) -> dict[str, Tensor]:
        net: Any = self.net
        logits = out["logits"].float()
        if net.config.model_type in ("detr", "yolos", "table-transformer"):  # softmax, with "nothing" as the last class
            shares = logits.softmax(-1)[..., :-1]
        else:
            shares = logits.sigmoid()
        classes = shares.shape[-1]
        scores, at = shares.flatten(1).topk(min(MOST, shares[0].numel()))
        boxes = out["pred_boxes"].float().gather(1, (at // classes)[..., None].expand(-1, -1, 4))
        middle, side = boxes.split(2, -1)
        corners = torch.cat([middle - side / 2, middle + side / 2], -1) * _size(x["image"])
        return {"boxes": corners, "labels": at % classes, "scores": scores}


def _size(image: Tensor) -> Tensor:
    height, width = image.shape[-2:]
    return torch.tensor([width, height, width, height], device=image.device, dtype=torch.float32)


def _centred(boxes: Tensor) -> Tensor:
    """Corners -> centre and size."""
    low, high = boxes.split(2, -1)
    return torch.cat([(low + high) / 2, high - low], -1)
