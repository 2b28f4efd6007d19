"""What answers share that give a value a pixel: from the frame back to the picture as it came, and drawing over it."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastgpu.reading.scaling import inner_size, scaled

__all__ = ["IGNORED", "class_colours", "in_original", "inside", "overlay"]

IGNORED = 255
"""Class number of pixels that count neither in the loss nor in metrics."""


def inside(values: Any, original: Sequence[int]) -> Any:
    """The part of `(..., h, w)` in a frame that a picture takes.

    Args:
        values: tensor or array in the pixels of the frame.
        original: height and width of the picture as it came.
    """
    height, width = inner_size(original, values.shape[-2:])
    return values[..., :height, :width]


def in_original(values: np.ndarray, original: Sequence[int]) -> np.ndarray:
    """Values of a framed picture -> the pixels of the picture as it came, by bilinear interpolation.

    Args:
        values: `(..., h, w)` in the pixels of the frame.
        original: height and width of the picture.

    Returns:
        `(..., height, width)`.

    Example:
        >>> in_original(np.array([[1.0, 3.0], [0.0, 0.0]]), (1, 2)).tolist()
        [[1.0, 3.0]]
    """
    found, size = inside(values, original), (int(original[0]), int(original[1]))
    return found if found.shape[-2:] == size else scaled(found, size, antialias=False)


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
