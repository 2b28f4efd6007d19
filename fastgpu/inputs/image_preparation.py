"""What happens to pictures on the device: normalised, resized, and varied in training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fastgpu.inputs.base import Preparation

__all__ = ["ImagePreparation"]


class ImagePreparation(Preparation):
    """Scale, normalise, resize and lay out pictures on the device.

    Args:
        mean: channel means on the stored scale.
        std: channel standard deviations on the stored scale.
        size: `(height, width)` to resize to, None: as they are.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], size: tuple[int, int] | None) -> None:
        super().__init__()
        # Double first: rounded once, to the precision that the network trains in.
        shape = (1, -1, 1, 1)
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float64).view(shape).float(), persistent=False)
        self.register_buffer("scale", (1 / torch.tensor(std, dtype=torch.float64)).view(shape).float(), persistent=False)
        self.size = size

    def forward(self, x: dict[str, Tensor]) -> dict[str, Tensor]:
        image = (x["image"].to(self.mean.dtype) - self.mean) * self.scale
        if self.size is not None and self.size != tuple(image.shape[-2:]):
            image = F.interpolate(image, self.size, mode="bilinear", align_corners=False, antialias=True)
        if self.channels_last:
            image = image.contiguous(memory_format=torch.channels_last)
        return {**x, "image": image}

    def augment(self, x: dict[str, Any], y: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Mirror half of the pictures, and shift each by up to an eighth of its size (He et al. 2016, section 4.2).

        Targets that lie in the picture are mirrored with it: `y["boxes"]` `(b, k, 4)`, corners in pixels, `y["mask"]`
        `(b, h, w)` and `y["masks"]` `(b, k, h, w)`; such pictures are not shifted.
        """
        image = x["image"]
        mirrored = torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5
        image = torch.where(mirrored, image.flip(-1), image)
        if "boxes" not in y and "mask" not in y:
            return {**x, "image": _shifted(image)}, y
        if "boxes" in y:
            left, top, right, bottom = y["boxes"].unbind(-1)
            flipped = torch.stack([image.shape[-1] - right, top, image.shape[-1] - left, bottom], -1)
            y = {**y, "boxes": torch.where(mirrored[..., 0], flipped, y["boxes"])}
        if "mask" in y:
            y = {**y, "mask": torch.where(mirrored[:, 0], y["mask"].flip(-1), y["mask"])}
        if "masks" in y:
            y = {**y, "masks": torch.where(mirrored, y["masks"].flip(-1), y["masks"])}
        return {**x, "image": image}, y


def _shifted(image: Tensor) -> Tensor:
    """Each picture shifted by its own up to an eighth of its size; what comes in is black."""
    count, _, height, width = image.shape
    down, right = max(1, height // 8), max(1, width // 8)
    padded = F.pad(image, (right, right, down, down))
    top = torch.randint(0, 2 * down + 1, (count, 1, 1), device=image.device)
    left = torch.randint(0, 2 * right + 1, (count, 1, 1), device=image.device)
    rows = top + torch.arange(height, device=image.device)[None, :, None]
    columns = left + torch.arange(width, device=image.device)[None, None, :]
    item = torch.arange(count, device=image.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[item, rows, columns].permute(0, 3, 1, 2)
