"""Faster R-CNN and Mask R-CNN, torchvision's heads, on any of timm's pyramids: proposals first, then a look at each."""

from __future__ import annotations

import functools
from typing import Any

from fastgpu.zoo.entry import FAMILIES, Built, Family
from fastgpu.zoo.vision.dense_detectors import as_they_come
from fastgpu.zoo.vision.pyramids import Levels, build_pyramid, pyramid_entry, pyramid_names

__all__: list[str] = []

FASTER = "Faster R-CNN, Ren et al., 2015, arXiv 1506.01497, as in torchvision"
MASK = "Mask R-CNN, He et al., 2017, arXiv 1703.06870, as in torchvision"


def build_faster(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Faster R-CNN with levels for the boxes of the data."""
    from torchvision.models.detection import FasterRCNN

    pyramid, levels, about = build_pyramid(name, facts, target, pretrained)
    net = FasterRCNN(pyramid, **_parts(pyramid.out_channels, levels, target["outputs"]), **as_they_come(facts))
    return Built(net=net, head=("backbone.fpn", "rpn", "roi_heads"), **about)


def build_mask(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Mask R-CNN with levels for the boxes of the data; a mask of 28x28 for each box."""
    from torchvision.models.detection import MaskRCNN
    from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
    from torchvision.ops import MultiScaleRoIAlign

    pyramid, levels, about = build_pyramid(name, facts, target, pretrained)
    width = pyramid.out_channels
    net = MaskRCNN(
        pyramid,
        **_parts(width, levels, target["outputs"]),
        mask_roi_pool=MultiScaleRoIAlign(_names(levels), output_size=14, sampling_ratio=2),
        mask_head=MaskRCNNHeads(width, (width,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(width, width, target["outputs"] + 1),
        **as_they_come(facts),
    )
    return Built(net=net, head=("backbone.fpn", "rpn", "roi_heads"), **about)


def _names(levels: Levels) -> list[str]:
    return [str(i) for i in range(len(levels.strides))]


def _parts(width: int, levels: Levels, classes: int) -> dict[str, Any]:
    """Proposals from anchors of four and eight cells; 7x7 values of each go through two layers of four times the width."""
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
    from torchvision.models.detection.rpn import RPNHead
    from torchvision.ops import MultiScaleRoIAlign

    anchors = AnchorGenerator(tuple((4 * s, 8 * s) for s in levels.all), ((0.5, 1.0, 2.0),) * len(levels.all))
    return {
        "rpn_anchor_generator": anchors,
        "rpn_head": RPNHead(width, anchors.num_anchors_per_location()[0]),
        "box_roi_pool": MultiScaleRoIAlign(_names(levels), output_size=7, sampling_ratio=2),
        "box_head": TwoMLPHead(width * 7 * 7, 4 * width),
        "box_predictor": FastRCNNPredictor(4 * width, classes + 1),  # class 0 is the background
    }


for _family, _task, _source, _build in (
    ("fasterrcnn", "detection", FASTER, build_faster),
    ("maskrcnn", "instance_segmentation", MASK, build_mask),
):
    FAMILIES.register(_family)(
        Family(
            names=functools.partial(pyramid_names, _family),
            entry=functools.partial(pyramid_entry, task=_task, source=_source),
            build=_build,
            prefixes=(f"{_family}/",),
        )
    )
