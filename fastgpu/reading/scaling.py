"""Scaling of pictures and maps in NumPy, by the triangle (bilinear) filter of PIL and torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["inner_size", "scale_to_fit", "scaled"]


def scaled(images: np.ndarray, size: tuple[int, int], *, antialias: bool = True) -> np.ndarray:
    """Pictures `(..., h, w)` -> `(..., *size)` float32.

    Equal, but for rounding, to torch's `interpolate(images, size, mode="bilinear", antialias=antialias)`.

    Args:
        images: numbers of any type.
        size: `(height, width)`.
        antialias: whether a smaller picture is made of all its pixels; else of the four next to each place.

    Example:
        >>> scaled(np.array([[0, 2, 4, 6]]), (1, 2)).round().tolist()
        [[1.0, 5.0]]
    """
    images = images.astype(np.float32)
    for axis, length in ((-1, size[1]), (-2, size[0])):
        if images.shape[axis] != length:
            images = _along(images, axis, length, antialias)
    return images


def _along(images: np.ndarray, axis: int, size: int, antialias: bool) -> np.ndarray:
    count = images.shape[axis]
    ratio = count / size
    reach = max(1.0, ratio) if antialias else 1.0
    centre = (np.arange(size)[:, None] + 0.5) * ratio
    at = np.floor(centre - reach + 0.5).astype(np.int64) + np.arange(int(np.ceil(2 * reach)))
    weight = np.maximum(0, 1 - np.abs(at + 0.5 - centre) / reach) * ((at >= 0) & (at < count))
    weight = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
    at = at.clip(0, count - 1)
    shape = (size, *[1] * (-axis - 1))
    # A tap at a time: all of them at once would hold the picture several times over.
    total = images.take(at[:, 0], axis) * weight[:, 0].reshape(shape)
    for tap in range(1, at.shape[1]):
        total += images.take(at[:, tap], axis) * weight[:, tap].reshape(shape)
    return total


def scale_to_fit(original: Sequence[int], size: Sequence[int]) -> float:
    """What a framed picture was scaled by: it lies in the upper left corner of the frame, whole.

    Args:
        original: height and width of the picture as it came.
        size: height and width of the frame.
    """
    # In single precision, as `fastgpu.inputs.image.frame_scale` has it: both round alike.
    return float((np.asarray(size, np.float32) / np.asarray(original, np.float32)).min())


def inner_size(original: Sequence[int], size: Sequence[int]) -> tuple[int, int]:
    """Height and width that a picture has within a frame of `size`.

    Example:
        >>> inner_size((50, 100), (64, 64))
        (32, 64)
    """
    scale = scale_to_fit(original, size)
    return max(1, round(int(original[0]) * scale)), max(1, round(int(original[1]) * scale))
