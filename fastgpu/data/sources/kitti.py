"""KITTI's text files: `image_2/` and `label_2/` (Geiger et al., 2012, https://www.cvlibs.net/datasets/kitti/)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastgpu.data.raw import Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, count
from fastgpu.data.sources.boxes import Annotated, BadItems, Box, raw_of
from fastgpu.data.sources.pictures import by_name
from fastgpu.errors import DataError

__all__ = ["read_kitti"]

IGNORED = "DontCare"


def read_kitti(folder: Path, request: Request) -> Raw:
    """Read a folder of KITTI.

    Args:
        folder: holds `image_2/` and `label_2/`, by itself or in `training/`.
        request: what the user asked for.

    A line is an object: type, truncation, occlusion, angle, then left, top, right and bottom in pixels, then its size and
    place in space, which are passed over. Regions of the type DontCare are no objects.
    """
    request.refuse_target("KITTI annotations")
    bad = BadItems(request.skip)
    root = _root(folder)
    if root is None:  # it was there a moment ago
        raise DataError(f"A folder of KITTI holds image_2/ and label_2/. {folder} does not. Check the path.")
    ignored: list[str] = []
    labels = {file.stem: _boxes(file, bad, ignored) for file in sorted((root / "label_2").glob("*.txt"))}
    pictures = by_name(root / "image_2", lambda file: Path(file).stem)
    for name in sorted(set(labels) - set(pictures)):
        place = str(root / "label_2" / f"{name}.txt")
        bad.add("pictures that are missing", place, "Annotations name pictures that are there", f"image_2/{name}.png is not")
    unlabelled = sorted(set(pictures) - set(labels))
    classes = sorted({box.label for boxes in labels.values() for box in boxes})
    if not classes:
        raise DataError(f"Annotations must have objects. {root / 'label_2'} has none. Check the folder.")
    notes = [f"{count(len(ignored), 'region')} of the type {IGNORED} passed over"] if ignored else []
    if unlabelled:
        notes.append(f"{count(len(unlabelled), 'picture')} without a label file passed over, {unlabelled[0]} the first")
    splits = {"train": [Annotated(pictures[name], boxes) for name, boxes in labels.items() if name in pictures]}
    return raw_of(
        splits, name=folder.resolve().name, origin=str(folder), classes=classes, request=request, bad=bad, notes=notes
    )


def _boxes(file: Path, bad: BadItems, ignored: list[str]) -> list[Box]:
    boxes = []
    for row, line in enumerate(file.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        words, place = line.split(), f"{file}, line {row}"
        if not words:
            continue
        if words[0] == IGNORED:
            ignored.append(place)
            continue
        try:
            left, top, right, bottom = (float(word) for word in words[4:8])
        except ValueError:
            bad.add("bad lines", place, "A line is a type and at least seven numbers, the box in places 5 to 8", repr(line[:80]))
            continue
        boxes.append(Box((left, top, right, bottom), words[0], place))
    return boxes


def _root(folder: Path) -> Path | None:
    places = (folder, folder / "training")
    return next((p for p in places if (p / "image_2").is_dir() and (p / "label_2").is_dir()), None)


def _recognise(data: Any, request: Request) -> bool:
    path = as_path(data)
    return path is not None and request.task in (None, "detection") and _root(path) is not None


SOURCES.register("kitti")(
    Source(
        order=34,
        form="a folder of KITTI (image_2/, label_2/)",
        recognise=_recognise,
        load=lambda data, request: read_kitti(Path(data).expanduser(), request),
    )
)
