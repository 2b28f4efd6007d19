"""Arrays, tensors and lists: `(x, y)`, `((x, y), (x_val, y_val))`, `{"train": (x, y), "val": ...}`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fastgpu.data.raw import Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, count, objects, rows, split_name
from fastgpu.data.sources.mask_arrays import as_masks
from fastgpu.data.sources.pictures import are_pictures
from fastgpu.data.sources.targets import as_targets, as_texts, incomplete, plain
from fastgpu.errors import DataError, UnknownNameError

__all__ = ["CHANNELS", "as_inputs", "as_items", "pairs_of", "pictures"]

CHANNELS = (1, 3, 4)
"""Sizes of an axis that is taken for the channels of pictures: grey, colour, colour with transparency."""


def pictures(x: np.ndarray | torch.Tensor, where: str = "x") -> tuple[np.ndarray | torch.Tensor, str]:
    """Pictures in any usual layout -> `(n, c, h, w)`, uint8 or float32, and a note where the layout was in doubt.

    Args:
        x: `(n, h, w)`, `(n, h, w, c)` or `(n, c, h, w)` with 1, 3 or 4 channels. Where both of the last would do, arrays
            have channels last and tensors first. Bools and whole numbers 0 to 255 become uint8, all else float32.
        where: what the array is called in an error.
    """
    first, last = x.ndim == 4 and x.shape[1] in CHANNELS, x.ndim == 4 and x.shape[-1] in CHANNELS
    note = ""
    if first and last:
        first = isinstance(x, torch.Tensor)
        order = "(n, c, h, w)" if first else "(n, h, w, c)"
        note = f"{where} of shape {tuple(x.shape)} taken as {order}, the order of {'tensors' if first else 'arrays'}"
    if x.ndim == 3:
        x = x[:, None]
    elif not first and last:
        x = x.permute(0, 3, 1, 2) if isinstance(x, torch.Tensor) else x.transpose(0, 3, 1, 2)
    elif not first:
        raise DataError(
            f"Pictures have 1, 3 or 4 channels, (n, h, w, c) or (n, c, h, w). {where} has shape {tuple(x.shape)}. "
            "Transpose or convert it."
        )
    return _pixels(x), note


def _pixels(x: np.ndarray | torch.Tensor) -> np.ndarray | torch.Tensor:
    if isinstance(x, torch.Tensor):
        x = x.detach()
        if x.dtype == torch.bool:
            return x.to(torch.uint8) * 255
        whole = not x.is_floating_point()
        kind: Any = torch.uint8 if whole and (x.dtype == torch.uint8 or _bytes(x)) else torch.float32
        return x.to(kind)
    if x.dtype == bool:
        return x.astype(np.uint8) * 255
    whole = x.dtype.kind in "iu"
    return x.astype(np.uint8 if whole and (x.dtype == np.uint8 or _bytes(x)) else np.float32, copy=False)


def _bytes(x: Any) -> bool:
    return bool(x.min() >= 0 and x.max() <= 255)


def as_inputs(x: Any, where: str = "x") -> tuple[str, Any, str]:
    """One `x` -> its input kind, its items, and a note or `""`.

    Raises:
        DataError: nothing in it, mixed things, or a shape that is neither pictures nor rows of numbers.
    """
    if hasattr(x, "iloc") and hasattr(x, "columns"):
        return "table", x.rename(columns=str).reset_index(drop=True), ""
    if not hasattr(x, "__len__"):
        raise DataError(f"{where} is an array, a tensor, a DataFrame or a list. {type(x).__name__} came. Convert it.")
    if len(x) == 0:
        raise DataError(f"Data must have items. {where} is empty. Check where it comes from.")
    if not isinstance(x, (np.ndarray, torch.Tensor)):
        x = _listed(x, where)
    if isinstance(x, np.ndarray) and x.dtype.kind in "OUS":
        return _from_objects(x, where)
    if isinstance(x, np.ndarray) and x.dtype.kind not in "biuf":
        raise DataError(f"Arrays hold numbers or strings. {where} holds {x.dtype}. Convert it.")
    if x.ndim in (3, 4):
        images, note = pictures(x, where)
        return "image", images, note
    if x.ndim == 2:
        return "table", _numbers(plain(x)), ""
    fix = f"Make it {where}.reshape(-1, 1)." if x.ndim == 1 else "Reshape it."
    raise DataError(f"Numbers come as rows (n, k) or as pictures of 3 or 4 dimensions. {where} has shape {tuple(x.shape)}. {fix}")


def _listed(x: Any, where: str) -> np.ndarray | torch.Tensor:
    """A list -> an array of what it holds: tensors are stacked, all else that is not numbers stays an object."""
    if hasattr(x, "to_numpy"):
        return x.to_numpy()
    items = list(x)
    if all(isinstance(v, torch.Tensor) for v in items):
        try:
            return torch.stack(items)
        except RuntimeError:
            shapes = sorted({tuple(v.shape) for v in items})
            raise DataError(f"Tensors in a list have one shape. {where} has {shapes[0]} and {shapes[1]}. Resize them.") from None
    if all(isinstance(v, (int, float, list, tuple, np.number, np.ndarray)) for v in items):
        return plain(items)
    return objects(items)


def _numbers(x: np.ndarray) -> np.ndarray:
    """Rows of numbers as floats: float64 stays, whole numbers keep all their digits."""
    if x.dtype in (np.float32, np.float64):
        return x
    return x.astype(np.float64 if x.dtype.itemsize >= 4 else np.float32)


def _from_objects(x: np.ndarray, where: str) -> tuple[str, Any, str]:
    from PIL import Image

    if x.ndim == 2 and x.shape[1] == 1:
        x = x[:, 0]
    if x.ndim != 1:
        raise DataError(
            f"Texts and pictures in an object array have one dimension. {where} has shape {x.shape}. Use a DataFrame for tables."
        )
    items = [str(v) if isinstance(v, (Path, np.str_)) else v for v in x.tolist()]
    if all(isinstance(v, Image.Image) for v in items):
        return "image", objects(items), ""
    if are_pictures(items):
        return "image", objects(items), ""
    if all(v is None or isinstance(v, str) or (isinstance(v, float) and math.isnan(v)) for v in items):
        return "text", as_texts(objects(items), where), ""
    arrays = [v for v in items if isinstance(v, np.ndarray) and v.dtype == np.uint8 and v.ndim in (2, 3)]
    if len(arrays) == len(items):
        try:
            return "image", objects(Image.fromarray(v) for v in arrays), f"{where}: arrays of different sizes taken as pictures"
        except TypeError:
            raise DataError(f"Pictures of different sizes are (h, w) or (h, w, 3). {where} holds others. Convert them.") from None
    kinds = ", ".join(sorted({type(v).__name__ for v in items}))
    raise DataError(
        f"Items are all strings, all paths, all PIL images, or all arrays of one shape. {where} holds {kinds}. Convert them."
    )


def as_items(x: Any, y: Any, split: str, request: Request) -> tuple[str, Items, list[str]]:
    """One split's `x` and `y` -> input kind, items, notes."""
    of = "" if split == "train" else f" of {split}"
    kind, items, note = as_inputs(x, f"x{of}")
    if y is None:
        raise DataError(f"Arrays come as (x, y). y{of} is None. Give the targets.")
    masks = request.task == "segmentation" and kind == "image"
    targets = as_masks(y, items, f"y{of}") if masks else as_targets(y, f"y{of}")
    if len(items) != len(targets):
        raise DataError(f"x and y must have the same length. x{of} has {len(items):,} items, y{of} {len(targets):,}. Check both.")
    notes = [note] if note else []
    bad = incomplete(targets)
    if bad.any():
        if not request.skip or bad.all():
            raise DataError(
                f"Every item must have a target. {bad.sum():,} of {len(bad):,} in y{of} are missing or not finite: "
                f"{rows(bad)} (from 0). "
                "Fill or drop them, or leave them out with on_bad_item='skip'."
            )
        notes.append(f"{count(int(bad.sum()), 'item')} of {split} left out, without a target: {rows(bad)} (from 0)")
        keep = np.flatnonzero(~bad)
        return kind, Items(Items(items, None).take(keep).x, as_targets(targets[keep])), notes
    return kind, Items(items, targets), notes


def pairs_of(data: Any) -> dict[str, tuple[Any, Any]] | None:
    """Split -> `(x, y)`, or None where the data have no such form."""
    if isinstance(data, dict):
        if not data or not all(_is_pair(v) for v in data.values()):
            return None
        named = {split_name(k): v for k, v in data.items()}
        if None in named:
            wrong = next(k for k in data if split_name(k) is None)
            raise UnknownNameError("split", wrong, ("train", "val", "test"))
        if "train" not in named:
            raise DataError(f"A dict of arrays needs 'train'. {', '.join(map(repr, data))} came. Name the training part so.")
        return {str(k): v for k, v in named.items()}
    if isinstance(data, tuple) and len(data) in (2, 3) and all(_is_pair(v) for v in data):
        return dict(zip(("train", "val", "test"), data, strict=False))
    if _is_pair(data):
        return {"train": data}
    return None


def _is_pair(data: Any) -> bool:
    return isinstance(data, tuple) and len(data) == 2 and all(_is_many(part) for part in data)


def _is_many(part: Any) -> bool:
    return part is None or isinstance(part, (np.ndarray, torch.Tensor, list)) or hasattr(part, "iloc") or isinstance(part, tuple)


def _load(data: Any, request: Request) -> Raw:
    request.refuse_target("arrays")
    pairs = pairs_of(data) or {}
    read = {split: as_items(x, y, split, request) for split, (x, y) in pairs.items()}
    kinds = {split: kind for split, (kind, _, _) in read.items()}
    if len(set(kinds.values())) > 1:
        named = ", ".join(f"{split} {kind}" for split, kind in kinds.items())
        raise DataError(f"All splits must hold the same kind of input. {named} came. Give the same layout for each.")
    x = read["train"][1].x
    shape = f" of shape {tuple(x.shape)}" if isinstance(x, (np.ndarray, torch.Tensor)) and x.dtype != object else ""
    return Raw(
        name="arrays",
        kind=kinds["train"],
        splits={split: items for split, (_, items, _) in read.items()},
        origin=f"arrays{shape}",
        notes=tuple(note for _, _, notes in read.values() for note in notes),
    )


SOURCES.register("arrays")(
    Source(
        order=70,
        form="(x, y), ((x, y), (x_val, y_val)) or {'train': (x, y), 'val': ...} of arrays, tensors or lists",
        recognise=lambda data, request: pairs_of(data) is not None,
        load=_load,
    )
)
