"""Detection: coloured boxes on noise, as COCO annotations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fields import Field

COLOURS = {"red": (230, 40, 40), "blue": (40, 60, 230)}


def scenes(folder: Path, n: int = 40, size: tuple[int, int] = (64, 96), seed: int = 0) -> list[dict]:
    """Write `n` pictures of one or two coloured boxes on grey noise; returns `{"file", "boxes", "labels"}` of each."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for i in range(n):
        pixels = rng.integers(90, 140, (*size, 3), np.uint8)
        boxes, labels = [], []
        for half in range(rng.integers(1, 3)):  # one in each half, so that none hides another
            height, width = rng.integers(16, 32, 2)
            top = rng.integers(0, size[0] - height)
            left = half * (size[1] // 2) + rng.integers(0, size[1] // 2 - width)
            label = list(COLOURS)[rng.integers(2)]
            pixels[top : top + height, left : left + width] = COLOURS[label]
            boxes.append([int(left), int(top), int(left + width), int(top + height)])
            labels.append(label)
        Image.fromarray(pixels).save(folder / f"{i:03d}.png")
        made.append({"file": f"{i:03d}.png", "boxes": boxes, "labels": labels})
    return made


def coco(folder: Path, n: int = 40, outlines: bool = False, **options) -> Path:
    """The scenes with a COCO file beside them."""
    made = scenes(folder / "images", n, **options)
    with Image.open(folder / "images" / made[0]["file"]) as first:
        size = first.size
    annotations = []
    for i, scene in enumerate(made):
        for (left, top, right, bottom), label in zip(scene["boxes"], scene["labels"]):
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": 10 * i,
                    "category_id": {"red": 3, "blue": 7}[label],  # COCO's numbers have gaps
                    "bbox": [left, top, right - left, bottom - top],
                    "area": (right - left) * (bottom - top),
                    "iscrowd": 0,
                    **({"segmentation": [[left, top, right, top, right, bottom, left, bottom]]} if outlines else {}),
                }
            )
    content = {
        "images": [{"id": 10 * i, "file_name": s["file"], "width": size[0], "height": size[1]} for i, s in enumerate(made)],
        "annotations": annotations,
        "categories": [{"id": 3, "name": "red"}, {"id": 7, "name": "blue"}],
    }
    file = folder / "annotations.json"
    file.write_text(json.dumps(content))
    return file


def lively(learn):
    """The learner with a network of torchvision that is sure of some objects, without any training; returns three pictures, prepared."""
    torch.manual_seed(0)
    module, net = learn.task_module(), learn.module
    x = module.preparation(learn.data.split("train").head(3)["x"])
    for name, weight in net.named_parameters():
        if weight.ndim > 1 and not name.startswith("backbone"):
            torch.nn.init.normal_(weight, std=1.5 / weight[0].numel() ** 0.5)
    for layer in net.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.momentum = 1.0  # the statistics of these pictures at once
    with torch.no_grad():
        module.train().model(x)
    module.eval()
    return x


FIELDS = [
    Field(
        name="detection",
        architecture="fcos/resnet10t",
        data=lambda folder: coco(folder / "traffic"),
        items=lambda folder: [str(f) for f in sorted((folder / "traffic" / "images").glob("*.png"))[:3]],
        task="detection",
        column="boxes",
        packages=("faster_coco_eval",),
    ),
    Field(
        name="instance_segmentation",
        architecture="maskrcnn/resnet10t",
        data=lambda folder: coco(folder / "traffic", 24, outlines=True),
        items=lambda folder: [str(f) for f in sorted((folder / "traffic" / "images").glob("*.png"))[:3]],
        task="instance_segmentation",
        column="boxes",
        packages=("faster_coco_eval",),
    ),
]
