"""torchvision's own detectors, by its names: the networks of their papers, at their full size."""

from __future__ import annotations

import functools
from typing import Any

from torch import nn

from fastgpu.errors import ModelError
from fastgpu.zoo.entry import FAMILIES, Built, Entry, Family
from fastgpu.zoo.vision.dense_detectors import as_they_come

__all__: list[str] = []

_PREFIXES = ("fasterrcnn_", "fcos_", "maskrcnn_", "retinanet_", "ssd")
SMALLEST = {"ssd300_vgg16": 300, "ssdlite320_mobilenet_v3_large": 320}


@functools.cache
def names() -> list[str]:
    """Names of torchvision's detectors; those of key points are left out."""
    from torchvision.models import detection, list_models

    return [name for name in list_models(module=detection) if name.startswith(_PREFIXES)]


def entry(name: str) -> Entry:
    """Facts about a detector of torchvision."""
    task = "instance_segmentation" if name.startswith("maskrcnn") else "detection"
    side = SMALLEST.get(name)
    return Entry(
        name=name,
        inputs=("image",),
        tasks=(task,),
        source=f"torchvision.models.detection.{name}",
        licence="BSD-3-Clause",
        size=None if side is None else (side, side),
        typical=(
            {"kind": "image", "channels": 3, "size": (512, 512)},
            {"task": task, "outputs": 80, "box_sizes": (12.0, 320.0)},
        ),
        extra="vision",  # its metric
    )


def build(name: str, facts: dict[str, Any], target: dict[str, Any], pretrained: bool | str) -> Built:
    """Build a detector without any weights that were trained before.

    Raises:
        ModelError: an SSD got pictures smaller than it was made for.
    """
    from torchvision.models import get_model

    least = SMALLEST.get(name, 1)
    if min(facts["size"]) < least:
        raise ModelError(
            f"{name} takes pictures of at least {least}x{least}. The data are {facts['size'][0]}x{facts['size'][1]}. Use image_size={least}."
        )
    background = 0 if name.startswith(("fcos", "retinanet")) else 1
    options: dict[str, Any] = as_they_come(facts)
    if name.startswith("ssd"):  # they have one size of their own, and say so where another is given
        del options["min_size"], options["max_size"]
    # Both are needed: without weights_backbone=None the backbone's weights are still fetched.
    net: Any = get_model(name, weights=None, weights_backbone=None, num_classes=target["outputs"] + background, **options)
    if name == "ssd300_vgg16":
        net.anchor_generator.steps = None  # its own are those of 300 pixels; else they follow from the maps
    if facts["channels"] != 3:
        _take_channels(net, facts["channels"])
    parts = dict(net.named_modules())
    return Built(net=net, head=tuple(part for part in ("backbone.fpn", "rpn", "roi_heads", "head") if part in parts))


def _take_channels(net: nn.Module, channels: int) -> None:
    """Put a first layer for that many channels in the place of the one for colour."""
    at, first = next((n, m) for n, m in net.named_modules() if isinstance(m, nn.Conv2d))
    new = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    parent, _, name = at.rpartition(".")
    net.get_submodule(parent)._modules[name] = new


FAMILIES.register("torchvision_detection")(Family(names=names, entry=entry, build=build, prefixes=_PREFIXES))
