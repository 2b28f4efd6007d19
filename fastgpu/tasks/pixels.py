"""What tasks share that give a value a pixel: from the frame back to the picture as it came, on the device."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from fastgpu.answers.pixels import inside

__all__ = ["in_original"]


def in_original(values: Tensor, original: Tensor) -> Tensor:
    """Values of a framed picture -> the pixels of the picture as it came, by bilinear interpolation.

    Its like in NumPy is `fastgpu.answers.pixels.in_original`.

    Args:
        values: `(channels, h, w)` in the pixels of the frame.
        original: `(2,)` height and width of the picture.

    Returns:
        `(channels, height, width)`.
    """
    size = tuple(original.tolist())
    found = inside(values, size)
    if tuple(found.shape[-2:]) == size:
        return found
    return F.interpolate(found[None].float(), size, mode="bilinear", align_corners=False)[0]
