"""What torchvision's detectors do after their heads, with tensors of one shape for all pictures; classes count from 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from fastgpu.nn.adapters.picking import likeliest, likeliest_of_each, picked

__all__ = ["of_levels", "of_proposals", "of_single_shot", "proposed"]

SMALLEST = 1e-2
"""Least side of a box in pixels, as `RoIHeads` has it."""


def of_levels(net: Any, shares: Tensor, offsets: Tensor, anchors: Tensor, levels: Sequence[int], size: Sequence[int]) -> dict[str, Tensor]:
    """Objects by FCOS or RetinaNet: the likeliest pairs of box and class of each level, then suppression in each class.

    Args:
        net: the detector, for its limits.
        shares: `(b, n, classes)` scores, 0 to 1.
        offsets: `(b, n, 4)` from the anchors, as the head gives them.
        anchors: `(n, 4)` corners in pixels.
        levels: how many of the `n` each level of the pyramid has.
        size: `(height, width)` of the pictures.

    Returns:
        `"boxes"` `(b, k, 4)`, `"labels"` and `"scores"` `(b, k)`, highest first, 0 where there is no object.
    """
    # The coder of FCOS has no other method; that of RetinaNet takes lists by this one.
    decode = getattr(net.box_coder, "decode_single", net.box_coder.decode)
    boxes = _decoded(decode, offsets, anchors, size)[:, :, 0]
    parts = [likeliest(*level, net.topk_candidates) for level in zip(boxes.split(list(levels), 1), shares.split(list(levels), 1))]
    return picked(_joined(parts), net.nms_thresh, net.detections_per_img, above=net.score_thresh)


def of_single_shot(net: Any, shares: Tensor, offsets: Tensor, anchors: Tensor, size: Sequence[int]) -> dict[str, Tensor]:
    """Objects by an SSD: the likeliest boxes of each class, then suppression in each class; as `of_levels` otherwise."""
    boxes = _decoded(net.box_coder.decode_single, offsets, anchors, size)[:, :, 0]
    return picked(likeliest_of_each(boxes, shares, net.topk_candidates), net.nms_thresh, net.detections_per_img, above=net.score_thresh)


def proposed(rpn: Any, maps: Sequence[Tensor], anchors: Tensor, size: Sequence[int]) -> dict[str, Tensor]:
    """What a region proposal network takes for objects, as many in every picture.

    Args:
        rpn: the network.
        maps: `(b, channels, h, w)`, one a level.
        anchors: `(n, 4)` corners in pixels, of all levels.
        size: `(height, width)` of the pictures.

    Returns:
        `"boxes"` `(b, k, 4)` and `"scores"` `(b, k)`, highest first, 0 where there is no proposal.
    """
    parts, done = [], 0
    for level, (likely, moves) in enumerate(zip(*rpn.head(list(maps)))):
        logits, offsets = (each.float().unflatten(1, (likely.shape[1], -1)).permute(0, 3, 4, 1, 2).flatten(1, 3) for each in (likely, moves))
        count = logits.shape[1]
        boxes = _decoded(rpn.box_coder.decode_single, offsets, anchors[done : done + count], size)[:, :, 0]
        found = likeliest(boxes, logits, rpn.pre_nms_top_n())
        # Boxes of one level suppress one another, as those of one class do elsewhere.
        parts.append({"boxes": found["boxes"], "labels": torch.full_like(found["labels"], level), "scores": found["scores"].sigmoid()})
        done += count
    return picked(_joined(parts), rpn.nms_thresh, rpn.post_nms_top_n(), above=rpn.score_thresh, smallest=rpn.min_size)


def of_proposals(heads: Any, features: Mapping[str, Tensor], proposals: Mapping[str, Tensor], size: Sequence[int]) -> dict[str, Tensor]:
    """Objects by the second stage of Faster R-CNN or Mask R-CNN: each proposal's box of each class, then suppression in each class.

    Args:
        heads: torchvision's `RoIHeads`.
        features: level -> `(b, channels, h, w)`.
        proposals: what `proposed` gave.
        size: `(height, width)` of the pictures.

    Returns:
        As `of_levels`; and `"masks"` `(b, k, side, side)`, shares of the boxes, where the network draws them.
    """
    boxes = proposals["boxes"]
    logits, offsets = heads.box_predictor(heads.box_head(_aligned(heads.box_roi_pool, features, boxes, size)))
    count = boxes.shape[1]
    shares = logits.float().softmax(-1).unflatten(0, (-1, count))[:, :, 1:]
    found = {
        "boxes": _decoded(heads.box_coder.decode_single, offsets.float().unflatten(0, (-1, count)), boxes, size)[:, :, 1:].flatten(1, 2),
        "labels": torch.arange(shares.shape[-1], device=boxes.device).repeat(count).expand(boxes.shape[0], -1),
        "scores": torch.where(proposals["scores"][..., None] > 0, shares, 0.0).flatten(1),
    }
    found = picked(found, heads.nms_thresh, heads.detections_per_img, above=heads.score_thresh, smallest=SMALLEST)
    if not heads.has_mask():
        return found
    drawn = heads.mask_predictor(heads.mask_head(_aligned(heads.mask_roi_pool, features, found["boxes"], size))).float()
    own = (found["labels"].flatten() + 1)[:, None, None, None].expand(-1, 1, *drawn.shape[2:])
    return {**found, "masks": drawn.gather(1, own)[:, 0].sigmoid().unflatten(0, (-1, found["boxes"].shape[1]))}


def _decoded(decode: Callable[[Tensor, Tensor], Tensor], offsets: Tensor, anchors: Tensor, size: Sequence[int]) -> Tensor:
    """Offsets `(b, n, 4 * k)` from anchors `(n, 4)` or `(b, n, 4)` -> boxes `(b, n, k, 4)`, cut at the edges of the picture."""
    from torchvision.ops import clip_boxes_to_image

    flat = decode(offsets.flatten(0, 1), anchors.expand(offsets.shape[0], -1, -1).flatten(0, 1))
    return clip_boxes_to_image(flat.unflatten(0, (-1, offsets.shape[1])).unflatten(2, (-1, 4)), (size[0], size[1]))


def _joined(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    return {name: torch.cat([part[name] for part in parts], 1) for name in parts[0]}


def _aligned(pool: Any, features: Mapping[str, Tensor], boxes: Tensor, size: Sequence[int]) -> Tensor:
    """What a `MultiScaleRoIAlign` gives for boxes `(b, n, 4)`: `(b * n, channels, side, side)`, in the type of the features."""
    from torchvision.ops import roi_align

    maps = [value for name, value in features.items() if name in pool.featmap_names]
    steps = [round(math.log2(size[0] / each.shape[-2])) for each in maps]
    flat = boxes.flatten(0, 1)
    picture = torch.arange(boxes.shape[0], device=boxes.device, dtype=boxes.dtype)[:, None].expand(boxes.shape[:2]).reshape(-1, 1)
    regions = torch.cat([picture, flat], 1)
    # As torchvision's LevelMapper; a box without area is as good as a small one, and its logarithm is finite.
    sides = (flat[:, 2:] - flat[:, :2]).prod(1).sqrt().clamp_min(1e-6)
    levels = (pool.canonical_level + (sides / pool.canonical_scale).log2() + 1e-6).floor().clamp(steps[0], steps[-1])
    found = maps[0].new_zeros((flat.shape[0], maps[0].shape[1], *pool.output_size), dtype=torch.float32)
    for i, (each, step) in enumerate(zip(maps, steps)):
        its = torch.nonzero(levels - steps[0] == i)[:, 0]  # maybe none
        part = roi_align(each.float(), regions[its], pool.output_size, 2.0**-step, pool.sampling_ratio)
        found = found.index_copy(0, its, part)
    return found.to(maps[0].dtype)
