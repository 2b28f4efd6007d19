"""Picking objects among candidates with tensors of one shape for all pictures, as a traced network needs it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["best", "unsuppressed"]


def unsuppressed(boxes: Tensor, scores: Tensor, overlap: float, groups: Tensor | None = None) -> Tensor:
    """Which boxes of a batch non-maximum suppression keeps; in each picture, and in each group, for itself.

    All pictures go through one call: boxes are moved so far apart that only those of one picture and group overlap.

    Args:
        boxes: `(b, n, 4)` left, top, right, bottom, at least 0.
        scores: `(b, n)`, above 0 for those that take part.
        overlap: share (IoU) of the picture above which the lower score goes.
        groups: `(b, n)` numbers from 0; None: one for all.

    Returns:
        `(b, n)` bool.

    Example:
        >>> boxes = torch.tensor([[[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 4.0, 4.1], [9.0, 9.0, 12.0, 12.0]]])
        >>> unsuppressed(boxes, torch.tensor([[0.8, 0.9, 0.0]]), 0.5).tolist()
        [[False, True, False]]
    """
    from torchvision.ops import nms

    count, most = scores.shape
    if not most:
        return scores > 0
    span = boxes.max() + 1
    right = torch.arange(count, device=boxes.device)[:, None].expand(-1, most) * span
    down = torch.zeros_like(right) if groups is None else groups * span
    # What takes no part lies in one place, where the first of it hides the rest at once.
    aside = -span * boxes.new_tensor([2.0, 2.0, 1.0, 1.0])
    moved = torch.where((scores > 0)[..., None], boxes + torch.stack([right, down, right, down], -1), aside)
    kept = nms(moved.flatten(0, 1), scores.flatten().to(moved.dtype), overlap)
    found = torch.zeros_like(scores.flatten()).index_fill(0, kept, 1.0).reshape(count, most)
    return (found > 0) & (scores > 0)


def best(candidates: Mapping[str, Tensor], scores: Tensor, most: int) -> dict[str, Tensor]:
    """The candidates of the highest scores in each picture, highest first.

    Args:
        candidates: name -> `(b, n, ...)`.
        scores: `(b, n)`.
        most: how many; fewer where there are fewer candidates.

    Returns:
        Name -> `(b, most, ...)`, `"scores"` among them.
    """
    found, at = scores.topk(min(most, scores.shape[1]))
    picked = {}
    for name, value in candidates.items():
        index = at.reshape(*at.shape, *[1] * (value.ndim - 2)).expand(-1, -1, *value.shape[2:])
        picked[name] = value.gather(1, index)
    return {**picked, "scores": found}
