"""Pictures: files, PIL images, arrays and films -> arrays `(channels, height, width)`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastgpu.errors import ArgumentError, BadItemError, DataError
from fastgpu.reading.base import READERS, Reader, as_array, objects
from fastgpu.reading.encoded import Encoded, Read, Stacked
from fastgpu.reading.picture_files import THREADS, picture_files, read_all, refuse_bad
from fastgpu.reading.scaling import inner_size, scaled
from fastgpu.reading.video import Film, Frames, is_film
from fastgpu.results import VIDEOS

__all__ = ["PictureReader", "is_array", "pixels_of", "to_pixels"]

MEMORY_BUDGET = 2**30  # decoded pictures up to 1 GiB are kept; more are read again each epoch


@READERS.register("image")
@dataclasses.dataclass(frozen=True, kw_only=True)
class PictureReader(Reader):
    """Pictures, in the size and on the scale in which training stored them.

    Args:
        channels: 1 (grey), 3 (colour) or whatever the arrays have.
        size: `(height, width)` in which pictures are stored and batched.
        white: value of white in the stored pictures: 255 for `uint8`, the largest value seen for floats.
        floats: whether pictures are stored as floats, not as `uint8`.
        frame: `"crop"`: pictures are scaled to cover `size`, and cut in the middle; `"pad"`: scaled to fit into it whole, in
            the upper left corner (`inner_size`); a batch then has `original_size` `(b, 2)` int64 too, height and width.

    Example:
        >>> reader = PictureReader(channels=1, size=(2, 2), white=255.0, floats=False)
        >>> reader.arrays(reader.as_items(np.zeros((2, 2)))).gather(np.array([0]))["image"].shape
        (1, 1, 2, 2)
    """

    kind: ClassVar[str] = "image"
    keys: ClassVar[tuple[str, ...]] = ("image",)

    channels: int
    size: tuple[int, int]
    white: float
    floats: bool
    frame: str = "crop"

    def as_items(self, given: Any) -> Any:
        from PIL import Image

        if isinstance(given, (str, Path)):
            return Film(given) if is_film(given) else objects(picture_files(Path(given)))
        if isinstance(given, Film):
            return given
        if isinstance(given, Image.Image):
            return objects([given])
        if is_array(given):
            return self._laid_out(pixels_of(given, self.floats))
        if isinstance(given, np.ndarray):
            given = given.tolist() if given.dtype.kind == "U" else list(given)
        given = list(given) if isinstance(given, (list, tuple)) or hasattr(given, "to_list") else [given]
        if given and all(isinstance(g, (str, Path, Image.Image)) for g in given):
            return objects([str(g) if isinstance(g, Path) else g for g in given])
        if given and all(isinstance(g, np.ndarray) or hasattr(g, "detach") for g in given):
            laid_out = [self._laid_out(pixels_of(g, self.floats)) for g in given]
            if self.frame == "pad" and len({g.shape[-2:] for g in laid_out}) > 1:
                raise DataError("Pictures given as arrays must have one size here. Several came. Give files or PIL images.")
            return np.concatenate(laid_out if self.frame == "pad" else [self._fitted(g) for g in laid_out])
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
        return files, objects(files)

    def arrays(self, items: Any) -> Encoded:
        if isinstance(items, Film):
            frames = Frames(items)
            return Read(lambda i: self._stored(*self._sized(frames(i))), len(items))
        if is_array(items):
            pixels = pixels_of(items, self.floats)
            sizes = np.broadcast_to(np.array(pixels.shape[-2:], np.int64), (len(pixels), 2))
            return Stacked(self._stored(self._fitted(pixels), sizes))
        if len(items) * self.channels * self.size[0] * self.size[1] > MEMORY_BUDGET:
            refuse_bad(items, [reason for _, reason in read_all(items, decode=False)])
            return Read(lambda i: self._read(items[i]), len(items), threads=THREADS)
        images = np.empty((len(items), self.channels, *self.size), np.float32 if self.floats else np.uint8)
        sizes, reasons = np.zeros((len(items), 2), np.int64), list[str | None]()
        for i, (read, reason) in enumerate(read_all(items, then=self._sized)):
            reasons.append(reason)
            if read is not None:
                images[i], sizes[i] = read
        refuse_bad(items, reasons)
        return Stacked(self._stored(images, sizes))

    def pictures(self, items: Any) -> Callable[[int], Any]:
        from PIL import Image

        if isinstance(items, Film):
            return Frames(items)
        if is_array(items):
            return lambda i: Image.fromarray(_drawable(pixels_of(items[i : i + 1])[0]))
        return lambda i: next(read_all(items[i : i + 1]))[0].convert("RGB")

    def _stored(self, images: np.ndarray, sizes: np.ndarray) -> dict[str, np.ndarray]:
        return {"image": images} if self.frame == "crop" else {"image": images, "original_size": sizes}

    def _read(self, item: Any) -> dict[str, np.ndarray]:
        [(read, reason)] = read_all([item], then=self._sized)
        refuse_bad([item], [reason])
        return self._stored(*read)

    def _sized(self, picture: Any) -> tuple[np.ndarray, np.ndarray]:
        """A PIL image -> what is stored of it, and `(height, width)` as it came."""
        return self._decoded(picture), np.array(picture.size[::-1], np.int64)

    def _decoded(self, picture: Any) -> np.ndarray:
        """A PIL image -> `(channels, *size)` in the stored dtype and scale."""
        if self.frame == "crop":
            return self._scaled(to_pixels(picture, self.channels, self.size))
        inner = inner_size(picture.size[::-1], self.size)
        return self._scaled(_padded(to_pixels(picture, self.channels, inner, cut=False), self.size))

    def _scaled(self, image: np.ndarray) -> np.ndarray:
        """A `uint8` picture on the scale of the stored ones."""
        return image.astype(np.float32) * np.float32(self.white / 255) if self.floats else image

    def _fitted(self, images: np.ndarray) -> np.ndarray:
        """Arrays `(n, c, h, w)` -> stored dtype, scale, channels and size."""
        whole = images.dtype == np.uint8
        if not whole and not np.isfinite(images).all():
            bad = int(np.argmin(np.isfinite(images).reshape(len(images), -1).all(1)))
            raise BadItemError(f"Pictures must hold finite numbers. Picture {bad} holds NaN or infinite values. Replace or drop it.")
        if images.shape[1] != self.channels:
            if images.shape[1] != 1 or self.channels != 3:
                raise DataError(f"Pictures must have {self.channels} channel(s), as in training. {images.shape[1]} came. Convert them.")
            images = np.repeat(images, 3, 1)
        if images.shape[-2:] != self.size:
            inner = self.size if self.frame == "crop" else inner_size(images.shape[-2:], self.size)
            if images.shape[-2:] != inner:
                images = scaled(images, inner)
                images = images.round().clip(0, 255).astype(np.uint8) if whole else images
            images = _padded(images, self.size)
        if self.floats == (not whole):
            return images
        if self.floats:
            return self._scaled(images)
        share = images if images.max() > 1 else images * 255  # floats from 0 to 1 are shares of white
        return share.round().clip(0, 255).astype(np.uint8)

    def _laid_out(self, images: np.ndarray) -> np.ndarray:
        """Any accepted layout -> `(n, c, h, w)`, by the channels known from training."""
        shape, c = images.shape, self.channels
        if images.ndim == 2:
            return images[None, None]
        if images.ndim == 3 and shape[-1] == c:
            return images.transpose(2, 0, 1)[None]
        if images.ndim == 3 and c != 1 and shape[0] == c:
            return images[None]
        if images.ndim == 3:
            return images[:, None]
        if images.ndim == 4 and shape[1] in (c, 1) and not (shape[-1] == c and shape[1] != c):
            return images
        if images.ndim == 4 and shape[-1] in (c, 1):
            return images.transpose(0, 3, 1, 2)
        raise DataError(
            f"Pictures are arrays (h, w), (n, h, w), (n, h, w, {c}) or (n, {c}, h, w). One of shape {shape} came. Reshape it."
        )


def is_array(items: Any) -> bool:
    """Whether pictures are one array or tensor of numbers."""
    if isinstance(items, np.ndarray):
        return items.dtype.kind in "biuf"
    return hasattr(items, "detach")


def pixels_of(items: Any, floats: bool = False) -> np.ndarray:
    """An array or tensor without a copy where possible; floats become single precision, integers `uint8`.

    Integers of another width are values on the scale of the stored pictures: floats where those are floats.
    """
    images = as_array(items)
    if images.dtype == bool:
        return images.astype(np.uint8) * np.uint8(255)
    if images.dtype in (np.float32, np.uint8):
        return images
    if not floats and images.dtype.kind in "iu" and images.size and images.min() >= 0 and images.max() <= 255:
        return images.astype(np.uint8)
    return images.astype(np.float32)


def to_pixels(picture: Any, channels: int, size: tuple[int, int], *, cut: bool = True) -> np.ndarray:
    """A PIL image -> `uint8` `(channels, *size)`: scaled to cover, then cut in the middle; or, without `cut`, stretched."""
    from PIL import Image, ImageOps

    if picture.mode in ("I", "I;16", "F"):  # 16 bits a pixel: PIL would cut, not scale
        pixels = np.asarray(picture, dtype=np.float32)
        picture = Image.fromarray((pixels * (255 / max(float(pixels.max()), 1.0))).astype(np.uint8))
    if picture.mode in ("P", "LA", "RGBA") and channels == 3:
        picture = picture.convert("RGBA").convert("RGB")
    picture = picture.convert("L" if channels == 1 else "RGB")
    if picture.size != (size[1], size[0]):
        scale = ImageOps.fit if cut else Image.Image.resize
        picture = scale(picture, (size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.array(picture)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)


def _padded(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pictures `(..., h, w)` in the upper left corner of a frame, the rest black."""
    beyond = [(0, 0)] * (images.ndim - 2) + [(0, size[0] - images.shape[-2]), (0, size[1] - images.shape[-1])]
    return np.pad(images, beyond)


def _drawable(image: np.ndarray) -> np.ndarray:
    """A picture `(c, h, w)` -> `(h, w, 3)` uint8; floats from 0 to 1 are shares of white."""
    floats = image.dtype.kind == "f"
    if floats and image.max() <= 1:
        image = image * 255
    colour = image.round().clip(0, 255).astype(np.uint8) if floats else image
    return np.ascontiguousarray(colour[[0, 0, 0] if len(colour) < 3 else [0, 1, 2]].transpose(1, 2, 0))


def _kinds(given: list[Any]) -> str:
    return ", ".join(sorted({type(g).__name__ for g in given})) or "Nothing"
