"""Pictures: files, PIL images and arrays -> `(channels, height, width)`; normalised and resized on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fastgpu.data.columns import Columns, columns_of, writable
from fastgpu.errors import BadItemError, DataError
from fastgpu.inputs.base import INPUTS, Input
from fastgpu.inputs.image_preparation import ImagePreparation
from fastgpu.reading.picture_files import read_all
from fastgpu.reading.pictures import PictureReader, is_array, pixels_of, to_pixels
from fastgpu.reading.scaling import inner_size

__all__ = ["ImageInput", "frame_scale"]

STATISTICS_FROM = 512  # pictures from which size, channels, mean and deviation are taken
LARGEST_FRAME = 512  # pixels of a frame's longer side, where nobody asked for a size


def frame_scale(original: Tensor, size: tuple[int, int]) -> Tensor:
    """What a framed picture was scaled by: it lies in the upper left corner of the frame, whole.

    Args:
        original: `(n, 2)` height and width of the pictures as they came.
        size: `(height, width)` of the frame.

    Returns:
        `(n,)` factors: original pixels times the factor are pixels of the frame.
    """
    return (torch.tensor(size, device=original.device) / original).amin(-1)


@INPUTS.register("image")
@dataclasses.dataclass(frozen=True, kw_only=True)
class ImageInput(PictureReader, Input):
    """Pictures, fitted to the training data.

    Args:
        channels: as size, white, floats and frame of a `PictureReader`.
        mean: channel means, as shares of white.
        std: channel standard deviations, as shares of white.
        network_size: `(height, width)` that the network takes; pictures are resized on the device.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    network_size: tuple[int, int] | None = None

    @property
    def channels_last(self) -> bool:
        # Measured on a CPU: at 32 pixels a step of ResNet-18 gains 7 %, of a MobileNet at 128 pixels 35 %; at 8 it loses 12 %.
        return min(self.network_size or self.size) >= 32

    @classmethod
    def fit(cls, items: Any, *, size: tuple[int, int] | None = None, frame: str = "crop") -> ImageInput:
        """Read channels, size, mean and deviation off the pictures; `frame` is what the task asks for."""
        if is_array(items):
            pixels = torch.from_numpy(writable(pixels_of(items)))
            floats, white = pixels.is_floating_point(), 255.0
            if floats:
                low, high = pixels.min().item(), pixels.max().item()
                if not np.isfinite([low, high]).all():
                    raise DataError("Pictures must hold finite numbers. NaN or infinite values came. Replace or drop them.")
                white = 1.0 if 0 <= low and high <= 1 else max(abs(low), abs(high), 1e-12)
        else:
            some = items[np.linspace(0, len(items) - 1, min(len(items), STATISTICS_FROM)).astype(int)]
            readable = [picture for picture, _ in read_all(some) if picture is not None]
            if not readable:
                raise BadItemError(f"None of the {len(some)} pictures looked at can be read, for example {some[0]}. Check the files.")
            channels = 1 if all(p.mode in ("1", "L", "I", "I;16", "F") for p in readable) else 3
            sizes = [p.size[::-1] for p in readable]
            stored = _stored_size(sizes, size) if frame == "crop" else _frame_size(sizes, size)
            pixels = torch.from_numpy(np.stack([to_pixels(p, channels, stored) for p in readable]))
            floats, white = False, 255.0
        # In double: 1.8 million grey pixels sum with an error of 1e-3 in single precision.
        shares = pixels[:: max(1, len(pixels) // 4096)].double() / white
        mean, std = shares.mean((0, 2, 3)), shares.std((0, 2, 3))
        return cls(
            channels=pixels.shape[1],
            size=_frame_size([pixels.shape[2:]], size) if frame == "pad" else (pixels.shape[2], pixels.shape[3]),
            frame=frame,
            white=white,
            floats=floats,
            mean=tuple(mean.tolist()),
            std=tuple(std.clamp_min(1e-3).tolist()),  # pictures all of one colour
        )

    def encode(self, items: Any) -> Columns:
        return columns_of(self.arrays(items))

    def facts(self) -> dict[str, Any]:
        return {"kind": self.kind, "channels": self.channels, "size": self.size}

    def describe(self) -> str:
        of = {1: "grey", 3: "colour"}.get(self.channels, f"{self.channels}-channel")
        mean, std = (", ".join(f"{v:.3g}" for v in values) for values in (self.mean, self.std))
        at = f", seen by the network at {_by(self.network_size)}" if self.network_size else ""
        return f"{of} pictures {_by(self.size)}, mean {mean}, std {std}{at}"

    def preparation(self) -> ImagePreparation:
        mean, std = ([v * self.white for v in values] for values in (self.mean, self.std))
        return ImagePreparation(mean, std, self.network_size)

    def plain(self, columns: Columns, index: int) -> np.ndarray:
        return (self._shares(columns.gather(torch.tensor([index]))) * 255).round().astype(np.uint8)

    def _shares(self, item: dict[str, Any]) -> np.ndarray:
        """A picture in shares of white, `(height, width, channels)`."""
        return (item["image"][0].float() / self.white).clamp(0, 1).permute(1, 2, 0).numpy()

    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        item = columns.gather(torch.tensor([index]))
        image = self._shares(item)
        grey = image.shape[-1] != 3
        extent = None
        if self.frame == "pad":  # the picture without its frame, in its own pixels
            height, width = item["original_size"][0].tolist()
            inner = inner_size((height, width), self.size)
            image = image[: inner[0], : inner[1]]
            extent = (0, width, height, 0)
        axes.imshow(image[..., 0] if grey else image, cmap="gray" if grey else None, vmin=0, vmax=1, extent=extent)
        axes.axis("off")


def _stored_size(sizes: list[tuple[int, int]], asked: tuple[int, int] | None) -> tuple[int, int]:
    """Size in which files are stored: never larger than they are, nor than the network asks for."""
    if len(set(sizes)) == 1 and (asked is None or max(sizes[0]) <= max(asked)):
        return sizes[0]
    side = int(np.median([min(size) for size in sizes]))
    return (min(side, asked[0]), min(side, asked[1])) if asked else (side, side)


def _frame_size(sizes: Sequence[Sequence[int]], asked: tuple[int, int] | None) -> tuple[int, int]:
    """Size of the frame that holds every picture whole: multiples of 32, which networks halve five times."""
    high, wide = max(s[0] for s in sizes), max(s[1] for s in sizes)
    shrink = min(1.0, LARGEST_FRAME / max(high, wide))
    high, wide = asked or (round(high * shrink), round(wide * shrink))
    return -(-high // 32) * 32, -(-wide // 32) * 32


def _by(size: tuple[int, int] | None) -> str:
    return f"{size[0]}x{size[1]}" if size else ""
