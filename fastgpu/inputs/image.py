"""Pictures: files, PIL images and arrays -> `(channels, height, width)`; normalised and resized on the device."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fastgpu.data.columns import Columns, LazyColumns, TensorColumns
from fastgpu.errors import ArgumentError, BadItemError, DataError
from fastgpu.inputs.base import INPUTS, Input
from fastgpu.inputs.image_preparation import ImagePreparation
from fastgpu.inputs.picture_files import THREADS, picture_files, read_all, refuse_bad
from fastgpu.inputs.video import Film, FilmColumns, Frames, is_film
from fastgpu.results import VIDEOS

__all__ = ["ImageInput", "frame_scale"]

MEMORY_BUDGET = 2**30  # decoded pictures up to 1 GiB are kept; more are read again each epoch
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
class ImageInput(Input):
    """Pictures, fitted to the training data.

    Args:
        channels: 1 (grey), 3 (colour) or whatever the arrays have.
        size: `(height, width)` in which pictures are stored and batched.
        white: value of white in the stored pictures: 255 for `uint8`, the largest value seen for floats.
        floats: whether pictures are stored as floats, not as `uint8`.
        mean: channel means, as shares of white.
        std: channel standard deviations, as shares of white.
        network_size: `(height, width)` that the network takes; pictures are resized on the device.
        frame: `"crop"`: pictures are scaled to cover `size`, and cut in the middle; `"pad"`: scaled to fit into it whole, in
            the upper left corner (`frame_scale`); a batch then has `original_size` `(b, 2)` int64 too, height and width.
    """

    kind: ClassVar[str] = "image"
    keys: ClassVar[tuple[str, ...]] = ("image",)

    channels: int
    size: tuple[int, int]
    white: float
    floats: bool
    mean: tuple[float, ...]
    std: tuple[float, ...]
    network_size: tuple[int, int] | None = None
    frame: str = "crop"

    @property
    def channels_last(self) -> bool:
        # Measured on a CPU: at 32 pixels a step of ResNet-18 gains 7 %, of a MobileNet at 128 pixels 35 %; at 8 it loses 12 %.
        return min(self.network_size or self.size) >= 32

    @classmethod
    def fit(cls, items: Any, *, size: tuple[int, int] | None = None, frame: str = "crop") -> ImageInput:
        """Read channels, size, mean and deviation off the pictures; `frame` is what the task asks for."""
        if _is_array(items):
            pixels = _as_tensor(items)
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
            pixels = torch.stack([_to_tensor(p, channels, stored) for p in readable])
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
        if isinstance(items, Film):
            return FilmColumns(items, lambda frame: self._stored(*self._sized(frame)))
        if _is_array(items):
            pixels = _as_tensor(items, self.floats)
            return TensorColumns(self._stored(self._fitted(pixels), torch.tensor(pixels.shape[-2:]).expand(len(pixels), 2)))
        if len(items) * self.channels * self.size[0] * self.size[1] > MEMORY_BUDGET:
            refuse_bad(items, [reason for _, reason in read_all(items, decode=False)])
            return LazyColumns(lambda i: self._read(items[i]), len(items), threads=THREADS)
        images = torch.empty(len(items), self.channels, *self.size, dtype=torch.float32 if self.floats else torch.uint8)
        sizes, reasons = torch.zeros(len(items), 2, dtype=torch.int64), list[str | None]()
        for i, (read, reason) in enumerate(read_all(items, then=self._sized)):
            reasons.append(reason)
            if read is not None:
                images[i], sizes[i] = read
        refuse_bad(items, reasons)
        return TensorColumns(self._stored(images, sizes))

    def _stored(self, images: Tensor, sizes: Tensor) -> dict[str, Tensor]:
        return {"image": images} if self.frame == "crop" else {"image": images, "original_size": sizes}

    def _sized(self, picture: Any) -> tuple[Tensor, Tensor]:
        """A PIL image -> what is stored of it, and `(height, width)` as it came."""
        return self._decoded(picture), torch.tensor(picture.size[::-1])

    def _decoded(self, picture: Any) -> Tensor:
        """A PIL image -> `(channels, *size)` in the stored dtype and scale."""
        if self.frame == "crop":
            return self._scaled(_to_tensor(picture, self.channels, self.size))
        whole = _to_tensor(picture, self.channels, picture.size[::-1])
        return self._scaled(_framed(whole[None], self.size)[0])

    def as_items(self, given: Any) -> Any:
        from PIL import Image

        if isinstance(given, (str, Path)):
            return Film(given) if is_film(given) else _objects(picture_files(Path(given)))
        if isinstance(given, Film):
            return given
        if isinstance(given, Image.Image):
            return _objects([given])
        if isinstance(given, (np.ndarray, Tensor)) and given.dtype != object:
            return self._laid_out(_as_tensor(given, self.floats))
        given = list(given) if isinstance(given, (list, tuple, np.ndarray)) or hasattr(given, "to_list") else [given]
        if given and all(isinstance(g, (str, Path, Image.Image)) for g in given):
            return _objects([str(g) if isinstance(g, Path) else g for g in given])
        if given and all(isinstance(g, (np.ndarray, Tensor)) for g in given):
            laid_out = [self._laid_out(_as_tensor(g, self.floats)) for g in given]
            if self.frame == "pad" and len({g.shape[-2:] for g in laid_out}) > 1:
                raise DataError("Pictures given as arrays must have one size here. Several came. Give files or PIL images.")
            return torch.cat(laid_out if self.frame == "pad" else [self._fitted(g) for g in laid_out])
        raise DataError(
            f"Pictures to predict are files, PIL images or arrays. {_kinds(given)} came. Give a path, a list of paths, or an array."
        )

    def from_shell(self, given: Sequence[str]) -> tuple[Sequence[Any], Any]:
        if len(given) == 1:
            items = self.as_items(given[0])
            return [given[0]] if isinstance(items, Film) else list(items), items
        films = [item for item in given if item.lower().endswith(VIDEOS)]
        if films:
            raise ArgumentError(f"A film is predicted by itself. {films[0]} came with other items. Give it alone.")
        files = [file for item in given for file in picture_files(Path(item))]
        return files, _objects(files)

    def pictures(self, items: Any) -> Callable[[int], Any]:
        from PIL import Image

        if isinstance(items, Film):
            return Frames(items)
        if _is_array(items):
            return lambda i: Image.fromarray(_drawable(_as_tensor(items[i : i + 1])[0]))
        return lambda i: next(read_all(items[i : i + 1]))[0].convert("RGB")

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

    def draw(self, axes: Any, columns: Columns, index: int) -> None:
        item = columns.gather(torch.tensor([index]))
        image = item["image"][0].float() / self.white
        image = image.clamp(0, 1).permute(1, 2, 0).numpy()
        grey = image.shape[-1] != 3
        extent = None
        if self.frame == "pad":  # the picture without its frame, in its own pixels
            height, width = item["original_size"][0].tolist()
            scale = frame_scale(item["original_size"], self.size).item()
            image = image[: max(1, round(height * scale)), : max(1, round(width * scale))]
            extent = (0, width, height, 0)
        axes.imshow(image[..., 0] if grey else image, cmap="gray" if grey else None, vmin=0, vmax=1, extent=extent)
        axes.axis("off")

    def _read(self, item: Any) -> dict[str, Tensor]:
        [(read, reason)] = read_all([item], then=self._sized)
        refuse_bad([item], [reason])
        return self._stored(*read)

    def _scaled(self, image: Tensor) -> Tensor:
        """A `uint8` picture on the scale of the stored ones."""
        return image.float() * (self.white / 255) if self.floats else image

    def _fitted(self, images: Tensor) -> Tensor:
        """Arrays `(n, c, h, w)` -> stored dtype, scale, channels and size."""
        if images.is_floating_point() and not torch.isfinite(images).all():
            bad = int(torch.isfinite(images).flatten(1).all(1).logical_not().nonzero()[0])
            raise BadItemError(f"Pictures must hold finite numbers. Picture {bad} holds NaN or infinite values. Replace or drop it.")
        if images.shape[1] != self.channels:
            if images.shape[1] == 1 and self.channels == 3:
                images = images.expand(-1, 3, -1, -1)
            else:
                raise DataError(f"Pictures must have {self.channels} channel(s), as in training. {images.shape[1]} came. Convert them.")
        if tuple(images.shape[-2:]) != self.size:
            whole = not images.is_floating_point()
            if self.frame == "pad":
                images = _framed(images, self.size)
            else:
                images = F.interpolate(images.float(), self.size, mode="bilinear", antialias=True)
                images = images.round().to(torch.uint8) if whole else images
        if self.floats == images.is_floating_point():
            return images
        if self.floats:
            return self._scaled(images)
        share = images if images.max() > 1 else images * 255  # floats from 0 to 1 are shares of white
        return share.round().clamp(0, 255).to(torch.uint8)

    def _laid_out(self, images: Tensor) -> Tensor:
        """Any accepted layout -> `(n, c, h, w)`, by the channels known from training."""
        shape, c = tuple(images.shape), self.channels
        if images.ndim == 2:
            return images[None, None]
        if images.ndim == 3 and shape[-1] == c:
            return images.permute(2, 0, 1)[None]
        if images.ndim == 3 and c != 1 and shape[0] == c:
            return images[None]
        if images.ndim == 3:
            return images[:, None]
        if images.ndim == 4 and shape[1] in (c, 1) and not (shape[-1] == c and shape[1] != c):
            return images
        if images.ndim == 4 and shape[-1] in (c, 1):
            return images.permute(0, 3, 1, 2)
        raise DataError(
            f"Pictures are arrays (h, w), (n, h, w), (n, h, w, {c}) or (n, {c}, h, w). One of shape {shape} came. Reshape it."
        )


def _is_array(items: Any) -> bool:
    return isinstance(items, (np.ndarray, Tensor)) and items.dtype != object


def _as_tensor(items: Any, floats: bool = False) -> Tensor:
    """An array or tensor without a copy where possible; floats become single precision, integers `uint8`.

    Integers of another width are values on the scale of the stored pictures: floats where those are floats.
    """
    if isinstance(items, np.ndarray) and items.dtype.kind == "u" and items.itemsize > 1:
        items = items.astype(np.int64)  # torch does little with wide unsigned integers
    # An array that PIL gave cannot be written to, which torch warns of.
    images = items if isinstance(items, Tensor) else torch.from_numpy(np.require(items, requirements=("C", "W")))
    images = images.detach().cpu()
    if images.dtype == torch.bool:
        return images.to(torch.uint8) * 255
    if images.dtype in (torch.float32, torch.uint8):
        return images
    if not floats and not images.is_floating_point() and images.numel() and images.min() >= 0 and images.max() <= 255:
        return images.to(torch.uint8)
    return images.float()


def _drawable(image: Tensor) -> np.ndarray:
    """A picture `(c, h, w)` -> `(h, w, 3)` uint8; floats from 0 to 1 are shares of white."""
    if image.is_floating_point() and image.max() <= 1:
        image = image * 255
    colour = image.round().clamp(0, 255).to(torch.uint8) if image.is_floating_point() else image
    return colour[[0, 0, 0] if len(colour) < 3 else [0, 1, 2]].permute(1, 2, 0).numpy()


def _objects(items: list[Any]) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


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


def _framed(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures `(n, c, h, w)` of one size, scaled to fit into the frame, in its upper left corner, the rest black."""
    height, width = images.shape[-2:]
    scale = frame_scale(torch.tensor([[height, width]]), size).item()
    if scale != 1:
        whole = not images.is_floating_point()
        inner = (max(1, round(height * scale)), max(1, round(width * scale)))
        images = F.interpolate(images.float(), inner, mode="bilinear", antialias=True)
        images = images.round().clamp(0, 255).to(torch.uint8) if whole else images
    return F.pad(images, (0, size[1] - images.shape[-1], 0, size[0] - images.shape[-2]))


def _to_tensor(picture: Any, channels: int, size: tuple[int, int]) -> Tensor:
    """A PIL image -> `uint8` `(channels, *size)`: scaled to cover, then cut in the middle."""
    from PIL import Image, ImageOps

    if picture.mode in ("I", "I;16", "F"):  # 16 bits a pixel: PIL would cut, not scale
        pixels = np.asarray(picture, dtype=np.float32)
        picture = Image.fromarray((pixels * (255 / max(float(pixels.max()), 1.0))).astype(np.uint8))
    if picture.mode in ("P", "LA", "RGBA") and channels == 3:
        picture = picture.convert("RGBA").convert("RGB")
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (size[1], size[0]):
        picture = ImageOps.fit(picture, (size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.array(picture)
    return torch.from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def _by(size: tuple[int, int] | None) -> str:
    return f"{size[0]}x{size[1]}" if size else ""


def _kinds(given: list[Any]) -> str:
    return ", ".join(sorted({type(g).__name__ for g in given})) or "Nothing"
