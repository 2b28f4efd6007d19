"""What tasks share that find objects: boxes into the frame and back, drawing, mean average precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastgpu.inputs.image import frame_scale
from fastgpu.nn.adapters.picking import unsuppressed
from fastgpu.optional import require

__all__ = ["box_sizes", "matched", "mean_average_precision", "original_boxes", "padded", "shown"]

SURE = 0.3
"""Least score of a box in results; metrics count all that the network gives."""

SAME_PLACE = 0.8
"""Boxes that cover one another to this share (IoU) are one object: results keep the label of the highest score."""

SAME_OBJECT = 0.5
"""Least overlap (IoU) of two boxes of one object, as COCO's most lenient score has it."""

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
    """Which boxes of each picture results hold, `(b, n)` bool: those of a score of at least `SURE`, one in a place.

    Args:
        boxes: `(b, n, 4)`.
        scores: `(b, n)`.
    """
    return unsuppressed(boxes.clamp_min(0), torch.where(scores >= SURE, scores, 0.0), SAME_PLACE)


def matched(found: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Two sets of boxes of one picture as pairs: of each box that results hold in either, and the one in its place in the other.

    Args:
        found: `"boxes"` `(n, 4)`, `"labels"`, `"scores"` and `"shown"` `(n,)`, and whatever else each box has; a score of 0 is no box.
        expected: the same.

    Returns:
        All but `"shown"` of both, `(pairs, ...)`, and `"objects"`: False where a side has none, and the other's stands for it.
    """
    from torchvision.ops import box_iou

    # Half a pixel wider on each side: a box without area, as untrained networks draw them, is in its own place.
    wider = torch.tensor([-0.5, -0.5, 0.5, 0.5])
    overlap = box_iou(torch.from_numpy(expected["boxes"]) + wider, torch.from_numpy(found["boxes"]) + wider).numpy()
    alike = (expected["labels"][:, None] == found["labels"]) & (expected["scores"][:, None] > 0) & (found["scores"] > 0)
    overlap = np.where(alike & (overlap >= SAME_OBJECT), overlap, 0.0)
    pairs: list[tuple[int, int]] = []
    for row in np.flatnonzero(expected["shown"]).tolist():
        column = int(overlap[row].argmax())
        pairs.append((row, column if overlap[row, column] else -1))
        overlap[:, column] = np.where(overlap[row, column] > 0, 0.0, overlap[:, column])
    taken = [column for _, column in pairs]
    overlap[[row for row, _ in pairs]] = 0
    for column in np.setdiff1d(np.flatnonzero(found["shown"]), taken).tolist():
        row = int(overlap[:, column].argmax())
        pairs.append((row if overlap[row, column] else -1, column))
        overlap[row] = np.where(overlap[row, column] > 0, 0.0, overlap[row])
    mine, theirs = {}, {}
    for name, value in found.items():
        if name != "shown":
            shape = (-1, *value.shape[1:])
            mine[name] = np.array([value[c] if c >= 0 else expected[name][r] for r, c in pairs], value.dtype).reshape(shape)
            theirs[name] = np.array([expected[name][r] if r >= 0 else value[c] for r, c in pairs], value.dtype).reshape(shape)
    mine["objects"], theirs["objects"] = (np.array([pair[side] >= 0 for pair in pairs], bool) for side in (1, 0))
    return mine, theirs


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
