"""Masks that come as one array, beside pictures."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgpu.data.masks import IGNORED
from fastgpu.data.sources.masks_folder import size_of
from fastgpu.data.sources.targets import plain
from fastgpu.errors import DataError

__all__ = ["as_masks"]


def as_masks(values: Any, pictures: Any, where: str = "y") -> np.ndarray:
    """Masks as `(n, h, w)` uint8 class numbers, `IGNORED` where there is none.

    Args:
        values: `(n, h, w)` whole numbers from 0, or bools, as an array, a tensor or a list.
        pictures: `(n, c, h, w)` pictures, or `n` paths or PIL images, of the masks' size.
        where: what the masks are called in an error.

    Raises:
        DataError: another shape, numbers that are none of classes, or pictures of another size.
    """
    masks = plain(values)
    if masks.ndim != 3 or masks.dtype.kind not in "biuf":
        came = f"{where} has shape {masks.shape} of {masks.dtype}"
        raise DataError(f"Masks are (n, h, w) class numbers. {came}. Reshape it, or give a folder with images/ and masks/.")
    if not np.all((masks >= 0) & (masks <= IGNORED) & (masks == np.round(masks))):
        came = f"{where} goes from {masks.min()} to {masks.max()}, or holds fractions"
        raise DataError(f"Masks are whole numbers from 0 to 254, and {IGNORED} where nothing is known. {came}. Convert it.")
    whole = masks.astype(np.uint8)
    if where == "y" and IGNORED in whole and not np.any((whole > 0) & (whole < IGNORED)):
        advice = f"Give {where} // {IGNORED} where {IGNORED} is the foreground"
        raise DataError(f"Masks are class numbers, and {IGNORED} is none. {where} holds no class but 0. {advice}.")
    for size in _sizes(pictures) - {whole.shape[1:]}:
        came = f"{where} is {whole.shape[1]}x{whole.shape[2]}, a picture {size[0]}x{size[1]}"
        raise DataError(f"A mask has the size of its picture. {came}. Resize one of them.")
    return whole


def _sizes(pictures: Any) -> set[tuple[int, int]]:
    """Height and width of all pictures; one that cannot be read is named by the input."""
    if pictures.dtype != object:
        return {tuple(pictures.shape[-2:])}
    sizes = (size_of(picture) if isinstance(picture, str) else picture.size[::-1] for picture in pictures)
    return {size for size in sizes if size is not None}
