"""FCOS and RetinaNet, torchvision's heads, on any of timm's pyramids: a box and classes for every cell of every level."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from fastgpu.zoo.entry import FAMILIES, Built, Family
from fastgpu.zoo.vision.pyramids import build_pyramid, pyramid_entry, pyramid_names

__all__ = ["as_they_come"]

FCOS = "FCOS, Tian et al., 2019, arXiv 1904.01355, as in torchvision"
RETINANET = "RetinaNet, Lin et al., 2017, arXiv 1708.02002, as in torchvision"

LEAST_SCORE = 0.05
"""Boxes of a lower score are dropped at once, as in RetinaNet's paper."""


def as_they_come(facts: dict[str, Any]) -> dict[str, Any]:
    """Keywords by which a torchvision detector neither resizes nor normalises pictures by itself."""
    channels, size = facts["channels"], facts["size"]
    return {"min_size": min(size), "max_size": max(size), "image_mean": [0.0] * channels, "image_std": [1.0] * channels}


def build_fcos(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """FCOS with levels for the boxes of the data; one point a cell."""
    from torchvision.models.detection import FCOS as Network
    from torchvision.models.detection.anchor_utils import AnchorGenerator

    pyramid, levels, about = build_pyramid(name, facts, target, pretrained)
    anchors = AnchorGenerator(tuple((s,) for s in levels.all), ((1.0,),) * len(levels.all))
    net = Network(pyramid, target["outputs"], anchor_generator=anchors, score_thresh=LEAST_SCORE, **as_they_come(facts))
    return Built(net=net, head=("backbone.fpn", "head"), **about)


def build_retinanet(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """RetinaNet with levels for the boxes of the data; nine anchors a cell, from four cells wide on."""
    from torchvision.models.detection import RetinaNet as Network
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.retinanet import RetinaNetHead

    pyramid, levels, about = build_pyramid(name, facts, target, pretrained)
    sizes = tuple(tuple(int(4 * s * 2 ** (third / 3)) for third in range(3)) for s in levels.all)
    anchors = AnchorGenerator(sizes, ((0.5, 1.0, 2.0),) * len(sizes))
    # Group normalisation, as FCOS has: without it the head learns next to nothing from scratch in a short time.
    head = RetinaNetHead(pyramid.out_channels, 9, target["outputs"], norm_layer=functools.partial(nn.GroupNorm, 32))
    net = Network(
        pyramid,
        target["outputs"],
        anchor_generator=anchors,
        head=head,
        score_thresh=LEAST_SCORE,
        detections_per_img=100,
        **as_they_come(facts),
    )
    return Built(net=net, head=("backbone.fpn", "head"), **about)


for _family, _source, _build in (("fcos", FCOS, build_fcos), ("retinanet", RETINANET, build_retinanet)):
    FAMILIES.register(_family)(
        Family(
            names=functools.partial(pyramid_names, _family),
            entry=functools.partial(pyramid_entry, task="detection", source=_source),
            build=_build,
            prefixes=(f"{_family}/",),
        )
    )
