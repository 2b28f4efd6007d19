"""What tasks share that give a value a pixel: from the frame back to the picture as it came, and drawing over it."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor

from fastgpu.inputs.image import frame_scale

__all__ = ["class_colours", "in_original", "inside", "overlay"]


def inside(values: Any, original: Tensor) -> Any:
    """The part of `(..., h, w)` in a frame that a picture takes.

    Args:
        values: tensor or array in the pixels of the frame.
        original: `(2,)` height and width of the picture as it came.
    """
    scale = frame_scale(original[None], (values.shape[-2], values.shape[-1])).item()
    height, width = original.tolist()
    return values[..., : max(1, round(height * scale)), : max(1, round(width * scale))]


def in_original(values: Tensor, original: Tensor) -> Tensor:
    """Values of a framed picture -> the pixels of the picture as it came, by bilinear interpolation.

    Args:
        values: `(channels, h, w)` in the pixels of the frame.
        original: `(2,)` height and width of the picture.

    Returns:
        `(channels, height, width)`.
    """
    found, size = inside(values, original), tuple(original.tolist())
    if tuple(found.shape[-2:]) == size:
        return found
    return F.interpolate(found[None].float(), size, mode="bilinear", align_corners=False)[0]


def overlay(axes: Any, values: np.ndarray, *, share: np.ndarray | float, colours: Any = "inferno", most: float | None = None) -> None:
    """Draw values `(h, w)` over a picture that fills the axes.

    Args:
        axes: matplotlib's.
        values: a number a pixel.
        share: how much of the picture they cover, 0 to 1, `(h, w)` or one for all.
        colours: matplotlib colour map.
        most: value of the map's last colour; None: the largest.
    """
    left, right = axes.get_xlim()
    bottom, top = axes.get_ylim()
    least = None if most is None else 0
    axes.imshow(values, cmap=colours, alpha=share, vmin=least, vmax=most, extent=(left, right, bottom, top), interpolation="nearest")


def class_colours(count: int) -> np.ndarray:
    """A colour a class, `(count, 3)` uint8: black first, then hues a golden angle apart, so that neighbours differ."""
    hues = [colorsys.hsv_to_rgb(i * 0.618034 % 1, 0.85 if i % 2 else 0.55, 1.0) for i in range(count - 1)]
    return np.array([(0, 0, 0), *(tuple(round(255 * part) for part in hue) for hue in hues)], np.uint8)
