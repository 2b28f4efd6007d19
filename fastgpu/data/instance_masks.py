"""Masks of single objects: outlines stay as they are until a batch asks for them, for a mask each would fill the memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fastgpu.data.columns import Columns
from fastgpu.optional import require

__all__ = ["InstanceMasks", "fault", "filled"]


class InstanceMasks(Columns):
    """The objects' masks of each picture, drawn into the frame when a batch is gathered.

    A batch has `"masks"` `(b, k, h, w)` uint8, 0 and 1, with `k` the most objects of its pictures.

    Args:
        outlines: of each picture a list of outlines, in a form that `filled` takes.
        sizes: `(height, width)` of each picture.
        frame: `(height, width)` of the frame, which a picture fits into, whole, in the upper left corner.
    """

    in_memory = False  # drawing takes long: the next batch is drawn while the network works on this one

    def __init__(self, outlines: Sequence[Sequence[Any]], sizes: Sequence[tuple[int, int]], frame: tuple[int, int]) -> None:
        self._outlines, self._sizes, self._frame = outlines, sizes, frame

    def __len__(self) -> int:
        return len(self._outlines)

    def gather(self, index: Tensor) -> dict[str, Any]:
        at = index.tolist()
        most = max(1, *(len(self._outlines[i]) for i in at)) if at else 1
        masks = torch.zeros(len(at), most, *self._frame, dtype=torch.uint8)
        for row, i in enumerate(at):
            for k, outline in enumerate(self._outlines[i]):
                masks[row, k] = torch.from_numpy(filled(outline, self._sizes[i], self._frame))
        return {"masks": masks}


def fault(outline: Any, size: tuple[int, int]) -> str:
    """Why `filled` cannot take an outline, `""` where it can.

    Args:
        outline: what the annotations give.
        size: `(height, width)` of the picture.
    """
    if isinstance(outline, dict):
        if outline.get("size") != list(size):
            return f"it has runs of the size {outline.get('size')!r:.40}, the picture has {list(size)}"
        try:
            _decoded(outline, size)
        except (RuntimeError, ValueError, TypeError, KeyError) as error:  # the decoder's own checks, of binary code
            return f"its runs cannot be read: {str(error).rstrip('.'):.80}"
        return ""
    if not isinstance(outline, list) or not outline:
        return f"{outline!r:.60} came"
    bad = next((polygon for polygon in outline if not _is_polygon(polygon)), None)
    return "" if bad is None else f"one polygon is {bad!r:.60}"


def _is_polygon(polygon: Any) -> bool:
    if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
        return False
    return all(isinstance(v, (int, float)) and math.isfinite(v) for v in polygon)


def filled(outline: Any, size: tuple[int, int], frame: tuple[int, int]) -> np.ndarray:
    """An outline -> `(h, w)` uint8 in the frame, 1 inside.

    Args:
        outline: as COCO gives it: polygons `[[x, y, x, y, ...], ...]` in pixels, or runs `{"counts": ..., "size": ...}`;
            one without a `fault`.
        size: `(height, width)` of the picture.
        frame: `(height, width)` of the frame.
    """
    from PIL import Image, ImageDraw

    scale = min(frame[0] / size[0], frame[1] / size[1])
    if not isinstance(outline, dict):
        canvas = Image.new("1", (frame[1], frame[0]))
        draw = ImageDraw.Draw(canvas)
        for polygon in outline:
            # Pixels are squares: the one that a corner lies in begins at the whole number below.
            draw.polygon([float(v) * scale - 0.5 for v in polygon], fill=1)
        return np.asarray(canvas, dtype=np.uint8)
    whole = torch.from_numpy(_decoded(outline, size))
    inner = (max(1, round(size[0] * scale)), max(1, round(size[1] * scale)))
    found = F.interpolate(whole[None, None].float(), inner, mode="nearest-exact")[0, 0].to(torch.uint8)
    return F.pad(found, (0, frame[1] - inner[1], 0, frame[0] - inner[0])).numpy()


def _decoded(runs: Any, size: tuple[int, int]) -> np.ndarray:
    """Runs of pixels -> `(h, w)` uint8, 1 inside."""
    library: Any = require("faster_coco_eval.core.mask", need="Masks as runs of pixels")
    packed = library.frPyObjects(runs, *size) if isinstance(runs["counts"], list) else runs
    return np.ascontiguousarray(library.decode(packed)).reshape(size)
