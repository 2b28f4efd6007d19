"""COCO annotations as masks: every object's outline filled with its class, on a background."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.data.masks import IGNORED, Polygons
from fastgpu.data.raw import SPLITS, Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, objects
from fastgpu.data.sources.boxes import Annotated, BadItems, Box, groups_of, outlined, picture_sizes, shared_pictures
from fastgpu.data.sources.coco import annotation_files, read_annotations
from fastgpu.errors import DataError

__all__ = ["read_coco_masks"]


def read_coco_masks(files: dict[str, Path], origin: Path, request: Request) -> Raw:
    """Read outlines for segmentation; class 0 is the background, then the categories in the order of their ids.

    Where objects lie over each other the one of the smaller box is on top.

    Args:
        files: split -> JSON file.
        origin: the file or folder that the user named.
        request: what the user asked for.

    Raises:
        DataError: an annotation has no outline, or names what is not there; a picture has another size than it says.
    """
    bad = BadItems(request.skip)
    annotated, categories, notes = read_annotations(files, request, bad)
    if len(categories) >= IGNORED:
        raise DataError(f"Masks have up to {IGNORED - 1} categories and a background. {len(categories)} came. Leave some out.")
    number = {name: i for i, name in enumerate(categories, 1)}
    splits: dict[str, Items] = {}
    cut: list[str] = []
    for split in SPLITS:
        if split in annotated:
            splits[split] = _items(annotated[split], number, str(files[split]), bad, cut)
    if cut:
        notes = (*notes, f"outlines cut at the edge of their picture: {len(cut):,}, {'; '.join(cut[:3])}{'; ...' if len(cut) > 3 else ''}")
    return Raw(
        name=origin.resolve().name if origin.is_dir() else origin.resolve().parent.name,
        kind="image",
        splits=splits,
        classes=("background", *categories),
        task="segmentation",
        origin=str(origin),
        notes=(*notes, *bad.notes(), *shared_pictures(splits)),
    )


def _items(pictures: Sequence[Annotated], number: dict[str, int], file: str, bad: BadItems, cut: list[str]) -> Items:
    sizes = picture_sizes([each.path for each in pictures], bad, {each.path: file for each in pictures})
    kept: list[Annotated] = []
    masks: list[Polygons] = []
    for each in pictures:
        size = sizes.get(each.path)
        if size is None:
            continue  # noted already
        if each.size not in (None, size):
            came = f"{each.path} is {size}, not {each.size}"
            bad.add("pictures of another size", file, "A picture has the size that its annotations say", came)
            continue
        boxes = sorted((box for box in each.boxes if outlined(box, size, bad) and _inside(box, size, bad, cut)), key=_area, reverse=True)
        kept.append(each)
        masks.append(Polygons(size, tuple((number[box.label], box.outline) for box in boxes)))
    if not kept:
        raise DataError(f"Segmentation needs pictures. {file} names none that can be used. Check the file.")
    return Items(objects(each.path for each in kept), objects(masks), groups_of(kept))


def _inside(box: Box, size: tuple[int, int], bad: BadItems, cut: list[str]) -> bool:
    """Whether an outline lies in its picture; one that reaches over the edge is cut there, and counted in `cut`."""
    if isinstance(box.outline, dict):  # runs of pixels, which are those of the picture
        return True
    points = np.concatenate([np.reshape(part, (-1, 2)) for part in box.outline])
    low, high, most = points.min(0), points.max(0), np.array(size[::-1])
    if (high <= 0).any() or (low >= most).any():
        came = f"segmentation: from {low.tolist()} to {high.tolist()} in a picture of {most[0]} x {most[1]}"
        bad.add("outlines outside of their picture", box.place, "An outline lies in its picture", came)
        return False
    if (low < 0).any() or (high > most).any():
        cut.append(box.place)
    return True


def _area(box: Box) -> float:
    left, top, right, bottom = box.corners
    return (right - left) * (bottom - top)


def _recognise(data: Any, request: Request) -> bool:
    path = as_path(data)
    return path is not None and request.task == "segmentation" and bool(annotation_files(path))


def _load(data: Any, request: Request) -> Raw:
    path = as_path(data)
    if path is None:  # it was there a moment ago
        raise DataError(f"Data must be readable. {data} is gone. Check the path.")
    return read_coco_masks(annotation_files(path), path, request)


SOURCES.register("coco_masks")(
    Source(order=25, form="COCO annotations with polygons, for task='segmentation'", recognise=_recognise, load=_load)
)
