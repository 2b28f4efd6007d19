"""Masks: a class number for every pixel of a picture, from files, arrays or polygons, into the frame that pictures share."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fastgpu.answers.pixels import IGNORED
from fastgpu.data.columns import Columns, JoinedColumns, LazyColumns, TensorColumns
from fastgpu.data.instance_masks import filled
from fastgpu.errors import DataError

__all__ = ["IGNORED", "MaskFile", "Polygons", "class_numbers", "encode_masks", "pixels_of", "read_mask", "renumbered"]

MEMORY_BUDGET = 2**30  # as for pictures: more are read again each epoch
THREADS = 4

Colour = int | tuple[int, int, int]


@dataclasses.dataclass(frozen=True)
class MaskFile:
    """A picture file of class values.

    Args:
        path: the file.
        palette: value of the file, a number or `(red, green, blue)` -> class number; None: values are class numbers.
    """

    path: str
    palette: Mapping[Colour, int] | None = None

    def __str__(self) -> str:
        return self.path


@dataclasses.dataclass(frozen=True)
class Polygons:
    """Outlines that are filled in order: later ones lie on top; what none covers is class 0.

    Args:
        size: `(height, width)` of the picture.
        shapes: `(class number, outline)`, the outline in a form that `fastgpu.data.instance_masks.filled` takes.
    """

    size: tuple[int, int]
    shapes: tuple[tuple[int, Any], ...]


def class_numbers(mask: MaskFile | Polygons) -> set[int]:
    """The class numbers that a mask can hold, as is known before it is read."""
    numbers = (number for number, _ in mask.shapes) if isinstance(mask, Polygons) else (mask.palette or {}).values()
    return set(numbers) - {IGNORED}


def renumbered(mask: MaskFile | Polygons, numbers: Mapping[int, int]) -> MaskFile | Polygons:
    """A mask with other class numbers; `numbers` has each that it can hold, and what it becomes."""
    if isinstance(mask, Polygons):
        return dataclasses.replace(mask, shapes=tuple((numbers[number], outline) for number, outline in mask.shapes))
    known = {**numbers, IGNORED: IGNORED}
    return dataclasses.replace(mask, palette={value: known[number] for value, number in (mask.palette or known).items()})


def pixels_of(path: str) -> np.ndarray:
    """A mask file's own values: `(h, w)` numbers, or `(h, w, 3)` colours where it is no index and not grey.

    Raises:
        DataError: the file cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(path) as opened:
            if opened.mode in ("P", "L", "1", "I", "I;16"):
                return np.array(opened.convert("L") if opened.mode == "1" else opened)
            values = np.array(opened.convert("RGB"))
    except Exception as error:  # PIL's decoders raise errors of a dozen kinds
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataError(f"Every mask must be readable. {path} is not: {reason}. Mend or remove it.") from None
    grey = bool((values[..., 0] == values[..., 1]).all() and (values[..., 1] == values[..., 2]).all())
    return values[..., 0] if grey else values


def read_mask(mask: Any) -> np.ndarray:
    """A mask in any form -> `(h, w)` uint8 class numbers, `IGNORED` where there is none.

    Args:
        mask: a `MaskFile`, `Polygons`, or an array `(h, w)` of class numbers.

    Raises:
        DataError: a file cannot be read, or holds a value that the palette lacks.
    """
    if isinstance(mask, Polygons):
        return _filled(mask)
    if not isinstance(mask, MaskFile):
        return np.asarray(mask).astype(np.uint8)
    values = pixels_of(mask.path)
    return values.astype(np.uint8) if mask.palette is None else _by_palette(values, mask.palette, mask.path)


def _by_palette(values: np.ndarray, palette: Mapping[Colour, int], path: str) -> np.ndarray:
    """Values or colours -> class numbers, by a search among the sorted palette."""
    keys = {_as_number(colour) if values.ndim == 3 else _as_grey(colour): number for colour, number in palette.items()}
    keys.pop(None, None)
    flat = values.astype(np.int64)
    if values.ndim == 3:
        flat = (flat[..., 0] << 16) | (flat[..., 1] << 8) | flat[..., 2]
    # A grey mask knows none of a palette of colours; -1 stands for that, which no pixel is.
    known = np.array(sorted(k for k in keys if k is not None) or [-1], np.int64)
    at = np.searchsorted(known, flat).clip(max=len(known) - 1)
    strange = known[at] != flat
    if strange.any():
        row, column = (int(v) for v in np.argwhere(strange)[0])
        raise DataError(
            f"A mask holds values of its palette only. {path} holds {values[row, column].tolist()} at row {row}, column {column}, "
            f"and {int(strange.sum()):,} such pixels in all. Add it to palette.json or mend the mask."
        )
    return np.array([keys[int(k)] for k in known], np.uint8)[at]


def _as_number(colour: Colour) -> int:
    red, green, blue = (colour,) * 3 if isinstance(colour, int) else colour
    return (red << 16) | (green << 8) | blue


def _as_grey(colour: Colour) -> int | None:
    if isinstance(colour, int):
        return colour
    return colour[0] if len(set(colour)) == 1 else None


def _filled(mask: Polygons) -> np.ndarray:
    canvas = np.zeros(mask.size, np.uint8)
    for number, outline in mask.shapes:
        canvas[filled(outline, mask.size, mask.size) > 0] = number
    return canvas


def encode_masks(masks: Sequence[Any], size: tuple[int, int], *, also: Mapping[str, Tensor] | None = None) -> Columns:
    """Masks -> `{"mask": (n, *size) uint8}` in the frame that `fastgpu.inputs.image` puts pictures into.

    Args:
        masks: each in a form that `read_mask` takes, or one class number for the whole picture.
        size: `(height, width)` of the frame.
        also: further tensors of the same items.
    """
    if len(masks) * size[0] * size[1] > MEMORY_BUDGET:
        lazy = LazyColumns(lambda i: {"mask": _framed(masks[i], size)}, len(masks), threads=THREADS)
        return lazy if also is None else JoinedColumns(lazy, TensorColumns(also))
    whole = torch.empty(len(masks), *size, dtype=torch.uint8)
    with ThreadPoolExecutor(THREADS) as pool:
        for i, framed in enumerate(pool.map(lambda mask: _framed(mask, size), masks)):
            whole[i] = framed
    return TensorColumns({"mask": whole, **(also or {})})


def _framed(mask: Any, size: tuple[int, int]) -> Tensor:
    """A mask scaled to fit into the frame, in its upper left corner, by nearest neighbours; the rest is ignored."""
    if isinstance(mask, int):
        return torch.full(size, mask, dtype=torch.uint8)
    found = torch.from_numpy(np.ascontiguousarray(read_mask(mask)))
    scale = min(size[0] / found.shape[0], size[1] / found.shape[1])
    inner = (max(1, round(found.shape[0] * scale)), max(1, round(found.shape[1] * scale)))
    if inner != tuple(found.shape):
        found = F.interpolate(found[None, None], inner, mode="nearest-exact")[0, 0]
    return F.pad(found, (0, size[1] - inner[1], 0, size[0] - inner[0]), value=IGNORED)
