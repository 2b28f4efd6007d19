"""COCO's JSON: one file, or a folder with one file a split (Lin et al., 2014, arXiv 1405.0312; https://cocodataset.org/#format-data)."""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

from fastgpu.data.raw import Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, count, repeated, split_name
from fastgpu.data.sources.boxes import TASKS, Annotated, BadItems, Box, claimed_size, raw_of
from fastgpu.errors import DataError

__all__ = ["annotation_files", "read_annotations", "read_coco"]

_KEYS = (b'"images"', b'"annotations"')


def read_coco(files: dict[str, Path], origin: Path, request: Request) -> Raw:
    """Read annotation files; pictures lie beside them, or in a folder `images/`, or in one of the split's name.

    Args:
        files: split -> JSON file with `images`, `annotations` (`bbox` as left, top, width, height in pixels) and `categories`.
        origin: the file or folder that the user named.
        request: what the user asked for.

    A picture's `video_id` makes it a frame of a film: films are never split.
    """
    bad = BadItems(request.skip)
    splits, classes, notes = read_annotations(files, request, bad)
    name = origin.resolve().name if origin.is_dir() else origin.resolve().parent.name
    return raw_of(splits, name=name, origin=str(origin), classes=classes, request=request, bad=bad, notes=notes)


def read_annotations(
    files: dict[str, Path], request: Request, bad: BadItems
) -> tuple[dict[str, list[Annotated]], list[str], list[str]]:
    """Pictures with their objects by split, names of the categories in the order of their ids, and notes; nothing is drawn.

    Args:
        files: split -> JSON file.
        request: what the user asked for.
        bad: takes what is bad.
    """
    request.refuse_target("COCO annotations")
    read = {split: _read(file) for split, file in files.items()}
    categories = _categories(read["train"], files["train"])
    for split, content in read.items():
        strange = set(_categories(content, files[split]).items()) - set(categories.items())
        if strange:
            came = f"{files[split]} has {sorted(strange)[0]}, {files['train']} has not"
            raise DataError(f"All splits have the same categories. {came}. Mend one of them.")
    crowds: list[str] = []
    splits = {split: _pictures(content, files[split], split, categories, bad, crowds) for split, content in read.items()}
    notes = [f"{count(len(crowds), 'annotation')} of crowds (iscrowd) passed over"] if crowds else []
    return splits, [categories[key] for key in sorted(categories)], notes


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"COCO annotations are JSON. {file} is not: {error}. Mend the file.") from None
    if not isinstance(content, dict):
        raise DataError(f"COCO annotations are a JSON object. {file} holds a {type(content).__name__}. Mend the file.")
    lacking = [key for key in ("images", "annotations", "categories") if not isinstance(content.get(key), list)]
    if lacking:
        raise DataError(f"COCO annotations have the lists images, annotations and categories. {file} has no {', '.join(lacking)}. Add it.")
    for key in ("images", "annotations", "categories"):
        strange = [(row, each) for row, each in enumerate(content[key]) if not isinstance(each, dict) or not isinstance(each.get("id"), Hashable)]
        if strange:
            row, each = strange[0]
            raise DataError(f"Each of {key} is a JSON object with a plain id. In {file} number {row} (from 0) is {each!r:.60}. Mend the file.")
    _refuse_repeated("images", "id", [image.get("id") for image in content["images"]], file)
    return content


def _refuse_repeated(key: str, field: str, values: list[Any], file: Path) -> None:
    """Refuse an id or a name that two have: which of them an annotation means, nobody knows."""
    if twice := repeated(map(repr, values)):
        raise DataError(f"No two of {key} have one {field}. In {file} {', '.join(twice[:3])} comes more than once. Mend the file.")


def _categories(content: dict[str, Any], file: Path) -> dict[int, str]:
    try:
        pairs = [(int(each["id"]), str(each["name"])) for each in content["categories"]]
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"Each category has an id and a name. In {file} one has not: {error}. Mend it.") from None
    for field, values in (("id", [key for key, _ in pairs]), ("name", [name for _, name in pairs])):
        _refuse_repeated("categories", field, values, file)
    return dict(pairs)


def _pictures(
    content: dict[str, Any], file: Path, split: str, categories: dict[int, str], bad: BadItems, crowds: list[str]
) -> list[Annotated]:
    boxes: dict[Any, list[Box]] = {image.get("id"): [] for image in content["images"]}
    for row, each in enumerate(content["annotations"]):
        place = f"{file}, annotation {each.get('id', row)}"
        if not _is_one_of(boxes, each.get("image_id")):
            bad.add("annotations of unknown pictures", place, "An annotation's image_id is one of images", f"{each.get('image_id')!r} is not")
        elif not _is_one_of(categories, each.get("category_id")):
            came = f"{each.get('category_id')!r} is not; there are {', '.join(map(str, sorted(categories)[:10]))}"
            bad.add("annotations of unknown categories", place, "An annotation's category_id is one of categories", came)
        elif each.get("iscrowd"):
            crowds.append(place)
        elif (corners := _corners(each.get("bbox"))) is None:
            bad.add("boxes that are not four numbers", place, "A bbox is left, top, width and height", f"{each.get('bbox')!r} came")
        else:
            boxes[each["image_id"]].append(Box(corners, categories[each["category_id"]], place, each.get("segmentation")))
    roots = [file.parent, file.parent / "images", file.parent.parent, file.parent.parent / "images"]
    roots += [root / name for root in (file.parent, file.parent.parent) for name in _folders_of(root, split)]
    pictures = []
    for image in content["images"]:
        try:
            size = claimed_size(image.get("height"), image.get("width"))
        except ValueError:
            came = f"height {image.get('height')!r:.40}, width {image.get('width')!r:.40}"
            bad.add("pictures whose size is no number", f"{file}, image {image.get('id')}", "Height and width of an image are numbers", came)
            continue
        group = "" if image.get("video_id") is None else str(image["video_id"])
        pictures.append(Annotated(_found(str(image.get("file_name")), roots), boxes[image.get("id")], size, group))
    return pictures


def _is_one_of(table: dict[Any, Any], key: Any) -> bool:
    return isinstance(key, Hashable) and key in table


def _corners(bbox: Any) -> tuple[float, float, float, float] | None:
    try:
        left, top, width, height = (float(value) for value in bbox)
    except (TypeError, ValueError):
        return None
    return left, top, left + width, top + height


def _folders_of(root: Path, split: str) -> list[str]:
    """Folders that are named after a split: `train/`, `train2017/`."""
    return sorted(f.name for f in root.iterdir() if f.is_dir() and split_name(re.sub(r"\d+$", "", f.name)) == split)


def _found(name: str, roots: Sequence[Path]) -> str:
    return next((str(root / name) for root in roots if (root / name).is_file()), str(roots[0] / name))


def _is_coco(file: Path) -> bool:
    """Whether a file holds COCO's three keys; it is searched, not parsed, for it may be large."""
    if file.suffix.lower() != ".json" or not file.is_file() or not file.stat().st_size:
        return False
    with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # One will do: what a file lacks, or that it is cut off, is said when it is read.
        return any(content.find(key) >= 0 for key in _KEYS)


def annotation_files(path: Path) -> dict[str, Path]:
    """Split -> annotation file of a folder: `annotations/instances_train2017.json`, `train.json`, `train/_annotations.coco.json`."""
    if path.is_file():
        return {"train": path} if _is_coco(path) else {}
    found: dict[str, list[Path]] = {}
    inner = [f for f in path.iterdir() if f.is_dir() and (f.name == "annotations" or split_name(f.name))]
    for folder in (path, *sorted(inner)):
        for file in sorted(folder.glob("*.json")):
            if _is_coco(file):
                words = [*re.split(r"[^a-z]+", file.stem.lower()), folder.name]
                split = next((s for word in words if (s := split_name(word))), "train" if folder == path else "")
                found.setdefault(split, []).append(file)
    if found and ("" in found or "train" not in found or any(len(files) > 1 for files in found.values())):
        listed = ", ".join(str(f.relative_to(path)) for files in found.values() for f in files)
        raise DataError(f"A folder of COCO annotations has one file a split, train among them. {path} has {listed}. Name the file to read.")
    return {split: files[0] for split, files in found.items()}


def _recognise(data: Any, request: Request) -> bool:
    path = as_path(data)
    return path is not None and request.task in TASKS and bool(annotation_files(path))


def _load(data: Any, request: Request) -> Raw:
    path = as_path(data)
    if path is None:  # it was there a moment ago
        raise DataError(f"Data must be readable. {data} is gone. Check the path.")
    return read_coco(annotation_files(path), path, request)


SOURCES.register("coco")(
    Source(order=31, form="COCO annotations (a .json file, or a folder with one a split)", recognise=_recognise, load=_load)
)
