"""Picking objects among candidates with tensors of one shape for all pictures, as a traced network needs it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

__all__ = ["best", "likeliest", "likeliest_of_each", "picked", "unsuppressed"]


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
    moved = (boxes + torch.stack([right, down, right, down], -1)).flatten(0, 1)
    # Two more, each in a place of its own: a traced suppression must keep two at least.
    moved = torch.cat([moved, -span * boxes.new_tensor([[2.0, 2.0, 1.0, 1.0], [4.0, 4.0, 3.0, 3.0]])])
    flat = torch.cat([scores.flatten(), scores.new_ones(2)])
    at = torch.nonzero(flat > 0)[:, 0]
    kept = at[nms(moved[at], flat[at].to(moved.dtype), overlap)]
    return torch.zeros_like(flat).index_fill(0, kept, 1.0)[:-2].reshape(count, most) > 0


def best(candidates: Mapping[str, Tensor], most: int) -> dict[str, Tensor]:
    """The candidates of the highest scores in each picture, highest first.

    Args:
        candidates: name -> `(b, n, ...)`, `"scores"` `(b, n)` among them.
        most: how many; fewer where there are fewer candidates.

    Returns:
        Name -> `(b, most, ...)`.
    """
    found, at = candidates["scores"].topk(min(most, candidates["scores"].shape[1]))
    return {name: found if name == "scores" else _rows(value, at) for name, value in candidates.items()}


def likeliest(boxes: Tensor, shares: Tensor, most: int) -> dict[str, Tensor]:
    """The pairs of box and class of the highest scores in each picture, highest first.

    Args:
        boxes: `(b, n, 4)`.
        shares: `(b, n, classes)`.
        most: how many; fewer where there are fewer pairs.

    Returns:
        `"boxes"` `(b, most, 4)`, `"labels"` and `"scores"` `(b, most)`.

    Example:
        >>> likeliest(torch.zeros(1, 2, 4), torch.tensor([[[0.1, 0.4], [0.3, 0.2]]]), 3)["labels"].tolist()
        [[1, 0, 1]]
    """
    classes = shares.shape[-1]
    scores, at = shares.flatten(1).topk(min(most, shares.shape[1] * classes))
    return {"boxes": _rows(boxes, at // classes), "labels": at % classes, "scores": scores}


def likeliest_of_each(boxes: Tensor, shares: Tensor, most: int) -> dict[str, Tensor]:
    """The boxes of the highest scores for each class in each picture: as `likeliest`, with `most` pairs a class."""
    scores, at = shares.transpose(1, 2).topk(min(most, shares.shape[1]))
    labels = torch.arange(shares.shape[-1], device=shares.device)[:, None].expand_as(at)
    return {"boxes": _rows(boxes, at.flatten(1)), "labels": labels.flatten(1), "scores": scores.flatten(1)}


def picked(candidates: Mapping[str, Tensor], overlap: float, most: int, *, above: float, smallest: float = 0.0) -> dict[str, Tensor]:
    """The candidates of the highest scores that non-maximum suppression keeps in each label, highest first.

    Args:
        candidates: `"boxes"` `(b, n, 4)`, `"labels"` and `"scores"` `(b, n)`.
        overlap: share (IoU) above which the lower score goes.
        most: how many; fewer where there are fewer candidates.
        above: a score must be higher.
        smallest: least side of a box.

    Returns:
        The same names, `(b, most, ...)`; a score is 0 where there is no object.
    """
    boxes, labels, scores = (candidates[name] for name in ("boxes", "labels", "scores"))
    large = ((boxes[..., 2:] - boxes[..., :2]) >= smallest).all(-1)
    scores = torch.where(large & (scores > above), scores, 0.0)
    kept = unsuppressed(boxes, scores, overlap, labels)
    return best({"boxes": boxes, "labels": labels, "scores": torch.where(kept, scores, 0.0)}, most)


def _rows(values: Tensor, at: Tensor) -> Tensor:
    """`(b, n, ...)` at places `(b, k)` -> `(b, k, ...)`."""
    return values.gather(1, at.reshape(*at.shape, *[1] * (values.ndim - 2)).expand(-1, -1, *values.shape[2:]))
