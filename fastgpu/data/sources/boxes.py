"""Pictures with boxes, whatever format named them: checked, repaired by one rule, and handed over.

The rule: a box that reaches over the edge is cut there, and counted. A box that has no area inside of the picture (of zero
size, with crossed corners, or outside) is refused with its file and place, or, with `on_bad_item="skip"`, left out and counted.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fastgpu.data.instance_masks import fault
from fastgpu.data.raw import SPLITS, Items, Raw
from fastgpu.data.sources.base import Request, count, objects
from fastgpu.errors import DataError

__all__ = [
    "TASKS",
    "Annotated",
    "BadItems",
    "Box",
    "claimed_size",
    "groups_of",
    "outlined",
    "picture_sizes",
    "raw_of",
    "shared_pictures",
]

TASKS = (None, "detection", "instance_segmentation")
"""Tasks for which annotations are read as boxes."""


@dataclasses.dataclass(frozen=True)
class Box:
    """One object.

    Args:
        corners: left, top, right, bottom in pixels of the picture, as they were given.
        label: name of its class.
        place: where it stands, for people: `"annotations.json, annotation 7"`.
        outline: its shape as COCO gives it, polygons or runs; None where there is none.
    """

    corners: tuple[float, float, float, float]
    label: str
    place: str
    outline: Any = None


@dataclasses.dataclass(frozen=True)
class Annotated:
    """One picture with its objects.

    Args:
        path: the picture.
        boxes: its objects; none is fine.
        size: `(height, width)` that the annotations claim, None where they claim none.
        group: the film that it is a frame of, `""` where it stands alone.
    """

    path: str
    boxes: Sequence[Box]
    size: tuple[int, int] | None = None
    group: str = ""


class BadItems:
    """What was bad in the annotations: refused at once, or counted where the user wants it left out.

    Args:
        skip: whether bad items are left out.
    """

    def __init__(self, skip: bool) -> None:
        self.skip, self.counts = skip, dict[str, list[str]]()

    def add(self, what: str, place: str, rule: str, came: str) -> None:
        """Note a bad item.

        Args:
            what: its kind, in the plural, for the note: `"boxes of zero size"`.
            place: file and row.
            rule: what must hold.
            came: what stands there.

        Raises:
            DataError: bad items are not left out.
        """
        if not self.skip:
            raise DataError(f"{rule}. {place}: {came}. Mend it, or leave such out with on_bad_item='skip'.")
        self.counts.setdefault(what, []).append(place)

    def notes(self) -> tuple[str, ...]:
        """One line for each kind, with the first places."""
        return tuple(
            f"left out {len(places):,} {what}: {'; '.join(places[:3])}{'; ...' if len(places) > 3 else ''}"
            for what, places in self.counts.items()
        )


def picture_sizes(paths: Sequence[str], bad: BadItems, source: Mapping[str, str]) -> dict[str, tuple[int, int]]:
    """Path -> `(height, width)`, upright, of all that can be opened; only the heads of the files are read.

    Args:
        paths: pictures.
        bad: takes those that are missing or no pictures.
        source: path -> the annotation that names it, for people.
    """
    from PIL import Image

    def size(path: str) -> tuple[int, int] | str:
        try:
            with Image.open(path) as opened:
                turned = opened.getexif().get(0x0112, 1) >= 5  # EXIF orientations that lie on their side
                return (opened.width, opened.height) if turned else (opened.height, opened.width)
        except FileNotFoundError:
            return "no such file"
        except Exception as error:  # PIL's decoders raise errors of a dozen kinds
            return str(error).split("\n")[0] or type(error).__name__

    found: dict[str, tuple[int, int]] = {}
    with ThreadPoolExecutor(4) as pool:
        for path, each in zip(paths, pool.map(size, paths)):
            if isinstance(each, str):
                what = "pictures that are missing" if each == "no such file" else "pictures that cannot be read"
                bad.add(what, source.get(path, path), "Annotations name pictures that are there", f"{path} ({each})")
            else:
                found[path] = each
    return found


def claimed_size(height: Any, width: Any) -> tuple[int, int] | None:
    """`(height, width)` as annotations say it, in numbers or text; None where they say nothing, or 0.

    Raises:
        ValueError: no numbers came.
    """
    if not height or not width:
        return None
    try:
        size = int(float(height)), int(float(width))
    except (TypeError, OverflowError):
        raise ValueError from None
    return size if all(size) else None


def groups_of(pictures: Sequence[Annotated]) -> np.ndarray | None:
    """`(n,)` film of each picture, where any is of a film; one that stands alone is a group of its own."""
    return np.asarray([a.group or a.path for a in pictures]) if any(a.group for a in pictures) else None


def shared_pictures(splits: Mapping[str, Items]) -> list[str]:
    """A note for each two splits that have pictures in common: what is judged there was seen in training."""
    paths = {split: {os.path.abspath(path) for path in items.x} for split, items in splits.items()}
    notes = []
    for split, own in paths.items():
        for other in SPLITS[: SPLITS.index(split)]:
            if both := sorted(own & paths.get(other, set())):
                notes.append(f"{split} shares {count(len(both), 'picture')} of its {len(own):,} with {other}: {both[0]}")
    return notes


def raw_of(
    splits: Mapping[str, Iterable[Annotated]],
    *,
    name: str,
    origin: str,
    classes: Sequence[str],
    request: Request,
    bad: BadItems,
    notes: Sequence[str] = (),
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> Raw:
    """Check all boxes and hand the splits over.

    Args:
        splits: split -> its pictures.
        name: short name for the run folder.
        origin: path, for people.
        classes: class names in the order of their numbers.
        request: what the user asked for.
        bad: what was bad so far; takes more.
        notes: what was decided before.
        sizes: path -> `(height, width)` where they were read before.

    Raises:
        DataError: a box or a picture is bad and is not to be left out, or nothing is left.
    """
    numbers = {label: i for i, label in enumerate(classes)}
    cut: list[str] = []
    made: dict[str, Items] = {}
    for split in (s for s in SPLITS if s in splits):
        listed = list(splits[split])
        known = sizes or picture_sizes([a.path for a in listed], bad, {a.path: _first_place(a) for a in listed})
        kept = [a for a in listed if a.path in known and _agrees(a, known[a.path], bad)]
        if not kept:
            raise DataError(f"Data must have pictures. {split} of {origin} has none left. Check the annotations.")
        y = objects(_target(a, known[a.path], numbers, bad, cut, request.task) for a in kept)
        made[split] = Items(objects(a.path for a in kept), y, groups_of(kept))
    said = [*notes, *bad.notes(), *shared_pictures(made)]
    if cut:
        more = "; ..." if len(cut) > 3 else ""
        said.append(f"boxes cut at the edge of their picture: {len(cut):,}, {'; '.join(cut[:3])}{more}")
    task = request.task or "detection"
    return Raw(name=name, kind="image", splits=made, classes=tuple(classes), task=task, origin=origin, notes=tuple(said))


def _first_place(item: Annotated) -> str:
    return item.boxes[0].place if item.boxes else item.path


def _agrees(item: Annotated, size: tuple[int, int], bad: BadItems) -> bool:
    if item.size is None or item.size == size:
        return True
    rule = "The size of a picture is the one that its annotations were made for"
    came = f"{item.path} is {size[1]}x{size[0]}, the annotations say {item.size[1]}x{item.size[0]}"
    bad.add("pictures of another size than annotated", _first_place(item), rule, came)
    return False


def _target(
    item: Annotated, size: tuple[int, int], numbers: Mapping[str, int], bad: BadItems, cut: list[str], task: str | None
) -> dict[str, Any]:
    """The raw target of a picture, see `fastgpu.tasks.detection`."""
    given = np.asarray([box.corners for box in item.boxes], np.float64).reshape(-1, 4)
    height, width = size
    inside = np.clip(given, 0, [width, height, width, height])
    kept: list[int] = []
    for i, box in enumerate(item.boxes):
        left, top, right, bottom = given[i]
        what = _fault(given[i], inside[i])
        if what:
            came = f"left {left:g}, top {top:g}, right {right:g}, bottom {bottom:g} in a picture of {width}x{height}"
            bad.add(f"boxes {what}", box.place, f"A box has an area inside of its picture; this is one {what}", came)
            continue
        kept.append(i)
        if np.abs(inside[i] - given[i]).max() > 1e-3:  # rounding of shares is no reason to speak
            cut.append(box.place)
    target: dict[str, Any] = {
        "boxes": inside[kept].astype(np.float32),
        "labels": np.asarray([numbers[item.boxes[i].label] for i in kept], np.int64),
        "size": size,
    }
    if task == "instance_segmentation":
        target["outlines"] = [_outline(item.boxes[i], size, bad) for i in kept]
    return target


def _fault(given: np.ndarray, inside: np.ndarray) -> str:
    """What is wrong with a box, `""` where it has an area inside of the picture."""
    if not np.isfinite(given).all():
        return "without finite corners"
    if given[2] < given[0] or given[3] < given[1]:
        return "with crossed corners"
    if given[2] == given[0] or given[3] == given[1]:
        return "of zero size"
    return "outside of the picture" if inside[2] <= inside[0] or inside[3] <= inside[1] else ""


def outlined(box: Box, size: tuple[int, int], bad: BadItems, instead: str = "") -> bool:
    """Whether an object has an outline that can be filled; one that has not is noted.

    Args:
        box: the object.
        size: `(height, width)` of its picture.
        bad: takes it where it has none.
        instead: what is then taken, for the note.
    """
    came = fault(box.outline, size)
    if came:
        what = "outlines that cannot be filled" if box.outline else "annotations without an outline"
        rule = "Segmentation needs an outline for each object, polygons of three points or more, or runs"
        bad.add(what + instead, box.place, rule, f"segmentation: {came}")
    return not came


def _outline(box: Box, size: tuple[int, int], bad: BadItems) -> Any:
    if outlined(box, size, bad, ", the box taken instead"):
        return box.outline
    left, top, right, bottom = box.corners
    return [[left, top, right, top, right, bottom, left, bottom]]
