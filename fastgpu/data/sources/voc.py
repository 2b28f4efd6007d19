"""Pascal VOC's XML: `Annotations/*.xml` and `JPEGImages/` (Everingham et al., 2010, https://doi.org/10.1007/s11263-009-0275-4)."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

from fastgpu.data.raw import SPLITS, Raw
from fastgpu.data.sources.base import SOURCES, Request, Source, as_path, count
from fastgpu.data.sources.boxes import Annotated, BadItems, Box, claimed_size, raw_of
from fastgpu.errors import DataError
from fastgpu.reading.text_files import read_text

__all__ = ["read_voc"]


def read_voc(folder: Path, request: Request) -> Raw:
    """Read a folder of Pascal VOC.

    Args:
        folder: holds `Annotations/*.xml`, `JPEGImages/`, and `ImageSets/Main/train.txt` (or `trainval.txt`), `val.txt`,
            `test.txt` where the splits are listed.
        request: what the user asked for.

    Corners count pixels from 1, and the right and bottom ones are inside: 1, 1, 10, 10 becomes 0, 0, 10, 10. Objects marked
    as difficult are taken like any other.
    """
    request.refuse_target("Pascal VOC annotations")
    bad = BadItems(request.skip)
    files = sorted((folder / "Annotations").glob("*.xml"))
    read = {file.stem: item for file in files if (item := _read(file, folder, bad)) is not None}
    splits, unknown = _splits(folder, read)
    classes = sorted({box.label for item in read.values() for box in item.boxes})
    if not classes:
        raise DataError(f"Annotations must have objects. {folder / 'Annotations'} has none in {count(len(files), 'file')}. Check the folder.")
    notes = [f"{count(unknown, 'name')} of ImageSets/Main without annotations passed over"] if unknown else []
    return raw_of(
        splits, name=folder.resolve().name, origin=str(folder), classes=classes, request=request, bad=bad, notes=notes
    )


def _read(file: Path, folder: Path, bad: BadItems) -> Annotated | None:
    try:
        root = ElementTree.parse(file).getroot()
    except ElementTree.ParseError as error:
        bad.add("files that are no XML", str(file), "Annotations are XML", str(error))
        return None
    boxes = []
    for number, each in enumerate(root.iter("object"), 1):
        place, label = f"{file}, object {number}", (each.findtext("name") or "").strip()
        try:
            left, top, right, bottom = (float(each.findtext(f"bndbox/{side}") or "") for side in ("xmin", "ymin", "xmax", "ymax"))
        except ValueError:
            bad.add("objects without a box", place, "An object has a bndbox of xmin, ymin, xmax and ymax", "it has none of four numbers")
            continue
        if not label:
            bad.add("objects without a name", place, "An object has a name", "it has none")
            continue
        if right < left or bottom < top:  # crossed corners stay so; the common rule speaks of them
            boxes.append(Box((left, top, right, bottom), label, place))
        else:
            boxes.append(Box((left - 1, top - 1, right, bottom), label, place))
    height, width = root.findtext("size/height"), root.findtext("size/width")
    try:
        claimed = claimed_size(height, width)
    except ValueError:
        came = f"height {height!r:.40}, width {width!r:.40}"
        bad.add("pictures whose size is no number", str(file), "Height and width of a picture are numbers", came)
        return None
    return Annotated(_picture(root.findtext("filename") or "", file.stem, folder), boxes, claimed)


def _picture(name: str, stem: str, folder: Path) -> str:
    pictures = folder / "JPEGImages"
    options = [pictures / name] if name else []
    options += [pictures / f"{stem}{suffix}" for suffix in (".jpg", ".jpeg", ".png", ".JPG", ".bmp")]
    return str(next((path for path in options if path.is_file()), options[0]))


def _splits(folder: Path, read: dict[str, Annotated]) -> tuple[dict[str, list[Annotated]], int]:
    """Split -> its pictures as `ImageSets/Main` lists them, and how many names have no annotations; all `train` without.

    Where there is no `train.txt`, `trainval.txt` lists the training pictures, but for those of `val.txt`.
    """
    lists = folder / "ImageSets" / "Main"
    files = [file for split in ("train", "trainval", "val", "test") if (file := lists / f"{split}.txt").is_file()]
    if not files:
        return {"train": list(read.values())}, 0
    names = {file.stem: [line.split()[0] for line in read_text(file).splitlines() if line.strip()] for file in files}
    if "train" not in names and "trainval" in names:
        held = set(names.get("val", ()))
        names["train"] = [name for name in names["trainval"] if name not in held]
    splits = {s: found for s in SPLITS if (found := [read[name] for name in names.get(s, ()) if name in read])}
    if "train" not in splits:
        listed = ", ".join(file.name for file in files)
        raise DataError(f"Training pictures are listed in train.txt or trainval.txt. {lists} has {listed}, and none to train on. Add them.")
    return splits, sum(name not in read for s in SPLITS for name in names.get(s, ()))


def _recognise(data: Any, request: Request) -> bool:
    path = as_path(data)
    if path is None or request.task not in (None, "detection") or not (path / "JPEGImages").is_dir():
        return False
    return any((path / "Annotations").glob("*.xml"))


SOURCES.register("voc")(
    Source(
        order=33,
        form="a folder of Pascal VOC (Annotations/, JPEGImages/)",
        recognise=_recognise,
        load=lambda data, request: read_voc(Path(data).expanduser(), request),
    )
)
