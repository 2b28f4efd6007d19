"""The adapter of torchvision's detectors: FCOS, RetinaNet, SSD, Faster R-CNN and Mask R-CNN."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from fastgpu.nn.adapters.base import ADAPTERS, of_library
from fastgpu.nn.adapters.detector import Detector, boxes_of
from fastgpu.nn.adapters.torchvision_picking import of_levels, of_proposals, of_single_shot, proposed

__all__ = ["TorchvisionDetection"]


@ADAPTERS.register("torchvision_detection")
class TorchvisionDetection(Detector):
    """Runs a detector part by part, so that one pass of the backbone serves loss and boxes, in training and evaluation alike.

    torchvision's own `forward` gives losses in training mode alone and boxes in evaluation mode alone, and resizes the
    pictures. Here pictures come as the network is to see them, and classes count from 0 in all of them.
    """

    @classmethod
    def suits(cls, net: nn.Module) -> bool:
        return of_library(net, "torchvision.models.detection")

    def __init__(self, net: nn.Module, keys: tuple[str, ...]) -> None:
        super().__init__(net, keys)
        self.two_stage = hasattr(net, "roi_heads")
        self.kinds = {kind.__name__ for kind in type(net).__mro__}
        # Where 0 is the background, the first class is 1.
        self.first = 1 if self.two_stage or "SSD" in self.kinds else 0

    def called(self) -> list[nn.Module]:
        net: Any = self.net
        return [net.backbone] if self.two_stage else [net.backbone, net.head]

    def forward(self, x: Mapping[str, Any], y: Mapping[str, Any] | None = None) -> dict[str, Any]:
        net: Any = self.net
        features = net.backbone(x["image"])
        features = {"0": features} if isinstance(features, Tensor) else features
        out = {"features": features}
        if self.two_stage:
            return out if y is None else {**out, "loss": self._two_stage_loss(x["image"], features, boxes_of(y, self.first))}
        out |= net.head(list(features.values()))
        return out if y is None else {**out, "loss": self._dense_loss(x["image"], out, boxes_of(y, self.first))}

    def detect(self, x: Mapping[str, Any], out: Mapping[str, Any]) -> dict[str, list[Tensor]]:
        net: Any = self.net
        images = _image_list(x["image"])
        if self.two_stage:
            found = self._two_stage_boxes(images, out["features"])
        else:
            maps = list(out["features"].values())
            heads, anchors = _heads(out), net.anchor_generator(images, _shapes(maps))
            if "SSD" in self.kinds:
                found = net.postprocess_detections(heads, anchors, images.image_sizes)
            else:
                sizes = self._anchors_a_level(maps)
                levels = {k: list(v.split(sizes, 1)) for k, v in heads.items()}
                found = net.postprocess_detections(levels, [list(a.split(sizes)) for a in anchors], images.image_sizes)
        names = ("boxes", "labels", "scores", *(("masks",) if "masks" in found[0] else ()))
        listed = {name: [each[name] for each in found] for name in names}
        listed["labels"] = [labels - self.first for labels in listed["labels"]]
        return listed

    def detect_in_graph(self, x: Mapping[str, Any], out: Mapping[str, Any]) -> dict[str, Tensor]:
        net: Any = self.net
        size, maps = x["image"].shape[-2:], list(out["features"].values())
        generator = net.rpn.anchor_generator if self.two_stage else net.anchor_generator
        [anchors] = generator(_image_list(x["image"][:1]), _shapes(maps))
        if self.two_stage:
            weight = next(net.roi_heads.parameters())
            features = {name: value.to(weight.dtype) for name, value in out["features"].items()}
            return of_proposals(net.roi_heads, features, proposed(net.rpn, list(features.values()), anchors, size), size)
        heads = _heads(out)
        if "SSD" in self.kinds:
            return of_single_shot(net, heads["cls_logits"].softmax(-1)[..., self.first :], heads["bbox_regression"], anchors, size)
        shares = heads["cls_logits"].sigmoid()
        if "FCOS" in self.kinds:
            shares = (shares * heads["bbox_ctrness"].sigmoid()).sqrt()
        return of_levels(net, shares, heads["bbox_regression"], anchors, self._anchors_a_level(maps), size)

    def _dense_loss(self, image: Tensor, out: Mapping[str, Any], targets: list[dict[str, Tensor]]) -> Tensor:
        net: Any = self.net
        maps = list(out["features"].values())
        heads, anchors = _heads(out), net.anchor_generator(_image_list(image), _shapes(maps))
        targets = [{**each, "boxes": each["boxes"].float()} for each in targets]
        if "FCOS" in self.kinds:
            losses = net.compute_loss(targets, heads, anchors, self._anchors_a_level(maps))
        elif "SSD" in self.kinds:
            losses = net.compute_loss(targets, heads, anchors, [_matched(net, t["boxes"], a) for t, a in zip(targets, anchors)])
        else:
            losses = net.compute_loss(targets, heads, anchors)
        return torch.stack([loss.float() for loss in losses.values()]).sum()

    def _anchors_a_level(self, features: list[Tensor]) -> list[int]:
        net: Any = self.net
        each = net.anchor_generator.num_anchors_per_location()
        return [f.shape[-2] * f.shape[-1] * count for f, count in zip(features, each)]

    def _two_stage_loss(self, image: Tensor, features: Mapping[str, Tensor], targets: list[dict[str, Tensor]]) -> Tensor:
        net: Any = self.net
        images = _image_list(image)
        with _set_training(True, net.rpn, net.roi_heads), _full_precision(net, features) as features:
            proposals, losses = net.rpn(images, features, targets)
            _, more = net.roi_heads(features, proposals, images.image_sizes, targets)
        return torch.stack([loss.float() for loss in (*losses.values(), *more.values())]).sum()

    def _two_stage_boxes(self, images: Any, features: Mapping[str, Tensor]) -> list[dict[str, Tensor]]:
        net: Any = self.net
        with _set_training(False, net.rpn, net.roi_heads), _full_precision(net, features) as features:
            proposals, _ = net.rpn(images, features)
            found, _ = net.roi_heads(features, proposals, images.image_sizes)
        return [{k: v[:, 0] if k == "masks" else v for k, v in each.items()} for each in found]


def _image_list(image: Tensor) -> Any:
    from torchvision.models.detection.image_list import ImageList

    height, width = image.shape[-2:]
    return ImageList(image, [(height, width)] * len(image))


def _heads(out: Mapping[str, Any]) -> dict[str, Tensor]:
    """What the heads gave, in single precision: scores and boxes of half precision are too coarse."""
    return {k: v.float() for k, v in out.items() if isinstance(v, Tensor) and k != "loss"}


def _shapes(maps: list[Tensor]) -> list[Tensor]:
    """Stand-ins for the maps: anchors take their precision from them, and in half precision would miss by pixels."""
    return [each.new_empty((1, 1, *each.shape[-2:]), dtype=torch.float32) for each in maps]


@contextmanager
def _full_precision(net: Any, features: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Proposals and heads run in the precision of their weights: anchors of half precision would miss by pixels."""
    weight = next(net.roi_heads.parameters())
    with torch.autocast(weight.device.type, enabled=False):
        yield {k: v.to(weight.dtype) for k, v in features.items()}


def _matched(net: Any, boxes: Tensor, anchors: Tensor) -> Tensor:
    """Number of the box that each anchor of an SSD stands for, below 0 where it is background."""
    from torchvision.ops import box_iou

    if not len(boxes):
        return torch.full((len(anchors),), -1, dtype=torch.int64, device=anchors.device)
    return net.proposal_matcher(box_iou(boxes, anchors))


@contextmanager
def _set_training(mode: bool, *gates: nn.Module) -> Iterator[None]:
    """These modules alone, without those inside them (batch normalisation is one), are in training mode, or not."""
    before = [gate.training for gate in gates]
    try:
        for gate in gates:
            gate.training = mode
        yield
    finally:
        for gate, training in zip(gates, before):
            gate.training = training
