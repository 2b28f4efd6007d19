"""Picking objects among candidates with tensors of one shape for all pictures, as a traced network needs it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import pad

from fastgpu.nn.loops import looped

__all__ = ["best", "likeliest", "likeliest_of_each", "picked", "unsuppressed"]


def unsuppressed(boxes: Tensor, scores: Tensor, overlap: float, groups: Tensor | None = None) -> Tensor:
    """Which boxes of a batch non-maximum suppression keeps; in each picture, and in each group, for itself.

    Pictures take their turn in a loop, which a graph of any batch holds: the cost grows with their number, not with its square.

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

    # Two points more, which overlap nothing: a traced suppression must keep two at least.
    boxes, scores = pad(boxes, (0, 0, 0, 2)), pad(scores.to(boxes.dtype), (0, 2), value=1.0)
    groups = None if groups is None else pad(groups, (0, 2))
    places = torch.arange(scores.shape[0], device=scores.device)[:, None]

    def of(values: Tensor, at: Tensor) -> Tensor:
        return values.index_select(0, at.reshape(1))[0]

    def on(at: Tensor, kept: Tensor) -> Tensor:
        return at < kept.shape[0]

    def step(at: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        its_boxes, its_scores = of(boxes, at), of(scores, at)
        if groups is not None:  # so far apart that only boxes of one group overlap
            its_boxes = its_boxes + (of(groups, at) * (its_boxes.max() + 1))[:, None]
        some = torch.nonzero(its_scores > 0)[:, 0]
        some = some[nms(its_boxes[some], its_scores[some], overlap)]
        return at + 1, kept | ((places == at) & torch.zeros_like(kept[0]).index_fill(0, some, True))

    begin = torch.zeros((), dtype=torch.int64, device=scores.device), torch.zeros_like(scores, dtype=torch.bool)
    return looped(on, step, begin)[1][:, :-2]


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
