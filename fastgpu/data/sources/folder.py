"""A folder of pictures: one folder a class, under `train/`, `val/`, `test/` or at the top."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from fastgpu.data.raw import Items, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, count, objects, split_name
from fastgpu.data.sources.pictures import find_pictures, is_picture
from fastgpu.errors import ArgumentError, DataError, nearest

__all__ = ["read_folder"]

_LAYOUT = "one folder a class, or train/ and val/ with one folder a class"


def read_folder(folder: Path) -> Raw:
    """Read the layout of a folder of pictures; the pictures themselves are not opened.

    Args:
        folder: holds one folder a class, or `train/`, `val/` (`valid/`, `validation/`) and `test/` with one folder a class each.

    Returns:
        Items with `x` `(n,)` paths and `y` `(n,)` names of classes, both in sorted order.

    Raises:
        DataError: there are no pictures, fewer than two classes, or a class that `train/` lacks.
    """
    inside = _folders(folder)
    if not inside:
        loose = sum(is_picture(f) for f in os.listdir(folder))
        holds = f"{count(loose, 'picture')} and no folder" if loose else "no folder and no picture"
        raise DataError(f"A folder of pictures holds {_LAYOUT}. {folder} holds {holds}. Check the path, or sort the pictures.")
    places = _splits(folder, inside)
    notes: list[str] = []
    splits: dict[str, Items] = {}
    classes: tuple[str, ...] = ()
    for split in ("train", "val", "test"):
        if split not in places:
            continue
        if split == "test" and not _folders(places[split]):
            notes.append(f"{places[split].name}/ has no class folders: left out")
            continue
        splits[split], others, empty = _read_split(places[split])
        if others:
            notes.append(f"{count(others, 'file')} in {places[split].name}/ passed over: no picture by the name")
        if empty:
            notes.append(f"class folders without pictures in {places[split].name}/ passed over: {', '.join(empty)}")
        if split == "train":
            classes = _classes(splits[split], places[split])
        else:
            _check_classes(splits[split], classes, places[split])
    ignored = [f.name for f in inside if f not in places.values()] if folder not in places.values() else []
    if ignored:
        notes.append(f"folders passed over: {', '.join(ignored)}")
    return Raw(
        name=folder.resolve().name,
        kind="image",
        splits=splits,
        classes=classes,
        task="classification",
        origin=str(folder),
        notes=tuple(notes),
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_dir() and not f.name.startswith("."))


def _splits(folder: Path, inside: list[Path]) -> dict[str, Path]:
    """Split -> its folder; the folder itself is `train` where it holds classes."""
    places: dict[str, Path] = {}
    for f in inside:
        split = split_name(f.name)
        if split in places:
            raise DataError(
                f"A split is one folder. {folder} holds both {places[split].name}/ and {f.name}/. Merge or rename one."
            )
        if split is not None:
            places[split] = f
    if not places:
        return {"train": folder}
    if "train" not in places:
        if len(places) < len(inside):  # a class that happens to be called "test"
            return {"train": folder}
        names = ", ".join(f"{f.name}/" for f in inside)
        raise DataError(
            f"A folder of pictures holds {_LAYOUT}. {folder} holds {names} but no train/. Rename the training folder."
        )
    return places


def _read_split(folder: Path) -> tuple[Items, int, list[str]]:
    """Items of the class folders in `folder`, how many other files they hold, and names of empty class folders."""
    paths: list[str] = []
    names: list[str] = []
    sizes: list[int] = []
    empty: list[str] = []
    others = sum(f.is_file() and not f.name.startswith(".") for f in folder.iterdir())
    for class_folder in _folders(folder):
        found, more = find_pictures(class_folder)
        others += more
        if not found:
            empty.append(class_folder.name)
            continue
        paths += found
        names.append(class_folder.name)
        sizes.append(len(found))
    if not paths:
        raise DataError(f"A folder of pictures holds {_LAYOUT}. {folder} holds no pictures in folders. Check the path.")
    return Items(objects(paths), np.repeat(np.asarray(names), sizes)), others, empty


def _names(items: Items) -> list[str]:
    return [] if items.y is None else np.unique(items.y).tolist()


def _classes(train: Items, folder: Path) -> tuple[str, ...]:
    classes = _names(train)
    if len(classes) < 2:
        raise DataError(
            f"Classification needs at least two classes. {folder} has one, {classes[0]!r}. Add a folder for each class."
        )
    return tuple(classes)


def _check_classes(items: Items, classes: tuple[str, ...], folder: Path) -> None:
    strange = sorted(set(_names(items)) - set(classes))
    if strange:
        near = nearest(strange[0], classes)
        advice = f"Did you mean {near[0]!r}?" if near else "Add it to the training folder, or take it out."
        raise DataError(
            f"Every class must be in the training folder. {folder} also has {', '.join(map(repr, strange))}. {advice}"
        )


_BOXES = "Boxes come in a COCO .json, in YOLO's data.yaml with labels/, or in a folder with VOC's Annotations/ and JPEGImages/: give that."
_CURES = {
    "detection": _BOXES,
    "instance_segmentation": "Outlines come in a COCO .json: give that.",
    "segmentation": "Masks come in the folder that holds images/ and masks/, or in a COCO .json: give that.",
}
"""Task -> what would be read for it."""


def _recognise(data: Any, request: Request) -> bool:
    path = as_path(data)
    return path is not None and path.is_dir()


def _load(data: Any, request: Request) -> Raw:
    request.refuse_target("a folder of pictures")
    if request.task not in (None, "classification"):
        cure = _CURES.get(request.task, "For other targets give a CSV with a column of paths.")
        raise ArgumentError(f"A folder of pictures gives one class a picture: task='classification'. task={request.task!r} came. {cure}")
    return read_folder(Path(data).expanduser())


SOURCES.register("folder")(
    Source(order=50, form="the path of a folder of pictures with one folder a class", recognise=_recognise, load=_load)
)
