"""What tasks share that find objects: boxes into the frame and back, drawing, mean average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastgpu.answers.pixels import class_colours
from fastgpu.inputs.image import frame_scale
from fastgpu.optional import require

__all__ = ["box_sizes", "colours_of", "draw_boxes", "mean_average_precision", "original_boxes", "padded", "paint_boxes", "shown"]

SURE = 0.3
"""Least score of a box in results; metrics count all that the network gives."""

SAME_PLACE = 0.8
"""Boxes that cover one another to this share (IoU) are one object: results keep the label of the highest score."""

COCO_SCORES = ("map", "map_50", "map_75", "mar_100")


def box_sizes(targets: Sequence[Mapping[str, Any]], scales: np.ndarray) -> tuple[float, float]:
    """Side of a small and of a large box in pixels of the frame: the 10 % and 90 % quantiles of the roots of their areas."""
    sides = [np.sqrt(np.prod(t["boxes"][:, 2:] - t["boxes"][:, :2], axis=1)) * s for t, s in zip(targets, scales) if len(t["boxes"])]
    small, large = np.quantile(np.concatenate(sides), (0.1, 0.9))
    return round(float(small), 1), round(float(large), 1)


def padded(targets: Sequence[Mapping[str, Any]], scales: np.ndarray) -> tuple[Tensor, Tensor, list[int]]:
    """Boxes and labels of `n` pictures as tensors, filled up to the most objects that one has.

    Returns:
        Boxes `(n, k, 4)` float32 in pixels of the frame, labels `(n, k)` int64 with -1 where there is none, and how many
        objects each picture has.
    """
    counts = [len(t["labels"]) for t in targets]
    most = max([1, *counts])
    boxes, labels = torch.zeros(len(counts), most, 4), torch.full((len(counts), most), -1)
    for i, (target, count, scale) in enumerate(zip(targets, counts, scales)):
        boxes[i, :count] = torch.as_tensor(np.asarray(target["boxes"], np.float64).reshape(-1, 4) * scale)
        labels[i, :count] = torch.as_tensor(np.asarray(target["labels"], np.int64))
    return boxes, labels, counts


def original_boxes(boxes: Sequence[Tensor], original: Tensor, size: tuple[int, int]) -> list[Tensor]:
    """Boxes in pixels of the frame -> in pixels of the pictures as they came, cut at their edges.

    Args:
        boxes: `b` tensors `(k, 4)`.
        original: `(b, 2)` height and width of the pictures.
        size: `(height, width)` of the frame.
    """
    factors = 1 / frame_scale(original, size)
    edges = original.flip(-1).repeat(1, 2)
    return [torch.minimum((each.float() * factor).clamp_min(0), edge) for each, factor, edge in zip(boxes, factors, edges)]


def shown(boxes: Tensor, scores: Tensor) -> Tensor:
    """Numbers `(k,)` of the boxes that results hold, highest score first: of a score of at least `SURE`, one in a place."""
    from torchvision.ops import nms

    sure = torch.nonzero(scores >= SURE)[:, 0]
    return sure[nms(boxes[sure].float(), scores[sure].float(), SAME_PLACE)]


def colours_of(classes: Sequence[Any]) -> dict[Any, tuple[int, int, int]]:
    """Class -> `(red, green, blue)`, 0 to 255; none is black."""
    return {name: tuple(colour.tolist()) for name, colour in zip(classes, class_colours(len(classes) + 1)[1:])}


def caption(found: Mapping[str, Any], i: int) -> str:
    """What stands beside box number `i`: its label, and its score where there is one."""
    return f"{found['labels'][i]} {found['scores'][i]:.0%}" if "scores" in found else str(found["labels"][i])


def draw_boxes(axes: Any, found: Mapping[str, Any], colours: Mapping[Any, tuple[int, int, int]]) -> None:
    """Draw boxes with their captions into matplotlib axes that show the picture."""
    from matplotlib.patches import Rectangle

    for i, ((left, top, right, bottom), label) in enumerate(zip(found["boxes"], found["labels"])):
        colour = tuple(part / 255 for part in colours[label])
        axes.add_patch(Rectangle((left, top), right - left, bottom - top, fill=False, linewidth=1.5, edgecolor=colour))
        background = {"facecolor": colour, "edgecolor": "none", "pad": 0.5}
        axes.text(left, top, caption(found, i), fontsize=6, verticalalignment="bottom", clip_on=True, bbox=background)


def paint_boxes(picture: Any, found: Mapping[str, Any], colours: Mapping[Any, tuple[int, int, int]]) -> None:
    """Draw boxes with their captions into a PIL picture of mode RGB, in its own pixels."""
    from PIL import ImageDraw

    canvas = ImageDraw.Draw(picture)
    line = max(1, round(min(picture.size) / 200))
    for i, ((left, top, right, bottom), label) in enumerate(zip(found["boxes"].tolist(), found["labels"])):
        colour = colours[label]
        canvas.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=line)
        if min(picture.size) >= 100:  # no letter can be read in a smaller one
            place = canvas.textbbox((left, top), caption(found, i), anchor="lb")
            canvas.rectangle(place, fill=colour)
            canvas.text((left, top), caption(found, i), fill=(0, 0, 0), anchor="lb")


def mean_average_precision(name: str, kind: str = "bbox") -> Any:
    """torchmetrics' mean average precision as COCO computes it, over IoU 0.50 to 0.95.

    Args:
        name: `"map"` gives map, map_50, map_75 and mar_100; one of these names gives it alone; `"mask_map"` like `"map"`.
        kind: `"bbox"`, or `"segm"` for masks.
    """
    require("faster_coco_eval", need="Mean average precision")
    from torchmetrics.detection import MeanAveragePrecision

    kept = COCO_SCORES if name == "map" else (name,)
    prefix = "mask_" if kind == "segm" else ""

    class Precision(MeanAveragePrecision):
        """Finite numbers alone: classes without any box give -1."""

        def compute(self) -> dict[str, Tensor]:
            found = super().compute()
            return {f"{prefix}{key}": found[key] for key in kept if found[key].numel() == 1 and found[key] >= 0}

    metric = Precision(box_format="xyxy", iou_type=kind, backend="faster_coco_eval")  # type: ignore[arg-type]
    metric.warn_on_many_detections = False
    return metric
